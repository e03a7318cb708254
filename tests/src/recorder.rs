//! The program under test: a real `wherefore record`, and `wherefore replay` of what it wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{Lab, WATCHED};
use crate::netns::{Namespace, words};
use crate::privileges;
use crate::process::Running;
use crate::scenario::Vantage;
use crate::scratch;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE, wait_until};

/// An attempt is decided at most 3.3 s after its first SYN; the rest is for a slow machine.
pub const VERDICT_PATIENCE: Duration = Duration::from_secs(20);

/// A `wherefore record` that is running.
#[derive(Debug)]
pub struct Recorder {
    running: Running,
    directory: TempDir,
    vantage: Vantage,
}

/// What a `wherefore record` has said, from its start to its end.
#[derive(Debug)]
pub struct Recording {
    /// From where it looked.
    pub vantage: Vantage,
    /// Its verdict lines, exactly.
    pub verdicts: Vec<String>,
    /// Its counters lines.
    pub counters: Vec<Value>,
    /// Its summary.
    pub summary: Value,
    /// Its standard error.
    pub stderr: Vec<String>,
    /// Its trace file.
    pub trace: PathBuf,
    _directory: TempDir,
}

impl Recorder {
    /// Starts recording, with these flags beside its own; it may not be ready yet.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(tools: &Tools, lab: &Lab, vantage: Vantage, flags: &[&str]) -> Result<Self> {
        let namespaces: Vec<_> = vantage.places().iter().map(|place| lab.at(*place)).collect();
        Self::watch(tools, vantage, &namespaces, flags)
    }

    /// Starts recording in these namespaces; it may not be ready yet.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn watch(tools: &Tools, vantage: Vantage, namespaces: &[&Namespace], flags: &[&str]) -> Result<Self> {
        let directory = scratch::directory()?;
        let mut command = Command::new(&tools.wherefore);
        command.args(["record", "--json", "--out"]).arg(directory.path()).args(flags);
        if !flags.contains(&"--port") {
            command.args(["--port", &WATCHED.to_string()]);
        }
        // a recorder whose lab was killed ends, too; many scenarios that share one take minutes where a CPU is emulated
        command.args(["--duration", "1h"]);
        for namespace in namespaces {
            command.args(["--netns", namespace.name()]);
        }
        Ok(Self { running: Running::start(&mut command)?, directory, vantage })
    }

    /// Waits until every hook is attached.
    ///
    /// # Errors
    /// When it does not become ready, with its own words; or has more privileges then than it needs.
    pub fn await_ready(&self) -> Result<()> {
        self.running.await_ready()?;
        // on every kernel that the lab runs on
        privileges::are_given_up(self.running.id(), true)
    }

    /// Waits for verdicts that stand for so many attempts. Whether they came is for others to judge.
    pub fn await_verdicts(&self, attempts: u64, deadline: Deadline) {
        self.running.stdout.wait(deadline, |lines| {
            let counts = lines.iter().filter_map(|line| parse(line)).filter(is_verdict);
            counts.filter_map(|verdict| verdict.get("count")?.as_u64()).sum::<u64>() >= attempts
        });
    }

    /// Has it stand still, or go on: what happens meanwhile waits in the ring. When this returns, it stands still.
    ///
    /// # Errors
    /// When it has ended.
    pub fn hold(&self, still: bool) -> Result<()> {
        if !still {
            return self.running.signal(Signal::CONT);
        }
        self.running.signal(Signal::STOP)?;
        let deadline = Deadline::after(PATIENCE);
        wait_until(deadline, "a recorder to stand still", || all_threads_stopped(self.running.id()))
    }

    /// Asks it to end; it goes on ending by itself.
    ///
    /// # Errors
    /// When it has already ended.
    pub fn interrupt(&self) -> Result<()> {
        self.running.signal(Signal::INT)
    }

    /// Waits until it has ended, after [`Self::interrupt`].
    ///
    /// # Errors
    /// When it fails, or what it printed is not what it promises.
    pub fn finish(mut self) -> Result<Recording> {
        let status = self.running.wait()?;
        let (lines, stderr) = (self.running.stdout.so_far(), self.running.stderr.so_far());
        if status.code() != Some(0) {
            bail!("`wherefore record` ended with {status}: {}", stderr.join(" | "));
        }
        let values = lines.iter().map(|line| parse(line).with_context(|| format!("not JSON: {line}")));
        let values = values.collect::<Result<Vec<_>>>()?;
        let summary = values.last().filter(|last| last["type"] == "summary").context("the last line is no summary")?;
        if values.first().is_none_or(|first| first["type"] != "start") {
            bail!("the first line is no start");
        }
        Ok(Recording {
            vantage: self.vantage,
            verdicts: verdict_lines(&lines),
            counters: values.iter().filter(|value| value["type"] == "counters").cloned().collect(),
            summary: summary.clone(),
            stderr,
            trace: only_trace(self.directory.path())?,
            _directory: self.directory,
        })
    }
}

