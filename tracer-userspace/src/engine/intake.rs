//! Records in: each becomes a fact of its attempt, or of the world around.

use super::Engine;
use super::attempt::errno;
use super::attempts::{Evicted, Found, Id, Outcome};
use super::causes::Span;
use super::evidence::{DropClass, Dropped, Endpoint, Fact, Flow, Full, IcmpError, SynAckAgain, What, is_v4};
use super::icmp::meaning;
use super::output::Output;
use super::reorder::{Oldest, Sort};
use super::summary::ATTEMPTS_EVICTED;
use super::timing;
use crate::record::{
    BootTime, ExchangeCount, HandshakeRecord, HostBody, HostRecord, IcmpRecord, PacketRecord, PortCount, Record,
    SocketRecord, handshake_flag, kind, packet_flag, socket_flag, tcp_flag, tcp_state,
};

impl Engine {
    /// The record whose turn it is, in the order of event time. Nothing is moved but what is needed.
    pub(super) fn take(&mut self, oldest: Oldest, out: &mut Vec<Output>) {
        let queues = &mut self.reorder.in_order;
        match oldest {
            Oldest::InOrder(Sort::Packet) => queues.packets.pop_front().iter().for_each(|record| self.packet(record)),
            Oldest::InOrder(Sort::Socket) => queues.sockets.pop_front().iter().for_each(|record| self.socket(record)),
            Oldest::InOrder(Sort::Icmp) => queues.icmp.pop_front().iter().for_each(|record| self.icmp(record)),
            Oldest::InOrder(Sort::Flow) => queues.flows.pop_front().iter().for_each(|record| self.flow(record)),
            Oldest::InOrder(Sort::Host) => {
                queues.host.pop_front().into_iter().for_each(|record| self.host(record, out));
            }
            Oldest::InOrder(Sort::Handshake) => {
                queues.handshakes.pop_front().iter().for_each(|record| self.handshake(record));
            }
            Oldest::InOrder(Sort::Process) => {
                queues.processes.pop_front().iter().for_each(|record| self.world.exits.learn(record));
            }
            Oldest::InOrder(Sort::UnixConnect) => {
                queues.unix_connects.pop_front().iter().for_each(|record| self.unix_connect(record, out));
            }
            Oldest::SteppedBack => {
                self.reorder.stepped_back().into_iter().for_each(|record| self.apply(record, out));
            }
        }
    }

    /// One record.
    pub(super) fn apply(&mut self, record: Record, out: &mut Vec<Output>) {
        match record {
            Record::Socket(record) => self.socket(&record),
            Record::Packet(record) => self.packet(&record),
            Record::Icmp(record) => self.icmp(&record),
            Record::Handshake(record) => self.handshake(&record),
            Record::Flow(record) => self.flow(&record),
            Record::Process(record) => self.world.exits.learn(&record),
            Record::UnixConnect(record) => self.unix_connect(&record, out),
            Record::Host(record) => self.host(record, out),
        }
    }

    fn host(&mut self, record: HostRecord, out: &mut Vec<Output>) {
        match record.body {
            // most of what a trace of failing requests consists of is taken over as it is
            HostBody::Exchange(heads) => self.flows.read(heads),
            _ => self.host_fact(&record, out),
        }
    }

    fn host_fact(&mut self, record: &HostRecord, out: &mut Vec<Output>) {
        match &record.body {
            // taken over as they come: what they say has no time
            HostBody::Start(_) | HostBody::Symbol(_) | HostBody::End | HostBody::Exchange(_) => {}
            HostBody::HealthCheckers(seen) => self.health_checkers(record.netns, seen, record.time, out),
            HostBody::Pressure(pressure) => self.world.pressures.learn(record.netns, pressure, record.time),
            HostBody::Publications(publications) => self.world.published.learn(record.netns, publications),
            HostBody::Rule(rule) => self.world.rule(record.netns, rule, record.time),
            HostBody::Tick(_) => self.counters.say(self.now, out),
            HostBody::Listener(listener) => self.world.listeners.learn(record.netns, listener, record.time),
            HostBody::Namespace(namespace) => self.world.namespaces.learn(record.netns, namespace),
            HostBody::Process(process) => self.world.process(process),
            HostBody::Path(path) => self.world.path(record.netns, path, record.time),
            // said with the next tick: one line has all that was counted at one time
            HostBody::Ports(counts) => {
                for count in &counts.ports {
                    self.silences.busy(count.port, BootTime::from_ns(count.last_syn_ns));
                    self.counters.add(&PortCount { port: self.world.counted_as(count.port), ..*count });
                }
            }
            HostBody::Exchanges(counts) => {
                for count in &counts.ports {
                    if !count.statuses.is_empty() {
                        self.silences.busy(count.port, record.time);
                    }
                    let port = self.world.counted_as(count.port);
                    self.counters.add_exchanges(&ExchangeCount { port, ..count.clone() });
                }
            }
            HostBody::Watched(watched) => {
                self.watch(&watched.ports);
                self.counters.watch_only(&watched.ports);
            }
            HostBody::Suppressed(counts) => {
                for count in &counts.ports {
                    self.totals.suppressed = self.totals.suppressed.saturating_add(count.records);
                    self.unseen_refused(count.port, count.refused, record.time);
                }
            }
            HostBody::Loss(loss) => {
                self.totals.lost(&loss.cause, loss.count);
                if loss.count > 0 {
                    self.world.lost_between(&loss.cause, loss.count, (record.time, BootTime::from_ns(loss.until_ns)));
                }
            }
        }
    }

