//! What the engine says.

use std::collections::BTreeMap;

use super::latency::Histogram;
use super::top::Top;
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
    /// What failing exchanges have in common, by status.
    pub top: Top,
    /// What could not be read; filled by replay.
    pub damage: Damage,
    /// Trace files that retention removed while recording; filled at the edges.
    pub dropped: Dropped,
    /// Trace files written or read; filled at the edges.
    pub files: Vec<String>,
    /// Verdict lines shown where filters left some out; filled at the edges.
    pub shown: Option<u64>,
}

impl Summary {
    /// Takes in the totals of an earlier part of the same recording.
    pub fn join(&mut self, earlier: &Self) {
        self.from = self.from.min(earlier.from);
        self.to = self.to.max(earlier.to);
        let sums = [
            (&mut self.records, earlier.records),
            (&mut self.connections, earlier.connections),
            (&mut self.exchanges, earlier.exchanges),
            (&mut self.undecided, earlier.undecided),
            (&mut self.abandoned, earlier.abandoned),
            (&mut self.late, earlier.late),
            (&mut self.suppressed, earlier.suppressed),
        ];
        for (total, more) in sums {
            *total = total.saturating_add(more);
        }
        join(&mut self.lost, &earlier.lost);
        join(&mut self.verdicts, &earlier.verdicts);
        join(&mut self.recovered, &earlier.recovered);
        for (number, port) in &earlier.ports {
            let total = self.ports.entry(*number).or_default();
            total.syn = total.syn.saturating_add(port.syn);
            total.health_check_syn = total.health_check_syn.saturating_add(port.health_check_syn);
            total.last_syn = total.last_syn.max(port.last_syn);
            total.http.join(&port.http);
        }
        self.top.join(&earlier.top);
    }
}

fn join<K: Ord + Clone>(totals: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        let total = totals.entry(key.clone()).or_default();
        *total = total.saturating_add(*count);
    }
}

/// Totals of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSummary {
    /// SYNs that reached this host.
    pub syn: u64,
    /// Those of known health checkers.
    pub health_check_syn: u64,
    /// The last of all.
    pub last_syn: Option<BootTime>,
    /// Whether something listened on it when the stream ended.
    pub listener: bool,
    /// Its exchanges.
    pub http: HttpSummary,
}

/// Totals of one port's HTTP exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSummary {
    /// Exchanges that ended.
    pub exchanges: u64,
    /// Those by status; `None`: no status was seen.
    pub status: BTreeMap<Option<u16>, u64>,
    /// Last request byte to first response byte.
    pub latency: Histogram,
    /// Responses later than `--slow`.
    pub slow: u64,
    /// Connections that began with TLS: their exchanges cannot be read.
    pub tls: u64,
    /// Connections that began with the HTTP/2 preface: neither can theirs.
    pub http2: u64,
    /// Connections that began with anything else that is no HTTP.
    pub not_http: u64,
    /// How often heads could not be told from bodies any more.
    pub lost_step: u64,
}

impl HttpSummary {
    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges == 0 && self.tls == 0 && self.http2 == 0 && self.not_http == 0
    }

    fn join(&mut self, earlier: &Self) {
        let sums = [
            (&mut self.exchanges, earlier.exchanges),
            (&mut self.slow, earlier.slow),
            (&mut self.tls, earlier.tls),
            (&mut self.http2, earlier.http2),
            (&mut self.not_http, earlier.not_http),
            (&mut self.lost_step, earlier.lost_step),
        ];
        for (total, more) in sums {
            *total = total.saturating_add(more);
        }
        join(&mut self.status, &earlier.status);
        self.latency.join(&earlier.latency);
    }
}

/// Trace files that are no longer there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What of a trace could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}