impl Recording {
    /// What is wrong if `ready:` does not say this.
    pub fn ready_fault(&self, words: &str) -> Option<String> {
        let ready = self.stderr.iter().find(|line| line.starts_with("ready:"));
        let says = ready.is_some_and(|line| line.contains(words));
        (!says).then(|| format!("ready: does not say {words:?}: {ready:?}"))
    }

    /// Replays the trace and compares its verdict lines with those of the live run.
    ///
    /// # Errors
    /// When they differ in one byte, or replay fails.
    pub fn check_replay(&self, tools: &Tools) -> Result<()> {
        /// Lines of each that are shown.
        const SHOWN: usize = 4;
        let replayed = verdict_lines(&replay(tools, &self.trace)?);
        let same = replayed.iter().zip(&self.verdicts).take_while(|(one, other)| one == other).count();
        if same < replayed.len().max(self.verdicts.len()) {
            let shown =
                |lines: &[String]| lines.iter().skip(same).take(SHOWN).cloned().collect::<Vec<_>>().join("\n    ");
            let (live, replayed) = (shown(&self.verdicts), shown(&replayed));
            bail!("replay says otherwise behind {same} verdicts\n  live:\n    {live}\n  replayed:\n    {replayed}");
        }
        Ok(())
    }
}

/// What `wherefore replay --json` prints of a trace.
///
/// # Errors
/// When it fails.
pub fn replay(tools: &Tools, trace: &Path) -> Result<Vec<String>> {
    let mut command = Command::new(&tools.wherefore);
    command.arg("replay").arg(trace).arg("--json");
    let words = words(&command);
    let mut replay = Running::start(&mut command)?;
    let status = replay.wait()?;
    let remarks = replay.stderr.so_far().join(" | ");
    if status.code() != Some(0) {
        bail!("{words} ended with {status}: {remarks}");
    }
    Ok(replay.stdout.so_far())
}

/// The one trace file in a directory.
///
/// # Errors
/// When there is not exactly one.
pub fn only_trace(directory: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut traces: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    traces.retain(|path| path.extension().is_some_and(|extension| extension == "wft"));
    match traces.pop() {
        Some(trace) if traces.is_empty() => Ok(trace),
        Some(_) => bail!("more than one trace file in {}", directory.display()),
        None => bail!("no trace file in {}", directory.display()),
    }
}

fn parse(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

fn is_verdict(value: &Value) -> bool {
    value["type"] == "verdict"
}

/// The verdicts among these lines.
pub fn verdict_lines(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| parse(line).as_ref().is_some_and(is_verdict)).cloned().collect()
}
/// Whether every thread of a process is stopped (proc_pid_status(5)).
fn all_threads_stopped(pid: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        if !status.lines().any(|line| line.starts_with("State:\tT")) {
            return Ok(false);
        }
    }
    Ok(true)
}
