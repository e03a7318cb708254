//! Words for people about exchanges: the request, the process, the evidence.

use super::evidence::DropClass;
use super::exchange_rules::{Case, Finding, spoken};
use super::exits::Exit;
use super::flows::{Exchange, PacketDrop, body, has, idle, is_cut, latency, moment, time};
use super::text;
use super::world::World;
use crate::record::{BootTime, FlowRecord, flow_event, flow_flag, stage};
use crate::shell;
use crate::verdict::{Event, Evidence, Http, Process};

/// A process by its number and, if known, its comm.
pub(super) fn process(world: &World, pid: u32, comm: [u8; 16]) -> Option<Process> {
    let comm = (comm != [0; 16]).then_some(comm);
    text::process(world, (pid != 0).then_some(pid), comm)
}

/// `GET /orders/7`, or `a request`.
pub(super) fn request(exchange: &Exchange) -> String {
    let heads = exchange.heads.as_ref();
    let words = heads.map(|heads| (heads.method.as_deref(), heads.path.as_deref()));
    match words {
        Some((Some(method), Some(path))) => format!("{method} {path}"),
        Some((None, Some(path))) => format!("the request for {path}"),
        _ => "a request".to_owned(),
    }
}

/// The request's path, or the root.
pub(super) fn path(exchange: &Exchange) -> &str {
    exchange.heads.as_ref().and_then(|heads| heads.path.as_deref()).unwrap_or("/")
}

/// ` after 12 ms`, if known.
pub(super) fn after(record: &FlowRecord) -> String {
    latency(record).map_or_else(String::new, |latency| format!(" after {}", text::duration(latency)))
}

/// `: "first bytes"`, if known.
pub(super) fn malformed(exchange: &Exchange) -> String {
    let bytes = exchange.heads.as_ref().and_then(|heads| heads.malformed.as_deref());
    bytes.map_or_else(String::new, |bytes| format!(": it begins with {bytes:?}"))
}

/// ` (journalctl -u UNIT)`, if the process belongs to one.
pub(super) fn journal(process: Option<&Process>) -> String {
    let unit = process.and_then(|process| process.unit.as_deref());
    unit.map_or_else(String::new, |unit| format!(" (`journalctl -u {}`)", shell::word(unit)))
}

/// How a process ended, as evidence.
pub(super) fn exited(exit: &Exit, name: &str) -> Evidence {
    let core = if exit.core_dumped { ", core dumped" } else { "" };
    let event = if exit.oom_killed { Event::OomKill } else { Event::ProcessExited };
    Evidence { time: exit.time, event, detail: format!("{name} ended by {}{core}", exit.text()) }
}

/// The kernel's words for a drop: reason, function, interface.
pub(super) fn drop_cause(world: &World, drop: &PacketDrop) -> String {
    let reason = drop.reason.and_then(|reason| world.reason_name(reason)).map(str::to_owned);
    let symbol = world.symbol_name(drop.location).map(|symbol| format!("in {symbol}"));
    let place = (drop.ifindex != 0).then(|| format!("from interface {}", drop.ifindex));
    let parts: Vec<String> = reason.into_iter().chain(symbol).chain(place).collect();
    if parts.is_empty() { "no reason given".to_owned() } else { parts.join(" ") }
}

/// How far a request got, in the catalogue's words.
pub(super) fn stage_name(record: &FlowRecord) -> Option<&'static str> {
    match record.stage {
        stage::NOT_ACCEPTED => Some("not-accepted"),
        stage::NOT_READ => Some("not-read"),
        stage::PROCESSING => Some("processing"),
        _ => None,
    }
}

/// What is known of the exchange; who answered is found out elsewhere.
pub(super) fn http(exchange: &Exchange, record: &FlowRecord) -> Http {
    let mut http = Http {
        status: exchange.status(),
        duration_us: latency(record).and_then(|latency| u64::try_from(latency.as_micros()).ok()),
        ..Http::default()
    };
    if let Some(heads) = exchange.heads.as_deref() {
        http.method.clone_from(&heads.method);
        http.path.clone_from(&heads.path);
        http.host.clone_from(&heads.host);
        http.server.clone_from(&heads.server);
        http.via.clone_from(&heads.via);
        http.user_agent.clone_from(&heads.user_agent);
        http.trace_id.clone_from(&heads.trace_id);
        http.client = heads.client.clone().or_else(|| heads.proxied_for.clone());
        http.has.clone_from(&heads.has);
        http.has.sort_unstable();
    }
    http
}

