//! Host records: what the capture side looked up and put into the stream.
//!
//! Bodies are CBOR maps with integer keys, so that fields can be added for ever: a reader skips keys
//! it does not know and takes missing ones as absent. A key's number is never used again.
//!
//! long: every host record and its number in one list, so that no number is used twice

use std::convert::Infallible;
use std::net::IpAddr;

use minicbor::{Decode, Encode};
use tracer_ebpf::kind::HOST_KIND_FIRST;

use super::{Exchange, ExchangeCounts, HealthCheckers, Pressure, Publications, Rule, SuppressedCounts};

/// Body of a host record.
#[derive(Clone, Debug, PartialEq)]
pub enum HostBody {
    /// What this trace is: first record of every stream, and the trace file's header.
    Start(Box<Start>),
    /// Time passed. Read before the ring was drained to empty.
    Tick(Tick),
    /// A listener was there at the start, or its process is now known.
    Listener(Listener),
    /// A network namespace, its name and addresses.
    Namespace(Namespace),
    /// Who a process is.
    Process(ProcessInfo),
    /// Route and neighbour towards the remote end of an attempt.
    Path(PathReport),
    /// Name of a drop's location.
    Symbol(Symbol),
    /// Totals of the watched ports since the last such record.
    Ports(PortCounts),
    /// Something was lost.
    Loss(Loss),
    /// The watched ports change.
    Watched(Watched),
    /// What was read of an exchange's heads.
    Exchange(Box<Exchange>),
    /// What clean exchanges counted.
    Exchanges(ExchangeCounts),
    /// What a namespace, or the host, has too much of.
    Pressure(Pressure),
    /// The firewall rule that a packet matched.
    Rule(Box<Rule>),
    /// The published ports of a namespace.
    Publications(Publications),
    /// Health checkers of a namespace.
    HealthCheckers(HealthCheckers),
    /// What the limits on floods left out.
    Suppressed(SuppressedCounts),
    /// Recording ended in order.
    End,
}

const START: u16 = HOST_KIND_FIRST;
const TICK: u16 = HOST_KIND_FIRST + 1;
const LISTENER: u16 = HOST_KIND_FIRST + 2;
const NAMESPACE: u16 = HOST_KIND_FIRST + 3;
const PROCESS: u16 = HOST_KIND_FIRST + 4;
const PATH: u16 = HOST_KIND_FIRST + 5;
const SYMBOL: u16 = HOST_KIND_FIRST + 6;
const PORTS: u16 = HOST_KIND_FIRST + 7;
const LOSS: u16 = HOST_KIND_FIRST + 8;
const END: u16 = HOST_KIND_FIRST + 9;
const WATCHED: u16 = HOST_KIND_FIRST + 10;
const EXCHANGE: u16 = HOST_KIND_FIRST + 11;
const EXCHANGES: u16 = HOST_KIND_FIRST + 12;
const PRESSURE: u16 = HOST_KIND_FIRST + 13;
const RULE: u16 = HOST_KIND_FIRST + 14;
const PUBLICATIONS: u16 = HOST_KIND_FIRST + 15;
const HEALTH_CHECKERS: u16 = HOST_KIND_FIRST + 16;
const SUPPRESSED: u16 = HOST_KIND_FIRST + 18;

/// One moment on two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClockPair {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    #[n(0)]
    pub boot_ns: u64,
    /// `CLOCK_REALTIME`, nanoseconds since 1970-01-01 UTC.
    #[n(1)]
    pub unix_ns: i64,
}

/// A hook of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hook {
    /// Kind and name, as in `raw_tracepoint/kfree_skb`.
    #[n(0)]
    pub name: String,
    /// Whether it is attached.
    #[n(1)]
    pub attached: bool,
    /// Why it is not, or what it stands in for; empty if there is nothing to say.
    #[n(2)]
    pub note: String,
}

