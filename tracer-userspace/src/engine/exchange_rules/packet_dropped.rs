//! firewall-drop, conntrack-full, kernel-drop, host-unreachable of an established connection: its packets were dropped
//! on this host, and nothing got through afterwards.

use std::iter::once;

use super::{Case, Finding, Words};
use crate::engine::conntrack::Fill;
use crate::engine::evidence::DropClass;
use crate::engine::flow_text;
use crate::engine::flows::{PacketDrop, flow_of, has, is_open, moment, time};
use crate::engine::rules::conntrack_full;
use crate::engine::text;
use crate::engine::timing::ANSWER_WAIT;
use crate::record::{FlowRecord, flow_event, flow_flag};
use crate::verdict::{Confidence, Role, Slug};

/// What shows that something did not get through.
const STUCK: [u8; 8] = [
    flow_event::UNANSWERED,
    flow_event::TIMED_OUT,
    flow_event::WAITING,
    flow_event::FIN_RECEIVED,
    flow_event::RESET_RECEIVED,
    flow_event::FIN_SENT,
    flow_event::RESET_SENT,
    flow_event::CLOSED,
];

pub(super) fn dropped(case: &Case<'_>) -> Option<Finding> {
    let record = case.first_of(&STUCK)?;
    let silent = matches!(record.event, flow_event::UNANSWERED | flow_event::TIMED_OUT);
    if !silent && !is_open(record) {
        return None;
    }
    let drop = case.drops().rev().find(|drop| stopped(case, record, drop))?;
    let fill = case.world.pressures.at_drops(drop.netns, &once(drop.time), case.now);
    let (slug, expected) = match (drop.class, case.role) {
        (DropClass::Netfilter, _) if fill.is_some() => (Slug::ConntrackFull, 504),
        (DropClass::Netfilter, _) => (Slug::FirewallDrop, 504),
        (DropClass::NeighbourFailed, Role::Outbound) => (Slug::HostUnreachable, 502),
        (DropClass::Other | DropClass::NeighbourFailed, _) => (Slug::KernelDrop, 504),
        (DropClass::NoSocket | DropClass::Ordinary, _) => return None,
    };
    let mut finding = case.finding(slug, record, expected, words);
    finding.time = finding.time.max(drop.time);
    finding.dropped = Some(*drop);
    if slug == Slug::ConntrackFull && matches!(fill, Some(Fill::NearlyFull(_))) {
        finding.confidence = Confidence::Likely;
        finding.alternatives = &[Slug::FirewallDrop];
    }
    Some(finding)
}

/// Whether this drop kept the exchange from going on: of what this end sent, if nothing of it got out
/// later; of what the peer sent, if that is still missing.
fn stopped(case: &Case<'_>, record: &FlowRecord, drop: &PacketDrop) -> bool {
    let flow = flow_of(record);
    let own = if case.role == Role::Outbound { flow.initiator } else { flow.responder };
    let (mine, theirs) = match case.role {
        Role::Outbound => (record.request_end_ns, record.response_end_ns),
        Role::Inbound | Role::Forwarded => (record.response_end_ns, record.request_end_ns),
    };
    let later = |ns: u64| moment(ns).is_some_and(|last| last > drop.time);
    if drop.time > time(record).after(ANSWER_WAIT) || drop.payload_len == 0 || drop.class == DropClass::NoSocket {
        return false;
    }
    if drop.from == own {
        return !later(mine) || matches!(record.event, flow_event::UNANSWERED | flow_event::TIMED_OUT);
    }
    let whole = case.role == Role::Inbound && has(record, flow_flag::REQUEST_COMPLETE);
    !whole && !later(theirs)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let record = &finding.record;
    let Some(drop) = finding.dropped else { return Words::default() };
    let (from, to) = (drop.from.socket_addr(), drop.to.socket_addr());
    let (why, what) = (flow_text::drop_cause(case.world, &drop), flow_text::request(case.exchange));
    let enter = case.world.namespaces.enter(drop.netns);
    let (who, next) = match finding.slug {
        Slug::FirewallDrop => (
            "The host firewall",
            format!(
                "Find the rule with `{enter}nft -a list ruleset` or `{enter}{} -c`: it drops packets of established \
                 connections.",
                text::lists_tables(drop.to)
            ),
        ),
        Slug::ConntrackFull => ("Connection tracking, its table full,", conntrack_full::room(&enter)),
        Slug::HostUnreachable => {
            ("The kernel", format!("See whether {} is still up, and look at `{enter}ip neigh`.", to.ip()))
        }
        _ => (
            "The kernel",
            format!(
                "Look up the reason {why}: `{enter}nstat -az` counts drops, and `wherefore explain kernel-drop` helps."
            ),
        ),
    };
    let summary = format!("{who} dropped packets from {from} to {to} in the middle of {what} ({why}).");
    let mut words = case.words(record, summary, next);
    let fill = case
        .world
        .pressures
        .at_drops(drop.netns, &once(drop.time), case.now)
        .filter(|_| finding.slug == Slug::ConntrackFull);
    words.evidence.extend(fill.map(|fill| conntrack_full::fullness(&fill, "").1));
    words
}
