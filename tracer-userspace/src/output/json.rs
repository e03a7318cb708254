//! JSON lines: one object a line, every field always there, documented in docs/json.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::text::plain_json;
use super::wall::WallClock;
use crate::engine::{Counters, HttpSummary, Latency, Output, PortSummary, Summary, Top};
use crate::record::{BootTime, Start};
use crate::verdict::{Confidence, Event, Evidence, Http, Process, Role, Slug, Verdict};

/// How deep causes nest in a line.
pub const MAX_CAUSES: usize = 4;
/// Values of each list of `top`.
const MAX_TOP: usize = 10;

/// The output as one line, without its line feed.
///
/// # Errors
/// What the JSON encoder says; it has no cause to with these types.
pub(super) fn line(output: &Output, clock: WallClock) -> Result<String, serde_json::Error> {
    let text = match output {
        Output::Start(start) => serde_json::to_string(&StartLine::new(start)),
        Output::Verdict(verdict) => serde_json::to_string(&VerdictLine::new(verdict, clock, MAX_CAUSES)),
        Output::Counters(counters) => serde_json::to_string(&CountersLine::new(counters, clock)),
        Output::Summary(summary) => serde_json::to_string(&SummaryLine::new(summary, clock)),
    };
    text.map(plain_json)
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "start")]
struct StartLine<'a> {
    version: &'a str,
    host: &'a str,
    kernel: &'a str,
    ports: &'a [u16],
    slow_ms: u64,
    blind: &'a [String],
}

impl<'a> StartLine<'a> {
    fn new(start: &'a Start) -> Self {
        Self {
            version: &start.version,
            host: &start.host,
            kernel: &start.kernel,
            ports: &start.ports,
            slow_ms: start.slow_ns / 1_000_000,
            blind: &start.blind,
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "verdict")]
struct VerdictLine<'a> {
    verdict: Slug,
    confidence: Confidence,
    alternatives: &'a [Slug],
    time: String,
    started: String,
    role: Role,
    netns: u32,
    local: Option<String>,
    remote: Option<String>,
    isn: Option<u32>,
    count: u64,
    stage: Option<&'a str>,
    health_check: bool,
    expected_status: Option<u16>,
    process: Option<&'a Process>,
    http: &'a Http,
    cause: Option<Box<Self>>,
    evidence: Vec<EvidenceItem<'a>>,
    summary: &'a str,
    next: &'a str,
}

impl<'a> VerdictLine<'a> {
    fn new(verdict: &'a Verdict, clock: WallClock, causes_left: usize) -> Self {
        let cause = verdict.cause.as_deref();
        Self {
            verdict: verdict.slug,
            confidence: verdict.confidence,
            alternatives: &verdict.alternatives,
            time: clock.rfc_3339(verdict.time),
            started: clock.rfc_3339(verdict.started),
            role: verdict.role,
            netns: verdict.netns,
            local: verdict.local.map(address),
            remote: verdict.unix.clone().or_else(|| verdict.remote.map(address)),
            isn: verdict.isn,
            count: verdict.count,
            stage: verdict.stage.as_deref(),
            health_check: verdict.health_check,
            expected_status: verdict.expected_status,
            process: verdict.process.as_ref(),
            http: &verdict.http,
            cause: causes_left
                .checked_sub(1)
                .and_then(|left| cause.map(|cause| Box::new(VerdictLine::new(cause, clock, left)))),
            evidence: verdict.evidence.iter().map(|item| EvidenceItem::new(item, clock)).collect(),
            summary: &verdict.summary,
            next: &verdict.next,
        }
    }
}

/// `10.9.2.2:8080`, `[2001:db8::1]:8080`; IPv4-mapped as IPv4.
pub(super) fn address(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

#[derive(Serialize)]
struct EvidenceItem<'a> {
    time: String,
    event: Event,
    detail: &'a str,
}

impl<'a> EvidenceItem<'a> {
    fn new(item: &'a Evidence, clock: WallClock) -> Self {
        Self { time: clock.rfc_3339(item.time), event: item.event, detail: &item.detail }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "counters")]
struct CountersLine<'a> {
    time: String,
    port: u16,
    connections: u64,
    exchanges: u64,
    status: StatusCounts<'a>,
    latency_us: LatencyObject,
    slow: u64,
    waiting: u64,
    open: u64,
}

impl<'a> CountersLine<'a> {
    fn new(counters: &'a Counters, clock: WallClock) -> Self {
        Self {
            time: clock.rfc_3339(counters.time),
            port: counters.port,
            connections: counters.connections,
            exchanges: counters.exchanges,
            status: StatusCounts(&counters.status),
            latency_us: counters.latency_us.into(),
            slow: counters.slow,
            waiting: counters.waiting,
            open: counters.open,
        }
    }
}

