//! Who watches meanwhile: nobody, `wherefore`, or what people use today.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::load::PORT;
use crate::netns::Namespace;
use crate::process::Running;
use crate::scratch;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE, wait_until};

/// A port that nobody uses in the bench's namespace.
const UNUSED_PORT: u16 = PORT + 1;

/// Who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watcher {
    /// Nobody.
    Nobody,
    /// Nobody, once more: what two equal rounds differ by.
    NobodyAgain,
    /// `wherefore record --out DIR --quiet`.
    Wherefore,
    /// The same for a port that nobody uses: its programs in the kernel run as often, and leave at once.
    WhereforeElsewhere,
    /// tcpdump with a port filter, to a file.
    Tcpdump,
    /// bcc's tcpstates.
    Tcpstates,
    /// bcc's tcplife.
    Tcplife,
}

impl Watcher {
    /// In the report.
    pub fn label(self) -> &'static str {
        match self {
            Self::Nobody => "nothing",
            Self::NobodyAgain => "nothing, again (A/A)",
            Self::Wherefore => "`wherefore record`",
            Self::WhereforeElsewhere => "`wherefore record` on another port",
            Self::Tcpdump => "`tcpdump -w FILE tcp port 8080`",
            Self::Tcpstates => "`tcpstates`",
            Self::Tcplife => "`tcplife`",
        }
    }

    /// Whether it is this program.
    const fn is_own(self) -> bool {
        matches!(self, Self::Wherefore | Self::WhereforeElsewhere)
    }

    /// Whether it is there to be measured.
    pub fn missing(self) -> Option<String> {
        let (program, package) = match self {
            Self::Nobody | Self::NobodyAgain | Self::Wherefore | Self::WhereforeElsewhere => return None,
            Self::Tcpdump => ("tcpdump", "tcpdump"),
            Self::Tcpstates => ("tcpstates", "libbpf-tools"),
            Self::Tcplife => ("tcplife", "libbpf-tools"),
        };
        let failed = Command::new(program).arg("--version").output().is_err();
        failed.then(|| format!("{program} is not there (Debian: {package})"))
    }

    /// Starts it and waits until it watches.
    ///
    /// # Errors
    /// When it does not start; with its own words.
    pub fn start(self, tools: &Tools, namespace: &Namespace) -> Result<Option<Watching>> {
        let directory = scratch::directory()?;
        let port = if self == Self::WhereforeElsewhere { UNUSED_PORT } else { PORT }.to_string();
        let mut command = match self {
            Self::Nobody | Self::NobodyAgain => return Ok(None),
            Self::Wherefore | Self::WhereforeElsewhere => {
                let mut command = Command::new(&tools.wherefore);
                command.args(["record", "--quiet", "--port", &port, "--out"]);
                command.arg(directory.path());
                command
            }
            Self::Tcpdump => {
                let mut command = Command::new("tcpdump");
                command.args(["-i", "lo", "-Z", "root", "-w"]).arg(directory.path().join("packets"));
                command.args(["tcp", "port", &port]);
                command
            }
            Self::Tcpstates => with_tracefs("tcpstates"),
            Self::Tcplife => with_tracefs("tcplife"),
        };
        let running = if self.is_own() {
            Running::start(&mut command)?
        } else {
            namespace.within(|| Running::start(&mut command))??
        };
        let watching = Watching { watcher: self, running, _directory: directory };
        watching.await_ready()?;
        Ok(Some(watching))
    }
}

/// A program that needs tracefs, which is not mounted everywhere: in a mount namespace of its own it is.
fn with_tracefs(program: &str) -> Command {
    let mut command = Command::new("unshare");
    let words = format!("mount -t tracefs tracefs /sys/kernel/tracing; exec {program}");
    command.args(["--mount", "sh", "-c", &words]);
    command
}

/// One that watches.
#[derive(Debug)]
pub struct Watching {
    watcher: Watcher,
    running: Running,
    _directory: TempDir,
}

impl Watching {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.id()
    }

    fn await_ready(&self) -> Result<()> {
        let says = |word: &'static str| {
            let there = |lines: &[String]| lines.iter().any(|line| line.contains(word));
            self.running.stderr.wait(Deadline::after(PATIENCE), there)
        };
        let ready = match self.watcher {
            Watcher::Wherefore | Watcher::WhereforeElsewhere => says("ready:"),
            Watcher::Tcpdump => says("listening on"),
            // they say nothing: the last thing that they open before they read is their buffer's poll
            _ => wait_until(Deadline::after(PATIENCE), "its programs in the kernel", || {
                Ok(self.running.has_ended() || polls(self.pid())?)
            })
            .is_ok_and(|()| !self.running.has_ended()),
        };
        if !ready {
            bail!("{} does not start: {}", self.watcher.label(), self.running.stderr.so_far().join(" | "));
        }
        Ok(())
    }

    /// Ends it, in order.
    ///
    /// # Errors
    /// When it does not end, or ends as it should not.
    pub fn end(mut self) -> Result<()> {
        let status = self.running.stop(Signal::INT)?;
        if self.watcher.is_own() && !status.success() {
            bail!("`wherefore record` ended with {status}: {}", self.running.stderr.so_far().join(" | "));
        }
        Ok(())
    }
}

