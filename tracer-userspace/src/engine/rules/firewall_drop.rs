//! firewall-drop: netfilter dropped a packet of the attempt and nothing answered.

use super::{Case, Finding, Words};
use crate::engine::evidence::{Dropped, Fact};
use crate::engine::text;
use crate::record::Rule;
use crate::verdict::{Confidence, Event, Evidence, Role, Slug};

pub(super) fn dropped(case: &Case<'_>) -> Option<Finding> {
    let (fact, dropped, _) = case.unanswered_netfilter_drop()?;
    let mut finding = case.about_drop(Slug::FirewallDrop, fact, dropped, words);
    finding.expected_status = Some(504);
    let left = case.attempt.own.as_ref().is_some_and(|own| own.syns_sent > 0);
    if finding.role == Role::Outbound && dropped.from_socket && left {
        // of several SYNs only some were dropped here; nobody answered the others
        finding.confidence = Confidence::Likely;
        finding.alternatives = &[Slug::SecurityGroupDrop];
    }
    Some(finding)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let Some((_, dropped, _)) = case.netfilter_drop() else { return Words::default() };
    let place = text::in_namespace(case, finding.netns);
    let (process, listener) = text::firewall_subject(case, finding);
    let evidence = listener.map(|detail| Evidence { time: finding.time, event: Event::Listener, detail });
    let packet = text::packet(dropped);
    let Words { next, .. } = rule_hint(case, finding);
    let whose = match finding.role {
        Role::Inbound => "The host firewall",
        Role::Outbound => "This host's own firewall",
        Role::Forwarded => "The firewall of this host, on the way between the two ends,",
    };
    Words {
        evidence: evidence.into_iter().chain(rule_evidence(case, finding)).collect(),
        summary: format!(
            "{whose} silently dropped the {packet} from {} to {}{place} ({}).",
            text::sender(dropped).socket_addr(),
            text::receiver(dropped).socket_addr(),
            text::drop_cause(case, dropped),
        ),
        next,
        process,
    }
}

/// The rule that dropped this packet, if it was found.
pub(super) fn rule_of<'a>(case: &Case<'a>, fact: &Fact, dropped: &Dropped) -> Option<&'a Rule> {
    let ends = (text::sender(dropped).ip(), text::receiver(dropped).ip());
    case.world.rule_of(fact.netns, ends, dropped.flow.responder.port, fact.time)
}

/// The rule behind the drop that decides, if it does what was seen: one that answers for a reject, one
/// that does not for a drop. Rules may have changed between drop and look-up.
fn rule_behind<'a>(case: &Case<'a>, finding: &Finding) -> Option<(&'a Fact, &'a Rule)> {
    let (fact, dropped, _) = case.netfilter_drop()?;
    let rule = rule_of(case, fact, dropped)?;
    (rule.rejects == (finding.slug == Slug::FirewallReject)).then_some((fact, rule))
}

/// The rule behind the drop that decides, as evidence.
pub(super) fn rule_evidence(case: &Case<'_>, finding: &Finding) -> Option<Evidence> {
    let (fact, rule) = rule_behind(case, finding)?;
    let counted = if rule.counted { " (its counter rose)" } else { "" };
    let detail = format!("{} table {}, chain {}: {}{counted}", rule.tool, rule.table, rule.chain, rule.rule);
    Some(Evidence { time: fact.time, event: Event::FirewallRule, detail })
}

/// Where to look for the rule.
pub(super) fn rule_hint(case: &Case<'_>, finding: &Finding) -> Words {
    let port = finding.flow.responder.port;
    let enter = case.world.namespaces.enter(finding.netns);
    let tables = text::lists_tables(finding.flow.responder);
    let peer = finding.flow.initiator.ip();
    if let Some((_, rule)) = rule_behind(case, finding) {
        let next = format!(
            "Allow port {port} from {peer} before `{}` in chain {} of {} table {}{}.",
            rule.rule,
            rule.chain,
            rule.tool,
            rule.table,
            text::in_namespace(case, finding.netns),
        );
        return Words { next, ..Words::default() };
    }
    let next = format!(
        "Find the rule with `{enter}nft -a list ruleset` or `{enter}{tables} -c` (its counter rises with each attempt) \
         and allow port {port} from {peer}."
    );
    Words { next, ..Words::default() }
}
