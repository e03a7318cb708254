//! Verdicts: what the engine decides and every output prints.

mod event;
mod slug;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

pub use event::{Event, Evidence};
pub use slug::{Slug, UnknownSlug};

use crate::record::BootTime;

/// Which end of the first SYN this host was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It received the SYN.
    Inbound,
    /// It sent the SYN.
    Outbound,
    /// It passed the SYN on: neither end is on this host.
    Forwarded,
}

/// How much the evidence carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The kernel that decided was seen doing it, and nothing was lost meanwhile.
    Certain,
    /// Inferred.
    Likely,
}

/// A process as a verdict names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Thread group id in the root pid namespace; null if unknown.
    pub pid: Option<u32>,
    /// Its comm.
    pub comm: Option<String>,
    /// How it ended: `code N`, `signal N`, `signal 9 (oom-kill)`; null if it has not, or unseen.
    pub exit: Option<String>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Container id.
    pub container: Option<String>,
}

/// What is known of the HTTP exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Http {
    /// Request method.
    pub method: Option<String>,
    /// Request path, query cut.
    pub path: Option<String>,
    /// `Host`.
    pub host: Option<String>,
    /// Status code.
    pub status: Option<u16>,
    /// `Server` of the response.
    pub server: Option<String>,
    /// `Via`.
    pub via: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: Option<String>,
    /// The client behind the peer: what the header says that `--client-header` names, or address and port from a
    /// PROXY protocol header.
    pub client: Option<String>,
    /// Headers of which only the presence is known.
    pub has: Vec<String>,
    /// Who answered: `app`, `proxy`, `upstream`.
    pub origin: Option<String>,
    /// Last request byte to first response byte, microseconds.
    pub duration_us: Option<u64>,
}

/// Why one attempt or exchange failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it was.
    pub slug: Slug,
    /// How sure.
    pub confidence: Confidence,
    /// The other slugs that look the same from here, sorted; empty when certain.
    pub alternatives: Vec<Slug>,
    /// The last evidence that decided.
    pub time: BootTime,
    /// First packet of the attempt or exchange.
    pub started: BootTime,
    /// Which end this host was.
    pub role: Role,
    /// Inode of the namespace that decided.
    pub netns: u32,
    /// This host's end; port 0 when never chosen.
    pub local: Option<SocketAddr>,
    /// The other end; `None` on a folded line whose peers differ.
    pub remote: Option<SocketAddr>,
    /// The other end where it is a unix socket, `unix:/path`: then there are no addresses.
    pub unix: Option<String>,
    /// The watched port that this is about; 0 where the other end is a unix socket.
    pub port: u16,
    /// The initiator's initial sequence number; `None` if unknown or folded.
    pub isn: Option<u32>,
    /// How many attempts this line stands for.
    pub count: u64,
    /// How far a request got.
    pub stage: Option<String>,
    /// A health check's own failure.
    pub health_check: bool,
    /// What a balancer or proxy in front will have answered.
    pub expected_status: Option<u16>,
    /// The process it is about.
    pub process: Option<Process>,
    /// The exchange.
    pub http: Http,
    /// The verdict on the failed attempt or exchange that made this one fail.
    pub cause: Option<Box<Self>>,
    /// At most 16, ascending.
    pub evidence: Vec<Evidence>,
    /// One sentence.
    pub summary: String,
    /// What to do next, one sentence.
    pub next: String,
}

/// Most items of [`Verdict::evidence`].
pub const MAX_EVIDENCE: usize = 16;

/// How late a record may come and still be put in order.
pub const REORDER_WINDOW: Duration = Duration::from_millis(200);

/// An address of a record: IPv4-mapped ones as IPv4.
#[must_use]
pub fn address(bytes: [u8; 16]) -> IpAddr {
    IpAddr::from(bytes).to_canonical()
}
