//! Which hooks are attached: the table, and the choice among what this kernel offers.

use serde::Serialize;

use super::layout::{knows_calls, knows_flows, knows_tasks};
use super::{Asked, IcmpFamilies};
use crate::capture::facts::{Capability, Facts, Kallsyms, PRECISE_VERIFIER, Support};

/// Kind of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    /// Raw tracepoint.
    RawTracepoint,
    /// Kernel probe at a function's entry.
    Kprobe,
    /// Packets that reach a socket of the control group.
    CgroupIngress,
    /// Packets that leave a socket of the control group.
    CgroupEgress,
    /// `connect()` on an IPv4 socket.
    CgroupConnect4,
    /// `connect()` on an IPv6 socket.
    CgroupConnect6,
}

/// What becomes of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookState {
    /// Attached at the start.
    Attach,
    /// Attached once one of these kernel modules is loaded; until then what it looks for cannot happen.
    WhenLoaded(Vec<&'static str>),
    /// This kernel does not offer it.
    Unavailable,
    /// It stands in for a better hook, which is there.
    Unneeded,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookPlan {
    /// Its kind.
    pub kind: HookKind,
    /// Tracepoint or function; empty for control group hooks.
    pub target: &'static str,
    /// The program in the eBPF object.
    pub program: &'static str,
    /// What becomes of it.
    pub state: HookState,
    /// Whether recording makes no sense without it.
    pub required: bool,
    /// Why it is not attached, or what it stands in for; empty if there is nothing to say.
    pub why: String,
}

impl HookPlan {
    /// Kind and name, as in `raw_tracepoint/kfree_skb`.
    pub fn label(&self) -> String {
        match self.kind {
            HookKind::RawTracepoint => format!("raw_tracepoint/{}", self.target),
            HookKind::Kprobe => format!("kprobe/{}", self.target),
            HookKind::CgroupIngress => "cgroup_skb/ingress".to_owned(),
            HookKind::CgroupEgress => "cgroup_skb/egress".to_owned(),
            HookKind::CgroupConnect4 => "cgroup/connect4".to_owned(),
            HookKind::CgroupConnect6 => "cgroup/connect6".to_owned(),
        }
    }

    /// Whether it is attached, now or later.
    pub const fn used(&self) -> bool {
        matches!(self.state, HookState::Attach | HookState::WhenLoaded(_))
    }
}

const SK: &str = "struct sock *";
const SKB: &str = "struct sk_buff *";

/// Raw tracepoints: name, the leading parameters that the program reads, whether it is required.
const TRACEPOINTS: &[(&str, &[&str], bool)] = &[
    ("inet_sock_set_state", &[SK, "int", "int"], true),
    ("inet_sk_error_report", &[SK], false),
    ("tcp_send_reset", &[SK, SKB], false),
    ("tcp_receive_reset", &[SK], true),
    ("tcp_retransmit_skb", &[SK, SKB], true),
    ("tcp_rcv_space_adjust", &[SK], false),
    ("tcp_retransmit_synack", &[SK, "struct request_sock *"], false),
    ("kfree_skb", &[SKB, "void *"], true),
];

const TASK: &str = "struct task_struct *";

/// Raw tracepoints about the processes that serve a watched port. The OOM killer's has a pid or a task.
const TASK_TRACEPOINTS: &[(&str, &[&str])] = &[
    ("sched_process_exit", &[TASK]),
    ("sched_process_exec", &[TASK]),
    ("sched_process_fork", &[TASK, TASK]),
    ("mark_victim", &[]),
];

/// Functions that netfilter answers with a RST in, and the module of each.
const NETFILTER_RESETS: &[(&str, &str)] = &[("nf_send_reset", "nf_reject_ipv4"), ("nf_send_reset6", "nf_reject_ipv6")];

/// Why a kprobe on such a function is not attached: it would run and see nothing.
pub const MODULE_WITHOUT_BTF: &str = "its module has no BTF, so its arguments are not known";

/// Stands in for the kprobes on the functions that netfilter answers with a RST in.
pub const RESET_FALLBACK: &str = "net_dev_queue";

/// Feature of [`Facts::bpf`]: the verifier takes the programs that read HTTP heads. Found out by loading
/// them; absent until they were refused.
pub const HTTP_HEADS: &str = "program/http_heads";

/// Feature of [`Facts::bpf`]: the verifier takes the programs that read a whole head in one run. As with
/// [`HTTP_HEADS`]; without it heads are read in more steps, which costs more and comes to the same.
pub const HTTP_QUICK: &str = "program/http_quick";

/// Chooses the hooks, in a fixed order, the raw sockets, and whether HTTP heads are read.
pub(super) fn choose(facts: &Facts, asked: Asked) -> (Vec<HookPlan>, IcmpFamilies, bool) {
    let mut hooks: Vec<HookPlan> =
        TRACEPOINTS.iter().map(|(name, parameters, required)| tracepoint(facts, name, parameters, *required)).collect();
    hooks.push(state_changes_again(facts));
    hooks.extend(TASK_TRACEPOINTS.iter().map(|(name, parameters)| task_tracepoint(facts, name, parameters)));
    let cgroup = cgroup_hooks(facts);
    let heads = cgroup.iter().take(2).all(|hook| hook.used() && hook.why.is_empty());
    let ingress = cgroup.iter().any(|hook| hook.kind == HookKind::CgroupIngress && hook.used());
    hooks.extend(cgroup);
    let raw = ingress && facts.capabilities.contains(&Capability::CapNetRaw);
    let v4 = error_handler(facts, "tcp_v4_err", raw);
    let v6 = error_handler(facts, "tcp_v6_err", raw);
    let sockets = IcmpFamilies { v4: raw && !v4.used(), v6: raw && !v6.used() };
    hooks.extend([v4, v6]);
    hooks.extend(netfilter_resets(facts));
    hooks.insert(0, health_checks(facts));
    if asked.unix_upstreams {
        hooks.push(calls(facts));
    }
    (hooks, sockets, heads)
}

fn hook(kind: HookKind, target: &'static str, program: &'static str) -> HookPlan {
    HookPlan { kind, target, program, state: HookState::Attach, required: false, why: String::new() }
}

fn unavailable(mut hook: HookPlan, why: impl Into<String>) -> HookPlan {
    hook.state = HookState::Unavailable;
    hook.why = why.into();
    hook
}

fn tracepoint(facts: &Facts, name: &'static str, wanted: &[&str], required: bool) -> HookPlan {
    let hook = HookPlan { required, ..hook(HookKind::RawTracepoint, name, name) };
    let Some(types) = &facts.types else { return unavailable(hook, "without BTF its arguments are not known") };
    match types.tracepoints.get(name) {
        None => unavailable(hook, "this kernel has no such tracepoint"),
        Some(found) if !found.iter().map(String::as_str).take(wanted.len()).eq(wanted.iter().copied()) => {
            unavailable(hook, format!("its arguments are ({}), not ({}, ...)", found.join(", "), wanted.join(", ")))
        }
        Some(_) if facts.has("program/raw_tracepoint") => hook,
        Some(_) => unavailable(hook, "this kernel takes no raw tracepoint programs"),
    }
}

fn task_tracepoint(facts: &Facts, name: &'static str, wanted: &[&str]) -> HookPlan {
    let hook = tracepoint(facts, name, wanted, false);
    if hook.used() && !facts.types.as_ref().is_some_and(knows_tasks) {
        return unavailable(hook, "BTF does not tell where a process keeps its exit code");
    }
    hook
}

/// Takes what the kernel keeps from the program at the same tracepoint. Attached behind that one, and so called
/// behind it.
fn state_changes_again(facts: &Facts) -> HookPlan {
    HookPlan { program: "state_changes_again", ..tracepoint(facts, "inet_sock_set_state", &[SK, "int", "int"], false) }
}

/// Where connections end, for who checks health: not attached itself, but entered by the program that is.
fn health_checks(facts: &Facts) -> HookPlan {
    HookPlan { program: "health_checks", ..tracepoint(facts, "inet_sock_set_state", &[SK, "int", "int"], false) }
}

/// The end of system calls, for connect() on unix sockets.
fn calls(facts: &Facts) -> HookPlan {
    let hook = tracepoint(facts, "sys_exit", &["struct pt_regs *", "long int"], false);
    if hook.used() && !facts.types.as_ref().is_some_and(knows_calls) {
        return unavailable(hook, "BTF does not tell where a system call's arguments are");
    }
    hook
}

fn cgroup_hooks(facts: &Facts) -> [HookPlan; 4] {
    let choose = |kind, program, feature: &str| {
        // without a control group to attach to, much is still seen
        let hook = hook(kind, "", program);
        if !facts.has(feature) {
            unavailable(hook, "this kernel takes no programs on control groups")
        } else if facts.cgroup.is_none() {
            unavailable(hook, "no cgroup v2 can be reached or mounted")
        } else {
            HookPlan { required: true, ..hook }
        }
    };
    let (ingress, egress, why) = match no_heads(facts) {
        None if reads_in_one_run(facts) => ("cgroup_ingress", "cgroup_egress", String::new()),
        None => ("cgroup_ingress_long", "cgroup_egress_long", String::new()),
        Some(why) => ("cgroup_ingress_plain", "cgroup_egress_plain", why),
    };
    let packets = |kind, program| {
        let hook = choose(kind, program, "program/cgroup_skb");
        if hook.used() { HookPlan { why: why.clone(), ..hook } } else { hook }
    };
    [
        packets(HookKind::CgroupIngress, ingress),
        packets(HookKind::CgroupEgress, egress),
        choose(HookKind::CgroupConnect4, "connect4", "program/cgroup_sock_addr"),
        choose(HookKind::CgroupConnect6, "connect6", "program/cgroup_sock_addr"),
    ]
}

/// Whether heads are read in one run where that is possible.
pub fn reads_in_one_run(facts: &Facts) -> bool {
    let has = |name: &&str| facts.types.as_ref().is_some_and(|types| types.fields.contains_key(*name));
    let precise = PRECISE_VERIFIER.iter().any(has);
    precise && !matches!(facts.bpf.get(HTTP_QUICK), Some(Support::Refused(_)))
}

/// Why no HTTP heads are read; `None` if they are.
fn no_heads(facts: &Facts) -> Option<String> {
    match facts.bpf.get(HTTP_HEADS) {
        Some(Support::Refused(why)) => Some(format!("without HTTP: the kernel refuses what reads it: {why}")),
        Some(Support::No) => Some("without HTTP, as was asked for".to_owned()),
        Some(Support::Yes) | None => {
            let known = facts.types.as_ref().is_some_and(knows_flows);
            (!known).then(|| "without HTTP: BTF does not tell where sockets keep what that takes".to_owned())
        }
    }
}

fn kprobes(facts: &Facts) -> bool {
    facts.kprobes && facts.has("program/kprobe")
}

/// A function that gets received ICMP errors; its first argument is the packet. `raw`: whether a raw
/// socket can stand in.
fn error_handler(facts: &Facts, name: &'static str, raw: bool) -> HookPlan {
    let hook = hook(HookKind::Kprobe, name, name);
    let parameters = facts.types.as_ref().and_then(|types| types.functions.get(name));
    let why = match parameters {
        _ if !kprobes(facts) => "this kernel has no kprobes",
        Some(parameters) if parameters.first().is_some_and(|first| first == SKB) => return hook,
        Some(_) => "its first argument is not the packet",
        None => "BTF does not tell its arguments",
    };
    let instead = if raw { "a raw ICMP socket stands in" } else { "and no raw ICMP socket can stand in" };
    unavailable(hook, format!("{why}; {instead}"))
}

/// Where netfilter's RSTs are seen: a kprobe for each family where its arguments are known, else the
/// queue of every device, which costs something for each packet and so comes last.
fn netfilter_resets(facts: &Facts) -> Vec<HookPlan> {
    let mut hooks = Vec::new();
    // when the stand-in is needed: at once, or once a module is loaded
    let mut at_once = false;
    let mut modules = Vec::new();
    for (name, module) in NETFILTER_RESETS {
        let hook = hook(HookKind::Kprobe, name, name);
        let known = facts.types.as_ref().is_some_and(|types| types.packet_parameter(name).is_some());
        let present = known
            || facts.kallsyms == Kallsyms::Missing
            || facts.functions_present.iter().any(|present| present == name);
        let chosen = if !kprobes(facts) {
            unavailable(hook, "this kernel has no kprobes")
        } else if known {
            hook
        } else if present || facts.module_btf == Some(false) {
            unavailable(hook, MODULE_WITHOUT_BTF)
        } else {
            let why = format!("attached when module {module} is loaded: before that there is no such RST");
            HookPlan { state: HookState::WhenLoaded(vec![module]), why, ..hook }
        };
        if !chosen.used() {
            if present { at_once = true } else { modules.push(*module) }
        }
        hooks.push(chosen);
    }
    let fallback = tracepoint(facts, RESET_FALLBACK, &[SKB], false);
    let why = "stands in for the kprobes on netfilter's RSTs";
    hooks.push(match (fallback.used(), at_once, modules.is_empty()) {
        (false, ..) => fallback,
        (true, true, _) => HookPlan { why: why.to_owned(), ..fallback },
        (true, false, false) => {
            let why = format!("{why}; attached when module {} is loaded", modules.join(" or "));
            HookPlan { state: HookState::WhenLoaded(modules), why, ..fallback }
        }
        (true, false, true) => HookPlan { state: HookState::Unneeded, why: why.to_owned(), ..fallback },
    });
    hooks
}
