//! What is kept of records about an attempt: small, without text, so that a flood costs little.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::icmp::Meaning;
use crate::record::{BootTime, Tuple};
use crate::verdict::address;

/// An address and a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Endpoint {
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub(super) address: [u8; 16],
    pub(super) port: u16,
}

impl Endpoint {
    pub(super) fn ip(self) -> IpAddr {
        address(self.address)
    }

    pub(super) fn socket_addr(self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port)
    }

    pub(super) fn is_v4(self) -> bool {
        is_v4(self.address)
    }
}

/// Whether these bytes are an IPv4 address.
pub(super) fn is_v4(bytes: [u8; 16]) -> bool {
    matches!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
}

/// The bytes that records hold for an address.
pub(super) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Both ends of an attempt as one namespace saw them: NAT makes them differ from place to place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// Who sent the SYN.
    pub(super) initiator: Endpoint,
    /// Whom it was sent to.
    pub(super) responder: Endpoint,
}

impl Flow {
    /// The flow of a packet (or socket) whose `src` sent the SYN.
    pub(super) fn from_initiator(tuple: &Tuple) -> Self {
        let mut initiator = Endpoint { address: tuple.src, port: tuple.src_port };
        let responder = Endpoint { address: tuple.dst, port: tuple.dst_port };
        if initiator == Endpoint::default() && responder.is_v4() {
            // none was chosen: of which family is known all the same
            initiator.address = address_bytes(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        }
        Self { initiator, responder }
    }

    /// The flow of a packet (or socket) whose `dst` sent the SYN.
    pub(super) fn from_responder(tuple: &Tuple) -> Self {
        let Self { initiator, responder } = Self::from_initiator(tuple);
        Self { initiator: responder, responder: initiator }
    }

    /// Whether this can be the same attempt seen elsewhere, given the same ISN: address translation
    /// changes one end, or the addresses of both.
    pub(super) fn compatible(&self, other: &Self) -> bool {
        self.initiator == other.initiator
            || self.responder == other.responder
            || (self.initiator.port == other.initiator.port && self.responder.port == other.responder.port)
    }
}

/// Why a packet was dropped, as far as the rules tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropClass {
    /// No socket was found for it.
    NoSocket,
    /// Netfilter dropped it: DROP, REJECT, or a full connection tracking table.
    Netfilter,
    /// The next hop's address could not be found.
    NeighbourFailed,
    /// What no attempt fails of: another host's packet, a copy, one that TCP has no use for.
    Ordinary,
    /// Anything else.
    Other,
}

/// A SYN or a last ACK reached a listener that could not take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// Connections that waited to be accepted.
    pub(super) backlog: u32,
    /// Their limit.
    pub(super) limit: u32,
    /// It was the last ACK.
    pub(super) last_ack: bool,
    /// The queue of requests was full, and no cookies were sent instead.
    pub(super) no_request: bool,
    /// The last ACK was answered by a RST.
    pub(super) aborts: bool,
    pub(super) flow: Flow,
}

/// A SYN-ACK was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SynAckAgain {
    /// For the n-th time.
    pub(super) retransmits: u32,
    /// SYNs of the attempt that came again so far.
    pub(super) syns_repeated: u32,
    pub(super) flow: Flow,
}

/// A dropped SYN or SYN-ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) class: DropClass,
    /// Ends as this packet's headers had them.
    pub(super) flow: Flow,
    /// Number of the symbol; 0 if none.
    pub(super) location: u64,
    /// `skb_drop_reason`, if the kernel gives one.
    pub(super) reason: Option<u32>,
    /// A socket of this host sent it.
    pub(super) from_socket: bool,
    /// It was found to be for a connecting socket of this host.
    pub(super) to_socket: bool,
    /// It was the SYN-ACK.
    pub(super) syn_ack: bool,
    /// Interface it came in on; 0 if none.
    pub(super) ifindex: u32,
}

/// An ICMP error about the attempt's SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IcmpError {
    /// Sent by this host, not received.
    pub(super) sent: bool,
    pub(super) meaning: Meaning,
    pub(super) icmp_type: u8,
    pub(super) icmp_code: u8,
    /// Who sent the error.
    pub(super) from: [u8; 16],
    /// Whom it was sent to.
    pub(super) to: [u8; 16],
    /// Ends as the quoted SYN had them.
    pub(super) flow: Flow,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A SYN or SYN-ACK was dropped.
    Drop(Dropped),
    /// An ICMP error.
    Icmp(IcmpError),
    /// Netfilter answered with a RST, from this end.
    NetfilterReset(Flow),
    /// TCP answered the SYN with a RST.
    ResetSent,
    /// A RST answered our SYN.
    ResetReceived,
    /// Our SYN was sent again, for the n-th time.
    SynRetransmitted(u32),
    /// A listener was full.
    ListenerFull(Full),
    /// A SYN-ACK was sent again.
    SynAckRetransmitted(SynAckAgain),
    /// Our socket reported this errno.
    SocketError(u32),
    /// Our socket left `SYN_SENT`, with this errno or 0.
    Closed(u32),
    /// connect() returned before a SYN was sent; errno if known, else 0.
    ConnectUnsent {
        /// Positive errno.
        error: u32,
    },
}

/// One thing seen, when and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) time: BootTime,
    pub(super) netns: u32,
    pub(super) what: What,
}
