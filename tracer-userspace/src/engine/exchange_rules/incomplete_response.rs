//! incomplete-response: a response began, then stopped short of what it had announced, until the peer
//! gave up.

use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{CLOSES, body, has, is_cut, is_open, stalled};
use crate::engine::text;
use crate::engine::timing::PATIENCE;
use crate::record::{BODY_CHUNKED, BODY_UNKNOWN, FlowRecord, flow_event, flow_flag};
use crate::verdict::{Confidence, Role, Slug};

/// The peer lost patience.
pub(super) fn inbound(case: &Case<'_>) -> Option<Finding> {
    let record = case.first_of(&[flow_event::WAITING, flow_event::RESET_RECEIVED, flow_event::FIN_RECEIVED])?;
    if record.event == flow_event::FIN_RECEIVED && stalled(record) < case.slow() {
        // it may have been half a close
        let end = case.first_of(&[flow_event::RESET_RECEIVED]).or_else(|| case.first_of(&CLOSES));
        end.filter(|end| is_open(end))?;
    }
    found(case, record)
}

/// This end lost patience.
pub(super) fn outbound(case: &Case<'_>) -> Option<Finding> {
    let ends = [flow_event::WAITING, flow_event::FIN_SENT, flow_event::RESET_SENT, flow_event::CLOSED];
    let record = case.first_of(&ends).filter(|record| !has(record, flow_flag::FIN_RECEIVED))?;
    found(case, record)
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
