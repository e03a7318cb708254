//! conntrack-full: netfilter dropped a packet of the attempt because its table of connections was full.

use super::firewall_drop::rule_of;
use super::{Case, Finding, Words};
use crate::engine::conntrack::{Fill, Reading};
use crate::engine::text;
use crate::verdict::{Confidence, Event, Evidence, Slug};

pub(super) fn dropped(case: &Case<'_>) -> Option<Finding> {
    let (fact, dropped, _) = case.unanswered_netfilter_drop()?;
    let fill = fill_at(case, fact.netns)?;
    let mut finding = case.about_drop(Slug::ConntrackFull, fact, dropped, words);
    finding.expected_status = Some(504);
    if matches!(fill, Fill::NearlyFull(_)) {
        if rule_of(case, fact, dropped).is_some_and(|rule| rule.counted) {
            return None;
        }
        finding.confidence = Confidence::Likely;
        finding.alternatives = &[Slug::FirewallDrop];
    }
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let Some((fact, dropped, _)) = case.netfilter_drop() else { return Words::default() };
    let Some(fill) = fill_at(case, fact.netns) else { return Words::default() };
    let (process, listener) = text::firewall_subject(case, finding);
    let mut evidence: Vec<Evidence> =
        listener.map(|detail| Evidence { time: finding.time, event: Event::Listener, detail }).into_iter().collect();
    let place = text::in_namespace(case, finding.netns);
    let enter = case.world.namespaces.enter(finding.netns);
    let (filled, item) = fullness(&fill, &place);
    evidence.push(item);
    Words {
        evidence,
        summary: format!(
            "The connection tracking table{place} {} full ({filled}), and netfilter dropped the {} from {} to {}.",
            if finding.confidence == Confidence::Certain { "is" } else { "is nearly" },
            text::packet(dropped),
            text::sender(dropped).socket_addr(),
            text::receiver(dropped).socket_addr(),
        ),
        next: room(&enter),
        process,
    }
}

/// How full the namespace's table was when netfilter dropped the attempt's packets there.
fn fill_at(case: &Case<'_>, netns: u32) -> Option<Fill> {
    let here = case.attempt.netfilter_drops().filter(|(fact, _)| fact.netns == netns);
    case.world.pressures.at_drops(netns, &here.map(|(fact, _)| fact.time), case.now)
}

/// How full the table was, and as evidence.
pub(in crate::engine) fn fullness(fill: &Fill, place: &str) -> (String, Evidence) {
    let (Fill::Dropping(Reading { time, count, limit, .. }) | Fill::NearlyFull(Reading { time, count, limit, .. })) =
        fill;
    let filled = match (count, limit) {
        (Some(count), Some(limit)) => format!("{count} of {limit} entries in use"),
        _ => "its table is full".to_owned(),
    };
    let detail = match fill {
        Fill::Dropping(Reading { dropped, .. }) => {
            format!("connection tracking dropped {dropped} packets{place} for want of room; {filled}")
        }
        Fill::NearlyFull(_) => format!("connection tracking{place}: {filled}"),
    };
    (filled, Evidence { time: *time, event: Event::ConntrackFull, detail })
}

/// What to do about it.
pub(in crate::engine) fn room(enter: &str) -> String {
    format!(
        "Raise `{enter}sysctl net.netfilter.nf_conntrack_max`, shorten its time-outs, or exempt the port with a notrack \
         rule; `conntrack -S` and `conntrack -L` show what fills it."
    )
}
