//! firewall-reject: netfilter dropped a packet of the attempt and answered it; or (from the other
//! end) an ICMP error that only a rule sends answered our SYN.

use std::net::SocketAddr;

use super::firewall_drop::{rule_evidence, rule_hint, rule_of};
use super::{Case, Finding, Words};
use crate::engine::attempt::errno;
use crate::engine::evidence::{Dropped, Fact, IcmpError, What};
use crate::engine::icmp::Meaning;
use crate::engine::text;
use crate::engine::timing::REJECT_REPLY_WITHIN;
use crate::record::BootTime;
use crate::verdict::{Confidence, Event, Evidence, Process, Role, Slug};

/// The kernel that dropped was seen answering.
pub(super) fn answered(case: &Case<'_>) -> Option<Finding> {
    // a RST alone proves nothing: TCP's own for IPv6 belong to no socket either, where only the
    // device's queue shows them
    let (fact, dropped, _) = case.netfilter_drop()?;
    let reply = reply_to(case, fact, dropped)?;
    let mut finding = case.about_drop(Slug::FirewallReject, fact, dropped, words_local);
    finding.time = fact.time.max(reply);
    finding.expected_status = Some(502);
    Some(finding)
}

/// When the drop's answer was sent: by ICMP, or by a RST made by netfilter. Where these cannot be
/// seen on their way out, this host's own initiating end may have received them.
fn reply_to(case: &Case<'_>, fact: &Fact, dropped: &Dropped) -> Option<BootTime> {
    let close = |time: BootTime| time.since(fact.time).max(fact.time.since(time)) <= REJECT_REPLY_WITHIN;
    let is_reply = |other: &&Fact| match &other.what {
        What::NetfilterReset(_) => other.netns == fact.netns,
        What::Icmp(error) if error.sent => other.netns == fact.netns && error.meaning.is_answer(),
        What::Icmp(error) => error.meaning.is_refusal() && close(other.time),
        What::ResetReceived => !dropped.syn_ack && close(other.time),
        _ => false,
    };
    case.attempt.facts().iter().rev().find(is_reply).map(|reply| reply.time)
}

/// The answer was held back by the ICMP rate limit: others at the same port got theirs.
pub(super) fn rate_limited(case: &Case<'_>) -> Option<Finding> {
    let (fact, dropped, _) = case.unanswered_netfilter_drop()?;
    if near_reject(case, fact, dropped).is_none() && !rejects_by_icmp(case, fact, dropped) {
        return None;
    }
    let mut finding = case.about_drop(Slug::FirewallReject, fact, dropped, words_rate_limited);
    finding.confidence = Confidence::Likely;
    finding.alternatives = &[Slug::FirewallDrop];
    finding.expected_status = Some(504);
    Some(finding)
}

/// Whether the rule that matched answers by ICMP, which is rate limited; a RST is not.
fn rejects_by_icmp(case: &Case<'_>, fact: &Fact, dropped: &Dropped) -> bool {
    let by_reset = |text: &str| text.contains("tcp reset") || text.contains("tcp-reset");
    rule_of(case, fact, dropped).is_some_and(|rule| rule.rejects && !by_reset(&rule.rule))
}

fn near_reject(case: &Case<'_>, fact: &Fact, dropped: &Dropped) -> Option<BootTime> {
    let end = dropped.flow.responder;
    case.world.reject_near((fact.netns, end.port, end.is_v4()), case.attempt.started)
}

/// The last ICMP error that answered our SYN from elsewhere.
pub(super) fn received<'a>(case: &Case<'a>) -> Option<(&'a Fact, &'a IcmpError)> {
    case.attempt.icmp_answers().rev().find(|(_, error)| !error.sent)
}

/// The answer to a SYN that was an ICMP error.
pub(super) struct Answer {
    /// Who asked.
    pub(super) process: Option<Process>,
    /// Whom.
    pub(super) remote: SocketAddr,
    /// Its name.
    pub(super) name: String,
    /// Who sent it.
    pub(super) sender: String,
}

/// Words about such an answer; `say` gives the summary and what to do next.
pub(super) fn words_of_answer(
    case: &Case<'_>,
    finding: &Finding,
    say: impl FnOnce(&Answer) -> (String, String),
) -> Words {
    let unseen = || ("an ICMP error".to_owned(), "a router or the host".to_owned());
    let (name, sender) =
        received(case).map_or_else(unseen, |(_, error)| (text::icmp_name(error), text::icmp_sender(error)));
    let remote = finding.flow.responder.socket_addr();
    let answer = Answer { process: text::connecting_process(case), remote, name, sender };
    let (summary, next) = say(&answer);
    Words { evidence: Vec::new(), summary, next, process: answer.process }
}

/// Whether the destination itself says that it cannot be reached: then a rule there says it.
pub(super) fn contradicts_itself(error: &IcmpError) -> bool {
    error.from == error.flow.responder.address
}