    fn socket(&mut self, record: &SocketRecord) {
        if record.header.kind == kind::SOCKET_STATE && self.world.listeners.state_changed(record) {
            return;
        }
        let time = BootTime::from_ns(record.header.time_ns);
        if record.header.kind == kind::SOCKET_STATE && record.new_state == tcp_state::ESTABLISHED {
            self.succeeded(record, time);
            return;
        }
        let what = match record.header.kind {
            kind::SOCKET_STATE if record.old_state == tcp_state::SYN_SENT => What::Closed(record.error),
            kind::SYN_RETRANSMIT => What::SynRetransmitted(record.retransmits),
            kind::RESET_RECEIVED => What::ResetReceived,
            kind::SOCKET_ERROR => What::SocketError(record.error),
            kind::CONNECT_UNSENT => What::ConnectUnsent { error: record.error },
            _ => return,
        };
        let flow = Flow::from_initiator(&record.tuple);
        if !self.world.watches(flow.responder.port) && record.flags & socket_flag::CHAINED == 0 {
            return;
        }
        let inode = if record.header.kind == kind::CONNECT_UNSENT { 0 } else { record.inode };
        let started = BootTime::from_ns(record.started_ns);
        if record.started_ns != 0
            && self.attempts.may_be_forgotten(started)
            && self.attempts.find(record.isn, &flow, inode, None).is_none()
        {
            // in a flood: its verdict may have been said, and is not said twice
            return;
        }
        let id = self.attempt(record.isn, flow, inode, None, time);
        if let Some(Found::UnderWay(attempt)) = self.attempts.visit(id, record.isn, flow, time) {
            attempt.learn(record);
            if let (What::Closed(_), Some(task)) = (&what, attempt.own.as_ref().and_then(|own| own.task)) {
                self.causes.gave_up(task.pid, id, Span { from: attempt.started, to: time });
            }
        }
        self.add(id, record.isn, flow, Fact { time, netns: record.header.netns, what });
    }

    /// An attempt reached ESTABLISHED.
    fn succeeded(&mut self, record: &SocketRecord, time: BootTime) {
        let outbound = record.old_state == tcp_state::SYN_SENT;
        let flow = if outbound { Flow::from_initiator(&record.tuple) } else { Flow::from_responder(&record.tuple) };
        if outbound && record.pid != 0 {
            self.world.connected(record.pid, flow.responder, time);
            self.causes.connected(record.pid, time);
        }
        let inode = if outbound { record.inode } else { 0 };
        let Some(id) = self.attempts.find(record.isn, &flow, inode, None) else { return };
        self.answered(id, record.isn, flow, time);
    }

    /// An attempt was answered by a SYN-ACK: nothing to explain, but a delay.
    fn answered(&mut self, id: Id, isn: u32, flow: Flow, time: BootTime) {
        match self.attempts.visit(id, isn, flow, time) {
            Some(Found::UnderWay(_)) => {
                if let Some(slug) = self.attempts.under_way(id).and_then(|attempt| self.would_be(attempt)) {
                    self.totals.recovered(slug);
                }
                self.attempts.close(id, Outcome::Succeeded);
            }
            Some(Found::Over(outcome)) if *outcome != Outcome::Succeeded => {
                *outcome = Outcome::Succeeded;
                self.totals.late = self.totals.late.saturating_add(1);
            }
            _ => {}
        }
    }

