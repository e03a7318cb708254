//! What the program may: only what it still needs once it records, and all that it still needs.

#![expect(clippy::indexing_slicing, reason = "a key that a JSON value lacks reads as null")]

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{XattrFlags, setxattr};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::WATCHED;
use crate::netns::{Namespace, fresh_name, ip_batch};
use crate::process::Running;
use crate::scratch;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// A check that is no scenario: its name, and what it does.
pub type Check = (&'static str, fn(&Tools) -> Result<()>);

/// Every check of this module.
pub const CHECKS: &[Check] = &[
    ("privileges-look-ups-go-on", look_ups_go_on),
    ("privileges-without-root", without_root),
    ("privileges-too-few", too_few),
];

/// Capabilities by bit (`linux/capability.h`).
const DAC_READ_SEARCH: u64 = 1 << 2;
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const SYS_RESOURCE: u64 = 1 << 24;
const SYSLOG: u64 = 1 << 34;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// What is kept everywhere, and what else some kernels make necessary. The directory is ours, and sudo
/// is not at work.
const KEPT: u64 = DAC_READ_SEARCH | NET_ADMIN | NET_RAW | SYS_PTRACE | SYS_ADMIN;
const KEPT_AT_MOST: u64 = KEPT | BPF | PERFMON;
/// What is granted to a file.
const GRANTED: u64 = KEPT_AT_MOST | SYSLOG;
/// `nobody`
const ORDINARY_USER: u32 = 65_534;

/// Every thread of a recorder that is ready has the capabilities that it still needs, and no others.
///
/// # Errors
/// Which thread has what.
pub fn are_given_up(pid: u32, as_root: bool) -> Result<()> {
    let tasks = format!("/proc/{pid}/task");
    let mut threads = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))?.flatten() {
        // one that has just ended has none
        let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
        threads += 1;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim).with_context(|| format!("no {name} in {status}"))
        };
        let set = |name| u64::from_str_radix(field(name)?, 16).context("not hexadecimal");
        for name in ["CapEff", "CapPrm"] {
            let has = set(name)?;
            ensure!(has & KEPT == KEPT && has & !KEPT_AT_MOST == 0, "{name} of a thread is {has:x}");
        }
        ensure!(set("CapInh")? == 0 && set("CapAmb")? == 0, "a thread could hand capabilities on: {status}");
        // only with CAP_SETPCAP can the bounding set be cut down
        let bounding = set("CapBnd")?;
        ensure!(!as_root || bounding & !KEPT_AT_MOST == 0, "CapBnd of a thread is {bounding:x}");
        ensure!(field("NoNewPrivs")? == "1", "a thread may gain privileges: {status}");
    }
    ensure!(threads > 0, "process {pid} has no thread");
    Ok(())
}

/// A namespace that is made after privileges were given up is entered, and who listens there is found.
fn look_ups_go_on(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let mut recorder = start(&mut command(&tools.wherefore, directory.path()))?;
    are_given_up(recorder.id(), true)?;
    let name = fresh_name(0, 'p');
    ip_batch(None, &format!("netns add {name}\n"))?;
    let namespace = Namespace::adopt(name)?;
    namespace.ip("link set lo up\n")?;
    // listens elsewhere than where it is asked for
    let _listener = namespace.within(|| TcpListener::bind(SocketAddr::from(([127, 0, 0, 2], WATCHED))))??;
    namespace.within(|| drop(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], WATCHED)))))?;
    let of_it = |line: &String| {
        let value: Value = serde_json::from_str(line).ok()?;
        (value["type"] == "verdict" && value["netns"] == namespace.inode()).then_some(value)
    };
    let told = |lines: &[String]| lines.iter().any(|line| of_it(line).is_some());
    ensure!(recorder.stdout.wait(Deadline::after(PATIENCE), told), "no verdict: {:?}", recorder.stdout.so_far());
    are_given_up(recorder.id(), true)?;
    ensure!(recorder.stop(Signal::INT)?.code() == Some(0), "{:?}", recorder.stderr.so_far());
    let verdict = recorder.stdout.so_far().iter().find_map(of_it).context("no verdict")?;
    ensure!(verdict["verdict"] == "wrong-bind-address", "the listener was not found: {verdict}");
    ensure!(verdict["process"]["pid"] == std::process::id(), "its process was not found: {verdict}");
    Ok(())
}

