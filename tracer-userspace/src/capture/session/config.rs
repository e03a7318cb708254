//! What a recording is asked for, and why it may not start.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::capture::facts::CgroupError;
use crate::capture::heads::ClientHeader;
use crate::capture::host::NamespaceError;
use crate::capture::load::{LoadError, Room};
use crate::capture::plan::Obstacle;
use crate::capture::self_test::SelfTestError;

/// What to record.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct SessionConfig {
    /// Watched ports, ascending.
    pub ports: Vec<u16>,
    /// `--netns`; empty: all namespaces.
    pub netns: Vec<String>,
    /// `--slow`, nanoseconds.
    pub slow_ns: u64,
    /// Whether `--slow` was given.
    pub slow_given: bool,
    /// `--status`.
    pub statuses: Vec<String>,
    /// The statuses that they mean: of each answer with one of these is told.
    pub watched_statuses: Vec<u16>,
    /// `--client-header`.
    pub client_header: Option<ClientHeader>,
    /// `--unix-upstreams`.
    pub unix_upstreams: bool,
    /// `--no-http`.
    pub no_http: bool,
    /// For tests: how much the maps and the ring hold, if not what they hold usually.
    pub room: Room,
    /// `-v`.
    pub verbose: bool,
}

impl SessionConfig {
    /// How long a request waits before that is told: 60 s, or `--slow` where that was given or is longer.
    pub(super) fn waits_after(&self) -> Duration {
        const USUAL: Duration = Duration::from_mins(1);
        let slow = Duration::from_nanos(self.slow_ns);
        if self.slow_given { slow } else { slow.max(USUAL) }
    }
}

/// Why recording cannot start.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The kernel or the privileges do not allow it.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// `--netns`, or /proc.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The root of cgroup v2 cannot be reached.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Loading or attaching.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The hooks see nothing.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
    /// The runtime refuses the ring.
    #[error("the ring buffer cannot be polled")]
    Ring(#[source] io::Error),
}
