//! `cargo xtask kernels`: real Debian cloud kernels in QEMU, with the lab inside.
//!
//! Data flows through the files in this order: `catalogue` (which kernels), `apt` and `cache`
//! (packages, verified, kept), `kernel_image`, `userland`, `qemu` (what a guest is made of),
//! `initrd`, `vm`, `console` (one boot), `schedule` (many boots), `lab`, `table` (what came out).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::arch::Arch;
use self::cache::Cache;
use self::catalogue::Kernel;
use self::clock::Stopwatch;
use self::command::{print, say};
use self::schedule::{Job, Outcome, run_all};
use self::table::Column;
use self::vm::{Ending, Machine, Task};

mod apt;
mod arch;
mod cache;
mod catalogue;
mod clock;
mod command;
mod console;
mod disk;
mod initrd;
mod kernel_image;
mod lab;
mod prerequisites;
mod qemu;
mod schedule;
mod table;
mod userland;
mod userland_arm;
mod vm;

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
  cargo xtask kernels --ci                                the small set: 5.10, 6.1, 7.x
  cargo xtask kernels --kernel 6.12 -- uname -r";

/// Run the lab on real kernels, 5.10 to 7.x, in virtual machines.
#[derive(Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// A kernel to boot (repeatable; default: all of --list)
    #[arg(long = "kernel", value_name = "V")]
    kernels: Vec<String>,
    /// A scenario to run (repeatable; default: all)
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Only this address family
    #[arg(long, value_name = "4|6", value_parser = ["4", "6"])]
    family: Option<String>,
    /// The guests' architecture
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// List the kernels and where they come from
    #[arg(long)]
    list: bool,
    /// The small set for every change: 5.10, 6.1 and 7.x
    #[arg(long)]
    ci: bool,
    /// Start further kernels after one has failed
    #[arg(long)]
    keep_going: bool,
    /// VMs at once
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// How long a VM may run
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    deadline: u64,
    /// Memory of a VM
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: u32,
    /// CPUs of a VM
    #[arg(long, value_name = "N", default_value_t = 2)]
    cpus: u32,
    /// Fetch and build the images anew, with the archive's newest kernels
    #[arg(long)]
    refresh: bool,
    /// Only fetch and build the images
    #[arg(long)]
    fetch: bool,
    /// Write the table into docs/kernels.md (implies --keep-going)
    #[arg(long, conflicts_with_all = ["kernels", "scenarios", "family", "ci", "command"])]
    write_docs: bool,
    /// A file or folder for the guest's working directory (repeatable)
    #[arg(long, value_name = "PATH")]
    copy: Vec<PathBuf>,
    /// A static `wherefore` to test (default: built)
    #[arg(long, value_name = "PATH")]
    wherefore: Option<PathBuf>,
    /// A static `wherefore-lab` to run (default: built)
    #[arg(long, value_name = "PATH")]
    lab: Option<PathBuf>,
    /// A shell command to run instead of the lab
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// `cargo xtask kernels`.
pub(crate) fn command(args: &Args) -> Result<()> {
    if run(args, &crate::workspace::root())? {
        return Ok(());
    }
    bail!("not all kernels passed")
}

/// Runs the command; `root` is the workspace. False where a kernel failed.
fn run(args: &Args, root: &Path) -> Result<bool> {
    if args.list {
        list(args.arch);
        return Ok(true);
    }
    let kernels = catalogue::choose(args.arch, &args.kernels, args.ci)?;
    let task = task(args)?;
    let stopwatch = Stopwatch::start();
    let machines = prepare(args, &kernels)?;
    if args.fetch {
        return Ok(true);
    }
    say(format_args!("kernels: images ready after {:.1} s", stopwatch.seconds()));
    let jobs: Vec<_> =
        kernels.iter().zip(machines).map(|(kernel, machine)| job(kernel, machine, &task, root)).collect();
    let several = jobs.len() > 1;
    let in_guest = !args.command.is_empty();
    let line = |label: &str, text: &str| match (in_guest, several) {
        (true, false) => print(format_args!("{text}")),
        (true, true) => print(format_args!("[{label}] {text}")),
        (false, _) => say(format_args!("[{label}] {text}")),
    };
    let outcomes = run_all(&jobs, args.jobs, args.keep_going || args.write_docs, &line)?;
    for outcome in &outcomes {
        report(outcome);
    }
    say(format_args!("kernels: {} of {} ran, {:.0} s in all", outcomes.len(), jobs.len(), stopwatch.seconds()));
    let all = outcomes.len() == jobs.len();
    if in_guest {
        return Ok(all && outcomes.iter().all(Outcome::passed));
    }
    let release =
        |label: &str| jobs.iter().find(|job| job.label == label).map(|job| job.machine.kernel.release.clone());
    let columns: Vec<_> =
        outcomes.into_iter().map(|outcome| column(release(&outcome.label).unwrap_or_default(), outcome)).collect();
    let table = table::markdown(&columns);
    print(format_args!("{table}"));
    if args.write_docs {
        table::write_into(&root.join("docs/kernels.md"), args.arch.name(), &table)?;
    }
    Ok(all && !columns.iter().any(Column::failed))
}

