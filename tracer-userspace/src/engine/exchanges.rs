//! Exchanges: records of established connections in, and what is decided of them out.
//!
//! long: one order of steps, from a record to a verdict or to none

use std::net::SocketAddr;

use super::Engine;
use super::causes::{Asked, Failure, Found, PassedOn, Span, Text};
use super::decide::{self, with_losses};
use super::evidence::{DropClass, Endpoint};
use super::exchange_rules::{self, Case, Finding};
use super::flow_text;
use super::flows::{
    CLOSES, End, Exchange, ExchangeId, PacketDrop, flow_of, has, is_inbound, is_open, is_unanswered, moment, port_of,
    stalled, time, waited,
};
use super::fold::Brief;
use super::output::Output;
use super::rules::{self, Words};
use super::summary::EXCHANGES_EVICTED;
use super::timing::{ANSWER_WAIT, CAUSE_WAIT, EXIT_WAIT};
use super::top::Failed;
use crate::record::{BootTime, FlowRecord, PacketRecord, flow_event, flow_flag, packet_flag};
use crate::verdict::{Confidence, Event, Evidence, Role, Slug, Verdict};

impl Engine {
    /// A connection told something.
    pub(super) fn flow(&mut self, record: &FlowRecord) {
        let chained = record.flags & flow_flag::CHAINED != 0;
        if !chained && !self.world.watches_end(record.header.netns, flow_of(record).responder) {
            return;
        }
        let (id, evicted) = self.flows.learn(record);
        if evicted {
            self.totals.lost(EXCHANGES_EVICTED, 1);
            self.world.lost(EXCHANGES_EVICTED, 1, self.now);
        }
        if let Some(id) = id.filter(|_| is_inbound(record)) {
            self.note_request(id, record);
        }
        if let Some(id) = id.filter(|_| !is_inbound(record) && record.pid != 0)
            && let Some((_, exchange)) = self.flows.pending(id)
        {
            let known = Span { from: exchange.started(), to: time(record) };
            self.causes.asks(record.pid, id, Text::of(exchange.heads.as_deref()), known);
        }
        let due = id.and_then(|id| Some((id, self.due_of(record)?)));
        if let Some((id, due)) = due
            && self.flows.schedule(id, due)
        {
            self.exchange_timers.insert(due, id);
        }
    }

    /// A process failed a request, or may have: what it asked for itself may be why.
    fn note_request(&mut self, id: ExchangeId, record: &FlowRecord) {
        let Some((_, exchange)) = self.flows.pending(id) else { return };
        let Some(end) = &exchange.inbound else { return };
        let pid = end.pid();
        if pid == 0 {
            return;
        }
        // a response that was broken off is none, whatever its status was
        let response = end.of(flow_event::RESPONSE);
        let to = response.map_or_else(|| time(record), |head| moment(head.response_start_ns).unwrap_or(time(head)));
        let span = Span { from: exchange.started(), to };
        let (text, status) = (Text::of(exchange.heads.as_deref()), response.map(|head| head.status));
        let by_proxy = end.latest(|record| (record.pid != 0).then(|| is_proxy(record))).unwrap_or(false);
        let forwards = end.has(flow_flag::FORWARDS);
        self.causes.asked(pid, Asked { id, span, text, status, by_proxy, forwards });
    }

    /// When this record's exchange is to be looked at because of it; never, if what follows decides.
    fn due_of(&self, record: &FlowRecord) -> Option<BootTime> {
        let slow = self.world.slow();
        let inbound = is_inbound(record);
        let settled = if inbound { CAUSE_WAIT } else { EXIT_WAIT };
        let wait = match record.event {
            flow_event::RESPONSE | flow_event::FIN_SENT | flow_event::RESET_SENT | flow_event::CLOSED => settled,
            flow_event::FIN_RECEIVED if !inbound => EXIT_WAIT,
            flow_event::FIN_RECEIVED | flow_event::RESET_RECEIVED => {
                let long = if is_unanswered(record) { waited(record) } else { stalled(record) } >= slow;
                match record.event {
                    // what the process had asked for ends with it
                    _ if long && inbound && record.flags & flow_flag::FORWARDS != 0 => CAUSE_WAIT,
                    _ if long => ANSWER_WAIT,
                    // it may be half a close
                    flow_event::FIN_RECEIVED => return None,
                    _ => settled,
                }
            }
            // what the process had asked for may be found to wait at the same moment
            flow_event::WAITING if inbound && may_ask_others(record) => CAUSE_WAIT,
            _ => ANSWER_WAIT,
        };
        Some(time(record).after(wait))
    }