#[derive(Serialize)]
struct LatencyObject {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl From<Latency> for LatencyObject {
    fn from(latency: Latency) -> Self {
        Self { p50: latency.p50, p90: latency.p90, p99: latency.p99, max: latency.max }
    }
}

/// Ascending codes, and `none`, which is always there, last.
struct StatusCounts<'a>(&'a BTreeMap<Option<u16>, u64>);

impl Serialize for StatusCounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (status, count) in self.0 {
            if let (Some(status), true) = (status, *count > 0) {
                map.serialize_entry(&status.to_string(), count)?;
            }
        }
        map.serialize_entry("none", &self.0.get(&None).copied().unwrap_or(0))?;
        map.end()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "summary")]
struct SummaryLine<'a> {
    from: String,
    to: String,
    records: u64,
    lost: &'a BTreeMap<String, u64>,
    connections: u64,
    exchanges: u64,
    verdicts: &'a BTreeMap<Slug, u64>,
    undecided: u64,
    abandoned: u64,
    late: u64,
    recovered: &'a BTreeMap<Slug, u64>,
    suppressed: u64,
    ports: BTreeMap<u16, PortObject<'a>>,
    top: BTreeMap<u16, TopObject<'a>>,
    damage: DamageObject,
    dropped: DroppedObject,
    files: &'a [String],
    shown: Option<u64>,
}

impl<'a> SummaryLine<'a> {
    fn new(summary: &'a Summary, clock: WallClock) -> Self {
        let ports = summary.ports.iter().map(|(port, totals)| (*port, PortObject::new(totals, clock)));
        Self {
            from: clock.rfc_3339(summary.from),
            to: clock.rfc_3339(summary.to),
            records: summary.records,
            lost: &summary.lost,
            connections: summary.connections,
            exchanges: summary.exchanges,
            verdicts: &summary.verdicts,
            undecided: summary.undecided,
            abandoned: summary.abandoned,
            late: summary.late,
            recovered: &summary.recovered,
            suppressed: summary.suppressed,
            ports: ports.collect(),
            top: top(&summary.top),
            damage: DamageObject { frames: summary.damage.frames, bytes: summary.damage.bytes },
            dropped: DroppedObject { files: summary.dropped.files, bytes: summary.dropped.bytes },
            files: &summary.files,
            shown: summary.shown,
        }
    }
}

#[derive(Serialize)]
struct PortObject<'a> {
    syn: u64,
    health_check_syn: u64,
    last_syn: Option<String>,
    listener: bool,
    http: HttpTotals<'a>,
}

impl<'a> PortObject<'a> {
    fn new(totals: &'a PortSummary, clock: WallClock) -> Self {
        Self {
            syn: totals.syn,
            health_check_syn: totals.health_check_syn,
            last_syn: totals.last_syn.map(|time: BootTime| clock.rfc_3339(time)),
            listener: totals.listener,
            http: HttpTotals::new(&totals.http),
        }
    }
}

#[derive(Serialize)]
struct HttpTotals<'a> {
    exchanges: u64,
    status: StatusCounts<'a>,
    latency_us: LatencyObject,
    slow: u64,
    tls: u64,
    http2: u64,
    not_http: u64,
    lost_step: u64,
}

impl<'a> HttpTotals<'a> {
    fn new(totals: &'a HttpSummary) -> Self {
        Self {
            exchanges: totals.exchanges,
            status: StatusCounts(&totals.status),
            latency_us: totals.latency.quantiles().into(),
            slow: totals.slow,
            tls: totals.tls,
            http2: totals.http2,
            not_http: totals.not_http,
            lost_step: totals.lost_step,
        }
    }
}

#[derive(Serialize)]
struct TopObject<'a> {
    paths: Vec<(&'a str, u64)>,
    user_agents: Vec<(&'a str, u64)>,
    clients: Vec<(&'a str, u64)>,
    origins: Vec<(&'a str, u64)>,
    causes: Vec<(&'a str, u64)>,
}

fn top(top: &Top) -> BTreeMap<u16, TopObject<'_>> {
    top.statuses()
        .map(|(status, lists)| {
            let object = TopObject {
                paths: lists.paths.most(MAX_TOP),
                user_agents: lists.user_agents.most(MAX_TOP),
                clients: lists.clients.most(MAX_TOP),
                origins: lists.origins.most(MAX_TOP),
                causes: lists.causes.most(MAX_TOP),
            };
            (status, object)
        })
        .collect()
}

#[derive(Serialize)]
struct DroppedObject {
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct DamageObject {
    frames: u64,
    bytes: u64,
}

#[cfg(test)]
mod tests;
