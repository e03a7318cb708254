//! What is told of a handshake that a listener of this host takes part in.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Tuple};

/// Bits of [`HandshakeRecord::flags`].
pub mod handshake_flag {
    /// The packet was the handshake's last ACK, not the SYN.
    pub const LAST_ACK: u32 = 1 << 0;
    /// The listener answers with SYN cookies.
    pub const SYN_COOKIES: u32 = 1 << 1;
    /// The queue of requests (SYN queue) is full.
    pub const SYN_QUEUE_FULL: u32 = 1 << 2;
    /// `tcp_abort_on_overflow` is set: the last ACK is answered by a RST.
    pub const ABORT_ON_OVERFLOW: u32 = 1 << 3;
    /// The port is not watched: a process that serves one that is connects to it.
    pub const CHAINED: u32 = 1 << 4;
}

/// A SYN-ACK sent again, or a packet that a listener could not take.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct HandshakeRecord {
    /// Kind is `SYN_ACK_RETRANSMIT` or `LISTENER_FULL`.
    pub header: Header,
    /// `src` is the listener's end.
    pub tuple: Tuple,
    /// Inode of the listener's socket; 0 if it has none.
    pub inode: u64,
    /// The initiator's ISN, host order.
    pub isn: u32,
    /// Connections that wait to be accepted (`sk_ack_backlog`).
    pub backlog: u32,
    /// Their limit (`sk_max_ack_backlog`).
    pub backlog_limit: u32,
    /// SYN-ACKs sent again so far (`num_timeout`, or `num_retrans`).
    pub retransmits: u32,
    /// [`handshake_flag`].
    pub flags: u32,
    /// SYNs of this attempt seen again since the first.
    pub syns_repeated: u32,
}

const _: () = assert!(size_of::<HandshakeRecord>() == 96);
