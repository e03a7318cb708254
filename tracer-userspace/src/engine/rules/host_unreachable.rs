//! host-unreachable: the next hop's address could not be found, or an ICMP error says that the host
//! cannot be reached.

use super::firewall_reject::{Answer, received, words_of_answer};
use super::{Case, Finding, Words};
use crate::engine::attempt::errno;
use crate::engine::evidence::{DropClass, What};
use crate::engine::icmp::Meaning;
use crate::engine::text;
use crate::record::{BootTime, Neighbour};
use crate::verdict::{Event, Evidence, Role, Slug};

/// A kernel of this host dropped the SYN because nobody answered for the next hop's address.
pub(super) fn neighbour(case: &Case<'_>) -> Option<Finding> {
    let failed = |class| class == DropClass::NeighbourFailed;
    let (fact, dropped) = case.attempt.drops().rev().find(|(_, dropped)| failed(dropped.class) && !dropped.syn_ack)?;
    let mut finding = case.about_drop(Slug::HostUnreachable, fact, dropped, words_neighbour);
    if let Some(own) = &case.attempt.own {
        finding.role = Role::Outbound;
        finding.flow = own.flow;
    } else if finding.role == Role::Inbound {
        finding.role = Role::Forwarded;
    }
    finding.expected_status = Some(502);
    Some(finding)
}

/// A router says so.
pub(super) fn icmp_answer(case: &Case<'_>) -> Option<Finding> {
    let (fact, _) = received(case).filter(|(_, error)| error.meaning == Meaning::HostUnreachable)?;
    let mut finding = Case::about_own(Slug::HostUnreachable, case.own_view()?, fact.time, words_icmp);
    finding.expected_status = Some(502);
    Some(finding)
}

/// The look at the way, or the socket's error, says so.
pub(super) fn path(case: &Case<'_>) -> Option<Finding> {
    let own = case.own_view()?;
    let path = case.world.path_to(own.netns, own.flow.responder, case.attempt.started);
    let error = case.attempt.socket_error().filter(|(_, error)| *error == errno::EHOSTUNREACH);
    let unsent = case.attempt.first(|what| *what == What::ConnectUnsent { error: errno::EHOSTUNREACH });
    let unresolved = path.is_some_and(|(_, path)| matches!(path.neighbour, Neighbour::Failed | Neighbour::Incomplete));
    let no_way = path.is_some_and(|(_, path)| path.route_error == errno::EHOSTUNREACH);
    let (time, alternatives): (BootTime, &'static [Slug]) = match (error, unsent) {
        (_, Some(time)) => (time, &[]),
        (Some((fact, _)), _) if unresolved => (fact.time, &[]),
        (Some((fact, _)), _) => (fact.time, &[Slug::FirewallReject]),
        (None, None) if !case.is_silent() => return None,
        (None, None) if no_way => (path?.0, &[]),
        (None, None) if unresolved => (case.silence_time(), &[Slug::RemoteDown]),
        (None, None) => return None,
    };
    let mut finding = Case::about_own(Slug::HostUnreachable, own, time, words_neighbour);
    finding.or(alternatives);
    finding.expected_status = Some(502);
    Some(finding)
}

fn words_neighbour(case: &Case<'_>, finding: &Finding) -> Words {
    let process = text::connecting_process(case);
    let remote = finding.flow.responder.socket_addr();
    let path = case.world.path_to(finding.netns, finding.flow.responder, case.attempt.started);
    let gateway = path.and_then(|(_, path)| path.gateway);
    let hop = gateway.unwrap_or(remote.ip());
    let enter = case.world.namespaces.enter(finding.netns);
    let evidence = path.and_then(|(time, path)| {
        let state = match path.neighbour {
            Neighbour::Failed => "failed: nobody answered for it",
            Neighbour::Incomplete => "incomplete: nobody has answered for it yet",
            Neighbour::Unknown | Neighbour::Resolved => return None,
        };
        Some(Evidence { time, event: Event::NeighbourFailed, detail: format!("neighbour entry of {hop} is {state}") })
    });
    let whose = text::namespace_or_host(case, finding.netns);
    let asked =
        evidence.is_some() || case.attempt.drops().any(|(_, dropped)| dropped.class == DropClass::NeighbourFailed);
    let why = match path.map(|(_, path)| path.route_error) {
        Some(errno::EHOSTUNREACH) => format!("the {whose} has a route that says so (type unreachable)"),
        _ if !asked => format!("connect() from the {whose} failed with EHOSTUNREACH"),
        _ if gateway.is_some() => format!("the {whose} asked for the link address of gateway {hop} and got no answer"),
        _ => format!("the {whose} asked for its link address and got no answer"),
    };
    Words {
        evidence: evidence.into_iter().collect(),
        summary: format!("{remote} cannot be reached: {why}."),
        next: format!(
            "See whether {hop} is up and on the right network: `{enter}ip neigh show {hop}` and \
             `{enter}ip route get {}`.",
            remote.ip()
        ),
        process,
    }
}

fn words_icmp(case: &Case<'_>, finding: &Finding) -> Words {
    words_of_answer(case, finding, |Answer { remote, name, sender, .. }| {
        let address = remote.ip();
        (
            format!("{remote} cannot be reached: {sender} answered the SYN with {name}."),
            format!(
                "See whether {address} is up, and from {sender} whether its link is: nobody answers for its address there."
            ),
        )
    })
}
