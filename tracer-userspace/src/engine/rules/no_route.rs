//! no-route: this host has no route to the destination, or an ICMP error says that a router has none.

use super::firewall_reject::{Answer, received, words_of_answer};
use super::{Case, Finding, Words};
use crate::engine::attempt::errno;
use crate::engine::evidence::What;
use crate::engine::icmp::Meaning;
use crate::engine::text;
use crate::record::BootTime;
use crate::verdict::{Confidence, Event, Evidence, Slug};

/// A router says so; hops that ran out say that routers send it round in circles.
pub(super) fn icmp_answer(case: &Case<'_>) -> Option<Finding> {
    let (fact, error) = received(case)?;
    let mut finding = Case::about_own(Slug::NoRoute, case.own_view()?, fact.time, words_icmp);
    finding.expected_status = Some(502);
    match error.meaning {
        Meaning::NetUnreachable => {}
        Meaning::TimeExceeded => {
            finding.confidence = Confidence::Likely;
            finding.alternatives = &[Slug::HostUnreachable];
        }
        _ => return None,
    }
    Some(finding)
}

/// This host's own look-up says so.
pub(super) fn route_failed(case: &Case<'_>) -> Option<Finding> {
    let own = case.own_view()?;
    let failed = case
        .world
        .path_to(own.netns, own.flow.responder, case.attempt.started)
        .filter(|(_, path)| path.route_error == errno::ENETUNREACH);
    let unsent = case.attempt.facts().iter().find_map(|fact| match fact.what {
        What::ConnectUnsent { error } => Some((fact.time, error)),
        _ => None,
    });
    let error = case.attempt.socket_error().filter(|(_, error)| *error == errno::ENETUNREACH);
    let left = case.attempt.own.as_ref().is_some_and(|own| own.syns_sent > 0);
    let (time, alternatives): (BootTime, &'static [Slug]) = match (unsent, failed, error) {
        (Some((time, errno::ENETUNREACH)), ..) | (Some((time, 0)), Some(_), _) => (time, &[]),
        (None, Some((_, _)), Some((fact, _))) => (fact.time, &[]),
        (None, None, Some((fact, _))) => (fact.time, &[Slug::FirewallReject]),
        (None, Some((time, _)), None) if case.is_silent() && !left => (time, &[]),
        (None, Some((time, _)), None) if case.is_silent() => (time, &[Slug::SecurityGroupDrop]),
        _ => return None,
    };
    let mut finding = Case::about_own(Slug::NoRoute, own, time, words_local);
    finding.or(alternatives);
    finding.expected_status = Some(502);
    Some(finding)
}

fn words_local(case: &Case<'_>, finding: &Finding) -> Words {
    let process = text::connecting_process(case);
    let remote = finding.flow.responder.socket_addr();
    let enter = case.world.namespaces.enter(finding.netns);
    let path = case.world.path_to(finding.netns, finding.flow.responder, case.attempt.started);
    let evidence = path.filter(|(_, path)| path.route_error != 0).map(|(time, path)| {
        let detail = format!("route look-up for {}: {}", remote.ip(), text::error_name(path.route_error));
        Evidence { time, event: Event::NoRoute, detail }
    });
    Words {
        evidence: evidence.into_iter().collect(),
        summary: format!(
            "The {} has no route to {}, so the attempt of {} to connect to {remote} failed.",
            text::namespace_or_host(case, finding.netns),
            remote.ip(),
            text::name(process.as_ref()),
        ),
        next: format!(
            "Look at `{enter}ip route get {}` and `{enter}ip route show table all`, and add the route.",
            remote.ip()
        ),
        process,
    }
}

fn words_icmp(case: &Case<'_>, finding: &Finding) -> Words {
    words_of_answer(case, finding, |Answer { remote, name, sender, .. }| {
        let (port, address) = (remote.port(), remote.ip());
        (
            format!("There is no route to {remote}: {sender} answered the SYN with {name}."),
            format!("Look at the routes of {sender}, and with `traceroute -T -p {port} {address}` at the way there."),
        )
    })
}
