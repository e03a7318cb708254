//! `cargo xtask corpus`: the recorded traces of tests/corpus.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{build, process, setup, workspace};

/// This machine's own kernel, among those of `cargo xtask kernels --list`.
const HOST: &str = "host";

/// Record the traces of tests/corpus anew, on this machine's kernel (`host`) and others, or write down
/// what is said of them now.
///
/// Recording needs root. Where traces of all scenarios are recorded, those of scenarios that are no more
/// are removed. Traces under tests/corpus/compatibility are never touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A kernel: `host`, or one of `cargo xtask kernels --list` (repeatable; default: those there are
    /// traces of)
    #[arg(long = "kernel", value_name = "V")]
    kernels: Vec<String>,
    /// Only scenarios whose name contains this (repeatable)
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Record nothing: take what the last `cargo xtask kernels --traces` left of these kernels
    #[arg(long, requires = "kernels", conflicts_with = "bless")]
    take: bool,
    /// Record nothing: replay the traces there are, print what is said otherwise than before, and
    /// write that down
    #[arg(long, conflicts_with = "scenarios")]
    bless: bool,
}

/// Runs the command.
///
/// # Errors
/// If nothing could be recorded, or a trace cannot be replayed.
pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Scope::Build, setup::Consent::Ask)?;
    build::build(false)?;
    build::lab(false)?;
    let kernels = if arguments.kernels.is_empty() { recorded()? } else { arguments.kernels.clone() };
    for kernel in &kernels {
        if !arguments.bless {
            record(kernel, arguments).with_context(|| format!("cannot record on {kernel}"))?;
        }
    }
    process::run(lab().args(["corpus", "bless"]).args(kernels.iter().map(|kernel| collection(kernel))))
}

fn corpus() -> PathBuf {
    workspace::root().join("tests/corpus/kernels")
}

fn collection(kernel: &str) -> PathBuf {
    corpus().join(kernel)
}

fn lab() -> Command {
    Command::new(workspace::lab(false))
}

/// The kernels that there are traces of.
fn recorded() -> Result<Vec<String>> {
    let entries = fs::read_dir(corpus()).with_context(|| format!("cannot read {}", corpus().display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir())?.file_name().into_string().ok())
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("there is no corpus yet: name the kernels to record on with --kernel");
    }
    Ok(names)
}

/// Records traces on one kernel and takes them into its collection.
fn record(kernel: &str, arguments: &Arguments) -> Result<()> {
    let traces = match (kernel, arguments.take) {
        (HOST, true) => bail!("--take is for the kernels of `cargo xtask kernels`"),
        (HOST, false) => on_host(&arguments.scenarios)?,
        (_, take) => in_vm(kernel, &arguments.scenarios, take)?,
    };
    if arguments.scenarios.is_empty() && collection(kernel).exists() {
        remove_traces(&collection(kernel))?;
    }
    // What both ends' kernels told is in one trace. Judging by the client's end alone is the engine's
    // own work, the same on every kernel: one collection of it is enough.
    let vantages: &[&str] = if kernel == HOST { &["client"] } else { &[] };
    let mut take = lab();
    take.args(["corpus", "take", "--from"]).arg(traces);
    process::run(take.args(vantages.iter().flat_map(|vantage| ["--vantage", vantage])).arg(collection(kernel)))
}

/// What was said of them before stays, to be compared with.
fn remove_traces(collection: &Path) -> Result<()> {
    for entry in fs::read_dir(collection).with_context(|| format!("cannot read {}", collection.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "zst") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn on_host(scenarios: &[String]) -> Result<PathBuf> {
    let traces = workspace::target().join("corpus/traces");
    if traces.exists() {
        fs::remove_dir_all(&traces)?;
    }
    if !process::is_root() {
        bail!("recording needs root");
    }
    process::run(lab().args(["run", "--share", "24", "--keep"]).arg(&traces).args(scenarios))?;
    Ok(traces)
}

fn in_vm(kernel: &str, scenarios: &[String], take: bool) -> Result<PathBuf> {
    if !take {
        let mut kernels = Command::new(std::env::current_exe()?);
        kernels.args(["kernels", "--traces", "--kernel", kernel]);
        process::run(kernels.args(scenarios.iter().flat_map(|scenario| ["--scenario", scenario])))?;
    }
    newest(&workspace::target().join(format!("kernels/{kernel}-amd64")))
}

/// The traces of a kernel's last boot.
fn newest(folder: &Path) -> Result<PathBuf> {
    let boots = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let of_boots = boots.flatten().map(|boot| boot.path().join("out/traces")).filter(|traces| traces.is_dir());
    let time = |traces: &PathBuf| fs::metadata(traces).and_then(|metadata| metadata.modified()).ok();
    of_boots.max_by_key(time).with_context(|| format!("no boot in {} has left traces", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_removed_traces_stays() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.ipv4.both.wft.zst", "verdicts.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_traces(folder.path()).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["verdicts.txt"]);
    }

    #[test]
    fn the_last_boot_s_traces_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert!(newest(folder.path()).unwrap_err().to_string().contains("no boot"));
        fs::create_dir_all(folder.path().join("boot-1/out")).unwrap();
        fs::create_dir_all(folder.path().join("boot-2/out/traces")).unwrap();
        assert!(newest(folder.path()).unwrap().ends_with("boot-2/out/traces"));
        assert!(newest(Path::new("/nonexistent")).is_err());
    }
}
