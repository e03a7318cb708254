//! app-timeout: the request was delivered and no response head followed in time.

use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{has, is_unanswered, waited, was_delivered};
use crate::engine::text;
use crate::record::{flow_event, flow_flag, stage};
use crate::verdict::{Confidence, Slug};

/// The time allowed is over, or the peer lost patience.
pub(super) fn inbound(case: &Case<'_>) -> Option<Finding> {
    let gone = [flow_event::WAITING, flow_event::RESET_RECEIVED, flow_event::FIN_RECEIVED];
    let mut record = case.first_of(&gone)?;
    let may_have_left = record.event == flow_event::FIN_RECEIVED && waited(record) < case.slow() && !case.answered_for;
    if may_have_left {
        // it may have been half a close, and what ends that is a RST
        let reset = case.of(flow_event::RESET_RECEIVED).filter(|_| case.left().is_none());
        record = case.of(flow_event::WAITING).or(reset)?;
    }
    let is_request = case.is_http() || case.is_encrypted() || record.stage == stage::NOT_ACCEPTED;
    let delivered = was_delivered(record) || case.is_encrypted();
    if !is_unanswered(record) || !is_request || !delivered || has(record, flow_flag::UPGRADED) {
        return None;
    }
    let long = record.event == flow_event::WAITING || waited(record) >= case.slow();
    if !long && !case.answered_for {
        return None;
    }
    let mut finding = case.finding(Slug::AppTimeout, record, 504, words_inbound);
    finding.has_stage = true;
    // whoever closed only half of it shows that by what it does later: so far it has done nothing
    if may_have_left && finding.record.event == flow_event::WAITING {
        finding.confidence = Confidence::Likely;
        finding.alternatives = &[Slug::ClientAbort];
    }
    Some(finding)
}

/// This end lost patience; before `--slow` that is a failure only if it has answered for it.
pub(super) fn outbound(case: &Case<'_>) -> Option<Finding> {
    let ends = [flow_event::WAITING, flow_event::FIN_SENT, flow_event::RESET_SENT, flow_event::CLOSED];
    let record = case.first_of(&ends)?;
    let is_request = case.is_http() || case.is_encrypted();
    let closed_by_peer = has(record, flow_flag::FIN_RECEIVED);
    if !is_unanswered(record) || !is_request || closed_by_peer || has(record, flow_flag::UPGRADED) {
        return None;
    }
    let mut finding = case.finding(Slug::AppTimeout, record, 504, words_outbound);
    finding.only_as_cause = record.event != flow_event::WAITING && waited(record) < case.slow();
    Some(finding)
}

fn words_inbound(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name) = (flow_text::request(case.exchange), case.name(record));
    let port = record.tuple.src_port;
    let enter = case.world.namespaces.enter(record.header.netns);
    let who = match record.event {
        flow_event::WAITING => String::new(),
        _ => format!(": {} gave up", case.peer(record)),
    };
    let (how_far, next) = match record.stage {
        stage::NOT_ACCEPTED => (
            "was never accepted".to_owned(),
            format!(
                "No worker was free to accept it: look at the concurrency of the app and at what occupies it; \
                 `{enter}ss -ltn 'sport = :{port}'` shows the queue."
            ),
        ),
        stage::NOT_READ => (
            format!("was accepted by {name}, which never read it"),
            format!("Look at what occupies the workers of {name}: it accepts more than it can work on."),
        ),
        _ => (
            format!("got no answer from {name}"),
            format!("See what {name} was doing: slow queries and calls to other services are the usual reasons."),
        ),
    };
    let summary = format!("{} {how_far} within {}{who}.", capital(&request), text::duration(waited(record)));
    case.words(record, summary, next)
}

fn words_outbound(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name, peer) = (flow_text::request(case.exchange), case.name(record), case.peer(record));
    let gave_up = if record.event == flow_event::WAITING { "still waits" } else { "gave up" };
    let summary =
        format!("{peer} did not answer {request} of {name}, which {gave_up} after {}.", text::duration(waited(record)));
    let next = format!("Find out at {peer} what took so long: run wherefore there, or look at its slowest requests.");
    case.words(record, summary, next)
}

/// With a capital letter, unless it begins with a method.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
