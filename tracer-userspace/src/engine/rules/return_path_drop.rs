//! return-path-drop and handshake-abandoned: our SYN-ACK is sent again and again, and never acknowledged.
//! A peer that keeps sending its SYN does not hear us; one that is silent has gone, or never was there.

use super::{Case, Finding, Words};
use crate::engine::evidence::{Fact, SynAckAgain};
use crate::engine::text;
use crate::engine::timing::{self, SYN_ACK_RETRANSMITS};
use crate::verdict::{Confidence, Event, Evidence, Role, Slug};

pub(super) fn unacknowledged(case: &Case<'_>) -> Option<Finding> {
    let (fact, again) = last(case)?;
    if case.attempt.first_answer().is_some() {
        return None;
    }
    let repeats = repeated(case);
    // this host's own other end may have given up before a second SYN-ACK was sent
    let given_up = case.attempt.closed().is_some() && repeats > 0;
    if !given_up && case.attempt.syn_acks_again().count() < SYN_ACK_RETRANSMITS {
        return None;
    }
    let time = timing::syn_acks_unanswered(case.attempt).map_or(fact.time, |time| time.max(fact.time));
    let (slug, expected_status) =
        if repeats > 0 { (Slug::ReturnPathDrop, Some(504)) } else { (Slug::HandshakeAbandoned, None) };
    Some(Finding {
        slug,
        role: Role::Inbound,
        confidence: Confidence::Certain,
        alternatives: &[],
        netns: fact.netns,
        flow: again.flow,
        time: time.min(case.now),
        expected_status,
        words,
    })
}

fn last<'a>(case: &Case<'a>) -> Option<(&'a Fact, &'a SynAckAgain)> {
    case.attempt.syn_acks_again().next_back()
}

/// SYNs of the attempt that came again, or that its own end on this host sent again.
fn repeated(case: &Case<'_>) -> u32 {
    let seen = case.attempt.syn_acks_again().map(|(_, again)| again.syns_repeated).max().unwrap_or(0);
    seen.max(case.attempt.own.as_ref().map_or(0, |own| own.retransmits))
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let (process, listener) = text::firewall_subject(case, finding);
    let mut evidence: Vec<Evidence> =
        listener.map(|detail| Evidence { time: finding.time, event: Event::Listener, detail }).into_iter().collect();
    let (peer, local) = (finding.flow.initiator.socket_addr(), finding.flow.responder.socket_addr());
    let place = text::in_namespace(case, finding.netns);
    let enter = case.world.namespaces.enter(finding.netns);
    let repeats = repeated(case);
    if finding.slug == Slug::HandshakeAbandoned {
        let detail = format!("{peer} sent one SYN and nothing since");
        evidence.push(Evidence { time: finding.time, event: Event::NoAnswer, detail });
        return Words {
            evidence,
            summary: format!("{peer} never answered the SYN-ACK from {local}{place}, and sent no other SYN."),
            next: "Usually a scan, a spoofed source, or a client that is gone: look at who this is before anything \
                   else."
                .to_owned(),
            process,
        };
    }
    let detail = format!("{peer} sent its SYN {repeats} more times: it has not seen the SYN-ACK");
    evidence.push(Evidence { time: finding.time, event: Event::NoAnswer, detail });
    Words {
        evidence,
        summary: format!(
            "{peer} does not hear the SYN-ACK from {local}{place}: it keeps sending its SYN, so the way back drops it."
        ),
        next: format!(
            "Look at the network ACLs of both subnets (they are stateless: outbound from {} to ports 1024-65535 of {}), \
             and at `{enter}ip route get {}`: does the answer leave where the SYN came in?",
            local.ip(),
            peer.ip(),
            peer.ip(),
        ),
        process,
    }
}