fn list(arch: Arch) {
    for kernel in catalogue::all(arch) {
        let ci = if kernel.ci { "  (in --ci)" } else { "" };
        print(format_args!("{:12} from {}{ci}", kernel.name, kernel.suites.join(", ")));
    }
}

/// The images of all kernels; the cache's lock is held only here.
fn prepare(args: &Args, kernels: &[Kernel]) -> Result<Vec<Machine>> {
    prerequisites::install()?;
    let mirrors = apt::Mirrors::of_this_machine();
    let cache = Cache::open(args.refresh)?;
    let qemu = qemu::Qemu::prepare(&cache, &mirrors, args.arch)?;
    let userland = userland::Userland::prepare(&cache, &mirrors, args.arch)?;
    let machine = |kernel: &Kernel| -> Result<Machine> {
        Ok(Machine {
            qemu: qemu.clone(),
            kernel: kernel_image::KernelImage::prepare(&cache, &mirrors, kernel, args.arch)?,
            userland: userland.clone(),
            cgroups: kernel.cgroups,
            memory_mib: args.memory,
            cpus: args.cpus,
        })
    };
    kernels.iter().map(machine).collect()
}

fn job(kernel: &Kernel, machine: Machine, task: &Task, root: &Path) -> Job {
    let folder = root.join("target/kernels").join(format!("{}-{}", kernel.name, machine.qemu.arch().debian()));
    Job { label: kernel.name.to_owned(), machine, task: task.clone(), folder }
}

fn task(args: &Args) -> Result<Task> {
    let deadline = Duration::from_secs(args.deadline);
    let mut files = args.copy.clone();
    if !args.command.is_empty() {
        let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
        return Ok(Task { command: words.join(" "), files, deadline });
    }
    let (Some(wherefore), Some(lab)) = (&args.wherefore, &args.lab) else {
        bail!("say which programs to test: --wherefore PATH --lab PATH, or give a command after --");
    };
    files.extend([wherefore.clone(), lab.clone()]);
    let name = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).map(str::to_owned).context("a program without a name")
    };
    let mut command = format!("./{} run --wherefore ./{}", name(lab)?, name(wherefore)?);
    for word in args
        .family
        .iter()
        .flat_map(|family| ["--family", family.as_str()])
        .chain(args.scenarios.iter().map(String::as_str))
    {
        if !word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            bail!("{word:?} is no scenario's name");
        }
        command.push(' ');
        command.push_str(word);
    }
    Ok(Task { command, files, deadline })
}

/// A line for each kernel; the console's end where the VM is the trouble.
fn report(outcome: &Outcome) {
    let boot = &outcome.boot;
    let up = boot.up_seconds.map_or("never".to_owned(), |seconds| format!("after {seconds:.1} s"));
    let how = match &boot.ending {
        Ending::Exited(status) => format!("exit status {status}"),
        Ending::Hung => "HUNG: killed at the deadline".to_owned(),
        Ending::Broke(why) => format!("VM BROKE: {why}"),
    };
    let again = if outcome.broke.is_empty() { String::new() } else { format!(", {} VMs broke", outcome.broke.len()) };
    say(format_args!(
        "kernels: {}: {how}, up {up}, {:.1} s{again}; {}",
        outcome.label,
        boot.seconds,
        outcome.folder.display()
    ));
    if !matches!(boot.ending, Ending::Exited(_)) {
        for file in ["console", "qemu.log"] {
            let text = std::fs::read(outcome.folder.join(file)).unwrap_or_default();
            say(format_args!("-- the end of its {file}:\n{}", command::tail(&String::from_utf8_lossy(&text), 30)));
        }
    }
}

fn column(release: String, outcome: Outcome) -> Column {
    let (results, trouble) = match &outcome.boot.ending {
        Ending::Exited(status) => match lab::complete(&outcome.boot.output) {
            Ok(results)
                if *status == 0 || results.iter().any(|result| matches!(result.verdict, lab::Verdict::Failed(_))) =>
            {
                (results, None)
            }
            Ok(results) => (results, Some(format!("the lab ended with status {status}"))),
            Err(error) => (lab::results(&outcome.boot.output), Some(format!("{error} (status {status})"))),
        },
        Ending::Hung => (lab::results(&outcome.boot.output), Some("hung: killed at the deadline".to_owned())),
        Ending::Broke(why) => (Vec::new(), Some(format!("the VM broke each time: {why}"))),
    };
    Column {
        kernel: outcome.label,
        release,
        results,
        trouble,
        broke: outcome.broke.len(),
        up_seconds: outcome.boot.up_seconds,
        seconds: outcome.boot.seconds,
    }
}
