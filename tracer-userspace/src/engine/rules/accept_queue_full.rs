//! accept-queue-full: the SYN or the last ACK reached a listener that had no room for the connection.

use super::{Case, Finding, Words};
use crate::engine::evidence::{Fact, Full, What};
use crate::engine::text;
use crate::verdict::{Confidence, Event, Evidence, Role, Slug};

pub(super) fn dropped(case: &Case<'_>) -> Option<Finding> {
    let (fact, full) = decisive(case)?;
    let after = |what: &What| matches!(what, What::ResetReceived | What::Icmp(_));
    if !full.aborts && case.attempt.last_of(after).is_some_and(|time| time > fact.time) {
        // a SYN sent again was answered, if not by a connection
        return None;
    }
    Some(Finding {
        slug: Slug::AcceptQueueFull,
        role: Role::Inbound,
        confidence: Confidence::Certain,
        alternatives: &[],
        netns: fact.netns,
        flow: full.flow,
        time: fact.time,
        expected_status: Some(if full.aborts { 502 } else { 504 }),
        words,
    })
}

/// The RST that was sent for it, else the last packet that found no room.
fn decisive<'a>(case: &Case<'a>) -> Option<(&'a Fact, &'a Full)> {
    let facts = || case.attempt.listener_full();
    facts().find(|(_, full)| full.aborts).or_else(|| facts().next_back())
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let Some((_, full)) = decisive(case) else { return Words::default() };
    let end = finding.flow.responder;
    let enter = case.world.namespaces.enter(finding.netns);
    let (process, listener) = text::firewall_subject(case, finding);
    let evidence = listener.map(|detail| Evidence { time: finding.time, event: Event::Listener, detail });
    let (who, place) = (text::name(process.as_ref()), text::in_namespace(case, finding.netns));
    let packet = if full.last_ack { "last ACK of the handshake" } else { "SYN" };
    let outcome = if full.aborts { "answered by a RST" } else { "dropped" };
    let peer = finding.flow.initiator.socket_addr();
    let (summary, next) = if full.no_request && full.backlog <= full.limit {
        (
            format!(
                "The {packet} from {peer} was dropped{place}: the SYN queue of port {} is full and SYN cookies are off.",
                end.port
            ),
            format!(
                "Set `{enter}sysctl net.ipv4.tcp_syncookies=1`, or raise net.ipv4.tcp_max_syn_backlog and the backlog of \
                 {who}; look with `{enter}ss -tn state syn-recv 'sport = :{}'` at who leaves requests behind.",
                end.port
            ),
        )
    } else {
        (
            format!(
                "{} connections wait for {who} to accept them at {}{place} and the limit is {}, so the {packet} from \
                 {peer} was {outcome}.",
                full.backlog,
                end.socket_addr(),
                full.limit
            ),
            format!(
                "See why {who} accepts too slowly (`{enter}ss -ltn 'sport = :{}'` shows Recv-Q above Send-Q); a larger \
                 backlog in listen() and net.core.somaxconn only helps against bursts.",
                end.port
            ),
        )
    };
    Words { evidence: evidence.into_iter().collect(), process, summary, next }
}
