//! Capabilities: which ones recording takes, how long, and how the others are given up.
//!
//! The table is the only place that says so: docs/privileges.md repeats it and a test compares them;
//! dist/wherefore.service allows what it marks. Sets belong to threads: they are given up before
//! there is a second one, and those that come later inherit what is left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use thiserror::Error;

/// How long a capability is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until the hooks are attached and the first file is there.
    Ready,
    /// To the end.
    End,
    /// To the end where the kernel lets nobody else use the maps; else until all is attached.
    EndIfMapsAreGuarded,
    /// Until the hooks that wait for a kernel module are attached: to the end where there are any.
    EndIfHooksWait,
    /// To the end where sudo's caller gets the files.
    EndIfFilesTakeAGroup,
    /// To the end where the directory for the files is another user's.
    EndIfDirectoryIsForeign,
}

impl Until {
    /// In a table.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::End => "the end",
            Self::EndIfMapsAreGuarded => "the end, if the kernel refuses maps without it; else ready",
            Self::EndIfHooksWait => "the end, if a hook waits for its kernel module; else ready",
            Self::EndIfFilesTakeAGroup => "the end, under sudo; else ready",
            Self::EndIfDirectoryIsForeign => "the end, if the directory is another user's; else ready",
        }
    }
}

/// A capability that recording uses.
#[derive(Clone, Copy, Debug)]
pub struct Privilege {
    /// Which one.
    pub capability: CapabilitySet,
    /// Its name.
    pub name: &'static str,
    /// How long.
    pub until: Until,
    /// Whether the service unit allows it: there the limits, the directory and its owner are set up by
    /// the service manager.
    pub service: bool,
    /// What for.
    pub because: &'static str,
}

const fn privilege(
    capability: CapabilitySet,
    name: &'static str,
    until: Until,
    service: bool,
    because: &'static str,
) -> Privilege {
    Privilege { capability, name, until, service, because }
}

/// Every capability that recording uses.
pub const PRIVILEGES: &[Privilege] = &[
    privilege(
        CapabilitySet::BPF,
        "CAP_BPF",
        Until::EndIfMapsAreGuarded,
        true,
        "loads the programs and makes their maps; before Linux 5.19 maps are refused to others where unprivileged BPF is disabled",
    ),
    privilege(
        CapabilitySet::PERFMON,
        "CAP_PERFMON",
        Until::EndIfHooksWait,
        true,
        "attaches tracepoints and kprobes, and lets the programs read kernel memory",
    ),
    privilege(
        CapabilitySet::NET_ADMIN,
        "CAP_NET_ADMIN",
        Until::End,
        true,
        "attaches programs to the root control group; lists firewall rules, to name the one that dropped a packet",
    ),
    privilege(
        CapabilitySet::NET_RAW,
        "CAP_NET_RAW",
        Until::End,
        true,
        "opens raw ICMP sockets, without which some kernels show no received ICMP errors; lists legacy iptables rules",
    ),
    privilege(CapabilitySet::SYSLOG, "CAP_SYSLOG", Until::Ready, true, "reads the addresses in /proc/kallsyms, once"),
    privilege(
        CapabilitySet::DAC_READ_SEARCH,
        "CAP_DAC_READ_SEARCH",
        Until::End,
        true,
        "reads other users' files in /proc, and the configuration file",
    ),
    privilege(
        CapabilitySet::SYS_PTRACE,
        "CAP_SYS_PTRACE",
        Until::End,
        true,
        "sees the namespaces and sockets of other users' processes in /proc",
    ),
    privilege(
        CapabilitySet::SYS_ADMIN,
        "CAP_SYS_ADMIN",
        Until::End,
        true,
        "enters network namespaces to look up listeners, addresses and routes; mounts cgroup v2 where it is not",
    ),
    privilege(
        CapabilitySet::SYS_RESOURCE,
        "CAP_SYS_RESOURCE",
        Until::Ready,
        false,
        "raises the limits of locked memory (before Linux 5.11) and of open files",
    ),
    privilege(
        CapabilitySet::SETPCAP,
        "CAP_SETPCAP",
        Until::Ready,
        false,
        "takes what is given up out of the bounding set as well",
    ),
    privilege(
        CapabilitySet::CHOWN,
        "CAP_CHOWN",
        Until::EndIfFilesTakeAGroup,
        false,
        "gives the trace files the group of sudo's caller",
    ),
    privilege(
        CapabilitySet::DAC_OVERRIDE,
        "CAP_DAC_OVERRIDE",
        Until::EndIfDirectoryIsForeign,
        false,
        "makes the trace files in another user's directory",
    ),
];