/// Outbound: an ICMP error that only a rule sends.
pub(super) fn icmp_answer(case: &Case<'_>) -> Option<Finding> {
    let (fact, error) = received(case)?;
    let alternatives: &'static [Slug] = match error.meaning {
        Meaning::Refused => &[],
        Meaning::Prohibited => &[Slug::NoRoute],
        Meaning::HostUnreachable if contradicts_itself(error) => &[Slug::HostUnreachable],
        Meaning::NetUnreachable if contradicts_itself(error) => &[Slug::NoRoute],
        _ => return None,
    };
    let mut finding = Case::about_own(Slug::FirewallReject, case.own_view()?, fact.time, words_icmp);
    finding.or(alternatives);
    finding.expected_status = Some(502);
    Some(finding)
}

/// Outbound, where the ICMP error itself could not be seen: errors that only such a one sets.
pub(super) fn socket_error(case: &Case<'_>) -> Option<Finding> {
    let (fact, error) = case.attempt.socket_error()?;
    if error != errno::EACCES && error != errno::ENOPROTOOPT {
        return None;
    }
    let mut finding = Case::about_own(Slug::FirewallReject, case.own_view()?, fact.time, words_icmp);
    finding.confidence = Confidence::Likely;
    finding.alternatives = &[Slug::NoRoute];
    finding.expected_status = Some(502);
    Some(finding)
}

/// Outbound: silence, but the same end rejected another attempt by ICMP, which is rate limited.
pub(super) fn silence(case: &Case<'_>) -> Option<Finding> {
    let own = case.own_view().filter(|_| case.attempt.own.is_some() && case.is_silent())?;
    case.world.remote_reject_near(own.flow.responder, case.attempt.started)?;
    let mut finding = Case::about_own(Slug::FirewallReject, own, case.silence_time(), words_silence);
    finding.confidence = Confidence::Likely;
    finding.alternatives = &[Slug::FirewallDrop, Slug::SecurityGroupDrop];
    finding.expected_status = Some(504);
    Some(finding)
}

fn words_local(case: &Case<'_>, finding: &Finding) -> Words {
    let (process, listener) = text::firewall_subject(case, finding);
    let evidence = listener.map(|detail| Evidence { time: finding.time, event: Event::Listener, detail });
    let by_reset = case.attempt.first(|what| matches!(what, What::NetfilterReset(_))).is_some();
    let sent = case.attempt.icmp_answers().map(|(_, error)| text::icmp_name(error)).next_back();
    let reply = match sent {
        Some(name) if !by_reset => name,
        _ => "a RST".to_owned(),
    };
    let whose = match finding.role {
        Role::Inbound => "The host firewall",
        Role::Outbound => "This host's own firewall",
        Role::Forwarded => "The firewall of this host, on the way between the two ends,",
    };
    let Words { next, .. } = rule_hint(case, finding);
    Words {
        evidence: evidence.into_iter().chain(rule_evidence(case, finding)).collect(),
        summary: format!(
            "{whose} rejected the SYN from {} to {}{} and answered with {reply}.",
            finding.flow.initiator.socket_addr(),
            finding.flow.responder.socket_addr(),
            text::in_namespace(case, finding.netns),
        ),
        next,
        process,
    }
}

fn words_rate_limited(case: &Case<'_>, finding: &Finding) -> Words {
    let mut words = words_local(case, finding);
    let end = finding.flow.responder;
    let near = case.netfilter_drop().and_then(|(fact, dropped, _)| near_reject(case, fact, dropped));
    let detail = match near {
        Some(time) => format!(
            "another SYN to port {} was rejected by ICMP {}; ICMP errors are rate limited, this one got none",
            end.port,
            text::apart(time, finding.time),
        ),
        None => "the rule that matched answers by ICMP; such errors are rate limited, this one got none".to_owned(),
    };
    words.evidence.push(Evidence { time: finding.time, event: Event::IcmpRateLimited, detail });
    words.summary = format!(
        "The host firewall rejects SYNs to {}{}; for the one from {} the kernel's ICMP rate limit held the answer back, \
         so the client saw silence.",
        end.socket_addr(),
        text::in_namespace(case, finding.netns),
        finding.flow.initiator.socket_addr(),
    );
    words
}

fn words_icmp(case: &Case<'_>, finding: &Finding) -> Words {
    words_of_answer(case, finding, |Answer { process, remote, name, sender }| {
        let process = text::name(process.as_ref());
        let (port, initiator) = (remote.port(), finding.flow.initiator.ip());
        (
            format!("A firewall rejected the SYN of {process} to {remote}: {sender} answered with {name}."),
            format!("Look at the firewall of {sender}: a REJECT rule there refuses port {port} from {initiator}."),
        )
    })
}

fn words_silence(case: &Case<'_>, finding: &Finding) -> Words {
    let process = text::connecting_process(case);
    let remote = finding.flow.responder.socket_addr();
    let time = case.world.remote_reject_near(finding.flow.responder, case.attempt.started).unwrap_or(finding.time);
    let detail = format!(
        "{remote} rejected another SYN by ICMP {}; such errors are rate limited",
        text::apart(time, finding.time)
    );
    Words {
        evidence: vec![Evidence { time: finding.time, event: Event::IcmpRateLimited, detail }],
        summary: format!(
            "Nothing answered the SYN of {} to {remote}, but a firewall there rejected another one by ICMP: this reply \
             was held back by a rate limit.",
            text::name(process.as_ref())
        ),
        next: format!("Look at the firewall of {} for a REJECT rule on port {}.", remote.ip(), remote.port()),
        process,
    }
}
