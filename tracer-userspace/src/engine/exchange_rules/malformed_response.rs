//! malformed-response: where an HTTP response was due the app sent something else.

use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::has;
use crate::record::{flow_event, flow_flag};
use crate::verdict::Slug;

pub(super) fn sent(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::MALFORMED)?;
    let due = case.is_http() && !case.is_encrypted() && !has(record, flow_flag::UPGRADED);
    due.then(|| case.finding(Slug::MalformedResponse, record, 502, words))
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (request, name) = (flow_text::request(case.exchange), case.name(record));
    let summary = format!("What {name} sent for {request} is no HTTP response{}.", flow_text::malformed(case.exchange));
    let next = format!(
        "See what {name} writes there: a stray print, another protocol, or a body where none may be (HEAD, 204, 304)."
    );
    case.words(record, summary, next)
}