/// What a recording still does after it is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The kernel refuses maps to whoever has no `CAP_BPF`.
    pub guarded_maps: bool,
    /// A hook waits for its module. It is loaded and attached then.
    pub waiting_hooks: bool,
}

/// Where trace files go, and whose they become.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The directory; none without files.
    pub directory: Option<PathBuf>,
    /// They take the group of sudo's caller.
    pub take_group: bool,
}

/// Why capabilities cannot be given up.
#[derive(Debug, Error)]
#[error("cannot give up the capabilities that recording no longer needs: {what}")]
pub struct PrivilegeError {
    what: &'static str,
    source: io::Error,
}

/// What is kept of the capabilities.
fn kept(needs: Needs, takes_group: bool, foreign_directory: bool) -> CapabilitySet {
    let lasts = |until| match until {
        Until::Ready => false,
        Until::End => true,
        // a program that is loaded late needs it as well
        Until::EndIfMapsAreGuarded => needs.guarded_maps || needs.waiting_hooks,
        Until::EndIfHooksWait => needs.waiting_hooks,
        Until::EndIfFilesTakeAGroup => takes_group,
        Until::EndIfDirectoryIsForeign => foreign_directory,
    };
    let lasting = PRIVILEGES.iter().filter(|privilege| lasts(privilege.until));
    lasting.fold(CapabilitySet::empty(), |set, privilege| set | privilege.capability)
}

/// Gives up every capability that recording no longer needs, of this thread and of all that it will
/// start, and rules out that any comes back. `needs` is asked while none is in effect, so that it can
/// try what works without.
///
/// # Errors
/// [`PrivilegeError`] if the kernel refuses, which it does to nobody but a seccomp filter's prisoner.
pub fn give_up(files: &Files, needs: impl FnOnce() -> Needs) -> Result<CapabilitySet, PrivilegeError> {
    let failed = |what| move |errno: Errno| PrivilegeError { what, source: errno.into() };
    let before = capabilities(None).map_err(failed("reading them"))?;
    let lower = |effective| {
        set_capabilities(None, CapabilitySets { effective, ..before }).map_err(failed("lowering those in effect"))
    };
    // reading may need search permission above the directory, which stays
    lower(before.effective & CapabilitySet::DAC_READ_SEARCH)?;
    let needs = needs();
    let foreign = files.directory.as_deref().is_some_and(is_foreign);
    lower(before.effective)?;
    let kept = kept(needs, files.directory.is_some() && files.take_group, foreign) & before.permitted;
    set_no_new_privs(true).map_err(failed("no_new_privs"))?;
    // kernels before 4.3 have none; then nothing is in it
    clear_ambient_capability_set().or_else(ignore_unknown).map_err(failed("the ambient set"))?;
    if before.effective.contains(CapabilitySet::SETPCAP) {
        for bit in 0..=last_capability() {
            let capability = CapabilitySet::from_bits_retain(1 << bit);
            if !kept.contains(capability) {
                let removed = remove_capability_from_bounding_set(capability);
                removed.or_else(ignore_unknown).map_err(failed("the bounding set"))?;
            }
        }
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(failed("the permitted set"))?;
    Ok(kept)
}

/// Names of what is in a set, as far as the table has them.
#[must_use]
pub fn names(set: CapabilitySet) -> Vec<&'static str> {
    PRIVILEGES.iter().filter(|row| set.contains(row.capability)).map(|row| row.name).collect()
}

