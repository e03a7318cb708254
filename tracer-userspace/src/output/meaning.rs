//! What each verdict means, in one sentence.

use crate::verdict::Slug;

/// What happened, in one sentence without a full stop.
#[must_use]
pub const fn meaning(slug: Slug) -> &'static str {
    match slug {
        Slug::ProcessDown => "nothing listens on the port",
        Slug::WrongBindAddress => "the app listens, but not on the address that was asked for",
        Slug::FirewallReject => "a host firewall refused the connection and said so",
        Slug::FirewallDrop => "a host firewall threw packets away without an answer",
        Slug::SecurityGroupDrop => "the SYN left this host and nothing ever came back",
        Slug::InboundSilence => "clients and health checks stopped reaching a port that still listens",
        Slug::ReturnPathDrop => "our answers do not reach the peer, which keeps asking",
        Slug::HandshakeAbandoned => "the peer began a handshake and then fell silent",
        Slug::AcceptQueueFull => "the app accepts connections too slowly: its accept queue was full",
        Slug::ConntrackFull => "the connection tracking table was full, so new packets were dropped",
        Slug::KernelDrop => "the kernel dropped the packets for a reason of its own",
        Slug::Hairpin => "our own SYN was sent back to this host, which drops packets that claim to come from itself",
        Slug::HostUnreachable => "the next hop or the remote host does not answer at all",
        Slug::NoRoute => "there is no route to the remote host",
        Slug::PortExhausted => "no local port was free for another connection",
        Slug::UpstreamSocketMissing => "the unix socket of the upstream is missing or refuses",
        Slug::ProcessCrashed => "the process died with a request in its hands",
        Slug::AppReset => "the app cut the connection with a RST before it had answered",
        Slug::PrematureClose => "the app closed the connection before its response was whole",
        Slug::IncompleteResponse => "the response began but never became whole",
        Slug::KeepaliveRace => "a request met a kept-alive connection that was just being closed",
        Slug::IdleFlowExpired => "something in between forgot a connection that had been idle",
        Slug::AppTimeout => "the request was delivered and the app did not answer in time",
        Slug::ClientAbort => "the client gave up before the app answered",
        Slug::PeerVanished => "the peer stopped answering in the middle of a connection",
        Slug::MalformedResponse => "what the app sent is no HTTP response",
        Slug::ProtocolMismatch => "client and app speak different protocols on this port",
        Slug::HealthCheckFailed => "a health check was answered badly or too late",
        Slug::AppStatus => "a watched status was answered, by the app or by a proxy of this host",
        Slug::RemoteDown => "the remote host is down (only ever an alternative to another verdict)",
    }
}
