//! What the recorder itself takes: when nothing happens, under a steady load of clean requests, and with
//! very many open connections.

pub mod hold;
pub(crate) mod memory;
mod pace;

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::bench::load::{PORT, Stage};
use crate::bench::watcher::cpu_ticks;
use crate::process::Running;
use crate::scratch;
use crate::tools::Tools;
use memory::Memory;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections that stay open.
    pub connections: u64,
    /// Requests a second.
    pub rate: u32,
    /// Seconds of each measurement.
    pub seconds: u32,
}

/// One row of the report.
#[derive(Debug)]
struct Row {
    what: String,
    memory: Memory,
    /// Share of one core, percent.
    processor: f64,
}

/// Measures, and writes a Markdown table.
///
/// # Errors
/// When something is missing or fails.
pub fn run(tools: &Tools, load: Load, out: &mut impl Write, progress: &mut impl FnMut(&str)) -> Result<()> {
    if let Some(reason) = crate::nginx::missing() {
        bail!(reason);
    }
    let stage = Stage::new()?;
    let directory = scratch::directory()?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--quiet", "--json", "--port", &format!("{PORT},{}", hold::PORT)]);
    // what else goes to these ports on this machine is not counted
    command.args(["--netns", stage.namespace.name()]);
    let mut recorder = Running::start(command.arg("--out").arg(directory.path()))?;
    recorder.await_ready()?;
    let pid = recorder.id();
    let length = Duration::from_secs(u64::from(load.seconds));
    let mut rows = Vec::new();

    progress("nothing happens");
    rows.push(row(pid, "nothing happens", load, || {
        nothing(length);
        Ok(())
    })?);
    progress(&format!("{} requests a second", load.rate));
    let mut answered = 0;
    let to = SocketAddr::from(([127, 0, 0, 1], PORT));
    let mut steady = row(pid, "", load, || {
        answered = stage.namespace.within(|| pace::run(to, load.rate, length))??;
        Ok(())
    })?;
    steady.what = format!("{} clean requests a second", answered / u64::from(load.seconds.max(1)));
    rows.push(steady);
    progress(&format!("{} connections open", load.connections));
    let holders = hold::open(tools, &stage.namespace, load.connections)?;
    let what = format!("{} connections open, nothing happens", load.connections);
    rows.push(row(pid, &what, load, || {
        nothing(length);
        Ok(())
    })?);
    let maps_mib = memory::maps_mib(pid)?;
    drop(holders);
    progress("all closed again");
    rows.push(row(pid, "all closed again", load, || {
        nothing(length);
        Ok(())
    })?);

    let status = recorder.stop(Signal::INT)?;
    ensure!(status.success(), "{status}: {:?}", recorder.stderr.so_far());
    stage.end()?;
    let lines = recorder.stdout.so_far();
    let summary = lines.iter().rev().find_map(|line| serde_json::from_str(line).ok()).context("no summary")?;
    write!(out, "{}", report(&rows, maps_mib, &summary, load, answered)?)?;
    Ok(())
}

/// The length of the measurement, not a wait for anything.
fn nothing(length: Duration) {
    std::thread::sleep(length);
}

/// What the recorder took while something was done.
fn row(pid: u32, what: &str, load: Load, doing: impl FnOnce() -> Result<()>) -> Result<Row> {
    let before = cpu_ticks(pid)?;
    doing()?;
    let ticks = u32::try_from(cpu_ticks(pid)?.saturating_sub(before))?;
    // clock ticks are hundredths of a second
    let processor = f64::from(ticks) / f64::from(load.seconds.max(1));
    Ok(Row { what: what.to_owned(), memory: Memory::of(pid)?, processor })
}

/// The table, once the recorder's own summary has confirmed that it saw all of it.
fn report(rows: &[Row], maps_mib: f64, summary: &Value, load: Load, answered: u64) -> Result<String> {
    use std::fmt::Write as _;
    let counted = summary.get("exchanges").and_then(Value::as_u64).context("no exchanges in the summary")?;
    let expected = answered + load.connections;
    let lost: Vec<String> = summary
        .get("lost")
        .and_then(Value::as_object)
        .context("no losses in the summary")?
        .iter()
        .filter(|(_cause, count)| count.as_u64() != Some(0))
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    let lost = if lost.is_empty() { "nothing".to_owned() } else { lost.join(", ") };
    ensure!(counted == expected, "{counted} exchanges were counted of {expected}; lost: {lost}");
    let mut text = "| | own memory, MiB | program's file, MiB | mapping of the ring, MiB | processor, % of a core |\n\
        |---|---:|---:|---:|---:|\n"
        .to_owned();
    for Row { what, memory, processor } in rows {
        let Memory { own, file, maps } = memory;
        // writing to a string does not fail
        writeln!(text, "| {what} | {own:.1} | {file:.1} | {maps:.1} | {processor:.2} |").unwrap_or_default();
    }
    writeln!(
        text,
        "\nMaps in the kernel: {maps_mib:.1} MiB. Counted: {counted} exchanges, as many as there were. Lost: {lost}."
    )
    .unwrap_or_default();
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_of_a_recorder_that_saw_everything() {
        let load = Load { connections: 30, rate: 10, seconds: 1 };
        let row = Row { what: "x".to_owned(), memory: Memory { own: 9.5, file: 5.0, maps: 16.0 }, processor: 0.5 };
        let summary = json!({"exchanges": 40, "lost": {"ring-full": 0, "flows-full": 3}});
        let text = report(&[row], 70.0, &summary, load, 10).unwrap();
        assert!(text.contains("| x | 9.5 | 5.0 | 16.0 | 0.50 |") && text.contains("Lost: flows-full 3."), "{text}");
        assert!(report(&[], 70.0, &summary, load, 11).is_err());
    }
}