/// What a trace is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Start {
    /// Version of the program that wrote it.
    #[n(0)]
    pub version: String,
    /// Host name.
    #[n(1)]
    pub host: String,
    /// /proc/sys/kernel/random/boot_id
    #[n(2)]
    pub boot_id: String,
    /// Kernel release (`uname -r`).
    #[n(3)]
    pub kernel: String,
    /// Machine (`uname -m`).
    #[n(4)]
    pub machine: String,
    /// Watched ports, ascending.
    #[n(5)]
    pub ports: Vec<u16>,
    /// `--slow`, nanoseconds.
    #[n(6)]
    pub slow_ns: u64,
    /// Whether `--slow` was given.
    #[n(7)]
    pub slow_given: bool,
    /// `--status`: codes and classes (`403`, `5xx`).
    #[n(8)]
    pub statuses: Vec<String>,
    /// Inodes of the namespaces that are watched; empty if all are.
    #[n(9)]
    pub netns: Vec<u32>,
    /// The hook plan.
    #[n(10)]
    pub hooks: Vec<Hook>,
    /// Slugs that cannot be told on this kernel.
    #[n(11)]
    pub blind: Vec<String>,
    /// One moment on both clocks, near the start.
    #[n(12)]
    pub clock: ClockPair,
    /// `skb_drop_reason` of the running kernel, without the `SKB_DROP_REASON_` prefix.
    #[n(13)]
    pub drop_reasons: Vec<(u32, String)>,
    /// `sk_rst_reason` of the running kernel, without the `SK_RST_REASON_` prefix.
    #[n(14)]
    pub reset_reasons: Vec<(u32, String)>,
    /// Names the recording on its host and boot, the same in all its files; 0 in files of before there
    /// were several.
    #[n(15)]
    #[cbor(default)]
    pub recording: u64,
    /// Number of this file in its recording, from 0.
    #[n(16)]
    #[cbor(default)]
    pub sequence: u32,
    /// When this file was begun; `clock` stays that of the recording.
    #[n(17)]
    #[cbor(default)]
    pub begun: ClockPair,
}

/// Time passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tick {
    /// The clocks at this tick.
    #[n(0)]
    pub clock: ClockPair,
}

/// What a [`Listener`] record tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ListenerEvent {
    /// It was listening when the look-up was made.
    #[default]
    #[n(0)]
    Present,
    /// It is no longer listening.
    #[n(1)]
    Gone,
}

/// A listening socket of a watched port.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Listener {
    /// Socket inode.
    #[n(0)]
    pub inode: u64,
    /// Bound address.
    #[n(1)]
    pub address: IpAddr,
    /// Port.
    #[n(2)]
    pub port: u16,
    /// An IPv6 socket that takes no IPv4.
    #[n(3)]
    pub v6_only: bool,
    /// Process that holds it; 0 if unknown.
    #[n(4)]
    pub pid: u32,
    /// Accept queue: length now and limit.
    #[n(5)]
    pub backlog: (u32, u32),
    /// There, or gone.
    #[n(6)]
    pub event: ListenerEvent,
}

/// A network namespace; the record's header names its inode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Namespace {
    /// Name in /run/netns, a path, or `pid N`; empty for the host's own.
    #[n(0)]
    pub name: String,
    /// Its addresses.
    #[n(1)]
    pub addresses: Vec<IpAddr>,
    /// Whether it is one of the watched ones.
    #[n(2)]
    pub watched: bool,
}

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProcessInfo {
    /// Thread group id in the root pid namespace.
    #[n(0)]
    pub pid: u32,
    /// Its comm.
    #[n(1)]
    pub comm: String,
    /// systemd unit, from its cgroup.
    #[n(2)]
    pub unit: Option<String>,
    /// Container id, from its cgroup.
    #[n(3)]
    pub container: Option<String>,
}

/// State of the next hop's neighbour entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Neighbour {
    /// Not looked up, or there is no entry.
    #[default]
    #[n(0)]
    Unknown,
    /// Its link address is known (reachable, stale, delay, probe, permanent, noarp).
    #[n(1)]
    Resolved,
    /// Still asking.
    #[n(2)]
    Incomplete,
    /// Nobody answered.
    #[n(3)]
    Failed,
}

/// Route and neighbour towards a remote end, looked up in the namespace of the record's header.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PathReport {
    /// Destination asked for.
    #[n(0)]
    pub destination: IpAddr,
    /// Positive errno of the kernel's route look-up; 0 if there is a route.
    #[n(1)]
    pub route_error: u32,
    /// Gateway, if the destination is not on link.
    #[n(2)]
    pub gateway: Option<IpAddr>,
    /// State of the next hop.
    #[n(3)]
    pub neighbour: Neighbour,
    /// The destination is an address of the same host (route type local).
    #[n(4)]
    pub local: bool,
    /// Destination port of the attempt that asked.
    #[n(5)]
    pub port: u16,
    /// Established flows of this namespace to the same address and port that got an ACK in the
    /// last second.
    #[n(6)]
    pub progressing_flows: u32,
}

/// Name of a drop's location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Symbol {
    /// Number that packet records hold in `location`; from 1.
    #[n(0)]
    pub id: u64,
    /// Function name, compiler suffixes stripped.
    #[n(1)]
    pub name: String,
}

