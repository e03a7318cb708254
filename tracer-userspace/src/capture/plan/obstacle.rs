//! What stands in the way of recording, and what recording can do without.

use super::IcmpFamilies;
use super::hooks::HookPlan;
use super::layout::LayoutError;
use crate::capture::facts::{Capability, CgroupFacts, Facts, Kallsyms, Lockdown, Support, Via};
use crate::capture::firewall::TOOLS;

/// Recording cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The kernel lacks something that every kernel since 5.10 can have.
    #[error("recording needs Linux 5.10 or newer: this kernel ({kernel}) has no {missing}")]
    TooOld {
        /// Release.
        kernel: String,
        /// What it lacks.
        missing: String,
    },
    /// The process may not.
    #[error("recording needs {} ({why}): run it as root, or grant {}", .names.join(", "), if .names.len() == 1 { "it" } else { "them" })]
    Capabilities {
        /// Missing capabilities.
        names: Vec<&'static str>,
        /// For what.
        why: &'static str,
    },
    /// The kernel refused a trial although the capabilities are there.
    #[error(
        "the kernel refuses BPF here ({feature}: {why}): a container's seccomp profile, a security module or a user namespace is in the way; run it on the host itself"
    )]
    Refused {
        /// What was tried.
        feature: String,
        /// The kernel's words.
        why: String,
    },
    /// Lockdown forbids BPF to read kernel memory.
    #[error(
        "this kernel is locked down (confidentiality), which forbids BPF to read kernel memory: boot it with lockdown=integrity or none"
    )]
    LockedDown,
    /// There is no BTF.
    #[error(
        "this kernel shows no BTF ({why}): recording needs one built with CONFIG_DEBUG_INFO_BTF=y, as all large distributions' kernels are since 5.10"
    )]
    NoTypes {
        /// What was tried.
        why: String,
    },
    /// BTF lacks what the programs cannot do without.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A hook that recording makes no sense without.
    #[error("{hook} cannot be used: {why}")]
    Hook {
        /// Kind and name.
        hook: String,
        /// Why not.
        why: String,
    },
}

/// Features that every kernel since 5.10 has, and how they are called in a sentence.
const FEATURES: &[(&str, &str)] = &[
    ("map/ringbuf", "BPF ring buffer"),
    ("helper/probe_read_kernel", "BPF helper probe_read_kernel"),
    ("helper/ktime_get_boot_ns", "BPF helper ktime_get_boot_ns"),
    ("helper/ringbuf_reserve", "BPF helper ringbuf_reserve"),
    ("program/raw_tracepoint", "BPF raw tracepoints"),
];

/// A capability without which nothing can be recorded, what else includes it, and what it is for.
const NEEDED: &[(Capability, Option<Capability>)] = &[
    (Capability::CapBpf, Some(Capability::CapSysAdmin)),
    (Capability::CapPerfmon, Some(Capability::CapSysAdmin)),
    (Capability::CapNetAdmin, None),
];

/// Capabilities that recording can do without, and what it then lacks.
const WANTED: &[(Capability, &str)] = &[
    (Capability::CapSysAdmin, "other network namespaces are not entered: their listeners and addresses stay unknown"),
    (
        Capability::CapSysPtrace,
        "file descriptors of other users' processes are not seen: listeners have no process name",
    ),
    (Capability::CapDacReadSearch, "other users' files in /proc are not read: processes may lack unit and container"),
];

/// All obstacles: causes before their effects.
pub(super) fn find(facts: &Facts, hooks: &[HookPlan], layout_error: Option<LayoutError>) -> Vec<Obstacle> {
    let missing = capabilities(facts);
    if !missing.is_empty() {
        // without them every trial is refused, and says nothing about the kernel
        return vec![Obstacle::Capabilities {
            names: missing,
            why: "to load BPF programs and attach them to tracepoints and control groups",
        }];
    }
    let mut found = Vec::new();
    if facts.lockdown == Some(Lockdown::Confidentiality) {
        found.push(Obstacle::LockedDown);
    }
    found.extend(features(facts));
    match (&facts.types, layout_error) {
        (None, _) => {
            let why = facts.types_error.clone().unwrap_or_else(|| "none was recorded".to_owned());
            found.push(Obstacle::NoTypes { why });
        }
        (Some(_), Some(error)) => found.push(Obstacle::Layout(error)),
        (Some(_), None) => {}
    }
    if found.is_empty() {
        let unusable = hooks.iter().filter(|hook| hook.required && !hook.used());
        found.extend(unusable.map(|hook| Obstacle::Hook { hook: hook.label(), why: hook.why.clone() }));
    }
    found
}

fn capabilities(facts: &Facts) -> Vec<&'static str> {
    let has = |capability: &Capability| facts.capabilities.contains(capability);
    NEEDED
        .iter()
        .filter(|(needed, wider)| !has(needed) && !wider.as_ref().is_some_and(has))
        .map(|(needed, _)| needed.name())
        .collect()
}

fn features(facts: &Facts) -> Option<Obstacle> {
    // locked down, the kernel knows the helper and denies it: that is said already
    let denied =
        |feature: &str| facts.lockdown == Some(Lockdown::Confidentiality) && feature == "helper/probe_read_kernel";
    FEATURES.iter().filter(|(feature, _)| !denied(feature)).find_map(|(feature, words)| match facts.bpf.get(*feature) {
        Some(Support::Yes) => None,
        Some(Support::Refused(why)) => Some(Obstacle::Refused { feature: (*feature).to_owned(), why: why.clone() }),
        Some(Support::No) | None => {
            Some(Obstacle::TooOld { kernel: facts.kernel.clone(), missing: (*words).to_owned() })
        }
    })
}

/// What recording can do without, and what it then lacks: one sentence each.
pub(super) fn lacks(facts: &Facts, sockets: IcmpFamilies) -> Vec<String> {
    let missing = |capability: &Capability| !facts.capabilities.contains(capability);
    let mut lacks: Vec<String> = WANTED
        .iter()
        .filter(|(capability, _)| missing(capability))
        .map(|(capability, effect)| format!("no {}: {effect}", capability.name()))
        .collect();
    let by_kprobe = facts.kprobes && !sockets.v4 && !sockets.v6;
    if missing(&Capability::CapNetRaw) && !by_kprobe {
        lacks.push("no CAP_NET_RAW: received ICMP errors may not be seen".to_owned());
    }
    if facts.kallsyms != Kallsyms::Readable {
        lacks.push("/proc/kallsyms hides addresses (CAP_SYSLOG is missing, or kernel.kptr_restrict is 2): drops have no function names".to_owned());
    }
    if facts.lists_rules == Some(false) {
        lacks.push(format!(
            "no tool that lists firewall rules is installed ({}): firewall verdicts do not name the rule",
            TOOLS.join(", ")
        ));
    }
    if let Some(CgroupFacts { root: false, path, via }) = &facts.cgroup {
        let place = if *via == Via::Private { "this cgroup namespace" } else { path };
        lacks.push(format!(
            "the cgroup v2 root is out of reach: outgoing and delivered packets are seen below {place} only"
        ));
    }
    lacks
}