    fn handshake(&mut self, record: &HandshakeRecord) {
        let flow = Flow::from_responder(&record.tuple);
        if !self.world.watches(flow.responder.port) && record.flags & handshake_flag::CHAINED == 0 {
            return;
        }
        let flag = |bit: u32| record.flags & bit != 0;
        let what = match record.header.kind {
            kind::LISTENER_FULL => What::ListenerFull(Full {
                backlog: record.backlog,
                limit: record.backlog_limit,
                last_ack: flag(handshake_flag::LAST_ACK),
                no_request: flag(handshake_flag::SYN_QUEUE_FULL) && !flag(handshake_flag::SYN_COOKIES),
                aborts: flag(handshake_flag::LAST_ACK) && flag(handshake_flag::ABORT_ON_OVERFLOW),
                flow,
            }),
            kind::SYN_ACK_RETRANSMIT => What::SynAckRetransmitted(SynAckAgain {
                retransmits: record.retransmits,
                syns_repeated: record.syns_repeated,
                flow,
            }),
            _ => return,
        };
        let time = BootTime::from_ns(record.header.time_ns);
        let id = self.attempt(record.isn, flow, 0, None, time);
        self.add(id, record.isn, flow, Fact { time, netns: record.header.netns, what });
    }

    fn packet(&mut self, record: &PacketRecord) {
        match record.header.kind {
            kind::PACKET_DROP => self.packet_drop(record),
            kind::NETFILTER_RESET if answers_syn(record) => {
                let flow = Flow::from_responder(&record.tuple);
                self.packet_answer(record, record.ack.wrapping_sub(1), flow, What::NetfilterReset(flow));
            }
            kind::RESET_SENT if is_syn(record.tcp_flags) => {
                self.packet_answer(record, record.seq, Flow::from_initiator(&record.tuple), What::ResetSent);
            }
            kind::RESET_SENT if is_reset_of_syn(record) => {
                let flow = Flow::from_responder(&record.tuple);
                self.packet_answer(record, record.ack.wrapping_sub(1), flow, What::ResetSent);
            }
            _ => {}
        }
    }

    fn packet_answer(&mut self, record: &PacketRecord, isn: u32, flow: Flow, what: What) {
        let time = BootTime::from_ns(record.header.time_ns);
        let id = self.attempt(isn, flow, 0, None, time);
        self.add(id, isn, flow, Fact { time, netns: record.header.netns, what });
    }

    fn packet_drop(&mut self, record: &PacketRecord) {
        if record.tcp_flags & tcp_flag::SYN == 0 {
            self.connection_packet_drop(record);
            return;
        }
        let time = BootTime::from_ns(record.header.time_ns);
        let netns = record.header.netns;
        let syn_ack = !is_syn(record.tcp_flags);
        let (flow, isn) = if syn_ack {
            (Flow::from_responder(&record.tuple), record.ack.wrapping_sub(1))
        } else {
            (Flow::from_initiator(&record.tuple), record.seq)
        };
        let has_reason = record.flags & packet_flag::HAS_REASON != 0;
        let mut class = self.world.classify(record);
        if class == DropClass::NoSocket && !self.world.reason_is_told(record) {
            // where only the place is known: so a SYN is dropped, too, that repeats one being answered
            let covered = self.listener_covers(netns, flow.responder, time);
            class = if covered && !syn_ack { DropClass::Ordinary } else { class };
        }
        if class == DropClass::Ordinary {
            return;
        }
        if syn_ack && class == DropClass::NoSocket {
            // answered after all, but the socket that asked is gone
            if let Some(id) = self.attempts.find(isn, &flow, 0, None) {
                self.answered(id, isn, flow, time);
            }
            return;
        }
        let dropped = Dropped {
            class,
            flow,
            location: record.location,
            reason: has_reason.then_some(record.reason),
            from_socket: is_from_socket(record, syn_ack),
            to_socket: syn_ack && is_of_connecting_socket(record),
            syn_ack,
            ifindex: record.ifindex,
        };
        let id = self.attempt(isn, flow, 0, Some(netns), time);
        self.attempts.dropped_in(id, netns);
        self.add(id, isn, flow, Fact { time, netns, what: What::Drop(dropped) });
    }

    fn listener_covers(&self, netns: u32, end: Endpoint, time: BootTime) -> bool {
        self.world.listeners.at(netns, end.port, time).any(|listener| listener.covers(end.ip()))
    }

