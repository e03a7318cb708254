//! premature-close: a FIN came with the request unanswered or the response unfinished.

use super::case::after_peers_fin;
use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{CLOSES, body, has, is_cut, is_open, waited, was_delivered};
use crate::engine::text;
use crate::engine::timing::{ANSWERED_BY_CLOSE, PATIENCE};
use crate::record::{FlowRecord, flow_event, flow_flag};
use crate::verdict::{Confidence, Slug};

/// The app closed.
pub(super) fn sent(case: &Case<'_>) -> Option<Finding> {
    let record = case.first_of(&CLOSES).filter(|record| record.event != flow_event::RESET_SENT)?;
    let given_up = case.first_of(&[flow_event::FIN_RECEIVED, flow_event::RESET_RECEIVED]).is_some();
    if case.is_silent(record) || given_up || after_peers_fin(record) || !is_open(record) {
        return None;
    }
    if !case.is_http() {
        return closed_on_arrival(case, record);
    }
    // a client that stops in the middle of its request is not waited for for ever
    let half_a_request = !is_cut(record) && !was_delivered(record) && waited(record) >= PATIENCE;
    (!half_a_request).then(|| case.finding(Slug::PrematureClose, record, 502, words_sent))
}

/// Bytes that are no HTTP, the first of the connection, answered by closing it at once. Later on a
/// close may be what the peer asked for.
fn closed_on_arrival(case: &Case<'_>, record: &FlowRecord) -> Option<Finding> {
    let at_once = waited(record) < ANSWERED_BY_CLOSE && record.request_start_ns != 0;
    if case.is_encrypted() || !has(record, flow_flag::NOT_HTTP) || record.sent != 0 || !at_once {
        return None;
    }
    let mut finding = case.finding(Slug::PrematureClose, record, 502, words_sent);
    finding.confidence = Confidence::Likely;
    finding.alternatives = &[Slug::ProtocolMismatch];
    Some(finding)
}

/// The upstream closed.
pub(super) fn received(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::FIN_RECEIVED)?;
    if !case.is_http() || has(record, flow_flag::FIN_SENT) || !is_open(record) {
        return None;
    }
    Some(case.finding(Slug::PrematureClose, record, 502, words_received))
}

fn words_sent(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name) = (flow_text::request(case.exchange), case.name(record));
    let summary = if is_cut(record) {
        format!("{name} closed the connection in the middle of its response to {request}: {}.", body(record))
    } else {
        let after = text::duration(waited(record));
        format!("{name} closed the connection without answering {request}, {after} after it came.")
    };
    let next = format!(
        "Look into the log of {name} at that time for an exception or a time-out{}.",
        flow_text::journal(case.process(record).as_ref())
    );
    case.words(record, summary, next)
}

fn words_received(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name, peer) = (flow_text::request(case.exchange), case.name(record), case.peer(record));
    let summary = if is_cut(record) {
        format!("{peer} closed the connection in the middle of its response to {request} of {name}: {}.", body(record))
    } else {
        format!("{peer} closed the connection without answering {request} of {name}.")
    };
    let next = format!("Look into the log of the app at {peer} at that time, or run wherefore there.");
    case.words(record, summary, next)
}
