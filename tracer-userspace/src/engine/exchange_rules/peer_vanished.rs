//! peer-vanished: the connection was established; then nothing that was sent was acknowledged any more.

use super::idle_flow_expired::silence;
use super::{Case, Finding, Words};
use crate::engine::flow_text;
use crate::engine::flows::{has, is_open};
use crate::record::{flow_event, flow_flag};
use crate::verdict::{Role, Slug};

pub(super) fn gave_up(case: &Case<'_>) -> Option<Finding> {
    let record = silence(case)?;
    let open = record.request_start_ns != 0 && is_open(record);
    let retransmitted = case.of(flow_event::UNANSWERED).is_some() || record.retransmits > 0;
    // of a whole response only the FIN may have been lost, and mere probes ask for nothing
    let fin_only = has(record, flow_flag::RESPONSE_COMPLETE) && has(record, flow_flag::FIN_SENT);
    (open || retransmitted && !fin_only).then(|| case.finding(Slug::PeerVanished, record, 504, words))
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (name, peer) = (case.name(record), case.peer(record));
    let what = if finding.role == Role::Outbound {
        flow_text::request(case.exchange)
    } else {
        format!("its response to {}", flow_text::request(case.exchange))
    };
    let gave_up = match record.event {
        flow_event::TIMED_OUT => "the kernel gave up".to_owned(),
        _ => format!("{name} gave up"),
    };
    let summary = format!("{peer} stopped answering: {name} sent {what} again and again until {gave_up}.");
    let next = format!(
        "See whether {peer} was stopped or moved at that time; if only large packets vanish, allow ICMP type 3 code 4."
    );
    case.words(record, summary, next)
}
