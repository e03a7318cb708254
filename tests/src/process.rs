//! Processes that the lab starts: their lines are read as they come, and none outlives its lab.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::netns::words;
use crate::wait::{Deadline, PATIENCE, wait_until};

/// Process groups that are alive, for [`kill_all`].
static ALIVE: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Kills every process group that the lab has started and not yet waited for.
pub fn kill_all() {
    for group in std::mem::take(&mut *alive()).into_iter().filter_map(Pid::from_raw) {
        kill_process_group(group, Signal::KILL).unwrap_or_default();
    }
}

fn alive() -> MutexGuard<'static, BTreeSet<i32>> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines of one stream, complete so far.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<(Mutex<Content>, Condvar)>);

#[derive(Debug, Default)]
struct Content {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has come so far.
    pub fn so_far(&self) -> Vec<String> {
        self.content().lines.clone()
    }

    /// Waits for a state of the lines. `false`: the deadline passed or the stream ended without it.
    pub fn wait(&self, deadline: Deadline, reached: impl Fn(&[String]) -> bool) -> bool {
        let mut content = self.content();
        loop {
            if reached(&content.lines) {
                return true;
            }
            let Some(left) = deadline.remaining().filter(|_| !content.ended) else { return false };
            content = self.0.1.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Reads a stream to its end, on a thread of its own.
    fn collect(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                lines.content().lines.push(String::from_utf8_lossy(&line).into_owned());
                lines.0.1.notify_all();
            }
            lines.content().ended = true;
            lines.0.1.notify_all();
        })
    }
}

/// A process of the lab, in a process group of its own. Dropping it kills the group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    words: String,
    readers: Vec<JoinHandle<()>>,
    /// Its standard output.
    pub stdout: Lines,
    /// Its standard error.
    pub stderr: Lines,
}

impl Running {
    /// Starts a command. Its standard input stays open until it is stopped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let words = words(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("starting {words}"))?;
        alive().insert(Pid::from_child(&child).as_raw_pid());
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(stdout.collect(stream));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(stderr.collect(stream));
        }
        Ok(Self { child, words, readers, stdout, stderr })
    }

    /// Waits until a recorder says that it is ready.
    ///
    /// # Errors
    /// When it does not, or ends before, with its own words.
    pub fn await_ready(&self) -> Result<()> {
        let ready = |lines: &[String]| lines.iter().any(|line| line.starts_with("ready:"));
        if self.stderr.wait(Deadline::after(PATIENCE), ready) {
            return Ok(());
        }
        bail!("`wherefore record` does not become ready: {}", self.stderr.so_far().join(" | "))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When it no longer reads.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().with_context(|| format!("{} has no standard input", self.words))?;
        writeln!(stdin, "{line}").with_context(|| format!("telling {} to {line}", self.words))
    }

    /// Whether it has closed its standard error, as a process that has ended.
    pub fn has_ended(&self) -> bool {
        self.stderr.content().ended
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is no longer there.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).with_context(|| format!("{signal:?} to {}", self.words))
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn await_end(&mut self) -> Result<()> {
        wait_until(Deadline::after(PATIENCE), &format!("the end of {}", self.words), || {
            Ok(self.child.try_wait()?.is_some())
        })?;
        self.wait().map(drop)
    }

    /// Waits for its end and for the last of its lines.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        drop(self.child.stdin.take());
        let mut status = None;
        wait_until(Deadline::after(PATIENCE), &format!("the end of {}", self.words), || {
            status = self.child.try_wait()?;
            Ok(status.is_some())
        })?;
        alive().remove(&Pid::from_child(&self.child).as_raw_pid());
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        status.context("no exit status")
    }

    /// Asks it to end with a signal, and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended by itself: {status}: {}", self.words, self.stderr.so_far().join(" | "));
        }
        self.signal(signal)?;
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_process_group(Pid::from_child(&self.child), Signal::KILL).unwrap_or_default();
            drop(self.child.wait());
            alive().remove(&Pid::from_child(&self.child).as_raw_pid());
        }
    }
}
