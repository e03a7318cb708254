//! app-status: the app, or the upstream that was asked, answered a watched status.

use super::{Case, Finding, Words, health_check_failed};
use crate::engine::flow_text;
use crate::record::flow_event;
use crate::verdict::{Role, Slug};

pub(super) fn answered(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::RESPONSE)?;
    let is_watched = case.world.watches_status(record.status);
    // of a health check that is passed on more is a failure
    let is_passed_on = case.role == Role::Outbound && health_check_failed::fails(record);
    if !is_watched && !is_passed_on {
        return None;
    }
    let mut finding = case.finding(Slug::AppStatus, record, record.status, words);
    finding.only_as_cause = !is_watched;
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, status) = (flow_text::request(case.exchange), record.status);
    let after = flow_text::after(record);
    if case.role == Role::Outbound {
        let peer = case.peer(record);
        let summary = format!("{peer} answered {request} of {} with {status}{after}.", case.name(record));
        let next = format!("Look into the log of the app at {peer} at that time, or run wherefore there.");
        return case.words(record, summary, next);
    }
    let name = case.name(record);
    let summary = format!("{name} answered {request} with {status}{after}.");
    let next = match status {
        429 => format!("Look at the rate limits of {name} and at who sends so much."),
        401 | 403 => format!("Look at the access rules of {name} for that path and client, and into its log."),
        _ => format!("Look into the log of {name} at that time{}.", flow_text::journal(case.process(record).as_ref())),
    };
    case.words(record, summary, next)
}
