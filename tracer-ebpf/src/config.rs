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

/// The reader of the ring is woken at most once in this time (ns) by records of packets and exchanges: to wake somebody
/// costs ten times what a record costs. It looks again by itself this long after it was woken. Much less than verdicts
/// wait for records that come out of order.
pub const WAKE_EVERY_NS: u64 = 8_000_000;

/// The same of records that name a process: what else there is to know of it is gone when it ends, so that they are read
/// as soon as may be.
pub const WAKE_FOR_PROCESS_EVERY_NS: u64 = 1_000_000;

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
    /// The map of followed connections had no room: the connection is not followed.
    pub const FLOWS_FULL: u32 = 5;
    /// No buffer was free for an exchange's heads: it is not read.
    pub const HEADS_FULL: u32 = 6;
    /// The map of connections that this end closed while idle had no room.
    pub const CLOSED_FULL: u32 = 7;
    /// Number of causes.
    pub const COUNT: u32 = 8;
    /// Names in this order, as printed under `lost` in the summary.
    pub const NAMES: [&str; COUNT as usize] = [
        "ring-full",
        "attempts-full",
        "troubled-full",
        "connects-full",
        "servers-full",
        "flows-full",
        "heads-full",
        "closed-full",
    ];
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
    /// Accepted connections that were health checks: they said nothing, or asked as a known health checker.
    /// Counted when they are over.
    pub health_checks: u64,
}

/// What a flood's limit left out at one watched port: an element of the per-CPU array `SUPPRESSED`, by slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Suppressed {
    /// Records.
    pub records: u64,
    /// Those of SYNs that found no socket: an attempt each.
    pub refused: u64,
}

/// Most connections that are followed at a time.
pub const FLOWS: u32 = 131_072;
/// Most exchanges under way whose heads are kept.
pub const TEXTS: u32 = 8192;
/// How many of these buffers stay with their connection, whether it is idle or not.
pub const TEXTS_KEPT: u32 = TEXTS / 2;
/// Status codes that can be told of: elements of `TOLD_STATUSES`.
pub const STATUSES: u32 = 1000;
/// Columns of the array of exchanges by status.
pub const EXCHANGE_STATUSES: u32 = 512;

/// Column of a status: 0 for none, and for what is no status.
#[must_use]
#[inline]
pub const fn status_index(status: u16) -> u32 {
    if status >= 100 && status < 600 { status as u32 - 99 } else { 0 }
}

/// Status of a column; 0 for none.
#[must_use]
pub const fn status_of_index(index: u32) -> u16 {
    if index == 0 || index > 500 { 0 } else { (index & 0x1ff) as u16 + 99 }
}

/// Totals of the exchanges of one watched port: an element of the per-CPU array `EXCHANGE_TOTALS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct ExchangeTotals {
    /// Exchanges that began.
    pub begun: u64,
    /// Exchanges that ended, one way or another.
    pub ended: u64,
    /// Longest latency, microseconds.
    pub latency_max_us: u64,
    /// Responses that began later than `slow_ms`.
    pub slow: u64,
    /// Connections that began with TLS.
    pub tls: u64,
    /// Connections that began with the HTTP/2 preface.
    pub http2: u64,
    /// Connections that began with what is neither, nor HTTP/1.
    pub not_http: u64,
    /// Connections that lost step.
    pub lost_step: u64,
}

/// An exchange that has a buffer: an element of `OPEN_EXCHANGES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct OpenExchange {
    /// Address of its socket; 0 if the buffer is free.
    pub sock: u64,
    /// `CLOCK_BOOTTIME` ns at which its request began.
    pub since_ns: u64,
}

/// Most connections that are remembered after this end closed them while idle.
pub const CLOSED_FLOWS: u32 = 8192;

/// Key of map `CLOSED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Endpoints {
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub peer: [u8; 16],
    /// Inode of the namespace.
    pub netns: u32,
    /// Host order.
    pub peer_port: u16,
    /// The own port, host order.
    pub port: u16,
}

/// Most peers that are remembered as health checkers.
pub const HEALTH_CHECKERS: u32 = 1024;

/// Value of map `CHECKERS`; its key is an [`Endpoints`] without the peer's port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Checker {
    /// Health checks so far.
    pub checks: u64,
    /// When the last was connected (`CLOCK_BOOTTIME`, ns).
    pub last_ns: u64,
    /// Nanoseconds from one to the next, the longest of late; 0 after the first.
    pub period_ns: u64,
    /// 1 if the last had the `User-Agent` of a health checker, 0 if it said nothing.
    pub by_name: u64,
    /// How many times in a row the next came after about `period_ns`.
    pub steady: u64,
}

/// Value of map `CLOSED`: fields as in the flow record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct ClosedFlow {
    /// When it was closed, `CLOCK_BOOTTIME` ns.
    pub closed_ns: u64,
    /// `id`
    pub id: u64,
    /// `established_ns`
    pub established_ns: u64,
    /// `idle_since_ns`
    pub last_payload_ns: u64,
    /// `isn`
    pub isn: u32,
    /// `pid`
    pub pid: u32,
    /// Exchanges that were whole.
    pub exchange: u32,
    /// `flags`
    pub flags: u32,
    /// `comm`
    pub comm: [u8; 16],
}
