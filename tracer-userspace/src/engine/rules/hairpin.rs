//! hairpin: our own unanswered SYN came back to this host, which drops what comes from its own address.

use super::{Case, Finding, Words};
use crate::engine::evidence::{DropClass, Dropped, Fact, What};
use crate::engine::text;
use crate::verdict::{Event, Evidence, Slug};

pub(super) fn returned(case: &Case<'_>) -> Option<Finding> {
    let view = case.own_view().filter(|_| case.attempt.own.is_some())?;
    let (fact, _) = own_syn_back(case)?;
    let is_answer = |what: &What| matches!(what, What::ResetReceived | What::Icmp(_));
    if case.attempt.last_of(is_answer).is_some_and(|answer| answer > fact.time) {
        return None;
    }
    let mut finding = Case::about_own(Slug::Hairpin, view, fact.time, words);
    finding.expected_status = Some(504);
    Some(finding)
}

/// The drop of a SYN that this host sent and received: by an interface, where it was sent, from the
/// address and port it was sent from. Netfilter's drops are its own.
fn own_syn_back<'a>(case: &Case<'a>) -> Option<(&'a Fact, &'a Dropped)> {
    let own = case.attempt.own.as_ref()?;
    case.attempt.drops().rev().find(|(fact, dropped)| {
        dropped.class == DropClass::Other
            && !dropped.syn_ack
            && !dropped.from_socket
            && dropped.ifindex != 0
            && fact.netns == own.netns
            && dropped.flow.initiator == own.flow.initiator
    })
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let process = text::connecting_process(case);
    let (own, remote) = (finding.flow.initiator.socket_addr(), finding.flow.responder.socket_addr());
    let arrived = own_syn_back(case).map(|(fact, dropped)| {
        let detail =
            format!("the SYN of {own} to {remote} came back as one to {}", dropped.flow.responder.socket_addr());
        Evidence { time: fact.time, event: Event::SynReturned, detail }
    });
    Words {
        evidence: arrived.into_iter().collect(),
        summary: format!(
            "The SYN of {} to {remote} was sent back to its own sender, and dropped since it comes from this host's own \
             address.",
            text::name(process.as_ref())
        ),
        next:
            "The balancer preserves client addresses and chose the sender as its target: turn client IP preservation \
               off for this target group, or let the process connect to its own host directly."
                .to_owned(),
        process,
    }
}
