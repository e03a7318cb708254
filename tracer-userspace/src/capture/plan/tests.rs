//! Plan tables: what is planned on each recorded kernel, and what stops a recording.
//!
//! `tests/facts` at the top of the workspace holds the recorded facts: dumps of real kernels, and
//! (`*-tables.json`) facts put together from published type tables, which lack four members.
//!
//! long: one table of kernels and what the plan makes of each

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tracer_ebpf::ABSENT;

use super::*;
use crate::capture::facts::{Capability, FIELDS, Field, Kallsyms, Lockdown, Support, TASK_FIELDS};
use crate::verdict::Role;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/facts")
}

fn recorded(name: &str) -> Facts {
    let path = folder().join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const ON_PROCESSES: [&str; 4] = ["sched_process_exit", "sched_process_exec", "sched_process_fork", "mark_victim"];

/// What differs from "everything is attached at the start and certain".
fn exceptions(plan: &Plan) -> String {
    let mut text = String::new();
    let processes = ON_PROCESSES.iter().any(|program| plan.hook(program).is_some_and(HookPlan::used));
    let exchanges = ON_EXCHANGES.iter().any(|slug| !plan.blind().contains(slug));
    let folded = |hook: &HookPlan| !processes && ON_PROCESSES.contains(&hook.program);
    for hook in plan.hooks.iter().filter(|hook| !folded(hook)) {
        match &hook.state {
            HookState::Attach => {}
            HookState::WhenLoaded(modules) => writeln!(text, "{}: with {}", hook.program, modules.join(", ")).unwrap(),
            HookState::Unavailable => writeln!(text, "{}: unavailable", hook.program).unwrap(),
            HookState::Unneeded => writeln!(text, "{}: unneeded", hook.program).unwrap(),
        }
    }
    if plan.icmp_sockets != IcmpFamilies::default() {
        writeln!(text, "sockets: v4 {}, v6 {}", plan.icmp_sockets.v4, plan.icmp_sockets.v6).unwrap();
    }
    let folded = |outlook: &Outlook| !exchanges && ON_EXCHANGES.contains(&outlook.slug);
    for outlook in plan.outlook.iter().filter(|outlook| outlook.sight != Sight::Certain && !folded(outlook)) {
        // these are inferred on every kernel
        let always = [
            (Slug::ProcessDown, Role::Outbound),
            (Slug::SecurityGroupDrop, Role::Outbound),
            (Slug::InboundSilence, Role::Inbound),
            (Slug::AppReset, Role::Outbound),
            (Slug::IdleFlowExpired, Role::Inbound),
            (Slug::IdleFlowExpired, Role::Outbound),
        ];
        if outlook.sight == Sight::Blind || !always.contains(&(outlook.slug, outlook.role)) {
            let role = if outlook.role == Role::Inbound { "inbound" } else { "outbound" };
            let sight = if outlook.sight == Sight::Blind { "blind" } else { "inferred" };
            writeln!(text, "{} {role}: {sight}", outlook.slug).unwrap();
        }
    }
    text.push_str(if processes { "" } else { NO_PROCESSES });
    text.push_str(if exchanges { "" } else { NO_EXCHANGES });
    text
}

const NO_PROCESSES: &str = "how processes end: unseen\n";
const NO_EXCHANGES: &str = "exchanges: blind\n";

/// What needs HTTP heads, or to know that a request is unanswered.
const ON_EXCHANGES: [Slug; 14] = [
    Slug::InboundSilence,
    Slug::ProcessCrashed,
    Slug::AppReset,
    Slug::PrematureClose,
    Slug::IncompleteResponse,
    Slug::KeepaliveRace,
    Slug::IdleFlowExpired,
    Slug::AppTimeout,
    Slug::ClientAbort,
    Slug::PeerVanished,
    Slug::MalformedResponse,
    Slug::ProtocolMismatch,
    Slug::HealthCheckFailed,
    Slug::AppStatus,
];

/// With kprobes and modules that have BTF: the kprobes wait for netfilter's reject modules.
const MODERN: &str = "\
nf_send_reset: with nf_reject_ipv4
nf_send_reset6: with nf_reject_ipv6
net_dev_queue: unneeded
";

/// Neither drop reasons nor BTF of modules.
const OLD: &str = "\
inet_sk_error_report: unavailable
nf_send_reset: unavailable
nf_send_reset6: unavailable
net_dev_queue: with nf_reject_ipv4, nf_reject_ipv6
";

/// Kernels that really ran, and what differs there.
const DUMPS: &[(&str, &str)] = &[
    ("debian-5.10.262-x86_64", OLD),
    (
        "debian-5.10.262-x86_64-reject-loaded",
        "\
inet_sk_error_report: unavailable
nf_send_reset: unavailable
nf_send_reset6: unavailable
",
    ),
    ("debian-6.1.0-56-x86_64", MODERN),
    ("debian-6.1.0-56-x86_64-reject-loaded", "net_dev_queue: unneeded\n"),
    ("debian-6.12.117-x86_64", MODERN),
    ("debian-6.18.15-x86_64", MODERN),
    ("debian-7.2.13-x86_64", MODERN),
    ("debian-7.3.4-x86_64", MODERN),
    (
        "firecracker-6.18.44-x86_64",
        "\
tcp_v4_err: unavailable
tcp_v6_err: unavailable
nf_send_reset: unavailable
nf_send_reset6: unavailable
sockets: v4 true, v6 true
",
    ),
];

/// Kernels of which only tables were at hand.
const TABLES: &[(&str, &str)] = &[
    (
        "arch-5.15.4-x86_64-tables",
        // the table lists no functions at all
        "\
tcp_v4_err: unavailable
tcp_v6_err: unavailable
nf_send_reset: with nf_reject_ipv4
nf_send_reset6: with nf_reject_ipv6
net_dev_queue: unneeded
sockets: v4 true, v6 true
",
    ),
    (
        "debian-5.10.223-aarch64-tables",
        // its BTF lacks tcp_v6_err, though the symbol is there
        "\
inet_sk_error_report: unavailable
tcp_v6_err: unavailable
nf_send_reset: unavailable
nf_send_reset6: unavailable
net_dev_queue: with nf_reject_ipv4, nf_reject_ipv6
sockets: v4 false, v6 true
",
    ),
    ("debian-6.1.192-aarch64-tables", MODERN),
    ("debian-6.12.117-aarch64-tables", MODERN),
    ("debian-6.16.12-x86_64-tables", MODERN),
    ("debian-6.17.13-x86_64-tables", MODERN),
    ("debian-6.18.15-aarch64-tables", MODERN),
    ("debian-6.19.14-x86_64-tables", MODERN),
    ("debian-7.0.13-x86_64-tables", MODERN),
    ("debian-7.1.13-x86_64-tables", MODERN),
    ("debian-7.2.13-aarch64-tables", MODERN),
];

/// Members that the tables do not list.
const NOT_IN_TABLES: [&str; 4] =
    ["dst_entry.dev", "sock.__sk_common.skc_ipv6only", "socket_alloc.vfs_inode.i_ino", "socket_alloc.socket"];

#[test]
fn every_recorded_kernel_is_planned_for_as_written_here() {
    let known: BTreeSet<String> = DUMPS.iter().chain(TABLES).map(|(name, _)| format!("{name}.json")).collect();
    let there: BTreeSet<String> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(known, there, "recorded facts without an expectation, or the other way round");
    for (name, expected) in DUMPS {
        let plan = plan(&recorded(name));
        assert_eq!(exceptions(&plan), *expected, "{name}");
        assert!(plan.blind().is_empty(), "{name}");
        assert!(plan.lacks.is_empty(), "{name}: {:?}", plan.lacks);
        assert_eq!(plan.layout.unwrap().follows_flows, 1, "{name}");
    }
    for (name, expected) in TABLES {
        let plan = plan(&recorded(name));
        // they list few members of tasks and connections
        assert_eq!(exceptions(&plan), format!("{expected}{NO_PROCESSES}{NO_EXCHANGES}"), "{name}");
        assert_eq!(plan.blind(), ON_EXCHANGES, "{name}");
        assert!(plan.lacks.is_empty(), "{name}: {:?}", plan.lacks);
    }
}

#[test]
fn dumps_of_real_kernels_can_be_recorded_on() {
    for (name, _) in DUMPS {
        let facts = recorded(name);
        let layout = plan(&facts).ready().unwrap_or_else(|obstacle| panic!("{name}: {obstacle}"));
        let types = facts.types.unwrap();
        let known = FIELDS.iter().filter(|wanted| types.fields.contains_key(wanted.name)).count();
        assert_eq!(known, FIELDS.len(), "{name}");
        assert_eq!(layout.sk_ipv6only_mask.count_ones(), 1, "{name}");
        assert_eq!(layout.sk_protocol_size, 2, "{name}");
        assert_eq!(layout.kfree_has_reason == 1, layout.reason_netfilter_drop != ABSENT, "{name}");
        assert_eq!(layout.kfree_has_reason == 1, layout.reason_no_socket != ABSENT, "{name}");
        assert_eq!((layout.netns_filter, layout.verbose), (0, 0), "{name}");
    }
}

#[test]
fn tables_lack_only_what_tables_lack() {
    for (name, _) in TABLES {
        let missing = NOT_IN_TABLES.map(str::to_owned).to_vec();
        assert_eq!(plan(&recorded(name)).obstacles, [Obstacle::Layout(LayoutError::Missing(missing))], "{name}");
    }
}

/// A good kernel's facts with what the hooks on processes need, and `victim` for the OOM killer's tracepoint.
fn with_tasks(victim: &[&str]) -> Facts {
    let mut facts = recorded("debian-6.12.117-x86_64");
    let types = facts.types.as_mut().unwrap();
    for (wanted, offset) in TASK_FIELDS.iter().zip(100_u32..) {
        types.fields.insert(wanted.name.to_owned(), Field { offset, size: wanted.size, ..Field::default() });
    }
    let task = "struct task_struct *";
    let exec = [task, "int", "struct linux_binprm *"];
    for (name, parameters) in [
        ("sched_process_exit", &[task][..]),
        ("sched_process_exec", &exec),
        ("sched_process_fork", &[task, task]),
        ("mark_victim", victim),
    ] {
        types.tracepoints.insert(name.to_owned(), parameters.iter().map(|text| (*text).to_owned()).collect());
    }
    facts
}

#[test]
fn how_processes_end_is_seen_where_btf_tells_all_of_a_task_and_not_needed_elsewhere() {
    let attached = |facts: &Facts| {
        let plan = plan(facts);
        assert_eq!(plan.obstacles, []);
        let used = ON_PROCESSES.map(|program| plan.hook(program).unwrap().used());
        (used, plan.layout.unwrap())
    };
    let (used, layout) = attached(&with_tasks(&["struct task_struct *", "uid_t"]));
    assert_eq!(
        (used, layout.task_exit_code, layout.signal_group_exit_code, layout.victim_is_task),
        ([true; 4], 100, 107, 1)
    );
    let (used, layout) = attached(&with_tasks(&["int"]));
    assert_eq!((used, layout.victim_is_task), ([true; 4], 0));
    for wanted in TASK_FIELDS {
        let mut facts = with_tasks(&["int"]);
        remove(&mut facts, wanted.name);
        let (used, layout) = attached(&facts);
        assert_eq!((used, layout.task_exit_code, layout.task_tgid), ([false; 4], ABSENT, ABSENT), "{}", wanted.name);
    }
}

#[test]
fn numbers_are_this_kernel_s_own() {
    let layout = |name| plan(&recorded(name)).ready().unwrap();
    let old = layout("debian-5.10.262-x86_64");
    assert_eq!((old.kfree_has_reason, old.reset_has_reason), (0, 0));
    assert_eq!((old.sk_err, old.net_inum, old.tcp_snd_una), (568, 144, 1468));
    let middle = layout("debian-6.1.0-56-x86_64-reject-loaded");
    assert_eq!((middle.kfree_has_reason, middle.reset_has_reason), (1, 0));
    assert_eq!((middle.reason_netfilter_drop, middle.reason_no_socket), (7, 2));
    let new = layout("debian-7.3.4-x86_64");
    assert_eq!((new.kfree_has_reason, new.reset_has_reason), (1, 1));
    assert_eq!((new.reason_netfilter_drop, new.reason_no_socket), (12, 3));
    assert_eq!((new.sk_err, new.net_inum, new.tcp_snd_una), (284, 280, 1776));
}

#[test]
fn the_packet_among_the_arguments_of_a_late_probe_is_told_by_btf() {
    let packet = |name, function| recorded(name).types.unwrap().packet_parameter(function);
    for function in ["nf_send_reset", "nf_send_reset6"] {
        assert_eq!(packet("debian-5.10.262-x86_64", function), None, "modules have no BTF there");
        assert_eq!(packet("debian-6.1.0-56-x86_64-reject-loaded", function), Some(2));
    }
}

/// The exceptions and the first obstacle after a change to a good kernel's facts.
fn changed(name: &str, change: impl FnOnce(&mut Facts)) -> (String, Option<String>) {
    let mut facts = recorded(name);
    change(&mut facts);
    let plan = plan(&facts);
    (exceptions(&plan), plan.obstacles.first().map(ToString::to_string))
}

fn obstacle(change: impl FnOnce(&mut Facts)) -> String {
    changed("debian-6.12.117-x86_64", change).1.unwrap()
}

fn remove(facts: &mut Facts, member: &str) {
    facts.types.as_mut().unwrap().fields.remove(member).unwrap();
}

#[test]
fn an_old_kernel_is_told_by_what_it_lacks() {
    let text = obstacle(|facts| {
        facts.kernel = "4.19.0-27-amd64".to_owned();
        facts.types = None;
        for missing in ["map/ringbuf", "helper/ringbuf_reserve", "helper/probe_read_kernel"] {
            facts.bpf.insert(missing.to_owned(), Support::No);
        }
    });
    assert_eq!(text, "recording needs Linux 5.10 or newer: this kernel (4.19.0-27-amd64) has no BPF ring buffer");
    // backports have the features whatever their version says
    let (_, none) = changed("debian-6.12.117-x86_64", |facts| facts.kernel = "4.18.0-553.el8".to_owned());
    assert_eq!(none, None);
}

#[test]
fn a_kernel_without_btf_is_told_so() {
    let text = obstacle(|facts| {
        facts.types = None;
        facts.types_error = Some("cannot read /sys/kernel/btf/vmlinux: No such file or directory".to_owned());
    });
    assert!(text.contains("No such file") && text.contains("CONFIG_DEBUG_INFO_BTF=y"), "{text}");
}

#[test]
fn a_member_that_is_gone_or_of_another_size_is_named() {
    let text = obstacle(|facts| remove(facts, "sock.sk_err"));
    assert!(text.contains("no sock.sk_err:"), "{text}");
    let text = obstacle(|facts| {
        facts.types.as_mut().unwrap().fields.get_mut("tcp_sock.snd_una").unwrap().size = 8;
    });
    assert!(text.contains("tcp_sock.snd_una has 8 bytes, not 4"), "{text}");
}

#[test]
fn every_member_is_needed() {
    for field in FIELDS {
        let text = obstacle(|facts| remove(facts, field.name));
        assert!(text.contains(field.name), "{text}");
    }
}

#[test]
fn missing_capabilities_are_named_and_nothing_else() {
    let text = obstacle(|facts| {
        facts.capabilities.clear();
        facts.bpf.values_mut().for_each(|support| *support = Support::Refused("Operation not permitted".to_owned()));
    });
    assert!(text.contains("CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"), "{text}");
    let text = obstacle(|facts| facts.capabilities.retain(|capability| *capability != Capability::CapNetAdmin));
    assert!(text.contains("needs CAP_NET_ADMIN (") && text.ends_with("grant it"), "{text}");
    // CAP_SYS_ADMIN includes them
    let (_, none) = changed("debian-6.12.117-x86_64", |facts| {
        facts.capabilities.retain(|capability| !matches!(capability, Capability::CapBpf | Capability::CapPerfmon));
    });
    assert_eq!(none, None);
}

#[test]
fn a_refusal_in_spite_of_capabilities_and_lockdown_are_told_apart() {
    let text = obstacle(|facts| {
        facts.bpf.insert("map/ringbuf".to_owned(), Support::Refused("Operation not permitted".to_owned()));
    });
    assert!(text.contains("map/ringbuf: Operation not permitted") && text.contains("seccomp"), "{text}");
    let text = obstacle(|facts| {
        facts.lockdown = Some(Lockdown::Confidentiality);
        facts.bpf.insert("helper/probe_read_kernel".to_owned(), Support::No);
    });
    assert!(text.contains("locked down (confidentiality)"), "{text}");
}

#[test]
fn a_required_tracepoint_that_is_gone_or_changed_stops_the_recording() {
    let text = obstacle(|facts| drop(facts.types.as_mut().unwrap().tracepoints.remove("kfree_skb")));
    assert_eq!(text, "raw_tracepoint/kfree_skb cannot be used: this kernel has no such tracepoint");
    let text = obstacle(|facts| {
        let tracepoints = &mut facts.types.as_mut().unwrap().tracepoints;
        tracepoints.insert("tcp_receive_reset".to_owned(), vec!["struct sk_buff *".to_owned()]);
    });
    assert!(text.contains("its arguments are (struct sk_buff *), not (struct sock *"), "{text}");
}

#[test]
fn without_a_control_group_much_is_still_seen() {
    let (exceptions, none) = changed("debian-6.1.0-56-x86_64-reject-loaded", |facts| facts.cgroup = None);
    assert_eq!(none, None);
    assert_eq!(
        exceptions,
        "\
cgroup_ingress_long: unavailable
cgroup_egress_long: unavailable
connect4: unavailable
connect6: unavailable
net_dev_queue: unneeded
firewall-reject inbound: inferred
firewall-drop outbound: inferred
security-group-drop outbound: blind
accept-queue-full inbound: blind
no-route outbound: inferred
exchanges: blind
"
    );
    let mut facts = recorded("debian-6.1.0-56-x86_64");
    facts.cgroup = None;
    let blind = [&[Slug::SecurityGroupDrop, Slug::InboundSilence, Slug::AcceptQueueFull][..], &ON_EXCHANGES[1..]];
    assert_eq!(plan(&facts).blind(), blind.concat());
}

#[test]
fn where_http_is_not_read_connections_are_still_told() {
    for (support, why) in [
        (Support::No, "without HTTP, as was asked for"),
        (Support::Refused("too many".to_owned()), "without HTTP: the kernel refuses what reads it: too many"),
    ] {
        let mut facts = recorded("debian-6.1.0-56-x86_64-reject-loaded");
        facts.bpf.insert(HTTP_HEADS.to_owned(), support);
        let plan = plan(&facts);
        assert_eq!(exceptions(&plan), "net_dev_queue: unneeded\nexchanges: blind\n");
        assert_eq!(plan.ready().unwrap().follows_flows, 0);
        for (program, full) in [("cgroup_ingress_plain", "cgroup_ingress"), ("cgroup_egress_plain", "cgroup_egress")] {
            let hook = plan.hook(program).unwrap();
            assert_eq!((hook.used(), hook.required, hook.why.as_str()), (true, true, why));
            assert_eq!(plan.hook(full), None);
        }
    }
}

#[test]
fn a_head_is_read_in_one_run_where_the_verifier_can_follow_that() {
    let program = |facts: &Facts| {
        let plan = plan(facts);
        assert_eq!(plan.ready().unwrap().follows_flows, 1);
        assert_eq!(plan.blind(), []);
        let hooks = plan.hooks.iter().filter(|hook| hook.kind == HookKind::CgroupIngress);
        hooks.map(|hook| hook.program).collect::<Vec<_>>()
    };
    assert_eq!(program(&recorded("debian-5.10.262-x86_64")), ["cgroup_ingress_long"]);
    assert_eq!(program(&recorded("debian-6.1.0-56-x86_64")), ["cgroup_ingress_long"]);
    for name in ["debian-6.12.117-x86_64", "debian-6.18.15-x86_64", "firecracker-6.18.44-x86_64", "debian-7.3.4-x86_64"]
    {
        let mut facts = recorded(name);
        assert_eq!(program(&facts), ["cgroup_ingress"], "{name}");
        facts.bpf.insert(HTTP_QUICK.to_owned(), Support::Refused("too many".to_owned()));
        assert_eq!(program(&facts), ["cgroup_ingress_long"], "{name}");
    }
}

#[test]
fn every_verdict_of_connections_and_exchanges_has_an_outlook() {
    let plan = plan(&recorded("debian-6.12.117-x86_64"));
    let absent = |slug: &&Slug| !plan.outlook.iter().any(|outlook| outlook.slug == **slug);
    let absent: Vec<&Slug> = Slug::ALL.iter().filter(absent).collect();
    // the one is told where it is asked for, the other is only an alternative
    assert_eq!(absent, [&Slug::UpstreamSocketMissing, &Slug::RemoteDown]);
}

#[test]
fn without_kprobes_and_raw_sockets_received_icmp_errors_are_unseen() {
    let (exceptions, none) = changed("firecracker-6.18.44-x86_64", |facts| {
        facts.capabilities.retain(|capability| *capability != Capability::CapNetRaw);
    });
    assert_eq!(none, None);
    assert!(exceptions.ends_with(
        "firewall-reject outbound: inferred\nhost-unreachable outbound: inferred\nno-route outbound: inferred\n"
    ));
}

#[test]
fn without_reasons_and_function_names_drops_are_unexplained() {
    let mut facts = recorded("debian-5.10.262-x86_64");
    facts.kallsyms = Kallsyms::Hidden;
    let plan = plan(&facts);
    assert_eq!(plan.obstacles, []);
    assert_eq!(
        plan.blind(),
        [Slug::WrongBindAddress, Slug::FirewallDrop, Slug::ConntrackFull, Slug::KernelDrop, Slug::Hairpin]
    );
    assert!(plan.lacks.iter().any(|lack| lack.contains("kptr_restrict")), "{:?}", plan.lacks);
}

#[test]
fn reject_modules_without_btf_bring_the_stand_in() {
    // one family loaded without BTF, the other not yet: the queue is watched at once
    let (exceptions, _) = changed("debian-5.10.262-x86_64", |facts| {
        facts.functions_present.push("nf_send_reset".to_owned());
    });
    assert!(!exceptions.contains("net_dev_queue"), "{exceptions}");
    // no kprobes at all, modules not loaded: it waits
    let (exceptions, _) = changed("debian-6.1.0-56-x86_64", |facts| facts.kprobes = false);
    assert!(exceptions.contains("net_dev_queue: with nf_reject_ipv4, nf_reject_ipv6"), "{exceptions}");
}

#[test]
fn hooks_that_are_not_needed_are_not_counted() {
    let plan = plan(&recorded("debian-6.18.15-x86_64"));
    let records = plan.hook_records(|program| program == "kfree_skb");
    assert_eq!(records.len(), plan.hooks.len() - 1);
    assert_eq!(records.iter().filter(|hook| hook.attached).count(), 1);
    let late = records.iter().find(|hook| hook.name == "kprobe/nf_send_reset").unwrap();
    assert!(late.note.contains("nf_reject_ipv4"), "{}", late.note);
}

#[test]
fn this_kernel_s_facts_survive_a_file() {
    let facts = Facts::gather();
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    assert!(!facts.kernel.is_empty() && !facts.machine.is_empty());
}

#[test]
fn system_calls_are_found_where_the_facts_machine_has_them() {
    let asked = Asked { unix_upstreams: true };
    let mut facts = recorded("debian-6.12.117-x86_64");
    let numbers = |facts: &Facts| {
        let layout = plan_for(facts, asked).ready().unwrap();
        (layout.call_connect, layout.regs_call, layout.regs_second, layout.regs_third)
    };
    let offset = |facts: &Facts, name: &str| facts.types.as_ref().unwrap().fields[name].offset;
    let [call, second, third] = ["orig_ax", "si", "dx"].map(|name| offset(&facts, &format!("pt_regs.{name}")));
    assert_eq!(numbers(&facts), (42, call, second, third));
    let fields = |facts: &mut Facts, name: &str, offset, size| {
        let field = Field { offset, size, ..Field::default() };
        facts.types.as_mut().unwrap().fields.insert(name.to_owned(), field);
    };
    facts.types.as_mut().unwrap().fields.retain(|name, _| !name.starts_with("pt_regs."));
    assert!(plan_for(&facts, asked).blind().contains(&Slug::UpstreamSocketMissing));
    // as on arm64 (arch/arm64/include/asm/ptrace.h), whatever this test was built for
    fields(&mut facts, "pt_regs.syscallno", 280, 4);
    fields(&mut facts, "pt_regs.regs", 0, 248);
    assert_eq!(numbers(&facts), (203, 280, 8, 16));
}

#[test]
fn what_an_old_kernel_drops_unseen_is_said() {
    let said = |name: &str, role| {
        let outlook = plan(&recorded(name)).outlook;
        let found = outlook.into_iter().find(|outlook| (outlook.slug, outlook.role) == (Slug::KernelDrop, role));
        let found = found.unwrap();
        (found.why.unwrap_or_default(), found.change)
    };
    for (role, gap) in [(Role::Inbound, "not bad checksums"), (Role::Outbound, "nor a connect()")] {
        let (why, change) = said("debian-5.10.262-x86_64", role);
        assert!(why.contains(gap) && change.is_some(), "{role:?}: {why}, {change:?}");
        assert_eq!(said("debian-6.1.0-56-x86_64", role), ("", None));
    }
}
