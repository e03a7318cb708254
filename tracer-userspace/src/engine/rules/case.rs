//! What a rule may look at.

use crate::engine::attempt::{Attempt, OwnEnd};
use crate::engine::evidence::{DropClass, Dropped, Endpoint, Fact, Flow, What};
use crate::engine::namespaces::Place;
use crate::engine::world::World;
use crate::record::BootTime;
use crate::verdict::Role;

use super::Finding;
use crate::verdict::{Confidence, Slug};

/// An attempt and all else that is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Case<'a> {
    pub(in crate::engine) attempt: &'a Attempt,
    pub(in crate::engine) world: &'a World,
    /// When it is decided.
    pub(in crate::engine) now: BootTime,
}

/// Whose packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Side {
    /// Of an attempt from elsewhere, or towards a namespace of this host.
    Inbound,
    /// Of this host's own attempt.
    Outbound,
    /// Of somebody else's.
    Forwarded,
}

impl Side {
    fn role(self) -> Role {
        match self {
            Self::Inbound => Role::Inbound,
            Self::Outbound => Role::Outbound,
            Self::Forwarded => Role::Forwarded,
        }
    }
}

impl<'a> Case<'a> {
    /// Whose packet this was, judged by where it was dropped and who owns its ends.
    pub(super) fn side(&self, fact: &Fact, dropped: &Dropped) -> Side {
        let Flow { initiator, responder } = dropped.flow;
        let place = |end: Endpoint| self.world.namespaces.place(fact.netns, end.address);
        let passed_on = if self.attempt.own.is_some() { Side::Outbound } else { Side::Forwarded };
        if dropped.syn_ack {
            return match (dropped.has_socket, place(initiator), place(responder)) {
                // the client's own input
                (false, Place::Here | Place::Unknown, _) => Side::Outbound,
                // the server's own output, or on the way from a namespace of this host
                (true, ..) | (false, _, Place::Here | Place::Sibling) => Side::Inbound,
                (false, Place::Sibling, _) => Side::Outbound,
                (false, Place::Elsewhere, _) => passed_on,
            };
        }
        match place(responder) {
            _ if dropped.has_socket => Side::Outbound,
            _ if dropped.class == DropClass::NoSocket => Side::Inbound,
            Place::Here | Place::Sibling | Place::Unknown => Side::Inbound,
            Place::Elsewhere => passed_on,
        }
    }

    /// The netfilter drop that decides: inbound before all others, else the last.
    pub(super) fn netfilter_drop(&self) -> Option<(&'a Fact, &'a Dropped, Side)> {
        let with_side = |(fact, dropped): (&'a Fact, &'a Dropped)| (fact, dropped, self.side(fact, dropped));
        let drops = || self.attempt.netfilter_drops().rev().map(with_side);
        drops().find(|(.., side)| *side == Side::Inbound).or_else(|| drops().next())
    }

    /// The same, unless something answered later: a SYN sent again may have been let through.
    pub(super) fn unanswered_netfilter_drop(&self) -> Option<(&'a Fact, &'a Dropped, Side)> {
        let (fact, dropped, side) = self.netfilter_drop()?;
        let is_answer = |what: &What| matches!(what, What::ResetReceived | What::Icmp(_));
        let answer = self.attempt.last_of(is_answer).filter(|answer| *answer > fact.time);
        answer.is_none().then_some((fact, dropped, side))
    }

    /// A finding about a dropped packet, certain and without alternatives.
    pub(super) fn about_drop(&self, slug: Slug, fact: &Fact, dropped: &Dropped, words: WordsOf) -> Finding {
        let side = self.side(fact, dropped);
        let own = self.attempt.own.as_ref().filter(|_| side == Side::Outbound);
        Finding {
            slug,
            role: side.role(),
            confidence: Confidence::Certain,
            alternatives: &[],
            netns: fact.netns,
            flow: own.map_or(dropped.flow, |own| own.flow),
            time: fact.time,
            expected_status: None,
            words,
        }
    }

    /// A finding about this host's own attempt, certain and without alternatives.
    pub(super) fn about_own(slug: Slug, end: OwnView, time: BootTime, words: WordsOf) -> Finding {
        Finding {
            slug,
            role: Role::Outbound,
            confidence: Confidence::Certain,
            alternatives: &[],
            netns: end.netns,
            flow: end.flow,
            time,
            expected_status: None,
            words,
        }
    }

    /// This host's own initiating end, as far as its records show it.
    pub(super) fn own_view(&self) -> Option<OwnView> {
        if let Some(OwnEnd { netns, flow, .. }) = &self.attempt.own {
            return Some(OwnView { netns: *netns, flow: *flow });
        }
        self.attempt.facts().iter().find_map(|fact| {
            let flow = match &fact.what {
                What::Icmp(error) if !error.sent => error.flow,
                What::Drop(dropped) if dropped.has_socket && !dropped.syn_ack => dropped.flow,
                _ => return None,
            };
            Some(OwnView { netns: fact.netns, flow })
        })
    }

    /// Whether nothing at all was seen of the SYN after it left: no answer, no drop, no error.
    pub(super) fn is_silent(&self) -> bool {
        self.attempt.first_answer().is_none() && self.attempt.drops().next().is_none()
    }

    /// When silence was long enough: the socket gave up, or the last retransmission that counts.
    pub(super) fn silence_time(&self) -> BootTime {
        let enough = || self.attempt.enough_retransmitted();
        let long = || enough().map(|time| crate::engine::timing::silent_since(self.attempt, time));
        self.attempt.closed().or_else(long).unwrap_or(self.attempt.last)
    }
}

/// This host's own end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct OwnView {
    pub(super) netns: u32,
    pub(super) flow: Flow,
}

/// How a finding finds its words.
pub(super) type WordsOf = fn(&Case<'_>, &Finding) -> super::Words;
