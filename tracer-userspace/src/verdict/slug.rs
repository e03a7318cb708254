//! The catalogue's slugs.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

macro_rules! slugs {
    ($($(#[doc = $doc:literal])+ $variant:ident => $slug:literal,)+) => {
        /// What a failure was, in the catalogue's word for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Slug {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Slug {
            /// Every slug, in catalogue order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The slug as it is written everywhere.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $slug,)+
                }
            }
        }
    };
}

slugs! {
    /// The SYN found no socket.
    ProcessDown => "process-down",
    /// A listener is there, but not on the address that was asked for.
    WrongBindAddress => "wrong-bind-address",
    /// Netfilter dropped a packet and answered.
    FirewallReject => "firewall-reject",
    /// Netfilter dropped a packet and said nothing.
    FirewallDrop => "firewall-drop",
    /// The SYN left and nothing came back.
    SecurityGroupDrop => "security-group-drop",
    /// Nothing reaches the port any more.
    InboundSilence => "inbound-silence",
    /// The peer does not hear our answers.
    ReturnPathDrop => "return-path-drop",
    /// The peer never finished its handshake.
    HandshakeAbandoned => "handshake-abandoned",
    /// The listener's accept queue was full.
    AcceptQueueFull => "accept-queue-full",
    /// The connection tracking table was full.
    ConntrackFull => "conntrack-full",
    /// The kernel dropped a packet for another reason.
    KernelDrop => "kernel-drop",
    /// The SYN came back to its own sender.
    Hairpin => "hairpin",
    /// The next hop or the host does not answer.
    HostUnreachable => "host-unreachable",
    /// There is no route.
    NoRoute => "no-route",
    /// No local port is free.
    PortExhausted => "port-exhausted",
    /// The upstream's unix socket is not there.
    UpstreamSocketMissing => "upstream-socket-missing",
    /// The process died with a request unanswered.
    ProcessCrashed => "process-crashed",
    /// The app reset a request.
    AppReset => "app-reset",
    /// The app closed before its response was whole.
    PrematureClose => "premature-close",
    /// The response never became whole.
    IncompleteResponse => "incomplete-response",
    /// A request met a connection that was being closed.
    KeepaliveRace => "keepalive-race",
    /// Something in between forgot an idle connection.
    IdleFlowExpired => "idle-flow-expired",
    /// The app did not answer in time.
    AppTimeout => "app-timeout",
    /// The client gave up.
    ClientAbort => "client-abort",
    /// The peer stopped answering.
    PeerVanished => "peer-vanished",
    /// What was sent is no HTTP response.
    MalformedResponse => "malformed-response",
    /// The peer speaks another protocol.
    ProtocolMismatch => "protocol-mismatch",
    /// A health check was answered badly.
    HealthCheckFailed => "health-check-failed",
    /// The app answered so itself.
    AppStatus => "app-status",
    /// Only ever an alternative: the remote host is down.
    RemoteDown => "remote-down",
}

impl fmt::Display for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Slug {
    type Err = UnknownSlug;

    fn from_str(text: &str) -> Result<Self, UnknownSlug> {
        Self::ALL.iter().copied().find(|slug| slug.as_str() == text).ok_or_else(|| UnknownSlug(text.to_owned()))
    }
}

impl PartialOrd for Slug {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Alphabetical: the order of `alternatives`.
impl Ord for Slug {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Serialize for Slug {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// No verdict has this name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no verdict is called {0:?}; `wherefore explain` lists them")]
pub struct UnknownSlug(pub String);
