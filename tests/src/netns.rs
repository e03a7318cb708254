//! Network namespaces with names of ours, and work done inside them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps its names.
const NAMES: &str = "/run/netns";
/// Every namespace of the lab is called `wf-PID-N-ROLE`; PID made it.
const PREFIX: &str = "wf-";

/// A network namespace of this lab; deleted, with every process in it, when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
    inode: u64,
}

impl Namespace {
    /// Takes hold of a namespace that `ip netns add` has just made.
    ///
    /// # Errors
    /// When it is not there.
    pub fn adopt(name: String) -> Result<Self> {
        let path = Path::new(NAMES).join(&name);
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let inode = file.metadata()?.ino();
        Ok(Self { name, file, inode })
    }

    /// Its name in /run/netns.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the `netns` field of a verdict says of it.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Does `work` on a thread that is in this namespace: sockets and processes made there stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                    .with_context(|| format!("entering namespace {}", self.name))?;
                Ok(work())
            });
            inside.join().map_err(|_panic| anyhow!("a thread in namespace {} panicked", self.name))?
        })
    }

    /// TCP segments that came in: `InSegs` of /proc/net/snmp.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn tcp_segments_received(&self) -> Result<u64> {
        let text = self.within(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:")).map(str::split_whitespace);
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else { bail!("/proc/net/snmp has no Tcp") };
        let found = names.zip(values).find(|(name, _)| *name == "InSegs");
        Ok(found.context("there is no InSegs")?.1.parse()?)
    }

    /// Runs a command in this namespace to its end.
    ///
    /// # Errors
    /// When it cannot be started or fails; its own words are in the error.
    pub fn run(&self, command: &mut Command) -> Result<String> {
        self.within(|| output(command))?
    }

    /// Runs lines of `ip` in this namespace.
    ///
    /// # Errors
    /// What `ip` says of the first line that fails.
    pub fn ip(&self, lines: &str) -> Result<()> {
        ip_batch(Some(&self.name), lines)
    }

    /// Sets kernel parameters of this namespace: paths below /proc/sys/net, and values.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.within(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys/net").join(key);
                fs::write(&path, value).with_context(|| format!("setting {} to {value}", path.display()))?;
            }
            Ok(())
        })?
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// Runs lines of `ip`, one command each, in one process.
///
/// # Errors
/// What `ip` says of the first line that fails.
pub fn ip_batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(name) = namespace {
        command.args(["-n", name]);
    }
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("starting ip")?;
    child.stdin.take().context("ip has no standard input")?.write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip failed on:\n{lines}\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails; its own words are in the error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {}", words(command)))?;
    if !output.status.success() {
        bail!("{}: {}: {}", words(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as one would type it.
pub fn words(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Removes namespaces whose lab was killed before it could clean up, with the processes in them.
///
/// # Errors
/// When /run/netns cannot be read.
pub fn sweep() -> Result<()> {
    for name in names()? {
        if creator(&name).is_some_and(|pid| !is_alive(pid)) {
            delete(&name);
        }
    }
    Ok(())
}

/// Removes every namespace that this process has made.
///
/// # Errors
/// When /run/netns cannot be read.
pub fn abandon_all() -> Result<()> {
    for name in names()? {
        if creator(&name) == Some(std::process::id()) {
            delete(&name);
        }
    }
    Ok(())
}

/// Whether a process of this id is there.
pub(crate) fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The name of a namespace that this process makes.
#[must_use]
pub fn fresh_name(number: u32, role: char) -> String {
    format!("{PREFIX}{}-{number}-{role}", std::process::id())
}

fn names() -> Result<Vec<String>> {
    let directory = PathBuf::from(NAMES);
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&directory).with_context(|| format!("reading {NAMES}"))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// The process that made a namespace of this name; `None` if it is not one of ours.
fn creator(name: &str) -> Option<u32> {
    let (pid, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (number, role) = rest.split_once('-')?;
    number.parse::<u32>().ok()?;
    if role.len() != 1 {
        return None;
    }
    pid.parse().ok()
}

/// Ends what runs in a namespace and deletes it. What is already gone is no failure.
fn delete(name: &str) {
    if let Ok(pids) = output(Command::new("ip").args(["netns", "pids", name])) {
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()).filter_map(Pid::from_raw) {
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }
    drop(output(Command::new("ip").args(["netns", "del", name])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_have_a_creator() {
        assert_eq!(creator("wf-812-3-c"), Some(812));
        assert_eq!(creator(&fresh_name(7, 's')), Some(std::process::id()));
        for foreign in
            ["wf-", "wf-812", "wf-812-3", "wf-x-3-c", "wf-812-x-c", "wf-812-3-client", "prod-812-3-c", "cni-1"]
        {
            assert_eq!(creator(foreign), None, "{foreign}");
        }
    }
}
