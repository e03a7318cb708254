//! The clock of the VM runner: deadlines, and how long a step took.

use std::time::{Duration, Instant};

/// Started at its making; says what has passed since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "build machinery, outside the tracer: deadlines of VMs")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    /// What is left of `limit` since the start, zero when it is over.
    pub(super) fn left_of(self, limit: Duration) -> Duration {
        limit.saturating_sub(self.0.elapsed())
    }

    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
