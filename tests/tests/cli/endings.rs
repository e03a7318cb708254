//! How a recording ends: by a signal, by time, and with nobody left to read what it says.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use wherefore_tests::process::Running;
use wherefore_tests::recorder::only_trace;
use wherefore_tests::scratch;
use wherefore_tests::tools::Tools;

use crate::Test;
use crate::program::{QUIET_PORT, quiet_trace, wherefore};

pub(crate) const TESTS: &[Test] = &[
    ("sigint-ends-in-order", |tools| signalled(tools, Signal::INT)),
    ("sigterm-ends-in-order", |tools| signalled(tools, Signal::TERM)),
    ("sighup-ends-in-order", |tools| signalled(tools, Signal::HUP)),
    ("duration-ends-in-order", duration),
    ("record-with-stdout-closed-early", record_unread),
    ("replay-with-stdout-closed-early", replay_unread),
];

fn signalled(tools: &Tools, signal: Signal) -> Result<()> {
    let directory = scratch::directory()?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--json", "--port", QUIET_PORT, "--duration", "300s", "--out"]).arg(directory.path());
    let mut running = Running::start(&mut command)?;
    running.await_ready()?;
    let status = running.stop(signal)?;
    ensure!(status.code() == Some(0), "{status}: {:?}", running.stderr.so_far());
    let last = running.stdout.so_far().pop().context("no line on standard output")?;
    ensure!(last.contains("\"type\":\"summary\""), "the last line is no summary: {last}");
    let trace = only_trace(directory.path())?.to_string_lossy().into_owned();
    ensure!(last.contains(&trace), "the summary does not name {trace}: {last}");
    wherefore(tools, &["replay", &trace, "--json"])?.says(0, &[])
}

fn duration(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let out = directory.path().to_string_lossy().into_owned();
    let ending = wherefore(tools, &["record", "--port", QUIET_PORT, "--duration", "1s", "--out", &out])?;
    ending.says(0, &["ready:"])?;
    let trace = only_trace(directory.path())?.to_string_lossy().into_owned();
    let said = ending.stdout.join("\n");
    ensure!(said.contains(&format!("wherefore replay {trace}")), "no replay command for {trace}: {said}");
    wherefore(tools, &["replay", &trace])?.says(0, &[])
}

fn record_unread(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--json", "--port", QUIET_PORT, "--duration", "300s", "--out"]).arg(directory.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = BufReader::new(child.stdout.take().context("no standard output")?);
    let mut first = String::new();
    stdout.read_line(&mut first)?;
    drop(stdout);
    // it may have noticed by itself
    if child.try_wait()?.is_none() {
        kill_process(Pid::from_child(&child), Signal::INT)?;
    }
    let status = child.wait()?;
    ensure!(first.contains("\"type\":\"start\""), "the first line is no start: {first}");
    ensure!(status.code() == Some(0), "{status}");
    wherefore(tools, &["replay", &only_trace(directory.path())?.to_string_lossy()])?.says(0, &[])
}

fn replay_unread(tools: &Tools) -> Result<()> {
    let (_directory, trace) = quiet_trace(tools)?;
    for format in [&["--json"][..], &[]] {
        let mut command = Command::new(&tools.wherefore);
        command.arg("replay").arg(&trace).args(format).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        drop(child.stdout.take());
        let output = child.wait_with_output()?;
        ensure!(output.status.code() == Some(0), "{}", output.status);
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(!stderr.contains("ipe"), "a closed pipe is no error: {stderr}");
    }
    Ok(())
}
