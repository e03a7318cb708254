//! What a rule for exchanges may look at.

use std::time::Duration;

use super::{Finding, Words};
use crate::engine::evidence::Flow;
use crate::engine::exits::Exit;
use crate::engine::flow_text;
use crate::engine::flows::{
    Connection, Drops, End, Exchange, PacketDrop, flow_of, has, is_http, time, waited, was_delivered, went_on,
};
use crate::engine::text;
use crate::engine::timing::{EXIT_WAIT, HALF_CLOSE_WITHIN};
use crate::engine::world::World;
use crate::record::{BootTime, FlowRecord, flow_event, flow_flag};
use crate::verdict::{Confidence, Process, Role, Slug};

/// An exchange, one of its ends, and all else that is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Case<'a> {
    pub(in crate::engine) exchange: &'a Exchange,
    pub(in crate::engine) connection: &'a Connection,
    pub(in crate::engine) world: &'a World,
    pub(in crate::engine) drops: &'a Drops,
    /// When it is decided.
    pub(in crate::engine) now: BootTime,
    /// The end that the rules are asked about.
    pub(in crate::engine) end: Option<&'a End>,
    pub(in crate::engine) role: Role,
    /// A local proxy, which made this request, has answered 5xx for it.
    pub(in crate::engine) answered_for: bool,
}

impl<'a> Case<'a> {
    /// The same, seen from this end.
    pub(super) fn at(self, end: &'a End, role: Role) -> Self {
        Self { end: Some(end), role, ..self }
    }

    /// The record of an event at this end.
    pub(super) fn of(&self, event: u8) -> Option<&'a FlowRecord> {
        self.end?.of(event)
    }

    /// The first record of one of these events.
    pub(super) fn first_of(&self, events: &[u8]) -> Option<&'a FlowRecord> {
        self.end?.first_of(events)
    }

    /// A finding that this record decides, certain and without alternatives.
    pub(super) fn finding(&self, slug: Slug, record: &FlowRecord, expected: u16, words: WordsOf) -> Finding {
        Finding {
            slug,
            role: self.role,
            confidence: Confidence::Certain,
            alternatives: &[],
            record: *record,
            time: time(record),
            expected_status: Some(expected),
            has_stage: false,
            exit: None,
            dropped: None,
            only_as_cause: false,
            words,
        }
    }

    /// The peer's FIN, if it left with that. A FIN right behind a whole request may be half a close, whose sender
    /// waits.
    pub(super) fn left(&self) -> Option<&'a FlowRecord> {
        let fin = self.of(flow_event::FIN_RECEIVED)?;
        (!was_delivered(fin) || waited(fin) >= HALF_CLOSE_WITHIN).then_some(fin)
    }

    /// Whether what this end had sent was unacknowledged when this happened.
    pub(super) fn is_silent(&self, end: &FlowRecord) -> bool {
        let unanswered = self.of(flow_event::UNANSWERED).is_some_and(|silent| !went_on(end, silent));
        unanswered || self.of(flow_event::TIMED_OUT).is_some()
    }

    /// Whether the connection carries HTTP/1.
    pub(super) fn is_http(&self) -> bool {
        self.end.is_some_and(|end| end.records().iter().any(is_http))
    }

    /// Whether it began with TLS or HTTP/2, which nothing is known of but whether it was answered.
    pub(super) fn is_encrypted(&self) -> bool {
        self.end.is_some_and(|end| end.has(flow_flag::TLS | flow_flag::HTTP2))
    }

    /// How the owner of this record's socket ended, if it did when this happened.
    pub(super) fn exit_at(&self, record: &FlowRecord) -> Option<&'a Exit> {
        let pid = self.owner(record);
        self.world.exits.near(pid, time(record), time(record).after(EXIT_WAIT).max(self.now))
    }

    /// The process that last read or wrote the socket; for a connection that nobody accepted, the
    /// listener's.
    pub(super) fn owner(&self, record: &FlowRecord) -> u32 {
        if record.pid != 0 {
            return record.pid;
        }
        let known = self.end.map_or(0, End::pid);
        if known != 0 || self.role == Role::Outbound {
            return known;
        }
        let Flow { responder, .. } = flow_of(record);
        let netns = record.header.netns;
        let listeners = &self.world.listeners;
        let present = listeners.covering(netns, responder);
        let last = || listeners.last_gone(netns, responder.port, self.now);
        present.or_else(last).and_then(|entry| entry.pid).unwrap_or(0)
    }

    /// That process, with what is known of its end.
    pub(super) fn process(&self, record: &FlowRecord) -> Option<Process> {
        let pid = self.owner(record);
        let ended = || self.world.exits.last(pid, self.now).map(|exit| exit.comm);
        let comm = if record.pid == pid { Some(record.comm) } else { ended() };
        flow_text::process(self.world, pid, comm.unwrap_or_default())
    }

    /// How it is named in a sentence.
    pub(super) fn name(&self, record: &FlowRecord) -> String {
        text::name(self.process(record).as_ref())
    }

    /// The packets of this connection that were dropped since the exchange began.
    pub(super) fn drops(&self) -> impl DoubleEndedIterator<Item = &'a PacketDrop> + use<'a> {
        self.drops.of(&self.connection.flow, self.exchange.started(), self.now)
    }

    /// The limit that makes waiting a failure.
    pub(super) fn slow(&self) -> Duration {
        self.world.slow()
    }

    /// Words about this record's process.
    pub(super) fn words(&self, record: &FlowRecord, summary: String, next: String) -> Words {
        Words { evidence: Vec::new(), process: self.process(record), summary, next }
    }

    /// The other end's address.
    pub(super) fn peer(&self, record: &FlowRecord) -> String {
        let flow = flow_of(record);
        let peer = if self.role == Role::Outbound { flow.responder } else { flow.initiator };
        peer.socket_addr().to_string()
    }
}

/// Whether the peer's FIN had come before this.
pub(super) fn after_peers_fin(record: &FlowRecord) -> bool {
    has(record, flow_flag::FIN_RECEIVED)
}

/// How a finding finds its words.
pub(super) type WordsOf = fn(&Case<'_>, &Finding) -> Words;
