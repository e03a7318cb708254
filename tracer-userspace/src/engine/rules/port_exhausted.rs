//! port-exhausted: connect() found no local port that is free towards this destination.

use super::{Case, Finding, Words};
use crate::engine::attempt::errno;
use crate::engine::evidence::What;
use crate::engine::text;
use crate::verdict::{Event, Evidence, Slug};

/// The socket went from `SYN_SENT` to CLOSE without a source port, and so without a SYN: that is how
/// `tcp_v4_connect` gives up when `inet_hash_connect` returns `EADDRNOTAVAIL`.
pub(super) fn no_port(case: &Case<'_>) -> Option<Finding> {
    let own = case.attempt.own.as_ref().filter(|own| own.started.is_some() && own.syns_sent == 0)?;
    let view = case.own_view().filter(|view| view.flow.initiator.port == 0)?;
    let (time, error) = case.attempt.facts().iter().find_map(|fact| match fact.what {
        What::Closed(error) => Some((fact.time, error)),
        _ => None,
    })?;
    if own.retransmits > 0 || !matches!(error, 0 | errno::EADDRNOTAVAIL) || !case.is_silent() {
        return None;
    }
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
