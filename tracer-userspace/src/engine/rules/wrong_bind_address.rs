//! wrong-bind-address: the SYN found no socket, and a listener on its port does not cover the
//! address that the SYN was sent to.

use super::process_down::unfound;
use super::{Case, Finding, Words};
use crate::engine::text;
use crate::verdict::{Event, Evidence, Slug};

pub(super) fn no_socket(case: &Case<'_>) -> Option<Finding> {
    let (fact, dropped) = unfound(case)?;
    let end = dropped.flow.responder;
    let mut there = case.world.listeners.at(fact.netns, end.port, fact.time).peekable();
    there.peek()?;
    if there.any(|listener| listener.covers(end.ip())) {
        return None;
    }
    let mut finding = case.about_drop(Slug::WrongBindAddress, fact, dropped, words);
    finding.expected_status = Some(502);
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let end = finding.flow.responder;
    let listener = case.world.listeners.at(finding.netns, end.port, finding.time).next();
    let process = listener.and_then(|listener| text::listener_process(case, listener));
    let bound = listener.map_or_else(String::new, |listener| text::bound(listener, end.port));
    let who = text::name(process.as_ref());
    let time = listener
        .and_then(|listener| listener.since)
        .map_or(case.attempt.started, |since| since.max(case.attempt.started));
    let detail = format!("{who} listens on {bound}, which does not take {}", end.ip());
    let any = if end.is_v4() { "0.0.0.0" } else { "[::]" };
    Words {
        evidence: vec![Evidence { time: time.min(finding.time), event: Event::Listener, detail }],
        summary: format!(
            "{who} listens on {bound} only, so the SYN from {} to {} found no socket and was refused with a RST.",
            finding.flow.initiator.socket_addr(),
            end.socket_addr(),
        ),
        next: format!(
            "Make {who} listen on {any}:{port} or {wanted}, or send clients to {bound}; \
             `{enter}ss -ltnp 'sport = :{port}'` shows what it is bound to.",
            port = end.port,
            wanted = end.socket_addr(),
            enter = case.world.namespaces.enter(finding.netns),
        ),
        process,
    }
}
