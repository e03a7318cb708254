//! kernel-drop: the kernel dropped a packet of the attempt for a reason of its own.

use super::case::Side;
use super::{Case, Finding, Words};
use crate::engine::evidence::{Dropped, Fact, What};
use crate::engine::text;
use crate::verdict::{Confidence, Event, Evidence, Role, Slug};

pub(super) fn dropped(case: &Case<'_>) -> Option<Finding> {
    let (fact, dropped) = decisive(case)?;
    let mut finding = case.about_drop(Slug::KernelDrop, fact, dropped, words);
    finding.expected_status = Some(504);
    let left = case.attempt.own.as_ref().is_some_and(|own| own.syns_sent > 0);
    if finding.role == Role::Outbound && dropped.from_socket && left && !is_behind_egress(case, dropped) {
        // of several SYNs only some were dropped here; nobody answered the others
        finding.confidence = Confidence::Likely;
        finding.alternatives = &[Slug::SecurityGroupDrop];
    }
    Some(finding)
}

/// connect() was refused by a program of a control group: no SYN was ever made.
pub(super) fn refused(case: &Case<'_>) -> Option<Finding> {
    let own = case.own_view().filter(|_| case.attempt.own.is_some())?;
    let (time, _) = case.attempt.refused_connect()?;
    let mut finding = Case::about_own(Slug::KernelDrop, own, time, words_refused);
    finding.expected_status = Some(504);
    Some(finding)
}

fn words_refused(case: &Case<'_>, finding: &Finding) -> Words {
    let process = text::connecting_process(case);
    let remote = finding.flow.responder.socket_addr();
    let error = case.attempt.refused_connect().map_or(0, |(_, error)| error);
    Words {
        evidence: Vec::new(),
        summary: format!(
            "A BPF program of a control group refused connect() of {} to {remote}: {}.",
            text::name(process.as_ref()),
            text::error_name(error),
        ),
        next: "`bpftool cgroup tree` lists the programs at cgroup/connect4 and connect6; systemd's IPAddressDeny=, \
               container runtimes and service meshes attach such ones."
            .to_owned(),
        process,
    }
}

/// The last drop, inbound before all others, unless something answered later.
fn decisive<'a>(case: &Case<'a>) -> Option<(&'a Fact, &'a Dropped)> {
    let drops = || case.attempt.other_drops().rev();
    let inbound = drops().find(|(fact, dropped)| case.side(fact, dropped) == Side::Inbound);
    let (fact, dropped) = inbound.or_else(|| drops().next())?;
    let is_answer = |what: &What| matches!(what, What::ResetReceived | What::Icmp(_));
    let answered = case.attempt.last_of(is_answer).is_some_and(|answer| answer > fact.time);
    (!answered).then_some((fact, dropped))
}

/// Whether each SYN that leaves a socket passes by before it is dropped there: then one dropped SYN for
/// each sent one says that all were.
fn is_behind_egress(case: &Case<'_>, dropped: &Dropped) -> bool {
    let sent = case.attempt.own.as_ref().map_or(0, |own| own.syns_sent);
    let lost = case.attempt.other_drops().filter(|(_, other)| other.from_socket && !other.syn_ack).count();
    dropped.from_socket && u32::try_from(lost).is_ok_and(|lost| lost >= sent)
}

fn words(case: &Case<'_>, finding: &Finding) -> Words {
    let Some((_, dropped)) = decisive(case) else { return Words::default() };
    let place = text::in_namespace(case, finding.netns);
    let enter = case.world.namespaces.enter(finding.netns);
    let (process, listener) = text::firewall_subject(case, finding);
    let evidence = listener.map(|detail| Evidence { time: finding.time, event: Event::Listener, detail });
    let reason = dropped.reason.and_then(|reason| case.world.reason_name(reason)).unwrap_or_default();
    let function = case.world.symbol_name(dropped.location).unwrap_or_default();
    Words {
        evidence: evidence.into_iter().collect(),
        summary: format!(
            "The kernel dropped the {} from {} to {}{place}: {}.",
            text::packet(dropped),
            text::sender(dropped).socket_addr(),
            text::receiver(dropped).socket_addr(),
            text::drop_cause(case, dropped),
        ),
        next: advice(reason, function, &enter),
        process,
    }
}

/// Where to look, by the kernel's reason (or its function, where it gives none).
fn advice(reason: &str, function: &str, enter: &str) -> String {
    match (reason, function) {
        ("IP_RPFILTER", _) => format!(
            "The reverse path filter: the answer would leave by another interface. Look at `{enter}sysctl -a -r \
             rp_filter`, `{enter}ip route get` for the peer, and `{enter}ip rule`."
        ),
        ("TC_INGRESS" | "TC_EGRESS", _) | (_, "sch_handle_ingress" | "tcf_classify" | "__netif_receive_skb_core") => {
            format!("Look at `{enter}tc -s filter show dev DEVICE ingress` and `... egress`: a filter there drops it.")
        }
        ("XDP", _) | (_, "veth_xdp_rcv_skb" | "do_xdp_generic" | "netif_receive_generic_xdp") => {
            format!("An XDP program drops it: `{enter}ip -d link` names it, `bpftool net` shows who attached it.")
        }
        ("QDISC_DROP" | "QDISC_OVERLIMIT" | "QDISC_CONGESTED", _) | (_, "__dev_queue_xmit" | "__dev_xmit_skb") => {
            format!("Look at `{enter}tc -s qdisc show`: a queue there is full, or made to lose packets.")
        }
        ("TCP_CSUM" | "IP_CSUM" | "SKB_CSUM", _) => {
            "The checksum is wrong: look at offloads (`ethtool -k`) of both ends and of what lies between.".to_owned()
        }
        (reason, _) if reason.starts_with("TCP_MD5") || reason.starts_with("TCP_AO") || reason == "TCP_AUTH_HDR" => {
            "The listener asks for TCP signatures (MD5 or AO) that this peer does not send, or sends wrongly."
                .to_owned()
        }
        ("SOCKET_FILTER" | "BPF_CGROUP_EGRESS", _) => {
            "A BPF program on the socket or its control group drops it: `bpftool cgroup tree` lists them.".to_owned()
        }
        ("XFRM_POLICY", _) => format!("An IPsec policy drops it: `{enter}ip xfrm policy`."),
        ("NOMEM" | "PROTO_MEM", _) => {
            "The kernel had no memory for it: look at `/proc/net/sockstat` and tcp_mem.".to_owned()
        }
        _ => format!("Look at `{enter}ip -s link`, `{enter}nstat -az` and the kernel's log for what dropped it."),
    }
}
