//! What the engine says.

use std::collections::BTreeMap;

use crate::record::{BootTime, Start};
use crate::verdict::{Slug, Verdict};

/// One thing that the engine says, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A stream begins.
    Start(Box<Start>),
    /// Why an attempt or exchange failed.
    Verdict(Box<Verdict>),
    /// What a port did since its last counters.
    Counters(Box<Counters>),
    /// The end.
    Summary(Box<Summary>),
}

/// What one port did since its previous counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// When they were read.
    pub time: BootTime,
    /// Port.
    pub port: u16,
    /// Connections made, either role.
    pub connections: u64,
    /// HTTP exchanges.
    pub exchanges: u64,
    /// Exchanges by status; `None`: no status was seen.
    pub status: BTreeMap<Option<u16>, u64>,
    /// Last request byte to first response byte.
    pub latency_us: Latency,
    /// Responses later than `--slow`.
    pub slow: u64,
    /// Requests waiting for a response now.
    pub waiting: u64,
    /// Connections open now, as far as they began while recording.
    pub open: u64,
}

/// Quantiles, microseconds; zero without exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90 of 100 are at most this.
    pub p90: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Totals of a whole stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// First record.
    pub from: BootTime,
    /// Last record.
    pub to: BootTime,
    /// Records read, host records apart.
    pub records: u64,
    /// Lost, by cause; every known cause is there, also with zero.
    pub lost: BTreeMap<String, u64>,
    /// Connections made, either role.
    pub connections: u64,
    /// HTTP exchanges.
    pub exchanges: u64,
    /// Verdicts by slug, counts summed.
    pub verdicts: BTreeMap<Slug, u64>,
    /// Attempts that mere silence left open when recording ended.
    pub undecided: u64,
    /// Attempts that the client gave up too early to tell.
    pub abandoned: u64,
    /// Records that came too late to be put in order, and answers after a verdict.
    pub late: u64,
    /// Attempts that were delayed but then succeeded, by the slug they would have had.
    pub recovered: BTreeMap<Slug, u64>,
    /// Records left out by flood limits.
    pub suppressed: u64,
    /// Per watched port.
    pub ports: BTreeMap<u16, PortSummary>,
    /// What could not be read; filled by replay.
    pub damage: Damage,
    /// Trace files written or read; filled at the edges.
    pub files: Vec<String>,
    /// Verdict lines shown where filters left some out; filled at the edges.
    pub shown: Option<u64>,
}

/// Totals of one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortSummary {
    /// SYNs that reached this host.
    pub syn: u64,
    /// Those of known health checkers.
    pub health_check_syn: u64,
    /// The last of all.
    pub last_syn: Option<BootTime>,
    /// Whether something listened on it when the stream ended.
    pub listener: bool,
}

/// What of a trace could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}
