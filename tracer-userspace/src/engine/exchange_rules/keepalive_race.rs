//! keepalive-race: a request met a kept-alive connection that the app had closed while it was idle.

use super::case::after_peers_fin;
use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{CLOSES, has, idle, is_unanswered, time, went_on};
use crate::engine::text;
use crate::record::{FlowRecord, flow_event, flow_flag};
use crate::verdict::Slug;

/// This end had closed.
pub(super) fn late_data(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::LATE_DATA)?;
    let is_request = case.is_http() && !case.is_encrypted();
    is_request.then(|| case.finding(Slug::KeepaliveRace, record, 502, words_inbound))
}

/// The peer had closed: its FIN came, then its RST for the request.
pub(super) fn reset_received(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::RESET_RECEIVED)?;
    let fin = case.of(flow_event::FIN_RECEIVED).is_some_and(|fin| time(fin) <= time(record));
    let kept_alive = record.exchange > 1 || has(record, flow_flag::MID_STREAM);
    let raced = (fin && kept_alive) || came_after_fin(case, record);
    let left = has(record, flow_flag::FIN_SENT) && !followed(case, record);
    if !case.is_http() || !raced || left || !is_unanswered(record) {
        return None;
    }
    Some(case.finding(Slug::KeepaliveRace, record, 502, words_outbound))
}

/// Whether this end closed because the peer's FIN had come: with all of the request sent before, which the RST
/// then answers. To a request that was read the peer's kernel has no more to say than an ACK.
fn followed(case: &Case<'_>, reset: &FlowRecord) -> bool {
    let fin = case.of(flow_event::FIN_RECEIVED).filter(|fin| has(fin, flow_flag::REQUEST_COMPLETE));
    let end = case.of(flow_event::FIN_SENT).filter(|end| time(end) <= time(reset));
    let in_order = fin.zip(end).is_some_and(|(fin, end)| time(fin) <= time(end) && !went_on(reset, fin));
    in_order && !has(reset, flow_flag::UNREAD_DATA)
}

/// The peer had closed, and this end closed as well once it had read that, before a RST came for the request.
pub(super) fn closed_as_well(case: &Case<'_>) -> Option<Finding> {
    let record = case.first_of(&CLOSES)?;
    if !case.is_http() || !came_after_fin(case, record) || !is_unanswered(record) {
        return None;
    }
    Some(case.finding(Slug::KeepaliveRace, record, 502, words_outbound))
}

/// Whether the request was sent when the peer's FIN had come already: a FIN that finds an exchange open is told.
fn came_after_fin(case: &Case<'_>, record: &FlowRecord) -> bool {
    after_peers_fin(record) && case.of(flow_event::FIN_RECEIVED).is_none()
}

const NEXT: &str = "keep-alive time longer than the idle time-out of whoever sends requests to it (nginx: \
                    keepalive_timeout; Node.js: server.keepAliveTimeout; gunicorn: --keep-alive)";

fn words_inbound(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (name, peer, idle) = (case.name(record), case.peer(record), text::duration(idle(record)));
    let summary = format!(
        "A request of {peer} came on a kept-alive connection that {name} had just closed, {idle} after it was last used."
    );
    case.words(record, summary, format!("Give {name} a {NEXT}."))
}

fn words_outbound(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name) = (flow_text::request(case.exchange), case.name(record));
    let (peer, idle) = (case.peer(record), text::duration(idle(record)));
    let summary = format!(
        "{peer} had closed the kept-alive connection on which {name} sent {request}, {idle} after it was last used."
    );
    case.words(record, summary, format!("Give the app at {peer} a {NEXT}, or let {name} drop idle connections sooner."))
}
