//! idle-flow-expired: data after a long idle time was answered by a RST without a FIN, or by nothing.

use super::case::after_peers_fin;
use super::{Case, Finding, Words};
use crate::engine::flows::{CLOSES, has, idle, is_open, latency, time, went_on};
use crate::engine::text;
use crate::engine::timing::LONG_IDLE;
use crate::record::{FlowRecord, flow_event, flow_flag};
use crate::verdict::{Confidence, Slug};

/// Our request.
pub(super) fn outbound(case: &Case<'_>) -> Option<Finding> {
    let record = refused(case)?;
    (idle(record) >= LONG_IDLE && is_open(record)).then(|| found(case, record))
}

/// Our response.
pub(super) fn inbound(case: &Case<'_>) -> Option<Finding> {
    let record = refused(case)?;
    latency(record).is_some_and(|latency| latency >= LONG_IDLE).then(|| found(case, record))
}

fn found(case: &Case<'_>, record: &FlowRecord) -> Finding {
    let mut finding = case.finding(Slug::IdleFlowExpired, record, 502, words);
    finding.confidence = Confidence::Likely;
    finding.alternatives = &[Slug::KeepaliveRace, Slug::PeerVanished];
    finding
}

/// The peer's RST with no FIN before it; or silence, until either gave up.
fn refused<'a>(case: &Case<'a>) -> Option<&'a FlowRecord> {
    let reset = case.of(flow_event::RESET_RECEIVED);
    if let Some(reset) = reset.filter(|reset| !after_peers_fin(reset) && !has(reset, flow_flag::FIN_SENT)) {
        return case.of(flow_event::FIN_RECEIVED).is_none().then_some(reset);
    }
    silence(case)
}

/// Retransmissions that nothing answered, until the kernel or the app gave up.
pub(super) fn silence<'a>(case: &Case<'a>) -> Option<&'a FlowRecord> {
    if let Some(record) = case.of(flow_event::TIMED_OUT) {
        return Some(record);
    }
    let silent = case.of(flow_event::UNANSWERED)?;
    case.first_of(&CLOSES).filter(|end| time(end) >= time(silent) && !went_on(end, silent))
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (name, peer) = (case.name(record), case.peer(record));
    let idle = text::duration(latency(record).unwrap_or_default().max(idle(record)));
    let how = if record.event == flow_event::RESET_RECEIVED { "A RST" } else { "Nothing" };
    let summary = format!(
        "{how} answered what {name} sent to {peer} after {idle} of silence: something in between had forgotten the \
         connection."
    );
    let next = "Switch TCP keep-alive on with a time below the limit in between (SO_KEEPALIVE and \
                net.ipv4.tcp_keepalive_time=60), or close pooled connections sooner."
        .to_owned();
    case.words(record, summary, next)
}