    /// A packet of an established connection was dropped.
    pub(super) fn connection_packet_drop(&mut self, record: &PacketRecord) {
        let class = self.world.classify(record);
        if matches!(class, DropClass::NoSocket | DropClass::Ordinary) {
            return;
        }
        self.flows.drops.learn(PacketDrop {
            time: BootTime::from_ns(record.header.time_ns),
            netns: record.header.netns,
            class,
            reason: (record.flags & packet_flag::HAS_REASON != 0).then_some(record.reason),
            location: record.location,
            from: Endpoint { address: record.tuple.src, port: record.tuple.src_port },
            to: Endpoint { address: record.tuple.dst, port: record.tuple.dst_port },
            payload_len: record.payload_len,
            ifindex: record.ifindex,
        });
    }

    /// A timer's time has come.
    pub(super) fn look_at_exchange(&mut self, due: BootTime, id: ExchangeId, out: &mut Vec<Output>) {
        if !self.flows.take_timer(due, id) {
            return;
        }
        let Some((_, exchange)) = self.flows.pending(id) else { return };
        if let Some(hold) = self.held_until(id, exchange).filter(|hold| *hold > self.now) {
            if self.flows.schedule(id, hold) {
                self.exchange_timers.insert(hold, id);
            }
            return;
        }
        self.decide_exchange(id, out);
        let flows = &self.flows;
        self.exchange_timers.compact(flows.pending_count(), |time, id| flows.is_current(time, id));
    }

    /// The stream ended: what has happened decides, what is held for what would follow is undecided.
    pub(super) fn decide_all_exchanges(&mut self, out: &mut Vec<Output>) {
        for id in self.flows.all_pending() {
            self.decide_exchange(id, out);
            let held = self.flows.pending(id).is_some_and(|(_, exchange)| exchange.ends().any(is_held));
            if held {
                self.totals.undecided = self.totals.undecided.saturating_add(1);
            }
        }
    }

    fn decide_exchange(&mut self, id: ExchangeId, out: &mut Vec<Output>) {
        let Some((connection, exchange)) = self.flows.pending(id) else { return };
        let initiator = exchange.initiator_pid();
        let text = Text::of(exchange.heads.as_deref());
        let answered_for = initiator != 0 && self.causes.answered_for(initiator, span(exchange), &text);
        let case = Case {
            exchange,
            connection,
            world: &self.world,
            drops: &self.flows.drops,
            now: self.now,
            end: None,
            role: Role::Inbound,
            answered_for,
        };
        let found = exchange_rules::decide(&case);
        let over = exchange.ends().any(is_over);
        if found.is_none() && !over {
            return;
        }
        // this end closed, and the other, which has heard of it, has still to answer: that decides
        let goes_on = exchange.inbound.as_ref().is_some_and(|end| !is_over(end) && is_held(end));
        if goes_on && found.as_ref().is_none_or(|finding| finding.only_as_cause) {
            self.note_cause(id, found, out);
            return;
        }
        // one failure, one verdict: the attempt's, where it did not come to a connection for both ends
        let of_attempt = exchange.inbound.is_none() && self.attempts.has_failed(connection.isn, &connection.flow);
        let found = found.filter(|_| !of_attempt);
        let Some(exchange) = self.flows.settle(id) else { return };
        if let Some(finding) = found {
            self.say_exchange(id, &exchange, finding, out);
        }
    }

    /// Keeps what is only a cause, of an exchange that is still to be decided.
    fn note_cause(&mut self, id: ExchangeId, found: Option<Finding>, out: &mut Vec<Output>) {
        let Some(finding) = found else { return };
        let Some((_, exchange)) = self.flows.pending(id).filter(|(_, exchange)| !exchange.is_cause) else { return };
        let exchange = exchange.clone();
        self.flows.note_cause(id);
        self.say_exchange(id, &exchange, finding, out);
    }

