//! The command line of `cargo xtask kernels`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::arch::Arch;

const LONG_ABOUT: &str =
    "Runs the lab's scenarios on real Debian cloud kernels in QEMU and prints a table scenario x kernel.

Kernels, a Debian userland and (on Debian 12) a newer QEMU are fetched with apt, verified, and kept in \
$XDG_CACHE_HOME/wherefore/vm (default ~/.cache/wherefore/vm). The first run needs root, for the userland.

With `-- COMMAND` the guests run that shell command as root instead of the lab; files given by --copy lie in its \
working directory, and what it leaves in /run/out comes back to target/kernels/KERNEL/boot-N/out.

A VM whose kernel was damaged or that died is run again, up to three boots, and counted apart. A command still \
running at the deadline is a failure.

Examples:
  cargo xtask kernels                                     all kernels, all scenarios
  cargo xtask kernels --kernel 5.10 --scenario process-down
  cargo xtask kernels --ci                                each verdict once on 5.10, 6.1, 7.x
  cargo xtask kernels --write-docs                        the same as the first, and docs/kernels.md
  cargo xtask kernels --kernel 6.12 -- uname -r";

/// Run the lab on real kernels, 5.10 to 7.x, in virtual machines.
#[derive(Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Arguments {
    /// A kernel to boot (repeatable; default: all of --list)
    #[arg(long = "kernel", value_name = "V")]
    pub(super) kernels: Vec<String>,
    /// A scenario to run (repeatable; default: all)
    #[arg(long = "scenario", value_name = "NAME")]
    pub(super) scenarios: Vec<String>,
    /// Only this address family
    #[arg(long, value_name = "4|6", value_parser = ["4", "6"])]
    pub(super) family: Option<String>,
    /// The guests' architecture
    #[arg(long, value_enum, default_value = "x86_64")]
    pub(super) arch: Arch,
    /// List the kernels and where they come from
    #[arg(long)]
    pub(super) list: bool,
    /// The small set for every change: the lab's own (`wherefore-lab list --ci`) on 5.10, 6.1 and 7.x
    #[arg(long)]
    pub(super) ci: bool,
    /// Start further kernels after one has failed
    #[arg(long)]
    pub(super) keep_going: bool,
    /// VMs at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) jobs: usize,
    /// How long a VM may run [default: 5400 for all scenarios, else 1800]
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u64>,
    /// Scenarios in a VM that share one recorder; 0: each starts recorders of its own, which is slow in an
    /// emulated CPU [default: 40 of all scenarios, else 24]
    #[arg(long, value_name = "N")]
    share: Option<u32>,
    /// Scenarios that act at once in a VM [default: 8 of all scenarios, else 6]
    #[arg(long, value_name = "N")]
    lab_jobs: Option<usize>,
    /// Bring back the traces of scenarios that passed, to target/kernels/KERNEL/boot-N/out/traces
    #[arg(long)]
    pub(super) traces: bool,
    /// Memory of a VM
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(super) memory: u32,
    /// CPUs of a VM
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) cpus: u32,
    /// Fetch and build the images anew, with the archive's newest kernels
    #[arg(long)]
    pub(super) refresh: bool,
    /// Only fetch and build the images
    #[arg(long)]
    pub(super) fetch: bool,
    /// Write the table into docs/kernels.md, of these kernels and those of earlier such runs (implies
    /// --keep-going); with --scenario, these in the place of what they gave in the last run of all
    #[arg(long, conflicts_with_all = ["ci", "command"])]
    pub(super) write_docs: bool,
    /// A file or folder for the guest's working directory (repeatable)
    #[arg(long, value_name = "PATH")]
    pub(super) copy: Vec<PathBuf>,
    /// A static `wherefore` to test (default: built)
    #[arg(long, value_name = "PATH")]
    pub(super) wherefore: Option<PathBuf>,
    /// A static `wherefore-lab` to run (default: built)
    #[arg(long, value_name = "PATH")]
    pub(super) lab: Option<PathBuf>,
    /// A shell command to run instead of the lab
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

impl Arguments {
    /// Whether every scenario runs, over both protocols.
    pub(super) fn is_whole_lab(&self) -> bool {
        self.are_all_scenarios() && self.family.is_none()
    }

    fn are_all_scenarios(&self) -> bool {
        !self.ci && self.scenarios.is_empty() && self.command.is_empty()
    }

    /// How long a VM may run.
    pub(super) fn deadline(&self) -> Duration {
        // 7.x takes most of an hour on two cores, the small set ten minutes
        Duration::from_secs(self.deadline.unwrap_or(if self.are_all_scenarios() { 5400 } else { 1800 }))
    }

    /// Scenarios that share one recorder; 0: none.
    pub(super) fn share(&self) -> u32 {
        self.share.unwrap_or(if self.are_all_scenarios() { 40 } else { 24 })
    }

    /// Scenarios that act at once.
    pub(super) fn lab_jobs(&self) -> usize {
        self.lab_jobs.unwrap_or(if self.are_all_scenarios() { 8 } else { 6 })
    }
}
