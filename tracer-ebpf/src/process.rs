//! What is told of a process that serves a watched port.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Header;

/// Bits of [`ProcessRecord::flags`].
pub mod process_flag {
    /// It left a core dump behind.
    pub const CORE_DUMPED: u32 = 1 << 0;
    /// The OOM killer chose it.
    pub const OOM_KILLED: u32 = 1 << 1;
}

/// Parts of a value of map `SERVERS`, beside the time (`CLOCK_BOOTTIME`, ns) at which it became known.
pub mod server {
    /// How many processes are between it and the watched port: 0 where it serves that port itself.
    pub const DISTANCE: u64 = 0x7;
    /// It has made HTTP requests of its own.
    pub const FORWARDS: u64 = 1 << 3;
    /// It could not connect, and has not connected since: its next success is told, since what it had asked
    /// for there it may have got elsewhere.
    pub const REFUSED: u64 = 1 << 4;
    /// Bits that are the time's.
    pub const TIME: u64 = !0x1f;
    /// Processes at this distance are the last that are followed: no chain is told any further.
    pub const FARTHEST: u64 = 4;
}

/// The end, or another beginning, of a process that serves a watched port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct ProcessRecord {
    /// Kind is `PROCESS_EXIT`, `PROCESS_EXEC` or `OOM_VICTIM`.
    pub header: Header,
    /// Thread group id in the root pid namespace.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// As in wait(2): the exit code in bits 8 to 15, else the signal in bits 0 to 6.
    pub exit_code: u32,
    /// [`process_flag`].
    pub flags: u32,
    /// Its comm, zero padded.
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<ProcessRecord>() == 56);
