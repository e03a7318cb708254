//! `cargo xtask kernels`: real Debian cloud kernels in QEMU, with the lab inside.
//!
//! Data flows through the files in this order: `options` (what is asked), `catalogue` (which
//! kernels), `apt` and `cache` (packages, verified, kept), `kernel_image`, `userland`, `qemu` (what a
//! guest is made of), `task` (what it does), `initrd`, `vm`, `watch`, `console` (one boot), `schedule` (many
//! boots), `lab`, `table` (what came out).

mod apt;
mod arch;
mod cache;
mod catalogue;
mod clock;
mod command;
mod console;
mod cross;
mod disk;
mod initrd;
mod kept;
mod kernel_image;
mod lab;
mod options;
mod qemu;
mod schedule;
mod table;
mod task;
mod userland;
mod userland_arm;
mod vm;
mod watch;

use std::sync::Mutex;

use anyhow::{Result, bail};

use self::arch::Arch;
use self::cache::Cache;
use self::catalogue::Kernel;
use self::clock::Stopwatch;
pub(crate) use self::options::Arguments;
use self::schedule::{Job, Outcome, run_all};
use self::table::Column;
use self::vm::Machine;
use self::watch::Ending;
use crate::console::{note, result};
use crate::{setup, workspace};
use kept::Kept;

/// Runs the command.
///
/// # Errors
/// If an image cannot be made, a VM cannot be started, or a kernel failed.
pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        list(arguments.arch);
        return Ok(());
    }
    let mut kernels = catalogue::choose(arguments.arch, &arguments.kernels, arguments.ci)?;
    if arguments.ci {
        // the newest takes longest, and shall not be what is waited for in the end
        kernels.reverse();
    }
    if arguments.write_docs && !arguments.is_whole_lab() {
        let kept = Kept::of_repository();
        kernels.iter().try_for_each(|kernel| kept.whole(kernel.name, arguments.arch).map(drop))?;
    }
    let (task, listed) = task::of(arguments)?;
    let stopwatch = Stopwatch::start();
    let machines = prepare(arguments, &kernels)?;
    note(format_args!("kernels: images ready after {:.1} s", stopwatch.seconds()));
    if arguments.fetch {
        return Ok(());
    }
    let folder = |kernel: &Kernel| format!("kernels/{}-{}", kernel.name, arguments.arch.debian());
    let job = |(kernel, machine): (&Kernel, Machine)| Job {
        label: kernel.name.to_owned(),
        folder: workspace::target().join(folder(kernel)),
        task: task.clone(),
        machine,
    };
    let jobs: Vec<_> = kernels.iter().zip(machines).map(job).collect();
    let of_lab = arguments.command.is_empty();
    let line = |label: &str, text: &str| match (of_lab, jobs.len()) {
        (false, 1) => result(text),
        (false, _) => result(format_args!("[{label}] {text}")),
        (true, _) => note(format_args!("[{label}] {text}")),
    };
    let docs = Mutex::new(());
    let ended = |job: &Job, outcome: &Outcome| match &docs.lock() {
        Ok(_alone) if of_lab && arguments.write_docs => write_down(arguments, &listed, column(job, outcome)),
        _ => Ok(()),
    };
    let outcomes = run_all(&jobs, arguments.jobs, arguments.keep_going || arguments.write_docs, &line, &ended)?;
    outcomes.iter().for_each(report);
    note(format_args!("kernels: {} of {} ran, {:.0} s in all", outcomes.len(), jobs.len(), stopwatch.seconds()));
    let mut failed: Vec<_> = jobs.iter().skip(outcomes.len()).map(|job| format!("{} not started", job.label)).collect();
    if of_lab {
        let columns: Vec<_> = jobs.iter().zip(&outcomes).map(|(job, outcome)| column(job, outcome)).collect();
        result(table::markdown(&columns, &listed).trim_end());
        failed.extend(columns.into_iter().filter(Column::failed).map(|column| column.kernel));
    } else {
        let wrong = outcomes.iter().filter(|outcome| !outcome.passed());
        failed.extend(wrong.map(|outcome| format!("{} {}", outcome.label, ending(&outcome.boot.ending))));
    }
    if !failed.is_empty() {
        bail!("not all kernels passed: {}", failed.join(", "));
    }
    Ok(())
}

