//! app-reset: the app closed in a way that makes the kernel send a RST; or the peer's RST came while
//! our request was unanswered.

use super::case::after_peers_fin;
use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{CLOSES, has, is_cut, is_open};
use crate::record::{flow_event, flow_flag, stage};
use crate::verdict::{Confidence, Slug};

/// This end's own RST.
pub(super) fn sent(case: &Case<'_>) -> Option<Finding> {
    let record = case.first_of(&CLOSES).filter(|record| record.event == flow_event::RESET_SENT)?;
    let given_up = case.first_of(&[flow_event::FIN_RECEIVED, flow_event::RESET_RECEIVED]).is_some();
    if case.is_silent(record) || given_up || after_peers_fin(record) || !is_open(record) {
        return None;
    }
    let mut finding = case.finding(Slug::AppReset, record, 502, words_sent);
    finding.has_stage = record.stage == stage::NOT_ACCEPTED;
    Some(finding)
}

/// The peer's.
pub(super) fn received(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::RESET_RECEIVED)?;
    let left = has(record, flow_flag::FIN_SENT)
        || case.first_of(&CLOSES).is_some_and(|end| end.header.time_ns < record.header.time_ns);
    let asked = record.request_start_ns != 0 && is_open(record);
    if left || after_peers_fin(record) || case.of(flow_event::FIN_RECEIVED).is_some() || !asked {
        return None;
    }
    let mut finding = case.finding(Slug::AppReset, record, 502, words_received);
    finding.confidence = Confidence::Likely;
    finding.alternatives = &[Slug::IdleFlowExpired, Slug::ProcessCrashed];
    Some(finding)
}

fn words_sent(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name) = (flow_text::request(case.exchange), case.name(record));
    let how = if has(record, flow_flag::UNREAD_DATA) { "closed with unread data" } else { "closed without lingering" };
    let how_far = if is_cut(record) { "in the middle of its response to" } else { "before it answered" };
    let summary = match record.stage {
        stage::NOT_ACCEPTED => {
            format!("The listener was closed before anyone accepted {request}: the kernel reset it.")
        }
        _ => format!("{name} reset the connection {how_far} {request}: it {how}."),
    };
    let next = format!("Look into the log of {name} at that time for a request that it refused or gave up.");
    case.words(record, summary, next)
}

fn words_received(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name, peer) = (flow_text::request(case.exchange), case.name(record), case.peer(record));
    let how_far = if is_cut(record) { "in the middle of its response to" } else { "instead of answering" };
    let summary = format!("{peer} reset the connection {how_far} {request} of {name}.");
    let next = format!("Look into the log of the app at {peer} at that time, or run wherefore there.");
    case.words(record, summary, next)
}