    /// Says a verdict, and keeps it as what may be the cause of another.
    fn say_exchange(&mut self, id: ExchangeId, exchange: &Exchange, mut finding: Finding, out: &mut Vec<Output>) {
        if self.world.losses_between(exchange.started(), self.now).next().is_some() {
            finding.confidence = Confidence::Likely;
        }
        let record = finding.record;
        let port = port_of(&record);
        let is_own = !exchange.ends().any(|end| end.has(flow_flag::CHAINED)) && self.world.watches(port);
        let is_said = is_own && !finding.only_as_cause;
        let initiator = exchange.initiator_pid();
        if !is_said && initiator == 0 {
            return;
        }
        let answer = self.answer_of(id, &finding);
        let Some(connection) = self.flows.connection(id) else { return };
        let (end, role) = (exchange.leading(), finding.role);
        let (world, drops, now) = (&self.world, &self.flows.drops, self.now);
        let case = Case { exchange, connection, world, drops, now, end, role, answered_for: false };
        let (local, remote) = ends(&finding);
        let key = (finding.slug, finding.role, record.header.netns, port);
        let (time, confidence, alternatives) = (finding.time, finding.confidence, finding.alternatives);
        let comm = (record.comm != [0; 16]).then_some(record.comm);
        let brief = Brief { local, remote, time, confidence, alternatives, comm };
        if is_said {
            self.totals.verdict(finding.slug);
            let came_of = answer.cause.as_deref().map(innermost);
            let failed = Failed { heads: exchange.heads.as_deref(), origin: answer.origin, cause: came_of.as_deref() };
            self.totals.top.add(exchange.status().or(finding.expected_status), &failed);
        }
        if initiator == 0 {
            self.fold.add(key, brief, || verdict(&case, &finding, answer), out);
            return;
        }
        let verdict = verdict(&case, &finding, answer);
        if is_said {
            self.fold.add(key, brief, || verdict.clone(), out);
        }
        if exchange.is_cause {
            return;
        }
        let text = Text::of(exchange.heads.as_deref());
        let given_up = is_given_up(exchange);
        self.causes.failed(initiator, span(exchange), Some(text), Failure::Exchange(Box::new(verdict)), given_up);
    }

    /// Who answered, and why so.
    fn answer_of(&mut self, id: ExchangeId, finding: &Finding) -> Answer {
        let record = &finding.record;
        let pid = self.flows.owner(id, record);
        if pid == 0 || finding.role != Role::Inbound || !may_have_cause(finding) {
            return Answer::default();
        }
        let found = self.causes.take(pid, id);
        let origin = origin(finding, &found);
        let cause = found.cause.map(|failure| match failure {
            Failure::Exchange(verdict) => verdict.clone(),
            Failure::Attempt { attempt, finding, .. } => {
                let case = rules::Case { attempt, world: &self.world, now: self.now };
                Box::new(decide::verdict(&case, finding, finding.flow.responder.port))
            }
        });
        let cause = cause.map(|cause| Box::new(cut(*cause, CAUSES_MAX)));
        let name = |(slug, end): (Slug, Option<SocketAddr>)| {
            end.map_or_else(|| slug.to_string(), |end| format!("{slug} {end}"))
        };
        let alike = found.alike.map(|alike| format!(": {}", name(alike))).unwrap_or_default();
        let equals = (found.equals > 0).then(|| Evidence {
            time: finding.time,
            event: Event::CauseCandidates,
            detail: format!("{} failures of the process fit as the cause{alike}", found.equals),
        });
        Answer { origin, cause, equals }
    }
}

/// Most causes of causes.
const CAUSES_MAX: usize = 4;

/// What is known of why the process answered so.
#[derive(Debug, Default)]
struct Answer {
    origin: Option<&'static str>,
    cause: Option<Box<Verdict>>,
    equals: Option<Evidence>,
}

/// Leaves so many verdicts of a chain.
fn cut(mut verdict: Verdict, left: usize) -> Verdict {
    let deeper = left.checked_sub(1).filter(|left| *left > 0);
    verdict.cause = verdict.cause.take().and_then(|cause| deeper.map(|left| Box::new(cut(*cause, left))));
    verdict
}

/// What a chain of causes ends at: `process-down 127.0.0.1:9001`.
fn innermost(cause: &Verdict) -> String {
    let mut last = cause;
    while let Some(cause) = last.cause.as_deref() {
        last = cause;
    }
    let server = if last.role == Role::Inbound { last.local } else { last.remote };
    let server = server.map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()).to_string());
    match last.unix.clone().or(server) {
        Some(server) => format!("{} {server}", last.slug),
        None => last.slug.to_string(),
    }
}

/// Whether the app's failure may come of one of its own.
fn may_have_cause(finding: &Finding) -> bool {
    use Slug::{AppReset, AppStatus, AppTimeout, HealthCheckFailed, IncompleteResponse, PrematureClose};
    let of_app = [AppReset, AppStatus, AppTimeout, HealthCheckFailed, IncompleteResponse, PrematureClose];
    of_app.contains(&finding.slug)
}

/// Programs whose purpose is to pass requests on.
const PROXIES: [&[u8]; 12] = [
    b"nginx",
    b"haproxy",
    b"envoy",
    b"traefik",
    b"caddy",
    b"apache2",
    b"httpd",
    b"varnishd",
    b"squid",
    b"kong",
    b"openresty",
    b"angie",
];

