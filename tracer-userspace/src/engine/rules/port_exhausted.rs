//! port-exhausted: connect() found no local port that is free towards this destination.

use super::{Case, Finding, Words};
use crate::engine::text;
use crate::verdict::{Event, Evidence, Slug};

pub(super) fn no_port(case: &Case<'_>) -> Option<Finding> {
    let view = case.own_view().filter(|_| case.attempt.lacked_a_port() && case.is_silent())?;
    let time = case.attempt.closed()?;
    let mut finding = Case::about_own(Slug::PortExhausted, view, time, words);
    finding.expected_status = Some(502);
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let process = text::connecting_process(case);
    let remote = finding.flow.responder.socket_addr();
    let enter = case.world.namespaces.enter(finding.netns);
    let detail = format!("connect() to {remote} failed before a SYN was sent: EADDRNOTAVAIL, no local port was free");
    Words {
        evidence: vec![Evidence { time: finding.time, event: Event::ConnectFailed, detail }],
        summary: format!(
            "{} found no free local port to connect to {remote}{}: all of them are in use towards it.",
            text::name(process.as_ref()),
            text::in_namespace(case, finding.netns),
        ),
        next: format!(
            "Count them with `{enter}ss -tan 'dst {remote}'` (TIME-WAIT included), keep connections alive and pool them, or \
             widen `{enter}sysctl net.ipv4.ip_local_port_range`."
        ),
        process,
    }
}
