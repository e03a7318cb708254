//! Facts from /proc and /sys that are one file each.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::btf::BTF_DIR;

/// Whether addresses can be turned into function names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kallsyms {
    /// /proc/kallsyms shows addresses.
    Readable,
    /// It shows names only: `kernel.kptr_restrict`, or `CAP_SYSLOG` is missing.
    Hidden,
    /// There is no such file.
    #[default]
    Missing,
}

/// The kernel's lockdown mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lockdown {
    /// Not locked down.
    None,
    /// The kernel cannot be changed from user space; reading it is allowed.
    Integrity,
    /// Reading kernel memory is refused too, BPF's reads among it.
    Confidentiality,
}

/// A capability that recording needs, or needed on some kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Load programs, make maps.
    CapBpf,
    /// Attach to tracepoints and kprobes, read kernel memory.
    CapPerfmon,
    /// Attach to control groups.
    CapNetAdmin,
    /// Open the raw ICMP sockets.
    CapNetRaw,
    /// See addresses in /proc/kallsyms.
    CapSyslog,
    /// Read other users' /proc entries.
    CapDacReadSearch,
    /// Enter network namespaces, reach or mount cgroup v2.
    CapSysAdmin,
    /// See other processes' file descriptors.
    CapSysPtrace,
}

impl Capability {
    /// Every one, with its bit in the kernel's mask (`linux/capability.h`, a stable interface).
    pub const ALL: &[(Self, u8)] = &[
        (Self::CapBpf, 39),
        (Self::CapPerfmon, 38),
        (Self::CapNetAdmin, 12),
        (Self::CapNetRaw, 13),
        (Self::CapSyslog, 34),
        (Self::CapDacReadSearch, 2),
        (Self::CapSysAdmin, 21),
        (Self::CapSysPtrace, 19),
    ];

    /// Its name, as `CAP_BPF`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CapBpf => "CAP_BPF",
            Self::CapPerfmon => "CAP_PERFMON",
            Self::CapNetAdmin => "CAP_NET_ADMIN",
            Self::CapNetRaw => "CAP_NET_RAW",
            Self::CapSyslog => "CAP_SYSLOG",
            Self::CapDacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::CapSysAdmin => "CAP_SYS_ADMIN",
            Self::CapSysPtrace => "CAP_SYS_PTRACE",
        }
    }
}

pub(super) fn kernel_and_machine() -> (String, String) {
    let names = rustix::system::uname();
    (names.release().to_string_lossy().into_owned(), names.machine().to_string_lossy().into_owned())
}

/// The perf event source through which a kprobe is set; there without `CONFIG_KPROBE_EVENTS` it is not.
pub(super) fn kprobes() -> bool {
    Path::new("/sys/bus/event_source/devices/kprobe").exists()
}

pub(super) fn module_btf() -> Option<bool> {
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    let first = modules.split_whitespace().next()?;
    Some(Path::new(BTF_DIR).join(first).exists())
}

pub(super) fn lockdown() -> Option<Lockdown> {
    parse_lockdown(&fs::read_to_string("/sys/kernel/security/lockdown").ok()?)
}

fn parse_lockdown(text: &str) -> Option<Lockdown> {
    let (_, chosen) = text.split_once('[')?;
    match chosen.split_once(']')?.0 {
        "none" => Some(Lockdown::None),
        "integrity" => Some(Lockdown::Integrity),
        "confidentiality" => Some(Lockdown::Confidentiality),
        _ => None,
    }
}

pub(super) fn capabilities() -> Vec<Capability> {
    parse_capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn parse_capabilities(status: &str) -> Vec<Capability> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    Capability::ALL.iter().filter(|(_, bit)| mask >> bit & 1 == 1).map(|(capability, _)| *capability).collect()
}

pub(super) fn memlock_bytes() -> Option<u64> {
    parse_memlock(&fs::read_to_string("/proc/self/limits").unwrap_or_default())
}

pub(super) fn memory_bytes() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram.saturating_mul(u64::from(system.mem_unit.max(1)))
}

fn parse_memlock(limits: &str) -> Option<u64> {
    limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockdown_is_the_word_in_brackets() {
        assert_eq!(parse_lockdown("none [integrity] confidentiality\n"), Some(Lockdown::Integrity));
        assert_eq!(parse_lockdown("[none] integrity confidentiality\n"), Some(Lockdown::None));
        assert_eq!(parse_lockdown("none integrity [confidentiality]\n"), Some(Lockdown::Confidentiality));
        assert_eq!(parse_lockdown("none [something new]"), None);
        assert_eq!(parse_lockdown(""), None);
    }

    #[test]
    fn capabilities_come_from_the_effective_set() {
        let status = "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000003000\nCapBnd:\t000001ffffffffff\n";
        assert_eq!(parse_capabilities(status), [Capability::CapNetAdmin, Capability::CapNetRaw]);
        assert_eq!(parse_capabilities("CapEff:\t000001ffffffffff\n").len(), Capability::ALL.len());
        assert_eq!(parse_capabilities("CapEff:\tzz\n"), []);
    }

    #[test]
    fn memlock_unlimited_is_none() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax locked memory         65536                65536                bytes\n";
        assert_eq!(parse_memlock(limits), Some(65536));
        assert_eq!(parse_memlock("Max locked memory         unlimited            unlimited            bytes\n"), None);
    }
}
