//! Host records about HTTP: what was read of an exchange's heads, and what clean exchanges counted.

use std::net::{IpAddr, SocketAddr};

use minicbor::{Decode, Encode};

/// What was read of the heads of one exchange. It comes right before the `FLOW` record that it belongs
/// to, which has the same `id`, exchange number and time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Exchange {
    /// Connection, as in the flow record.
    #[n(0)]
    pub id: u64,
    /// Number of the exchange on it, from 1.
    #[n(1)]
    pub number: u32,
    /// Request method.
    #[n(2)]
    pub method: Option<String>,
    /// Request target up to `?` or `#`; cut where the kept bytes ended.
    #[n(3)]
    pub path: Option<String>,
    /// `Host`.
    #[n(4)]
    pub host: Option<String>,
    /// `User-Agent`.
    #[n(5)]
    pub user_agent: Option<String>,
    /// `X-Amzn-Trace-Id`.
    #[n(6)]
    pub trace_id: Option<String>,
    /// Headers of which only the presence is read, lower case, sorted: `authorization`, `cookie`,
    /// `origin`, `referer`, `www-authenticate`.
    #[n(7)]
    pub has: Vec<String>,
    /// Value of the header that `--client-header` names.
    #[n(8)]
    pub client: Option<String>,
    /// Client named by a PROXY protocol header.
    #[n(9)]
    pub proxied_for: Option<String>,
    /// `Server` of the response.
    #[n(10)]
    pub server: Option<String>,
    /// `Via` of the response, or of the request.
    #[n(11)]
    pub via: Option<String>,
    /// First bytes of what came where a response head was due, printable ones as they are, at most 32.
    #[n(12)]
    pub malformed: Option<String>,
}

/// What the exchanges of one port did since the last record of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ExchangeCount {
    /// Port.
    #[n(0)]
    pub port: u16,
    /// Exchanges that ended, by status; 0: none was seen.
    #[n(1)]
    pub statuses: Vec<(u16, u64)>,
    /// Latency histogram: bucket ([`tracer_ebpf::latency_bucket`]) and exchanges.
    #[n(2)]
    pub latency: Vec<(u16, u64)>,
    /// Longest latency, microseconds.
    #[n(3)]
    pub latency_max_us: u64,
    /// Responses later than `--slow`.
    #[n(4)]
    pub slow: u64,
    /// Requests that wait for a response now.
    #[n(5)]
    pub waiting: u64,
    /// Connections that began with TLS.
    #[n(6)]
    pub tls: u64,
    /// Connections that began with the HTTP/2 preface.
    #[n(7)]
    pub http2: u64,
    /// Connections with bytes that are neither.
    #[n(8)]
    pub not_http: u64,
    /// How often heads could not be told from bodies any more on a connection, until a request came after
    /// silence.
    #[n(9)]
    #[cbor(default)]
    pub lost_step: u64,
}

/// What the exchanges of the watched ports did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ExchangeCounts {
    /// One element a port that moved.
    #[n(0)]
    pub ports: Vec<ExchangeCount>,
}

/// A peer whose connections to a watched port are health checks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HealthChecker {
    /// Its address.
    #[n(0)]
    pub address: IpAddr,
    /// The port it checks.
    #[n(1)]
    pub port: u16,
    /// Checks so far.
    #[n(2)]
    pub checks: u64,
    /// `CLOCK_BOOTTIME` ns of the last.
    #[n(3)]
    pub last_ns: u64,
    /// Nanoseconds from one to the next, the longest of late.
    #[n(4)]
    pub period_ns: u64,
    /// By its `User-Agent`; else it connected and sent nothing.
    #[n(5)]
    pub http: bool,
    /// How many times in a row the next came after about `period_ns`.
    #[n(6)]
    #[cbor(default)]
    pub steady: u64,
}

/// The health checkers of the namespace that the record's header names: all that have come lately. Told every
/// few seconds where there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HealthCheckers {
    /// The latest first.
    #[n(0)]
    pub checkers: Vec<HealthChecker>,
    /// Packets that the namespace's devices have received so far, loopback apart; `None` if that is not known.
    #[n(2)]
    #[cbor(default)]
    pub received: Option<u64>,
}

/// Where a request goes on to: kept with a port's publication.
pub(super) type Endpoint = SocketAddr;
