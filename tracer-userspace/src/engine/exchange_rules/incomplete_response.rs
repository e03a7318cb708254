//! incomplete-response: a response began, then stopped short of what it had announced, until the peer
//! gave up.

use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{CLOSES, body, has, is_cut, is_open, stalled, went_on};
use crate::engine::text;
use crate::engine::timing::PATIENCE;
use crate::record::{BODY_CHUNKED, BODY_UNKNOWN, FlowRecord, flow_event, flow_flag};
use crate::verdict::{Confidence, Role, Slug};

/// The peer lost patience.
pub(super) fn inbound(case: &Case<'_>) -> Option<Finding> {
    let ends = [flow_event::WAITING, flow_event::RESET_RECEIVED, flow_event::FIN_RECEIVED];
    let record = first_to_give_up(case, &ends)?;
    if record.event == flow_event::FIN_RECEIVED && stalled(record) < case.slow() {
        // it may have been half a close
        let waiting = case.of(flow_event::WAITING).filter(|waiting| has_waited(case, waiting));
        if let Some(waiting) = waiting.filter(|waiting| went_on(waiting, record)) {
            return found(case, waiting);
        }
        let end = case.of(flow_event::RESET_RECEIVED).or(waiting).or_else(|| case.first_of(&CLOSES));
        end.filter(|end| is_open(end))?;
    }
    found(case, record)
}

/// This end lost patience.
pub(super) fn outbound(case: &Case<'_>) -> Option<Finding> {
    let ends = [flow_event::WAITING, flow_event::FIN_SENT, flow_event::RESET_SENT, flow_event::CLOSED];
    let record = first_to_give_up(case, &ends)?;
    // what lies there unread the peer has sent; and it would send more, if this end took it
    let reader_is_slow = has(record, flow_flag::UNREAD_DATA)
        || case.exchange.inbound.as_ref().is_some_and(|peer| peer.has(flow_flag::UNSENT_DATA));
    (!reader_is_slow && !has(record, flow_flag::FIN_RECEIVED)).then(|| found(case, record)).flatten()
}

/// The first that says so; a response that is still coming when it is looked at has time.
fn first_to_give_up<'a>(case: &Case<'a>, ends: &[u8]) -> Option<&'a FlowRecord> {
    let gives_up = |record: &&FlowRecord| record.event != flow_event::WAITING || has_waited(case, record);
    case.end?.records().iter().find(|record| ends.contains(&record.event) && gives_up(record))
}

/// Whether nothing came for as long as makes waiting a failure, though nobody has given up.
fn has_waited(case: &Case<'_>, waiting: &FlowRecord) -> bool {
    stalled(waiting) >= case.slow().max(PATIENCE) && !has(waiting, flow_flag::UNREAD_DATA)
}

fn found(case: &Case<'_>, record: &FlowRecord) -> Option<Finding> {
    if !case.is_http() || !is_cut(record) || has(record, flow_flag::UPGRADED | flow_flag::UNSENT_DATA) {
        return None;
    }
    let is_stream = record.body_expected == BODY_CHUNKED;
    let patience = if is_stream { case.slow().max(PATIENCE) } else { PATIENCE };
    if record.body_expected == BODY_UNKNOWN || stalled(record) < patience {
        return None;
    }
    let mut finding = case.finding(Slug::IncompleteResponse, record, 504, words);
    if is_stream {
        // a stream of events looks the same up to the moment when its reader leaves
        finding.confidence = Confidence::Likely;
        finding.alternatives = if case.role == Role::Inbound { &[Slug::ClientAbort] } else { &[] };
    }
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name, peer) = (flow_text::request(case.exchange), case.name(record), case.peer(record));
    let (so_far, silent) = (body(record), text::duration(stalled(record)));
    if case.role == Role::Outbound {
        let summary = format!(
            "{peer} stopped in the middle of its response to {request} of {name} ({so_far}): {silent} later {name} gave up."
        );
        let next =
            format!("Find out at {peer} what its response waited for: run wherefore there, or look into its log.");
        return case.words(record, summary, next);
    }
    let summary =
        format!("{name} stopped in the middle of its response to {request} ({so_far}): {silent} later {peer} gave up.");
    let next = format!("See what {name} was waiting for, and whether it announces more than it sends.");
    case.words(record, summary, next)
}