    fn icmp(&mut self, record: &IcmpRecord) {
        if record.tcp_flags != 0 && !is_syn(record.tcp_flags) {
            return;
        }
        let time = BootTime::from_ns(record.header.time_ns);
        let flow = Flow::from_initiator(&record.quoted);
        let error = IcmpError {
            sent: record.header.kind == kind::ICMP_SENT,
            meaning: meaning(is_v4(record.quoted.dst), record.icmp_type, record.icmp_code),
            icmp_type: record.icmp_type,
            icmp_code: record.icmp_code,
            from: record.icmp_src,
            to: record.icmp_dst,
            flow,
        };
        if error.meaning.is_refusal() && !error.sent {
            self.world.remote_reject_seen(flow.responder, time);
        }
        let id = self.attempt(record.seq, flow, 0, None, time);
        self.add(id, record.seq, flow, Fact { time, netns: record.header.netns, what: What::Icmp(error) });
    }

    /// The attempt of a record; a new one if none is known.
    fn attempt(&mut self, isn: u32, flow: Flow, inode: u64, dropped_in: Option<u32>, time: BootTime) -> Id {
        if let Some(id) = self.attempts.find(isn, &flow, inode, dropped_in) {
            return id;
        }
        let (id, evicted) = self.attempts.begin(isn, flow, inode, time);
        if let Some(evicted) = evicted {
            self.totals.lost(ATTEMPTS_EVICTED, 1);
            if evicted == Evicted::UnderWay {
                self.world.lost(ATTEMPTS_EVICTED, 1, self.now);
            }
        }
        id
    }

    /// Adds a fact to an attempt that is under way; one that is over learns nothing more.
    fn add(&mut self, id: Id, isn: u32, flow: Flow, fact: Fact) {
        let end = flow.responder;
        let watched = self.world.watches_end(fact.netns, end).then_some(end.port);
        let Some(Found::UnderWay(attempt)) = self.attempts.visit(id, isn, flow, fact.time) else { return };
        attempt.add(fact);
        attempt.port = attempt.port.or(watched);
        let due = timing::due(attempt);
        let pair = matches!(fact.what, What::Drop(_) | What::Icmp(_)).then(|| reject_pair(attempt, fact.netns));
        if let Some((netns, end, time)) = pair.flatten() {
            self.world.reject_seen((netns, end.port, end.is_v4()), time);
        }
        if self.attempts.schedule(id, due) {
            self.timers.insert(due, id);
        }
    }
}

/// Where netfilter dropped a packet of this attempt and answered by ICMP, if it did.
fn reject_pair(attempt: &super::attempt::Attempt, netns: u32) -> Option<(u32, Endpoint, BootTime)> {
    let (drop, dropped) = attempt.netfilter_drops().rfind(|(fact, _)| fact.netns == netns)?;
    let (sent, _) = attempt.icmp_answers().rfind(|(fact, error)| error.sent && fact.netns == netns)?;
    Some((netns, dropped.flow.responder, drop.time.max(sent.time)))
}

fn is_syn(tcp_flags: u8) -> bool {
    tcp_flags & tcp_flag::SYN != 0 && tcp_flags & tcp_flag::ACK == 0
}

/// Whether the packet was on its way out of a socket of this host. `skb->sk` alone does not say so:
/// an incoming packet may have been matched to its socket before netfilter saw it
/// (`tcp_v4_early_demux`), a SYN to one in TIME_WAIT, a SYN-ACK to the one that waits for it.
fn is_from_socket(record: &PacketRecord, syn_ack: bool) -> bool {
    let has_socket = record.flags & packet_flag::HAS_SOCKET != 0;
    let connecting = is_of_connecting_socket(record) || record.socket_state == 0;
    has_socket && if syn_ack { !is_of_connecting_socket(record) } else { connecting }
}

fn is_of_connecting_socket(record: &PacketRecord) -> bool {
    record.flags & packet_flag::HAS_SOCKET != 0 && record.socket_state == tcp_state::SYN_SENT
}

/// Whether netfilter's RST answers a SYN: only then it acknowledges (`nf_reject_ip_tcphdr_put`). Where
/// its flags are not known, the acknowledgement alone says it.
fn answers_syn(record: &PacketRecord) -> bool {
    record.ack != 0 && (record.tcp_flags == 0 || record.tcp_flags & tcp_flag::ACK != 0)
}

/// A RST that acknowledges a SYN has sequence number 0 and an ACK (RFC 9293, 3.10.7.1).
fn is_reset_of_syn(record: &PacketRecord) -> bool {
    record.tcp_flags & tcp_flag::RST != 0 && record.seq == 0 && record.ack != 0
}

/// Whether connect() came back because there is no way to the destination.
pub(super) fn is_no_way(error: u32) -> bool {
    matches!(error, errno::ENETUNREACH | errno::EHOSTUNREACH)
}