/// Whether the record's process is of such a program.
fn is_proxy(record: &FlowRecord) -> bool {
    PROXIES.contains(&record.comm.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// Whether the record's process has asked others, or is there for that.
pub(super) fn may_ask_others(record: &FlowRecord) -> bool {
    has(record, flow_flag::FORWARDS) || is_proxy(record)
}

/// Who answered: the upstream, the proxy itself, or an app.
fn origin(finding: &Finding, found: &Found<'_>) -> Option<&'static str> {
    let record = &finding.record;
    if !matches!(finding.slug, Slug::AppStatus | Slug::HealthCheckFailed) {
        return None;
    }
    let forwards = found.asks_others || record.flags & flow_flag::FORWARDS != 0;
    let gateway = matches!(record.status, 502 | 504);
    Some(match found.passed_on {
        PassedOn::Relayed => "upstream",
        PassedOn::Yes => "proxy",
        // it may have asked for it under another path
        PassedOn::Perhaps if forwards && is_proxy(record) => return None,
        _ if forwards && (gateway || is_proxy(record)) => "proxy",
        _ => "app",
    })
}

/// Whether the process that asked ended it, not its peer.
pub(super) fn is_given_up(exchange: &Exchange) -> bool {
    let ends = [flow_event::RESPONSE, flow_event::FIN_RECEIVED, flow_event::RESET_RECEIVED, flow_event::TIMED_OUT];
    exchange.outbound.as_ref().is_none_or(|end| end.first_of(&ends).is_none())
}

/// From when to when it was worked on.
pub(super) fn span(exchange: &Exchange) -> Span {
    let last = exchange.ends().flat_map(End::records).map(|record| {
        let response = moment(record.response_start_ns).filter(|_| record.event == flow_event::RESPONSE);
        response.unwrap_or_else(|| time(record))
    });
    Span { from: exchange.started(), to: last.min().unwrap_or_default().max(exchange.started()) }
}

/// Whether it waits for what follows the peer's FIN, or retransmissions that nothing answered.
fn is_held(end: &End) -> bool {
    end.first_of(&[flow_event::FIN_RECEIVED, flow_event::UNANSWERED]).is_some_and(is_open)
}

/// Whether this end has told the connection's end.
fn is_over(end: &End) -> bool {
    let of_both = end.first_of(&CLOSES).or_else(|| end.first_of(&[flow_event::RESET_RECEIVED, flow_event::TIMED_OUT]));
    of_both.is_some() || end.of(flow_event::FIN_RECEIVED).is_some_and(|fin| !is_inbound(fin))
}

/// This host's end, and the other.
fn ends(finding: &Finding) -> (SocketAddr, SocketAddr) {
    let flow = flow_of(&finding.record);
    let (initiator, responder) = (flow.initiator.socket_addr(), flow.responder.socket_addr());
    match finding.role {
        Role::Inbound | Role::Forwarded => (responder, initiator),
        Role::Outbound => (initiator, responder),
    }
}

/// What was exhausted meanwhile, if it may explain the finding.
fn with_pressures(case: &Case<'_>, finding: &Finding, mut evidence: Vec<Evidence>) -> Vec<Evidence> {
    let span = (case.exchange.started(), finding.time);
    evidence.extend(case.world.pressures.evidence(finding.slug, finding.record.header.netns, span));
    evidence
}

fn verdict(case: &Case<'_>, finding: &Finding, answer: Answer) -> Verdict {
    let Words { mut evidence, mut process, summary, mut next } = (finding.words)(case, finding);
    evidence.extend(answer.equals);
    if let Some(cause) = &answer.cause {
        // of a cause that has one itself that is what it says already
        let follow = if cause.cause.is_some() { "" } else { "Follow the cause: " };
        next = format!("{follow}{}", cause.next);
    }
    let mut http = flow_text::http(case.exchange, &finding.record);
    http.origin = answer.origin.map(str::to_owned);
    let record = &finding.record;
    let (local, remote) = ends(finding);
    let health_check = case.exchange.is_health_check();
    let unseen = health_check && finding.slug != Slug::HealthCheckFailed;
    if let (Some(process), Some(exit)) = (&mut process, finding.exit) {
        process.exit = Some(exit.text());
    }
    Verdict {
        slug: finding.slug,
        confidence: finding.confidence,
        alternatives: finding.alternatives.to_vec(),
        time: finding.time,
        started: case.exchange.started().min(finding.time),
        role: finding.role,
        netns: record.header.netns,
        local: Some(local),
        remote: Some(remote),
        unix: None,
        port: port_of(record),
        isn: (case.connection.isn != 0).then_some(case.connection.isn),
        count: 1,
        stage: flow_text::stage_name(record).filter(|_| finding.has_stage).map(str::to_owned),
        health_check,
        expected_status: finding.expected_status.filter(|_| !unseen),
        process,
        http,
        cause: answer.cause,
        evidence: with_losses(
            flow_text::evidence(case, finding),
            with_pressures(case, finding, evidence),
            case.world,
            case.exchange.started(),
            case.now,
        ),
        summary,
        next,
    }
}
