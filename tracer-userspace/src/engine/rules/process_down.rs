//! process-down: the SYN found no socket and nothing listens on the port, or (from the other end) a
//! RST answered our SYN.

use super::{Case, Finding, Words};
use crate::engine::attempt::errno;
use crate::engine::evidence::{DropClass, Dropped, Fact, What};
use crate::engine::exits::Exit;
use crate::engine::listeners;
use crate::engine::text;
use crate::engine::timing::LISTEN_RACE;
use crate::verdict::{Confidence, Event, Evidence, Slug};

/// The last SYN of the attempt that found no socket, unless netfilter dropped a later one.
pub(super) fn unfound<'a>(case: &Case<'a>) -> Option<(&'a Fact, &'a Dropped)> {
    let is_unfound = |dropped: &Dropped| dropped.class == DropClass::NoSocket && !dropped.syn_ack;
    let (fact, dropped) = case.attempt.drops().rev().find(|(_, dropped)| is_unfound(dropped))?;
    let later = case.attempt.netfilter_drops().next_back().is_some_and(|(other, _)| other.time > fact.time);
    (!later).then_some((fact, dropped))
}

/// Inbound: seen in the kernel that had no socket.
pub(super) fn no_socket(case: &Case<'_>) -> Option<Finding> {
    let (fact, dropped) = unfound(case)?;
    let mut finding = case.about_drop(Slug::ProcessDown, fact, dropped, words_inbound);
    finding.expected_status = Some(502);
    if covering_listener(case, &finding).is_some_and(|listener| !began_near(listener, fact)) {
        // it does listen, but this SYN did not get there: bound to one interface, for instance
        finding.confidence = Confidence::Likely;
        finding.alternatives = &[Slug::WrongBindAddress];
    }
    Some(finding)
}

/// Outbound: a closed port answers so, and a firewall can.
pub(super) fn reset_received(case: &Case<'_>) -> Option<Finding> {
    let own = case.own_view()?;
    let reset = case.attempt.last_of(|what| matches!(what, What::ResetReceived));
    let refused = || case.attempt.socket_error().filter(|(_, error)| *error == errno::ECONNREFUSED);
    let time = reset.or_else(|| refused().map(|(fact, _)| fact.time))?;
    let mut finding = Case::about_own(Slug::ProcessDown, own, time, words_outbound);
    finding.confidence = Confidence::Likely;
    finding.alternatives = &[Slug::FirewallReject];
    finding.expected_status = Some(502);
    Some(finding)
}

/// A listener that should have taken the SYN, as far as addresses say.
fn covering_listener<'a>(case: &Case<'a>, finding: &Finding) -> Option<&'a listeners::Entry> {
    let end = finding.flow.responder;
    let listeners = &case.world.listeners;
    let then = listeners.at(finding.netns, end.port, finding.time).find(|entry| entry.covers(end.ip()));
    then.or_else(|| listeners.covering(finding.netns, end))
}

/// Whether it began about when the SYN came, or after it.
fn began_near(listener: &listeners::Entry, fact: &Fact) -> bool {
    listener.since.is_some_and(|since| since.after(LISTEN_RACE) >= fact.time)
}

fn words_inbound(case: &Case<'_>, finding: &Finding) -> Words {
    let end = finding.flow.responder;
    let port = end.port;
    let enter = case.world.namespaces.enter(finding.netns);
    let mut words = Words::default();
    if let Some(listener) = covering_listener(case, finding) {
        let process = text::listener_process(case, listener);
        let since = listener.since.unwrap_or(finding.time);
        let detail = format!("{} listens on {}", text::name(process.as_ref()), text::bound(listener, port));
        words.evidence.push(Evidence { time: since.max(case.attempt.started), event: Event::Listener, detail });
        words.summary = format!(
            "The SYN from {} to {} found no socket, though {} listens on {}{}.",
            finding.flow.initiator.socket_addr(),
            end.socket_addr(),
            text::name(process.as_ref()),
            text::bound(listener, port),
            if finding.confidence == Confidence::Certain { " by now: it was being started" } else { "" },
        );
        words.next = format!(
            "If this repeats, look at whether the socket is bound to one interface: `{enter}ss -ltnp 'sport = :{port}'` \
             shows it as ADDRESS%INTERFACE."
        );
        words.process = process;
        return words;
    }
    let last = case.world.listeners.last_gone(finding.netns, port, finding.time);
    let mut process = last.and_then(|listener| text::listener_process(case, listener));
    let place = text::in_namespace(case, finding.netns);
    let detail = format!("nothing listens on port {port} at any address{place}");
    words.evidence.push(Evidence { time: finding.time, event: Event::NoListener, detail });
    let who = text::name(process.as_ref());
    let mut past = match last.and_then(|listener| listener.gone) {
        Some(gone) => format!("{who} stopped listening {} before", text::duration(finding.time.since(gone))),
        None => "nothing has listened there while recording".to_owned(),
    };
    words.next = text::start_the_process(process.as_ref(), port, &enter);
    if let Some((process, exit)) = process.as_mut().zip(last.and_then(|listener| ended(case, listener))) {
        process.exit = Some(exit.text());
        past = format!("{past}, and {}", exit.words());
        let event = if exit.oom_killed { Event::OomKill } else { Event::ProcessExited };
        words.evidence.push(Evidence { time: exit.time, event, detail: format!("{who} {}", exit.words()) });
        if exit.oom_killed {
            words.next =
                format!("Give it more memory, or find what took it: `journalctl -k -g 'oom-kill'`. {}", words.next);
        }
    }
    words.summary = format!(
        "Nothing listens on port {port}{place}: the kernel refused the SYN from {} with a RST; {past}.",
        finding.flow.initiator.socket_addr(),
    );
    words.process = process;
    words
}

/// How the process that held a listener ended, if it has. An end from before the listener began was
/// that of another process with the same number.
fn ended<'a>(case: &Case<'a>, listener: &listeners::Entry) -> Option<&'a Exit> {
    let exit = case.world.exits.last(listener.pid?, case.now)?;
    listener.since.is_none_or(|since| since <= exit.time).then_some(exit)
}

fn words_outbound(case: &Case<'_>, finding: &Finding) -> Words {
    let remote = finding.flow.responder.socket_addr();
    let process = text::connecting_process(case);
    Words {
        evidence: Vec::new(),
        summary: format!(
            "{remote} answered the SYN of {} with a RST: nothing listens there, or a firewall there rejects so.",
            text::name(process.as_ref())
        ),
        next: format!(
            "On {}, run `ss -ltn 'sport = :{}'` to see whether anything listens, or run wherefore there to tell a \
             stopped process from a firewall.",
            remote.ip(),
            remote.port()
        ),
        process,
    }
}