/// An ordinary user starts a copy of the program that has its capabilities from its file.
fn without_root(tools: &Tools) -> Result<()> {
    let mut place = Granted::new(tools, GRANTED)?;
    let mut recorder = Running::start(place.command().args(["--duration", "600s"]))?;
    if recorder.await_ready().is_err() {
        // before Linux 5.11 the maps are more memory than others may lock; the error says so
        let stderr = recorder.stderr.so_far();
        let [line] = stderr.as_slice() else { bail!("not ready: {stderr:?}") };
        ensure!(line.contains("CAP_SYS_RESOURCE"), "not ready: {line}");
        place = Granted::new(tools, GRANTED | SYS_RESOURCE)?;
        recorder = start(place.command().args(["--duration", "600s"]))?;
    }
    are_given_up(recorder.id(), false)?;
    drop(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], WATCHED))));
    let told = |lines: &[String]| lines.iter().any(|line| line.contains("\"process-down\""));
    ensure!(recorder.stdout.wait(Deadline::after(PATIENCE), told), "no verdict: {:?}", recorder.stdout.so_far());
    ensure!(recorder.stop(Signal::INT)?.code() == Some(0), "{:?}", recorder.stderr.so_far());
    Ok(())
}

/// With too few of them the error names what is missing.
fn too_few(tools: &Tools) -> Result<()> {
    for (without, named) in
        [(BPF | SYS_ADMIN, "CAP_BPF"), (PERFMON | SYS_ADMIN, "CAP_PERFMON"), (NET_ADMIN, "CAP_NET_ADMIN")]
    {
        let place = Granted::new(tools, GRANTED & !without)?;
        let mut running = Running::start(place.command().args(["--duration", "1s"]))?;
        let (status, stderr) = (running.wait()?, running.stderr.so_far());
        let [line] = stderr.as_slice() else { bail!("without {named}: {status}: {stderr:?}") };
        ensure!(status.code() == Some(1) && line.contains(named), "without {named}: {status}: {line}");
    }
    Ok(())
}

fn command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["record", "--json", "--port", &WATCHED.to_string(), "--out"]).arg(directory);
    command
}

fn start(command: &mut Command) -> Result<Running> {
    let running = Running::start(command)?;
    running.await_ready()?;
    Ok(running)
}

/// A copy of the program with capabilities of its own, and a place where anybody may write.
struct Granted(TempDir);

impl Granted {
    fn new(tools: &Tools, capabilities: u64) -> Result<Self> {
        let directory = scratch::directory()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;
        let program = directory.path().join("wherefore");
        fs::copy(&tools.wherefore, &program)?;
        setxattr(&program, "security.capability", &file_capabilities(capabilities), XattrFlags::empty())
            .context("granting capabilities to a file")?;
        Ok(Self(directory))
    }

    fn command(&self) -> Command {
        let mut command = command(&self.0.path().join("wherefore"), &self.0.path().join("traces"));
        command.uid(ORDINARY_USER).gid(ORDINARY_USER);
        command
    }
}

/// `struct vfs_cap_data` (`linux/capability.h`), revision 2, with the effective bit: what setcap writes.
fn file_capabilities(permitted: u64) -> Vec<u8> {
    const REVISION_2_EFFECTIVE: u32 = 0x0200_0001;
    let low_and_high = permitted.to_le_bytes();
    let (low, high) = low_and_high.split_at(4);
    [&REVISION_2_EFFECTIVE.to_le_bytes(), low, &[0; 4], high, &[0; 4]].concat()
}
