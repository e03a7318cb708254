//! health-check-failed: a health check was answered otherwise than 2xx, or too late.

use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{flow_of, has, latency};
use crate::engine::timing::HEALTH_CHECK_WITHIN;
use crate::record::{FlowRecord, flow_event, flow_flag};
use crate::shell;
use crate::verdict::Slug;

pub(super) fn answered(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::RESPONSE)?;
    fails(record).then(|| case.finding(Slug::HealthCheckFailed, record, 503, words))
}

/// Whether this response fails a health check.
pub(super) fn fails(response: &FlowRecord) -> bool {
    let is_check = has(response, flow_flag::HEALTH_CHECK) && response.status != 0;
    let late = latency(response).is_some_and(|latency| latency > HEALTH_CHECK_WITHIN);
    is_check && (late || !(200..300).contains(&response.status))
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name) = (flow_text::request(case.exchange), case.name(record));
    let (status, after) = (record.status, flow_text::after(record));
    let summary =
        format!("The health check {request} of {} was answered with {status} by {name}{after}.", case.peer(record));
    let path = flow_text::path(case.exchange);
    let enter = case.world.namespaces.enter(record.header.netns);
    let next = match status {
        200..=299 => format!("Find out what {path} waits for: a health check should depend on this instance only."),
        300..=399 => format!("Point the health check at the final path: {path} redirects."),
        401 | 403 => format!("Let health checks of {path} pass without authentication."),
        _ => {
            let url = format!("http://{}{path}", flow_of(record).responder.socket_addr());
            format!("Ask for it yourself: `{enter}curl -i {}`.", shell::word(&url))
        }
    };
    case.words(record, summary, next)
}
