//! Exchanges: records of established connections in, and what is decided of them out.

use std::net::SocketAddr;

use super::Engine;
use super::decide::with_losses;
use super::evidence::{DropClass, Endpoint};
use super::exchange_rules::{self, Case, Finding};
use super::flow_text;
use super::flows::{
    CLOSES, Exchange, ExchangeId, PacketDrop, flow_of, is_inbound, is_unanswered, port_of, stalled, time, waited,
};
use super::fold::Brief;
use super::output::Output;
use super::rules::Words;
use super::summary::EXCHANGES_EVICTED;
use super::timing::{ANSWER_WAIT, CAUSE_WAIT, EXIT_WAIT};
use crate::record::{BootTime, FlowRecord, PacketRecord, flow_event, flow_flag, packet_flag};
use crate::verdict::{Confidence, Role, Slug, Verdict};

impl Engine {
    /// A connection told something.
    pub(super) fn flow(&mut self, record: &FlowRecord) {
        let chained = record.flags & flow_flag::CHAINED != 0;
        if !chained && !self.world.watches(port_of(record)) {
            return;
        }
        let (id, evicted) = self.flows.learn(record);
        if evicted {
            self.totals.lost(EXCHANGES_EVICTED, 1);
            self.world.lost(EXCHANGES_EVICTED, 1, self.now);
        }
        let due = id.and_then(|id| Some((id, self.due_of(record)?)));
        if let Some((id, due)) = due
            && self.flows.schedule(id, due)
        {
            self.exchange_timers.insert(due, id);
        }
    }

    /// When this record's exchange is to be looked at because of it; never, if what follows decides.
    fn due_of(&self, record: &FlowRecord) -> Option<BootTime> {
        let slow = self.world.slow();
        let inbound = is_inbound(record);
        let settled = if inbound { CAUSE_WAIT } else { EXIT_WAIT };
        let wait = match record.event {
            flow_event::RESPONSE if record.flags & flow_flag::HEALTH_CHECK != 0 => ANSWER_WAIT,
            flow_event::RESPONSE | flow_event::FIN_SENT | flow_event::RESET_SENT | flow_event::CLOSED => settled,
            flow_event::FIN_RECEIVED if !inbound => EXIT_WAIT,
            flow_event::FIN_RECEIVED | flow_event::RESET_RECEIVED => {
                let long = if is_unanswered(record) { waited(record) } else { stalled(record) } >= slow;
                match record.event {
                    _ if long => ANSWER_WAIT,
                    // it may be half a close
                    flow_event::FIN_RECEIVED => return None,
                    _ => settled,
                }
            }
            _ => ANSWER_WAIT,
        };
        Some(time(record).after(wait))
    }

    /// A packet of an established connection was dropped.
    pub(super) fn connection_packet_drop(&mut self, record: &PacketRecord) {
        let class = self.world.classify(record);
        if class == DropClass::NoSocket {
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
        if let Some(hold) = held_until(exchange).filter(|hold| *hold > self.now) {
            if self.flows.schedule(id, hold) {
                self.exchange_timers.insert(hold, id);
            }
            return;
        }
        self.decide_exchange(id, out);
        let flows = &self.flows;
        self.exchange_timers.compact(flows.len(), |time, id| flows.is_current(time, id));
    }

    /// The stream ended: what has happened decides, what is held for what would follow is undecided.
    pub(super) fn decide_all_exchanges(&mut self, out: &mut Vec<Output>) {
        for id in self.flows.all_pending() {
            self.decide_exchange(id, out);
            let held = self.flows.pending(id).is_some_and(|(_, exchange)| is_held(exchange));
            if held {
                self.totals.undecided = self.totals.undecided.saturating_add(1);
            }
        }
    }

    fn decide_exchange(&mut self, id: ExchangeId, out: &mut Vec<Output>) {
        let Some((connection, exchange)) = self.flows.pending(id) else { return };
        let case = Case {
            exchange,
            connection,
            world: &self.world,
            drops: &self.flows.drops,
            now: self.now,
            end: None,
            role: Role::Inbound,
            answered_for: false,
        };
        let found = exchange_rules::decide(&case);
        let over = exchange.ends().any(|end| end.first_of(&CLOSES).is_some());
        if found.is_none() && !over {
            return;
        }
        let Some(exchange) = self.flows.settle(id) else { return };
        if let Some(finding) = found {
            self.say_exchange(id, &exchange, finding, out);
        }
    }

    fn say_exchange(&mut self, id: ExchangeId, exchange: &Exchange, mut finding: Finding, out: &mut Vec<Output>) {
        let Some(connection) = self.flows.connection(id) else { return };
        let case = Case {
            exchange,
            connection,
            world: &self.world,
            drops: &self.flows.drops,
            now: self.now,
            end: exchange.leading(),
            role: finding.role,
            answered_for: false,
        };
        if case.world.losses_between(exchange.started(), self.now).next().is_some() {
            finding.confidence = Confidence::Likely;
        }
        let record = finding.record;
        let port = port_of(&record);
        let is_own = !exchange.ends().any(|end| end.has(flow_flag::CHAINED)) && case.world.watches(port);
        if finding.only_as_cause || !is_own {
            return;
        }
        self.totals.verdict(finding.slug);
        let (local, remote) = ends(&finding);
        let key = (finding.slug, finding.role, record.header.netns, port);
        let (time, confidence, alternatives) = (finding.time, finding.confidence, finding.alternatives);
        let comm = (record.comm != [0; 16]).then_some(record.comm);
        let brief = Brief { local, remote, time, confidence, alternatives, comm };
        self.fold.add(key, brief, || verdict(&case, &finding), out);
    }
}

/// Until when an exchange with a response is held, whatever else happens: what made the process answer
/// so is known by then.
fn held_until(exchange: &Exchange) -> Option<BootTime> {
    let end = exchange.leading()?;
    let response = end.of(flow_event::RESPONSE)?;
    let is_check = response.flags & flow_flag::HEALTH_CHECK != 0;
    let wait = if is_check || !is_inbound(response) { ANSWER_WAIT } else { CAUSE_WAIT };
    Some(time(response).after(wait))
}

/// Whether it waits for what follows the peer's FIN, or retransmissions that nothing answered.
fn is_held(exchange: &Exchange) -> bool {
    let held = [flow_event::FIN_RECEIVED, flow_event::UNANSWERED];
    exchange.ends().any(|end| end.first_of(&held).is_some())
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

fn verdict(case: &Case<'_>, finding: &Finding) -> Verdict {
    let Words { evidence, mut process, summary, next } = (finding.words)(case, finding);
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
        port: port_of(record),
        isn: (case.connection.isn != 0).then_some(case.connection.isn),
        count: 1,
        stage: flow_text::stage_name(record).filter(|_| finding.has_stage).map(str::to_owned),
        health_check,
        expected_status: finding.expected_status.filter(|_| !unseen),
        process,
        http: flow_text::http(case.exchange, record),
        cause: None,
        evidence: with_losses(flow_text::evidence(case, finding), evidence, case.world, case.exchange.started(), case.now),
        summary,
        next,
    }
}
