//! What each verdict will rest on with the hooks that were chosen. A new verdict is a new row.

use serde::Serialize;

use super::IcmpFamilies;
use super::hooks::{HookKind, HookPlan};
use super::layout::has_reason;
use crate::capture::facts::{Facts, Kallsyms};
use crate::verdict::{Role, Slug};

/// How well a verdict can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sight {
    /// The kernel is seen deciding.
    Certain,
    /// It follows from what is seen.
    Inferred,
    /// It cannot be told.
    Blind,
}

/// What one verdict will rest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// The verdict.
    #[serde(rename = "verdict")]
    pub slug: Slug,
    /// In which role.
    pub role: Role,
    /// How well it can be told.
    pub sight: Sight,
    /// From what it is inferred, why it is blind, or what is special; `None` if there is nothing to say.
    pub why: Option<&'static str>,
    /// What would make it better; `None` if nothing would.
    pub change: Option<&'static str>,
}

/// How a drop's cause is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drops {
    /// The kernel names a reason.
    Reason,
    /// The kernel's function that dropped is known.
    Place,
    /// Neither.
    Unknown,
}

/// What is perceived, hooks put together.
#[expect(clippy::struct_excessive_bools, reason = "each is a sense of its own: there or not")]
struct Senses {
    drops: Drops,
    /// Packets that reach a socket.
    ingress: bool,
    /// Ends of system calls.
    calls: bool,
    /// SYN-ACKs that are sent again.
    syn_acks_again: bool,
    /// What other programs at cgroup/connect say.
    refusals: bool,
    /// Packets that leave, ICMP errors among them.
    egress: bool,
    /// Refused `connect()` calls, both families.
    connects: bool,
    /// Received ICMP errors, both families.
    icmp_received: bool,
    /// Netfilter's RSTs.
    netfilter_resets: ResetSight,
    /// Connections are followed, and HTTP heads read on them.
    heads: bool,
    /// How processes end.
    exits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResetSight {
    /// Both families at the function that makes them.
    Kprobe,
    /// At least one by a RST that no socket sent.
    Queue,
    /// At least one family not at all.
    Unseen,
}

/// One row's judgement.
struct Judgement {
    sight: Sight,
    why: &'static str,
    change: &'static str,
}

const fn certain(why: &'static str) -> Judgement {
    Judgement { sight: Sight::Certain, why, change: "" }
}

const fn certain_but(why: &'static str, change: &'static str) -> Judgement {
    Judgement { sight: Sight::Certain, why, change }
}

const fn inferred(why: &'static str, change: &'static str) -> Judgement {
    Judgement { sight: Sight::Inferred, why, change }
}

const fn blind(why: &'static str, change: &'static str) -> Judgement {
    Judgement { sight: Sight::Blind, why, change }
}

const UNNAMED_DROPS: &str = "the kernel gives drops no reason, and /proc/kallsyms hides where they happen";
const NAME_DROPS: &str = "CAP_SYSLOG with kernel.kptr_restrict below 2, or Linux 5.17 and newer";
const NO_CGROUP: &str = "packets that leave this host are not seen: no cgroup v2 to attach to";
const GIVE_CGROUP: &str = "a kernel with cgroup v2 (CONFIG_CGROUP_BPF=y)";
const OTHER_END: &str = "a recording on the other host as well";
const GIVE_ICMP: &str = "kprobes in the kernel, or CAP_NET_RAW";
const NO_HTTP: &str = "no HTTP is read, and no request known to be unanswered";
const GIVE_HTTP: &str = "a kernel with cgroup v2 and BTF of its own TCP (CONFIG_DEBUG_INFO_BTF=y); no --no-http";
const PLACE: &str = "by the kernel's function that dropped the packet (nf_hook_slow)";

/// A verdict in a role, and how it is judged.
type Row = (Slug, Role, fn(&Senses) -> Judgement);

const ROWS: &[Row] = &[
    (Slug::ProcessDown, Role::Inbound, no_socket),
    (Slug::ProcessDown, Role::Outbound, |_| inferred("a RST answers the SYN; a firewall can send the same", OTHER_END)),
    (Slug::WrongBindAddress, Role::Inbound, no_socket),
    (Slug::FirewallReject, Role::Inbound, rejected),
    (Slug::FirewallReject, Role::Outbound, rejected_by_peer),
    (Slug::FirewallDrop, Role::Inbound, dropped),
    (Slug::FirewallDrop, Role::Outbound, |senses| match (dropped(senses), senses.egress) {
        (judgement, true) => judgement,
        (judgement, false) if judgement.sight == Sight::Blind => judgement,
        (_, false) => inferred("netfilter drops it, but that no later SYN leaves is not seen", GIVE_CGROUP),
    }),
    (Slug::SecurityGroupDrop, Role::Outbound, |senses| {
        if senses.egress {
            inferred("a SYN leaves this host and nothing comes back", OTHER_END)
        } else {
            blind(NO_CGROUP, GIVE_CGROUP)
        }
    }),
    (Slug::InboundSilence, Role::Inbound, |senses| {
        if senses.heads {
            inferred("the port's health checkers stop, and no other SYN comes; it may be meant", "")
        } else {
            blind("connections are not followed, so who checks the port's health is not known", GIVE_HTTP)
        }
    }),
    (Slug::ReturnPathDrop, Role::Inbound, syn_acks),
    (Slug::HandshakeAbandoned, Role::Inbound, syn_acks),
    (Slug::AcceptQueueFull, Role::Inbound, |senses| {
        if senses.ingress {
            certain("with SYN cookies a last ACK that finds no room is not seen")
        } else {
            blind("SYNs that reach a listener are not seen: no cgroup v2 to attach to", GIVE_CGROUP)
        }
    }),
    (Slug::ConntrackFull, Role::Inbound, dropped),
    (Slug::ConntrackFull, Role::Outbound, dropped),
    (Slug::KernelDrop, Role::Inbound, dropped_otherwise),
    (Slug::KernelDrop, Role::Outbound, |senses| match (dropped_otherwise(senses), senses.refusals) {
        (judgement, true) => judgement,
        (judgement, false) if judgement.sight == Sight::Blind => judgement,
        (_, false) if senses.drops == Drops::Reason => {
            certain_but("not if a cgroup program refuses the connect()", "Linux 5.18 and newer")
        }
        (_, false) => certain_but(
            "by the kernel's function that dropped the packet; not bad checksums or signatures, nor a connect() that a \
             cgroup program refuses",
            "Linux 5.18 and newer",
        ),
    }),
    (Slug::Hairpin, Role::Outbound, |senses| match senses.drops {
        Drops::Place => certain("by the kernel's function that dropped the packet"),
        _ => dropped_otherwise(senses),
    }),
    (Slug::PortExhausted, Role::Outbound, |_| certain("")),
    (Slug::UpstreamSocketMissing, Role::Outbound, |senses| {
        if senses.calls {
            certain("with --unix-upstreams")
        } else {
            blind(
                "the end of system calls cannot be looked at",
                "a kernel with tracepoint raw_syscalls:sys_exit and BTF",
            )
        }
    }),
    (Slug::HostUnreachable, Role::Outbound, |senses| {
        if !senses.icmp_received {
            inferred("only neighbours of this host: received ICMP errors are not seen", GIVE_ICMP)
        } else if senses.drops == Drops::Unknown {
            inferred("by ICMP, and by the neighbour table where a neighbour does not answer", NAME_DROPS)
        } else {
            certain("")
        }
    }),
    (Slug::NoRoute, Role::Outbound, |senses| match (senses.connects, senses.icmp_received) {
        (true, true) => certain(""),
        (true, false) => inferred("only this host's own routes: received ICMP errors are not seen", GIVE_ICMP),
        (false, true) => {
            inferred("only other hosts' routes, by ICMP: refused connect() calls are not seen", GIVE_CGROUP)
        }
        (false, false) => blind("neither refused connect() calls nor received ICMP errors are seen", GIVE_CGROUP),
    }),
    (Slug::ProcessCrashed, Role::Inbound, |senses| {
        let how = if senses.exits { "" } else { "but how the process ended is not told: BTF lacks members of a task" };
        exchange(senses, certain(how))
    }),
    (Slug::AppReset, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::AppReset, Role::Outbound, |senses| {
        exchange(senses, inferred("the peer's RST does not say who sent it, nor why", OTHER_END))
    }),
    (Slug::PrematureClose, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::PrematureClose, Role::Outbound, |senses| exchange(senses, certain(""))),
    (Slug::IncompleteResponse, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::IncompleteResponse, Role::Outbound, |senses| exchange(senses, certain(""))),
    (Slug::KeepaliveRace, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::KeepaliveRace, Role::Outbound, |senses| exchange(senses, certain(""))),
    (Slug::IdleFlowExpired, Role::Inbound, silence_after_idling),
    (Slug::IdleFlowExpired, Role::Outbound, silence_after_idling),
    (Slug::AppTimeout, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::AppTimeout, Role::Outbound, |senses| exchange(senses, certain(""))),
    (Slug::ClientAbort, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::PeerVanished, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::PeerVanished, Role::Outbound, |senses| exchange(senses, certain(""))),
    (Slug::MalformedResponse, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::ProtocolMismatch, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::HealthCheckFailed, Role::Inbound, |senses| exchange(senses, certain(""))),
    (Slug::AppStatus, Role::Inbound, |senses| exchange(senses, certain("not where TLS or HTTP/2 is spoken"))),
    (Slug::AppStatus, Role::Outbound, |senses| exchange(senses, certain("not where TLS or HTTP/2 is spoken"))),
];

/// What needs to know that a request is unanswered.
fn exchange(senses: &Senses, judgement: Judgement) -> Judgement {
    if senses.heads { judgement } else { blind(NO_HTTP, GIVE_HTTP) }
}

fn silence_after_idling(senses: &Senses) -> Judgement {
    exchange(senses, inferred("by the answer to the first data after a long silence", OTHER_END))
}

/// The SYN met no socket.
fn no_socket(senses: &Senses) -> Judgement {
    match senses.drops {
        Drops::Reason => certain(""),
        Drops::Place => certain(
            "by the kernel's function that dropped the SYN (tcp_v4_rcv, tcp_v6_rcv) and the listeners there are",
        ),
        Drops::Unknown => blind(UNNAMED_DROPS, NAME_DROPS),
    }
}

/// Netfilter dropped it.
fn dropped(senses: &Senses) -> Judgement {
    match senses.drops {
        Drops::Reason => certain(""),
        Drops::Place => certain(PLACE),
        Drops::Unknown => blind(UNNAMED_DROPS, NAME_DROPS),
    }
}

/// The kernel dropped it for a reason of its own.
fn dropped_otherwise(senses: &Senses) -> Judgement {
    match senses.drops {
        Drops::Reason => certain(""),
        Drops::Place => certain_but(
            "by the kernel's function that dropped the packet; not bad checksums or signatures",
            "Linux 5.17 and newer",
        ),
        Drops::Unknown => blind(UNNAMED_DROPS, NAME_DROPS),
    }
}

/// SYN-ACKs that are sent again.
fn syn_acks(senses: &Senses) -> Judgement {
    if senses.syn_acks_again {
        certain("")
    } else {
        blind("SYN-ACKs that are sent again are not seen", "a kernel with tracepoint tcp:tcp_retransmit_synack")
    }
}

/// Netfilter dropped it and answered.
fn rejected(senses: &Senses) -> Judgement {
    let drop = dropped(senses);
    if drop.sight == Sight::Blind {
        return drop;
    }
    match (senses.egress, senses.netfilter_resets) {
        (true, ResetSight::Kprobe) => drop,
        (true, ResetSight::Queue) => certain("RSTs that netfilter sends are told by having no socket"),
        (true, ResetSight::Unseen) => {
            inferred("by ICMP alone: `reject with tcp reset` looks like firewall-drop", "kprobes in the kernel")
        }
        (false, ResetSight::Unseen) => blind("answers that this host sends are not seen", GIVE_CGROUP),
        (false, _) => inferred("by RST alone: a REJECT with ICMP looks like firewall-drop", GIVE_CGROUP),
    }
}

/// Somebody answered our SYN with an ICMP error.
fn rejected_by_peer(senses: &Senses) -> Judgement {
    if senses.icmp_received {
        certain("ICMP prohibited codes also fit no-route, and then it is likely")
    } else {
        inferred("by the socket's error alone, which only some ICMP codes set", GIVE_ICMP)
    }
}

/// Judges every verdict.
pub(super) fn judge(facts: &Facts, hooks: &[HookPlan], sockets: IcmpFamilies, heads: bool) -> Vec<Outlook> {
    let senses = senses(facts, hooks, sockets, heads);
    // nobody is told of what was not asked for
    let asked = |slug: Slug| slug != Slug::UpstreamSocketMissing || hooks.iter().any(|hook| hook.program == "sys_exit");
    ROWS.iter()
        .filter(|(slug, ..)| asked(*slug))
        .map(|(slug, role, judge)| {
            let Judgement { sight, why, change } = judge(&senses);
            let said = |text: &'static str| (!text.is_empty()).then_some(text);
            Outlook { slug: *slug, role: *role, sight, why: said(why), change: said(change) }
        })
        .collect()
}

fn senses(facts: &Facts, hooks: &[HookPlan], sockets: IcmpFamilies, heads: bool) -> Senses {
    let used = |program: &str| hooks.iter().any(|hook| hook.program == program && hook.used());
    let attaches = |kind: HookKind| hooks.iter().any(|hook| hook.kind == kind && hook.used());
    let named = facts.types.as_ref().is_some_and(|types| {
        has_reason(types, "kfree_skb", 2, "enum skb_drop_reason")
            && types.drop_reason("NETFILTER_DROP").is_some()
            && types.drop_reason("NO_SOCKET").is_some()
    });
    let drops = match (used("kfree_skb"), named, facts.kallsyms) {
        (true, true, _) => Drops::Reason,
        (true, false, Kallsyms::Readable) => Drops::Place,
        _ => Drops::Unknown,
    };
    let netfilter_resets = if used("nf_send_reset") && used("nf_send_reset6") {
        ResetSight::Kprobe
    } else if used("net_dev_queue") {
        ResetSight::Queue
    } else {
        ResetSight::Unseen
    };
    Senses {
        drops,
        ingress: attaches(HookKind::CgroupIngress),
        calls: used("sys_exit"),
        syn_acks_again: used("tcp_retransmit_synack"),
        refusals: facts.has("helper/get_retval"),
        egress: attaches(HookKind::CgroupEgress),
        connects: attaches(HookKind::CgroupConnect4) && attaches(HookKind::CgroupConnect6),
        icmp_received: (used("tcp_v4_err") || sockets.v4) && (used("tcp_v6_err") || sockets.v6),
        netfilter_resets,
        heads,
        exits: used("sched_process_exit"),
    }
}
