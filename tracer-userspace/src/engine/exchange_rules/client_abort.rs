//! client-abort: the peer left with a request unanswered, before it had waited suspiciously long.

use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{has, is_cut, is_open, is_unanswered, stalled, time, waited, was_delivered, went_on};
use crate::engine::text;
use crate::engine::timing::PATIENCE;
use crate::record::{BODY_CHUNKED, BODY_UNKNOWN, FlowRecord, flow_event, flow_flag};
use crate::verdict::{Confidence, Slug};

/// What tells after a FIN whether its sender had left.
const AFTER_FIN: [u8; 5] =
    [flow_event::WAITING, flow_event::RESET_RECEIVED, flow_event::FIN_SENT, flow_event::RESET_SENT, flow_event::CLOSED];

/// Its FIN came first. That may be half a close: what follows tells.
pub(super) fn left_first(case: &Case<'_>) -> Option<Finding> {
    let fin = case.of(flow_event::FIN_RECEIVED)?;
    let end = case.first_of(&AFTER_FIN).filter(|end| time(end) >= time(fin))?;
    // whoever closed only half of it waits, and takes what is sent; a RST that answers nothing ends that
    let waited_on = case.left().is_none() && is_unanswered(end);
    let takes = end.event == flow_event::WAITING && went_on(end, fin);
    if takes || waited_on && matches!(end.event, flow_event::WAITING | flow_event::RESET_RECEIVED) {
        return None;
    }
    let unheard = end.event == flow_event::RESET_RECEIVED && is_unanswered(fin);
    if !is_open(end) && !unheard {
        return None;
    }
    aborted(case, fin)
}

/// Its RST came.
pub(super) fn gone(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::RESET_RECEIVED)?;
    is_open(record).then(|| aborted(case, record)).flatten()
}

fn aborted(case: &Case<'_>, record: &FlowRecord) -> Option<Finding> {
    if !case.is_http() || has(record, flow_flag::UPGRADED) || case.answered_for {
        return None;
    }
    if is_cut(record) {
        // an endless response ends when its reader leaves; one that has stopped is the app's failure
        let endless = matches!(record.body_expected, BODY_UNKNOWN | BODY_CHUNKED);
        let stopped = stalled(record) >= PATIENCE && !has(record, flow_flag::UNSENT_DATA);
        if endless || stopped {
            return None;
        }
    } else if waited(record) >= case.slow() && was_delivered(record) {
        return None;
    }
    let mut finding = case.finding(Slug::ClientAbort, record, 460, words);
    if is_unanswered(record) && was_delivered(record) && waited(record) > PATIENCE {
        finding.confidence = Confidence::Likely;
        finding.alternatives = &[Slug::AppTimeout];
    }
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name, peer) = (flow_text::request(case.exchange), case.name(record), case.peer(record));
    let how = if record.event == flow_event::RESET_RECEIVED { "reset" } else { "closed" };
    let after = text::duration(waited(record));
    let summary = if is_cut(record) {
        format!("{peer} {how} the connection in the middle of the response to {request}.")
    } else if was_delivered(record) {
        format!("{peer} {how} the connection {after} after it had sent {request}, which {name} had not answered.")
    } else {
        format!("{peer} {how} the connection in the middle of {request}.")
    };
    let next = if let Some(waiting) = case.of(flow_event::WAITING).filter(|waiting| is_unanswered(waiting)) {
        let still = text::duration(waited(waiting));
        format!("{name} had not answered {still} after the request either: see what it was doing.")
    } else if finding.alternatives.is_empty() {
        "Nothing to do here, unless many clients leave: then compare their time-outs with the slowest paths.".to_owned()
    } else {
        format!("Compare the time-outs of the clients with how long {name} takes for that path.")
    };
    case.words(record, summary, next)
}
