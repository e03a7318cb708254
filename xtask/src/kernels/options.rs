//! The command line of `cargo xtask kernels`.

use std::ffi::OsString;
use std::path::PathBuf;

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
    /// How long a VM may run
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    pub(super) deadline: u64,
    /// Scenarios in a VM that share one recorder; 0: each starts recorders of its own, which is slow in an
    /// emulated CPU
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub(super) share: u32,
    /// Scenarios that act at once in a VM
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(super) lab_jobs: usize,
    /// Bring back the traces of scenarios that passed, to target/kernels/KERNEL/boot-N/out/traces
    #[arg(long)]
    pub(super) traces: bool,
    /// Memory of a VM
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
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
