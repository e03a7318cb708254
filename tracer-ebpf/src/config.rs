//! What user space tells the programs before and while they run, and what they count for it.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most ports that can be watched in one run.
pub const PORT_SLOTS: u32 = 64;

/// Drop reasons that the programs can be told of: those of the core, which are far fewer. Subsystems number
/// theirs from 65536 on.
pub const DROP_REASON_SLOTS: u32 = 512;

/// Bytes of the ring buffer.
pub const RING_BYTES: u32 = 8 * 1024 * 1024;

/// Slot of the self-test's port: the one after the watched ones.
pub const SELF_TEST_SLOT: u32 = PORT_SLOTS;

/// Causes of loss on the kernel side: indices into the per-CPU array `LOSSES`.
pub mod loss {
    /// The ring buffer had no room.
    pub const RING_FULL: u32 = 0;
    /// The map of attempts in `SYN_SENT` had no room: the attempt is not followed.
    pub const ATTEMPTS_FULL: u32 = 1;
    /// The map of attempts with a dropped packet had no room: a later success is not seen.
    pub const TROUBLED_FULL: u32 = 2;
    /// The map of connects that have sent no SYN yet had no room.
    pub const CONNECTS_FULL: u32 = 3;
    /// The map of processes that serve a watched port had no room: how one ends is not seen.
    pub const SERVERS_FULL: u32 = 4;
    /// Number of causes.
    pub const COUNT: u32 = 5;
    /// Names in this order, as printed under `lost` in the summary.
    pub const NAMES: [&str; COUNT as usize] =
        ["ring-full", "attempts-full", "troubled-full", "connects-full", "servers-full"];
}

/// Exact totals of one watched port: an element of the per-CPU array `PORT_TOTALS`, indexed by slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct PortTotals {
    /// SYN packets that reached this host: delivered to a listener, or dropped with a record.
    pub syns: u64,
    /// Connections accepted into ESTABLISHED.
    pub accepted: u64,
    /// Outgoing connections that reached ESTABLISHED.
    pub connected: u64,
    /// Connections (either role) that left ESTABLISHED or a later state for CLOSE.
    pub closed: u64,
    /// SYNs that found no socket.
    pub refused: u64,
    /// SYNs that netfilter dropped.
    pub filtered: u64,
    /// `CLOCK_BOOTTIME` ns of the last SYN.
    pub last_syn_ns: u64,
    /// Zero.
    pub reserved: u64,
}