fn list(arch: Arch) {
    for kernel in catalogue::all(arch) {
        let ci = if kernel.ci { "  (in --ci)" } else { "" };
        result(format_args!("{:12} from {}{ci}", kernel.name, kernel.suites.join(", ")));
    }
}

/// The images of all kernels; the cache's lock is held only here.
fn prepare(arguments: &Arguments, kernels: &[Kernel]) -> Result<Vec<Machine>> {
    setup::ensure(setup::Scope::Kernels, setup::Consent::Ask)?;
    let mirrors = apt::Mirrors::of_this_machine();
    let cache = Cache::open(arguments.refresh)?;
    let qemu = qemu::Qemu::prepare(&cache, &mirrors, arguments.arch)?;
    let userland = userland::Userland::prepare(&cache, &mirrors, arguments.arch)?;
    let machine = |kernel: &Kernel| -> Result<Machine> {
        Ok(Machine {
            qemu: qemu.clone(),
            kernel: kernel_image::KernelImage::prepare(&cache, &mirrors, kernel, arguments.arch)?,
            userland: userland.clone(),
            cgroups: kernel.cgroups,
            memory_mib: arguments.memory,
            cpus: arguments.cpus,
        })
    };
    kernels.iter().map(machine).collect()
}

/// Keeps what a kernel gave, and writes the table of all that is kept into the docs: a run that is cut short has been
/// of use.
fn write_down(arguments: &Arguments, listed: &[String], column: Column) -> Result<()> {
    let (arch, kept) = (arguments.arch, Kept::of_repository());
    if arguments.is_whole_lab() {
        kept.put(arch, &column)?;
    } else {
        kept.put_some(arch, column)?;
    }
    let table = table::markdown(&kept.all(arch), listed);
    table::write_into(&workspace::root().join("docs/kernels.md"), arch.name(), &table)
}

fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Exited(status) => format!("exit status {status}"),
        Ending::Hung => "hung: killed at the deadline".to_owned(),
        Ending::Broke(why) => format!("the VM broke each time: {why}"),
    }
}

/// A line for each kernel; the end of its console where the VM is the trouble.
fn report(outcome: &Outcome) {
    let Outcome { label, boot, broke, folder } = outcome;
    let up = boot.up_seconds.map_or("never".to_owned(), |seconds| format!("after {seconds:.1} s"));
    let again = if broke.is_empty() { String::new() } else { format!("; VMs that broke: {}", broke.len()) };
    let how = ending(&boot.ending);
    note(format_args!("kernels: {label}: {how}; up {up}, {:.1} s{again}; {}", boot.seconds, folder.display()));
    if !matches!(boot.ending, Ending::Exited(_)) {
        for file in ["console", "qemu.log"] {
            let text = std::fs::read(folder.join(file)).unwrap_or_default();
            note(format_args!("-- the end of its {file}:\n{}", command::tail(&String::from_utf8_lossy(&text), 40)));
        }
    }
}

fn column(job: &Job, outcome: &Outcome) -> Column {
    let (results, trouble) = match &outcome.boot.ending {
        Ending::Exited(status) => lab::judge(&outcome.boot.output, *status),
        other => (lab::results(&outcome.boot.output), Some(ending(other))),
    };
    Column {
        kernel: outcome.label.clone(),
        release: job.machine.kernel.release.clone(),
        results,
        trouble,
        broke: outcome.broke.len(),
        up_seconds: outcome.boot.up_seconds,
        seconds: outcome.boot.seconds,
        run: true,
    }
}
