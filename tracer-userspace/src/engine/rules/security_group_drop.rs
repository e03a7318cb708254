//! security-group-drop: the SYN left this host and nothing came back.

use super::{Case, Finding, Words};
use crate::engine::namespaces::Place;
use crate::engine::text;
use crate::record::{Neighbour, PathReport};
use crate::verdict::{Confidence, Event, Evidence, Slug};

/// What silence also looks like.
const ALTERNATIVES: &[Slug] = &[Slug::FirewallDrop, Slug::FirewallReject, Slug::RemoteDown, Slug::ReturnPathDrop];

/// The same while other connections to that end progress.
const ALTERNATIVES_ALIVE: &[Slug] = &[Slug::FirewallDrop, Slug::FirewallReject, Slug::ReturnPathDrop];

pub(super) fn silence(case: &Case<'_>) -> Option<Finding> {
    case.attempt.own.as_ref()?;
    let own = case.own_view().filter(|own| own.flow.initiator.port != 0 && case.is_silent())?;
    let path = path(case, &own.flow.responder, own.netns);
    let is_local = path.is_some_and(|path| path.local)
        || case.world.namespaces.place(own.netns, own.flow.responder.address) == Place::Here;
    if is_local {
        // nothing between a host and itself but its own kernel, which was seen dropping nothing
        return None;
    }
    let mut finding = Case::about_own(Slug::SecurityGroupDrop, own, case.silence_time(), words);
    finding.confidence = Confidence::Likely;
    let alive = path.is_some_and(|path| path.progressing_flows > 0);
    finding.alternatives = if alive { ALTERNATIVES_ALIVE } else { ALTERNATIVES };
    finding.expected_status = Some(504);
    Some(finding)
}

fn path<'a>(case: &Case<'a>, end: &crate::engine::evidence::Endpoint, netns: u32) -> Option<&'a PathReport> {
    case.world.path_to(netns, *end, case.attempt.started).map(|(_, path)| path)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let process = text::connecting_process(case);
    let end = finding.flow.responder;
    let remote = end.socket_addr();
    let mut evidence = Vec::new();
    let retransmits = case.attempt.own.as_ref().map_or(0, |own| own.retransmits);
    let waited = finding.time.since(case.attempt.started);
    if case.attempt.closed().is_none() {
        let detail = format!("no SYN-ACK, RST or ICMP error within {}", text::duration(waited));
        evidence.push(Evidence { time: finding.time, event: Event::NoAnswer, detail });
    }
    let mut alive = String::new();
    if let Some((time, path)) = case.world.path_to(finding.netns, end, case.attempt.started) {
        if path.neighbour == Neighbour::Resolved {
            let hop = path.gateway.unwrap_or(remote.ip());
            let detail = format!("link address of next hop {hop} is known");
            evidence.push(Evidence { time, event: Event::NeighbourResolved, detail });
        }
        if path.progressing_flows > 0 {
            let detail = format!("{} established connections to {remote} still progress", path.progressing_flows);
            evidence.push(Evidence { time, event: Event::OtherFlowsProgress, detail });
            "; connections made earlier still work, which speaks for a stateful filter".clone_into(&mut alive);
        }
    }
    let again = match retransmits {
        0 => "the SYN".to_owned(),
        1 => "the SYN, sent twice,".to_owned(),
        n => format!("the SYN, sent {} times,", n.saturating_add(1)),
    };
    Words {
        evidence,
        summary: format!(
            "Nothing answered {again} of {} to {remote} within {}: something on the way drops it{alive}.",
            text::name(process.as_ref()),
            text::duration(waited),
        ),
        next: format!(
            "Look at the security groups and network ACLs between {} and {remote} (inbound TCP {} there, outbound here); \
             run wherefore on {} to see whether the SYN arrives.",
            finding.flow.initiator.ip(),
            remote.port(),
            remote.ip(),
        ),
        process,
    }
}
