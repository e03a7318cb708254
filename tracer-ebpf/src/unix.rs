//! What is told of a connect() on a unix socket.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// Bytes kept for a path: those of `struct sockaddr_un` and zeros behind them.
pub const UNIX_PATH_BYTES: usize = 128;

/// errno values, positive, of a connect() that found nobody: `ENOENT`, `EAGAIN` (the listener's queue is full),
/// `EACCES`, `ECONNREFUSED`.
pub const UNIX_CONNECT_FAILURES: [u32; 4] = [2, 11, 13, 111];

/// connect() on a unix socket failed in a process that serves a watched port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct UnixConnectRecord {
    /// Kind is `UNIX_CONNECT`; the namespace is the network namespace of the process.
    pub header: Header,
    /// Thread group id of the process.
    pub pid: u32,
    /// What came of it, positive errno.
    pub error: u32,
    /// Bytes of the path.
    pub path_len: u32,
    /// Zero.
    pub pad: u32,
    /// Comm of the process.
    pub comm: [u8; 16],
    /// As it was given: it begins with zero if it is abstract, and may end with zeros.
    pub path: [u8; UNIX_PATH_BYTES],
}

impl Default for UnixConnectRecord {
    fn default() -> Self {
        let header = Header { kind: 0, len: 0, cpu: 0, time_ns: 0, netns: 0, reserved: 0 };
        Self { header, pid: 0, error: 0, path_len: 0, pad: 0, comm: [0; 16], path: [0; UNIX_PATH_BYTES] }
    }
}

const _: () = assert!(size_of::<UnixConnectRecord>() == 184);
