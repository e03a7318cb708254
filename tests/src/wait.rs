//! Waiting on conditions, with deadlines. Nothing in the lab sleeps for any other reason.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take that normally takes a moment: long enough for an emulated machine.
pub const PATIENCE: Duration = Duration::from_mins(6);

/// The lab's only clock: it bounds waits, keeps rates and measures, and decides nothing.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the engine knows event time; this is no engine")]
pub fn now() -> Instant {
    Instant::now()
}

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So much from now.
    #[must_use]
    pub fn after(patience: Duration) -> Self {
        Self(now() + patience)
    }

    /// What is left; `None` once it has passed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.0.checked_duration_since(now()).filter(|left| !left.is_zero())
    }
}

/// Asks until the answer is yes.
///
/// # Errors
/// When the deadline passes first, naming `what` was waited for; and what the question itself fails of.
pub fn wait_until(deadline: Deadline, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    while !condition()? {
        if deadline.remaining().is_none() {
            bail!("waited in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut asked = 0;
        wait_until(Deadline::after(PATIENCE), "three questions", || {
            asked += 1;
            Ok(asked == 3)
        })
        .unwrap();
        assert_eq!(asked, 3);
    }

    #[test]
    fn a_deadline_names_what_was_waited_for() {
        let error = wait_until(Deadline::after(Duration::ZERO), "rain", || Ok(false)).unwrap_err();
        assert_eq!(error.to_string(), "waited in vain for rain");
    }
}