/// Totals of one port since the last record of its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PortCount {
    /// Port.
    #[n(0)]
    pub port: u16,
    /// SYNs that reached this host.
    #[n(1)]
    pub syns: u64,
    /// Connections accepted.
    #[n(2)]
    pub accepted: u64,
    /// Outgoing connections made.
    #[n(3)]
    pub connected: u64,
    /// Connections closed.
    #[n(4)]
    pub closed: u64,
    /// SYNs that found no socket.
    #[n(5)]
    pub refused: u64,
    /// SYNs that netfilter dropped.
    #[n(6)]
    pub filtered: u64,
    /// `CLOCK_BOOTTIME` ns of the last SYN; 0 if none yet.
    #[n(7)]
    pub last_syn_ns: u64,
    /// Accepted connections that were health checks, counted when they are over.
    #[n(8)]
    #[cbor(default)]
    pub health_checks: u64,
    /// Connections that were there before recording began: in the first record only.
    #[n(9)]
    #[cbor(default)]
    pub open: u64,
}

/// Totals of the watched ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PortCounts {
    /// One element a port that moved.
    #[n(0)]
    pub ports: Vec<PortCount>,
}

/// Which ports are watched from this record's time on, in place of those watched before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Watched {
    /// Ascending.
    #[n(0)]
    pub ports: Vec<u16>,
}

/// Something was lost since the last record of this cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Loss {
    /// Cause, as in the summary's `lost`.
    #[n(0)]
    pub cause: String,
    /// How many.
    #[n(1)]
    pub count: u64,
    /// It happened between the record's time and this (`CLOCK_BOOTTIME` ns); 0: at the record's time.
    #[n(2)]
    #[cbor(default)]
    pub until_ns: u64,
}

impl Loss {
    /// A loss at one moment.
    #[must_use]
    pub fn now(cause: impl Into<String>, count: u64) -> Self {
        Self { cause: cause.into(), count, until_ns: 0 }
    }
}

impl HostBody {
    /// Reads a body of this kind; `None` if this version does not know the kind.
    ///
    /// # Errors
    /// What the CBOR decoder says of damaged bytes.
    pub fn decode(kind: u16, bytes: &[u8]) -> Result<Option<Self>, minicbor::decode::Error> {
        Ok(Some(match kind {
            START => Self::Start(minicbor::decode(bytes)?),
            TICK => Self::Tick(minicbor::decode(bytes)?),
            LISTENER => Self::Listener(minicbor::decode(bytes)?),
            NAMESPACE => Self::Namespace(minicbor::decode(bytes)?),
            PROCESS => Self::Process(minicbor::decode(bytes)?),
            PATH => Self::Path(minicbor::decode(bytes)?),
            SYMBOL => Self::Symbol(minicbor::decode(bytes)?),
            PORTS => Self::Ports(minicbor::decode(bytes)?),
            LOSS => Self::Loss(minicbor::decode(bytes)?),
            END => Self::End,
            WATCHED => Self::Watched(minicbor::decode(bytes)?),
            EXCHANGE => Self::Exchange(minicbor::decode(bytes)?),
            EXCHANGES => Self::Exchanges(minicbor::decode(bytes)?),
            PRESSURE => Self::Pressure(minicbor::decode(bytes)?),
            RULE => Self::Rule(minicbor::decode(bytes)?),
            PUBLICATIONS => Self::Publications(minicbor::decode(bytes)?),
            HEALTH_CHECKERS => Self::HealthCheckers(minicbor::decode(bytes)?),
            SUPPRESSED => Self::Suppressed(minicbor::decode(bytes)?),
            _ => return Ok(None),
        }))
    }

    /// Appends the body's bytes and returns its kind.
    ///
    /// # Errors
    /// What the CBOR encoder says.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<u16, EncodeError> {
        match self {
            Self::Start(body) => append(START, body, out),
            Self::Tick(body) => append(TICK, body, out),
            Self::Listener(body) => append(LISTENER, body, out),
            Self::Namespace(body) => append(NAMESPACE, body, out),
            Self::Process(body) => append(PROCESS, body, out),
            Self::Path(body) => append(PATH, body, out),
            Self::Symbol(body) => append(SYMBOL, body, out),
            Self::Ports(body) => append(PORTS, body, out),
            Self::Loss(body) => append(LOSS, body, out),
            Self::End => Ok(END),
            Self::Watched(body) => append(WATCHED, body, out),
            Self::Exchange(body) => append(EXCHANGE, body, out),
            Self::Exchanges(body) => append(EXCHANGES, body, out),
            Self::Pressure(body) => append(PRESSURE, body, out),
            Self::Rule(body) => append(RULE, body, out),
            Self::Publications(body) => append(PUBLICATIONS, body, out),
            Self::HealthCheckers(body) => append(HEALTH_CHECKERS, body, out),
            Self::Suppressed(body) => append(SUPPRESSED, body, out),
        }
    }
}

/// What encoding into memory can fail of.
type EncodeError = minicbor::encode::Error<Infallible>;

fn append<T: Encode<()>>(kind: u16, body: &T, out: &mut Vec<u8>) -> Result<u16, EncodeError> {
    minicbor::encode(body, out).map(|()| kind)
}