fn ignore_unknown(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::INVAL { Ok(()) } else { Err(errno) }
}

/// The highest capability of this kernel; more than this version may know of.
fn last_capability() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok();
    text.and_then(|text| text.trim().parse().ok()).filter(|last| *last < u64::BITS).unwrap_or(u64::BITS - 1)
}

/// Whether only privilege makes files there, or makes it again when it is removed.
fn is_foreign(directory: &Path) -> bool {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    [directory, parent].into_iter().any(|path| {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        accessat(CWD, path, wanted, AtFlags::EACCESS) == Err(Errno::ACCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_names(needs: Needs, group: bool, foreign: bool) -> Vec<&'static str> {
        names(kept(needs, group, foreign))
    }

    #[test]
    fn what_is_kept_follows_from_what_is_done_later() {
        const ALWAYS: [&str; 5] =
            ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_SYS_ADMIN"];
        let none = Needs::default();
        let check = |needs, group, foreign, more: &[&str]| {
            let mut names = kept_names(needs, group, foreign);
            names.retain(|name| !ALWAYS.contains(name));
            assert_eq!(names, more, "{needs:?} {group} {foreign}");
        };
        assert_eq!(kept_names(none, false, false), ALWAYS);
        check(Needs { guarded_maps: true, ..none }, false, false, &["CAP_BPF"]);
        check(Needs { waiting_hooks: true, ..none }, false, false, &["CAP_BPF", "CAP_PERFMON"]);
        check(none, true, false, &["CAP_CHOWN"]);
        check(none, false, true, &["CAP_DAC_OVERRIDE"]);
    }

    /// The rows of the first table in a document, cells trimmed.
    fn table(document: &str) -> Vec<Vec<String>> {
        let rows = document.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with('|'));
        let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        rows.skip(2).map(cells).collect()
    }

    #[test]
    fn the_document_has_the_same_table() {
        let documented = table(include_str!("../../../docs/privileges.md"));
        let coded = PRIVILEGES.iter().map(|row| {
            let service = if row.service { "yes" } else { "no" };
            [row.name, row.until.text(), row.because, service].map(str::to_owned).to_vec()
        });
        assert_eq!(documented, coded.collect::<Vec<_>>());
    }

    #[test]
    fn the_service_allows_what_the_table_says() {
        let unit = include_str!("../../../dist/wherefore.service");
        let allowed = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
        let mut allowed: Vec<&str> = allowed.split_whitespace().collect();
        let mut wanted: Vec<&str> = PRIVILEGES.iter().filter(|row| row.service).map(|row| row.name).collect();
        allowed.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(allowed, wanted);
        assert!(unit.lines().any(|line| line == "NoNewPrivileges=yes"));
    }

    #[test]
    fn a_name_is_that_of_its_capability() {
        for row in PRIVILEGES {
            let (known, _) = row.capability.iter_names().next().unwrap();
            assert_eq!(row.name, format!("CAP_{known}"));
            assert_eq!(row.capability.bits().count_ones(), 1);
        }
    }

    /// In a thread of its own: sets belong to threads, and this one is not needed any more.
    #[test]
    fn nothing_but_what_is_kept_is_left() {
        let status = std::thread::spawn(|| {
            let kept = give_up(&Files::default(), Needs::default).unwrap();
            (kept, fs::read_to_string("/proc/thread-self/status").unwrap())
        });
        let (kept, status) = status.join().unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let mask = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!((mask("CapEff:"), mask("CapPrm:"), mask("CapInh:")), (kept.bits(), kept.bits(), 0));
        if rustix::process::geteuid().is_root() {
            assert_eq!(mask("CapBnd:") & !kept.bits(), 0);
        }
    }
}
