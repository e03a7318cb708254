//! What is remembered of an attempt while it is under way.

/// An outgoing attempt in SYN_SENT.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) started_ns: u64,
    pub(super) syns_sent: u32,
    pub(super) retransmits: u32,
    /// Thread group id of the task that called connect().
    pub(super) pid: u32,
    /// 1 once a record was sent: the end of the attempt must be told too, whatever it is.
    pub(super) reported: u32,
    pub(super) comm: [u8; 16],
    /// How far the far end is from the watched port that the task serves, from 1; 0 if the port itself is
    /// watched.
    pub(super) distance: u32,
    pub(super) pad: u32,
}

impl Attempt {
    /// What a new element is made of: the stack has no room for it.
    pub(super) const UNKNOWN: &'static Self =
        &Self { started_ns: 0, syns_sent: 0, retransmits: 0, pid: 0, reported: 0, comm: [0; 16], distance: 0, pad: 0 };
}

/// What is remembered of an inbound attempt in trouble.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Trouble {
    /// When it last had some (`CLOCK_BOOTTIME`, ns).
    pub(super) time_ns: u64,
    /// SYNs of it that came again since it was noted.
    pub(super) syns: u64,
}

/// What was told within a second.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// Of the boot clock, as a multiple of 2^30 ns.
    pub(super) second: u32,
    pub(super) count: u32,
}

/// A SYN that was delivered to a listener, and counted there.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Address of its `struct sk_buff`.
    pub(super) skb: u64,
    pub(super) seq: u32,
    pub(super) src_port: u16,
    pub(super) pad: u16,
}

/// Who sent the SYN of an inbound attempt, and its ISN: not rewritten by a DNAT in front of the port.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Initiator {
    pub(super) address: [u8; 16],
    pub(super) isn: u32,
    pub(super) port: u16,
    pub(super) pad: u16,
}