/// Whether a process holds eBPF programs and an epoll descriptor.
fn polls(pid: u32) -> Result<bool> {
    let mut programs = false;
    let mut poll = false;
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).context("it ended")?.flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let name = target.to_string_lossy();
        programs |= name.contains("bpf-prog");
        poll |= name.contains("eventpoll");
    }
    Ok(programs && poll)
}

/// Time and runs of the programs that a process holds: `(run time in ns, runs)` by program name.
///
/// # Errors
/// When /proc cannot be read.
pub fn programs(pid: u32) -> Result<Vec<(String, u64, u64)>> {
    let mut list = Vec::new();
    let folder = format!("/proc/{pid}/fdinfo");
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))?.flatten() {
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        if let Some(program) = program(&text) {
            list.push(program);
        }
    }
    list.sort();
    list.dedup();
    Ok(list)
}

/// Reads a program's descriptor information (kernel/bpf/syscall.c: `bpf_prog_show_fdinfo`).
fn program(text: &str) -> Option<(String, u64, u64)> {
    let field = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    field("prog_type:")?;
    Some((field("prog_id:")?, field("run_time_ns:")?.parse().ok()?, field("run_cnt:")?.parse().ok()?))
}

/// Processor time that a process has taken, all threads, in clock ticks (1/100 s).
///
/// # Errors
/// When it is gone.
pub fn cpu_ticks(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("its processor time")?;
    Ok(stat_fields(&text, 11, 2))
}

/// Processor time that a process has taken, all threads that are there, in nanoseconds.
///
/// # Errors
/// When it is gone.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let mut all = 0_u64;
    for thread in fs::read_dir(&folder).with_context(|| format!("reading {folder}"))?.flatten() {
        // others end while this goes through them
        let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        let first = text.split(' ').next().and_then(|ns| ns.parse().ok());
        all = all.saturating_add(first.with_context(|| format!("{folder} has schedstat of {text:?}"))?);
    }
    Ok(all)
}

/// Processor time that the processes of a group have taken, and those children of this process that have ended, in
/// clock ticks (1/100 s). What else the machine does is not in it. Neither is time in interrupts where the kernel
/// accounts for that apart (`CONFIG_IRQ_TIME_ACCOUNTING`).
///
/// # Errors
/// When /proc cannot be read.
pub fn group_ticks(group: u32) -> Result<u64> {
    let mut ticks = 0_u64;
    for entry in fs::read_dir("/proc").context("reading /proc")?.flatten() {
        // others end while this goes through them
        let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if stat_fields(&text, 2, 1) == u64::from(group) {
            ticks = ticks.saturating_add(stat_fields(&text, 11, 2));
        }
    }
    let own = fs::read_to_string("/proc/self/stat").context("the processor time of children")?;
    Ok(ticks.saturating_add(stat_fields(&own, 13, 2)))
}

/// Sum of `number` fields of a process's `stat`, from the one that is so many behind its state.
fn stat_fields(text: &str, from: usize, number: usize) -> u64 {
    let rest = text.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
    rest.split(' ').skip(from).take(number).map(|field| field.parse::<u64>().unwrap_or_default()).sum()
}

/// Whether a path can be written, for the statistics' switch.
pub fn is_writable(path: &Path) -> bool {
    fs::OpenOptions::new().write(true).open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_programs_descriptor() {
        let text = "pos:\t0\nprog_type:\t17\nprog_jited:\t1\nprog_id:\t42\nrun_time_ns:\t900\nrun_cnt:\t3\n";
        assert_eq!(program(text), Some(("42".to_owned(), 900, 3)));
        assert_eq!(program("pos:\t0\nflags:\t02\n"), None);
    }

    #[test]
    fn this_process_takes_time() {
        let pid = std::process::id();
        assert!(cpu_ticks(pid).is_ok() && cpu_ns(pid).unwrap() > 0);
        let stat = "7 (a) b) R 1 42 42 0 -1 4194304 9 0 0 0 30 12 5 6 20 0 1 0";
        assert_eq!((stat_fields(stat, 2, 1), stat_fields(stat, 11, 2), stat_fields(stat, 13, 2)), (42, 42, 11));
        assert!(group_ticks(pid).is_ok());
    }
}