/// What both ends told, and the packets that were dropped meanwhile.
pub(super) fn evidence(case: &Case<'_>, finding: &Finding) -> Vec<Evidence> {
    let mut all = beginnings(case, &finding.record);
    for end in case.exchange.ends() {
        let other = !std::ptr::eq(end, case.exchange.leading().unwrap_or(end));
        let whose = if other { "at the connecting end: " } else { "" };
        for record in end.records().iter().filter(|record| record.header.time_ns <= case.now.as_ns()) {
            let (event, detail) = told(record);
            all.push(Evidence { time: time(record), event, detail: format!("{whose}{detail}") });
        }
    }
    all.extend(case.drops.of(&case.connection.flow, case.exchange.started(), case.now).map(|drop| {
        let event = if drop.class == DropClass::Netfilter { Event::NetfilterDrop } else { Event::PacketDropped };
        let (from, to) = (drop.from.socket_addr(), drop.to.socket_addr());
        let what = if drop.payload_len > 0 { format!("{} bytes", drop.payload_len) } else { "a packet".to_owned() };
        let detail = format!("{what} from {from} to {to} dropped: {}", drop_cause(case.world, drop));
        Evidence { time: drop.time, event, detail }
    }));
    all
}

/// How connection, request and response began.
fn beginnings(case: &Case<'_>, record: &FlowRecord) -> Vec<Evidence> {
    let mut all = Vec::new();
    let mut add = |time: Option<BootTime>, event, detail: String| {
        all.extend(time.map(|time| Evidence { time, event, detail }));
    };
    if has(record, flow_flag::MID_STREAM) {
        let since = moment(record.established_ns).unwrap_or_else(|| case.exchange.started());
        let detail = "first seen mid-stream: the connection was there before recording began".to_owned();
        add(Some(since.min(case.exchange.started())), Event::Established, detail);
    } else {
        add(moment(record.established_ns), Event::Established, "the connection was established".to_owned());
    }
    let long_idle = idle(record).as_secs() > 0;
    if long_idle || record.event == flow_event::LATE_DATA {
        let detail = format!("nothing passed for {}", text::duration(idle(record)));
        add(moment(record.idle_since_ns), Event::Idle, detail);
    }
    if has(record, flow_flag::TLS | flow_flag::HTTP2 | flow_flag::PROXY_HEADER) {
        let named = case.exchange.heads.as_ref().and_then(|heads| heads.proxied_for.as_deref());
        let client = named.map_or_else(String::new, |client| format!(", which names the client {client}"));
        let detail = format!("the client began with {}{client}", spoken(record));
        add(moment(record.request_start_ns), Event::ProtocolSeen, detail);
    }
    add(moment(record.request_start_ns), Event::RequestStarted, request(case.exchange));
    if has(record, flow_flag::REQUEST_COMPLETE) {
        add(moment(record.request_end_ns), Event::RequestReceived, "the request was whole".to_owned());
    }
    if record.event != flow_event::RESPONSE {
        add(moment(record.response_start_ns), Event::ResponseStarted, response(record));
    }
    if is_cut(record) && record.event != flow_event::RESPONSE {
        add(moment(record.response_end_ns), Event::ResponseCut, body(record));
    }
    let far = stage_name(record).filter(|_| record.response_start_ns == 0 && record.request_start_ns != 0);
    add(far.map(|_| time(record)), Event::RequestStage, far.unwrap_or_default().to_owned());
    all
}

fn response(record: &FlowRecord) -> String {
    if record.status == 0 { "a response began".to_owned() } else { format!("a response with status {}", record.status) }
}

fn told(record: &FlowRecord) -> (Event, String) {
    let dying = if has(record, flow_flag::TASK_EXITING) { ", its process dying" } else { "" };
    let unread = if has(record, flow_flag::UNREAD_DATA) { ", with unread data" } else { "" };
    match record.event {
        flow_event::RESPONSE => (Event::ResponseStarted, response(record)),
        flow_event::FIN_SENT => (Event::FinSent, format!("this end sent a FIN{dying}")),
        flow_event::RESET_SENT => (Event::ResetSent, format!("this end sent a RST{unread}{dying}")),
        flow_event::FIN_RECEIVED => (Event::FinReceived, "the peer's FIN came".to_owned()),
        flow_event::RESET_RECEIVED => (Event::ResetReceived, "the peer's RST came".to_owned()),
        flow_event::TIMED_OUT if record.error == 0 => (Event::TimedOut, "the kernel gave up".to_owned()),
        flow_event::TIMED_OUT => (Event::TimedOut, format!("the kernel gave up: {}", text::error_name(record.error))),
        flow_event::WAITING => (Event::StillWaiting, "the request was still unanswered".to_owned()),
        flow_event::UNANSWERED => {
            (Event::DataRetransmitted, format!("sent again {} times, and nothing came back", record.retransmits.max(3)))
        }
        flow_event::LATE_DATA => (Event::RequestStarted, "data came after this end had closed".to_owned()),
        flow_event::MALFORMED => (Event::ResponseMalformed, "what was sent is no HTTP response".to_owned()),
        _ => (Event::GaveUp, format!("the socket was closed{dying}")),
    }
}
