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
    /// The firewall rule that matched.
    FirewallRule,
    /// The destination that the SYN had before address translation.
    OriginalDestination,
    /// A SYN or last ACK reached a listener whose accept queue was full.
    AcceptQueueFull,
    /// A SYN-ACK was sent again.
    SynAckRetransmitted,
    /// The connection tracking table was full, or nearly.
    ConntrackFull,
    /// Something of the host was exhausted meanwhile.
    HostPressure,
    /// A SYN came back to its own sender.
    SynReturned,
    /// The health checkers of the port stopped.
    HealthCheckersStopped,
    /// A process ended.
    ProcessExited,
    /// The OOM killer chose a process.
    OomKill,
    /// The connection was established.
    Established,
    /// Nothing had passed on the connection since then.
    Idle,
    /// A request began.
    RequestStarted,
    /// A request was whole.
    RequestReceived,
    /// A request was sent again, or data: nothing acknowledged it.
    DataRetransmitted,
    /// How far the request got: not accepted, not read, processing.
    RequestStage,
    /// The head of a response was sent.
    ResponseStarted,
    /// The last byte of a response that was seen.
    ResponseCut,
    /// What was sent where a response was due is none.
    ResponseMalformed,
    /// This end sent a FIN.
    FinSent,
    /// The peer sent a FIN.
    FinReceived,
    /// The socket gave up on its peer.
    TimedOut,
    /// A request waited too long.
    StillWaiting,
    /// What the client began with.
    ProtocolSeen,
    /// A packet of the connection was dropped.
    PacketDropped,
    /// Several attempts of the process fit as the cause.
    CauseCandidates,
    /// connect() failed.
    ConnectFailed,
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
