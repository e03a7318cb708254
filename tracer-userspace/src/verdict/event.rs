//! Evidence: the kernel events and look-ups a verdict rests on.

use serde::Serialize;

use crate::record::BootTime;

/// The closed list of evidence events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The attempt's first SYN left, or was due to.
    SynSent,
    /// A SYN was sent again.
    SynRetransmitted,
    /// A SYN found no socket.
    NoSocket,
    /// Nothing listens on the port at any address.
    NoListener,
    /// A listener is there.
    Listener,
    /// Netfilter dropped a packet.
    NetfilterDrop,
    /// Netfilter answered with a RST.
    NetfilterReset,
    /// This host sent an ICMP error.
    IcmpSent,
    /// This host received an ICMP error.
    IcmpReceived,
    /// ICMP errors are rate limited: this drop was not answered, others at the same port were.
    IcmpRateLimited,
    /// TCP answered with a RST.
    ResetSent,
    /// A RST answered.
    ResetReceived,
    /// The kernel dropped a packet for another reason.
    KernelDrop,
    /// The next hop's address could not be found.
    NeighbourFailed,
    /// The next hop's address is known.
    NeighbourResolved,
    /// The route look-up failed.
    NoRoute,
    /// The socket reported an error.
    SocketError,
    /// The socket left `SYN_SENT` without an answer.
    GaveUp,
    /// Nothing answered in time.
    NoAnswer,
    /// Other connections to the same remote end still progress.
    OtherFlowsProgress,
    /// Records were lost meanwhile.
    RecordsLost,
}

/// One item of a verdict's evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// When it was seen.
    pub time: BootTime,
    /// What.
    pub event: Event,
    /// In words, with names and numbers.
    pub detail: String,
}
