//! protocol-mismatch: the peer began with another protocol than the app speaks.

use super::case::after_peers_fin;
use super::{Case, Finding, Words};
use crate::engine::flows::{CLOSES, has};
use crate::record::{FlowRecord, flow_event, flow_flag, stage};
use crate::verdict::Slug;

pub(super) fn answered(case: &Case<'_>) -> Option<Finding> {
    if case.end?.has(flow_flag::SUCCEEDED_BEFORE) {
        return None;
    }
    error(case).or_else(|| alert(case)).or_else(|| closed(case))
}

/// An HTTP error answers what is no plain HTTP/1.
fn error(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::RESPONSE)?;
    let proxied = has(record, flow_flag::PROXY_HEADER) && record.status == 400;
    let refused = proxied || (case.is_encrypted() && record.status >= 400);
    refused.then(|| case.finding(Slug::ProtocolMismatch, record, 502, words))
}

/// A TLS alert answers plain HTTP.
fn alert(case: &Case<'_>) -> Option<Finding> {
    let record = case.of(flow_event::MALFORMED).filter(|record| has(record, flow_flag::ALERT_SENT))?;
    (!case.is_encrypted()).then(|| case.finding(Slug::ProtocolMismatch, record, 502, words))
}

/// A FIN or RST, and not one byte before it.
fn closed(case: &Case<'_>) -> Option<Finding> {
    let record = case.first_of(&CLOSES)?;
    let ends = [flow_event::FIN_RECEIVED, flow_event::RESET_RECEIVED, flow_event::UNANSWERED, flow_event::TIMED_OUT];
    let left = after_peers_fin(record) || case.first_of(&ends).is_some();
    let dying = has(record, flow_flag::TASK_EXITING) || case.exit_at(record).is_some();
    let by_app = record.stage != stage::NOT_ACCEPTED && !dying;
    if !case.is_encrypted() || record.sent != 0 || left || !by_app {
        return None;
    }
    Some(case.finding(Slug::ProtocolMismatch, record, 502, words))
}

/// What the peer began with.
pub(in crate::engine) fn spoken(record: &FlowRecord) -> &'static str {
    match record.flags {
        flags if flags & flow_flag::TLS != 0 => "TLS",
        flags if flags & flow_flag::HTTP2 != 0 => "HTTP/2",
        flags if flags & flow_flag::PROXY_HEADER != 0 => "a PROXY protocol header",
        flags if flags & flow_flag::NOT_HTTP != 0 => "bytes that are no HTTP",
        _ => "plain HTTP",
    }
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let (name, peer, spoken) = (case.name(record), case.peer(record), spoken(record));
    let answer = match record.event {
        flow_event::RESPONSE => format!("answered {}", record.status),
        flow_event::MALFORMED => "answered with a TLS alert".to_owned(),
        flow_event::RESET_SENT => "reset the connection without a word".to_owned(),
        _ => "closed the connection without a word".to_owned(),
    };
    let summary = format!("{peer} began with {spoken}, and {name} {answer}: it expects another protocol.");
    let next = match record.flags & flow_flag::PROXY_HEADER {
        0 => "Make the protocol of the balancer's target group fit the port: HTTP or HTTPS, HTTP/1.1, HTTP/2 or gRPC.",
        _ => "Switch the PROXY protocol on at both ends, or off at both.",
    };
    case.words(record, summary, next.to_owned())
}
