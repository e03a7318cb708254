//! What a flood of refused SYNs costs: a closed watched port, SYNs of random sources as fast as one sender can.

use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::machine;
use super::rounds::{SWITCH, Statistics};
use super::watcher::{cpu_ns, is_writable, programs};
use crate::bpf;
use crate::flood::{Packets, sources};
use crate::lab::{Family, Lab, Place, WATCHED};
use crate::process::Running;
use crate::scratch;
use crate::tools::Tools;
use crate::wait::now;
use crate::weigh::memory::Memory;
use crate::wire::Wire;

/// Nanoseconds of all programs a SYN, at most.
const HOOKS_NS: f64 = 1000.0;
/// The server's hardware address, one of those that anybody may give.
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Percent of a core that the recorder takes, at most.
const PROCESSOR: f64 = 5.0;
/// After the last SYN: by then everything is decided and told.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// One flood.
#[derive(Debug)]
struct Measured {
    family: Family,
    /// SYNs that arrived.
    syns: u64,
    seconds: f64,
    /// Share of one core, percent, of the time of the flood.
    processor: f64,
    memory: Memory,
    trace_kib: u64,
    /// What the recorder said last.
    summary: Value,
    /// Time in ns and runs of each program; empty unless they were timed.
    programs: Vec<(String, u64, u64)>,
}

/// Floods a closed port over each protocol, `syns` a time, and writes a Markdown section.
///
/// # Errors
/// When something is missing or fails, or the totals are not exact.
pub fn run(tools: &Tools, syns: u32, out: &mut impl Write, progress: &mut impl FnMut(&str)) -> Result<()> {
    ensure!(syns > 0, "a flood has at least one SYN");
    if !is_writable(Path::new(SWITCH)) {
        bail!("{SWITCH} cannot be written: the kernel does not take the time of programs");
    }
    let machine = machine::said();
    let mut floods = Vec::new();
    for family in Family::ALL {
        for timed in [false, true] {
            progress(&format!("{syns} SYNs over {}{}", family.label(), if timed { ", timed" } else { "" }));
            let statistics = timed.then(Statistics::on).transpose()?;
            let flood = flood(tools, family, syns, timed)?;
            drop(statistics);
            exact(&flood.summary, flood.syns).with_context(|| format!("over {}", family.label()))?;
            floods.push(flood);
        }
    }
    write!(out, "{machine}\n{}", report(&floods, syns)).context("writing the report")
}

fn flood(tools: &Tools, family: Family, syns: u32, timed: bool) -> Result<Measured> {
    let lab = Lab::new(family)?;
    prepare(&lab)?;
    let packets = Packets::new(family, SocketAddr::new(lab.server_address(), WATCHED), syns);
    let directory = scratch::directory()?;
    let mut recorder = start(tools, &lab, &directory)?;
    let pid = recorder.id();
    let before = programs(pid)?;
    let taken = cpu_ns(pid)?;
    let arrived = lab.at(Place::Server).tcp_segments_received()?;
    let begun = now();
    lab.at(Place::Router).within(|| {
        let wire = Wire::new("eth1", family, SERVER)?;
        packets.each().try_for_each(|packet| wire.send(packet))
    })??;
    let seconds = now().duration_since(begun).as_secs_f64();
    let programs = if timed { named(difference(&before, &programs(pid)?)) } else { Vec::new() };
    // what is still to be done counts as well
    std::thread::sleep(AFTERWARDS);
    let syns = lab.at(Place::Server).tcp_segments_received()?.saturating_sub(arrived);
    let processor = number(cpu_ns(pid)?.saturating_sub(taken)) / 1e7 / seconds;
    let memory = Memory::of(pid)?;
    let status = recorder.stop(Signal::INT)?;
    ensure!(status.success(), "{status}: {:?}", recorder.stderr.so_far());
    let lines = recorder.stdout.so_far();
    let summary = lines.last().and_then(|line| serde_json::from_str(line).ok()).context("no summary")?;
    let trace_kib = std::fs::metadata(crate::recorder::only_trace(directory.path())?)?.len() / 1024;
    Ok(Measured { family, syns, seconds, processor, memory, trace_kib, summary, programs })
}

/// The server can be reached without being asked for its hardware address, and its answers leave by a device that takes
/// everything, as a network card does: nothing of the other end of a flood is in what the programs take.
fn prepare(lab: &Lab) -> Result<()> {
    let (server, sources) = (lab.at(Place::Server), sources(lab.family()));
    server.sysctl(&[("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/eth0/rp_filter", "0")])?;
    let octets = SERVER.map(|byte| format!("{byte:02x}"));
    server.ip(&format!("link set eth0 address {}\n", octets.join(":")))?;
    let sink = |kind| server.ip(&format!("link add sink type {kind}\n"));
    sink("dummy").or_else(|_| sink("ifb")).context("a device that takes everything (dummy or ifb)")?;
    server.ip(&format!("link set sink up\nroute add {sources} dev sink\n"))
}

fn start(tools: &Tools, lab: &Lab, directory: &TempDir) -> Result<Running> {
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--json", "--port", &WATCHED.to_string(), "--netns", lab.at(Place::Server).name()]);
    let recorder = Running::start(command.arg("--out").arg(directory.path()))?;
    recorder.await_ready()?;
    Ok(recorder)
}

/// What each program took between two looks.
fn difference(before: &[(String, u64, u64)], after: &[(String, u64, u64)]) -> Vec<(String, u64, u64)> {
    let earlier = |id: &str| before.iter().find(|(known, ..)| known == id).map_or((0, 0), |one| (one.1, one.2));
    let grown = after.iter().map(|(id, ns, runs)| {
        let (ns_before, runs_before) = earlier(id);
        (id.clone(), ns.saturating_sub(ns_before), runs.saturating_sub(runs_before))
    });
    grown.filter(|(.., runs)| *runs > 0).collect()
}

/// Names in the place of numbers.
fn named(programs: Vec<(String, u64, u64)>) -> Vec<(String, u64, u64)> {
    let name = |id: String| id.parse().ok().and_then(bpf::program_name).unwrap_or(id);
    programs.into_iter().map(|(id, ns, runs)| (name(id), ns, runs)).collect()
}

/// Whether every SYN is in the totals, and nothing is lost.
fn exact(summary: &Value, syns: u64) -> Result<()> {
    let counted = |pointer: &str| summary.pointer(pointer).and_then(Value::as_u64);
    let arrived = counted("/ports/8080/syn");
    ensure!(arrived == Some(syns), "{arrived:?} SYNs were counted of {syns}");
    let refused = counted("/verdicts/process-down");
    ensure!(refused == Some(syns), "verdicts stand for {refused:?} refused SYNs of {syns}");
    let lost = summary.get("lost").and_then(Value::as_object).context("no losses in the summary")?;
    let lost: Vec<_> = lost.iter().filter(|(_, count)| count.as_u64() != Some(0)).collect();
    ensure!(lost.is_empty(), "lost: {lost:?}");
    Ok(())
}

fn report(floods: &[Measured], syns: u32) -> String {
    let mut text = String::new();
    let ns = |flood: &Measured| flood.programs.iter().map(|one| number(one.1)).sum::<f64>() / number(flood.syns);
    // writing to a string does not fail
    let mut line = |words: String| writeln!(text, "{words}").unwrap_or_default();
    line(format!("{syns} SYNs over each protocol; all that arrived were counted and told, and nothing was lost.\n"));
    line("| over | SYNs a second | recorder, % of a core | own memory, MiB | trace, KiB | records | hooks a SYN | ns a SYN |".into());
    line("|---|---:|---:|---:|---:|---:|---:|---:|".into());
    for [plain, timed] in floods.as_chunks().0 {
        let runs = timed.programs.iter().map(|one| number(one.2)).sum::<f64>() / number(timed.syns);
        line(format!(
            "| {} | {:.0} | {:.1} | {:.1} | {} | {} | {runs:.1} | {:.0} |",
            plain.family.label(),
            number(plain.syns) / plain.seconds,
            plain.processor,
            plain.memory.own,
            plain.trace_kib,
            plain.summary.get("records").and_then(Value::as_u64).unwrap_or_default(),
            ns(timed),
        ));
    }
    for timed in floods.iter().filter(|flood| !flood.programs.is_empty()) {
        let mut programs: Vec<_> = timed.programs.iter().collect();
        programs.sort_by_key(|(_, ns, _)| std::cmp::Reverse(*ns));
        let words = programs.iter().take(5).map(|(name, ns, runs)| {
            format!("`{name}` {:.1} runs of {:.0} ns", number(*runs) / number(timed.syns), number(*ns) / number(*runs))
        });
        line(format!("\nFor each SYN over {}: {}.", timed.family.label(), words.collect::<Vec<_>>().join(", ")));
    }
    let met = |holds: bool| if holds { "met" } else { "NOT met" };
    let hooks = floods.iter().map(ns).fold(0.0, f64::max);
    let plain = floods.iter().filter(|flood| flood.programs.is_empty());
    let processor = plain.map(|flood| flood.processor).fold(0.0, f64::max);
    line(format!("\n- hooks: {} ({hooks:.0} ns a SYN, wanted at most {HOOKS_NS:.0})", met(hooks <= HOOKS_NS)));
    line(format!(
        "- user space: {} ({processor:.1}% of a core, wanted at most {PROCESSOR:.0}%)",
        met(processor <= PROCESSOR)
    ));
    text
}

#[expect(clippy::cast_precision_loss, reason = "counts and times of seconds are far below 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary() -> Value {
        json!({
            "records": 9, "verdicts": {"process-down": 1000}, "lost": {"ring-full": 0},
            "ports": {"8080": {"syn": 1000}},
        })
    }

    fn measured(programs: Vec<(String, u64, u64)>) -> Measured {
        Measured {
            family: Family::V4,
            syns: 1000,
            seconds: 0.01,
            processor: 4.9,
            memory: Memory { own: 2.0, ..Memory::default() },
            trace_kib: 7,
            summary: summary(),
            programs,
        }
    }

    #[test]
    fn every_syn_must_be_counted_and_told() {
        assert!(exact(&summary(), 1000).is_ok());
        for (pointer, value) in
            [("/ports/8080/syn", json!(999)), ("/verdicts/process-down", json!(1001)), ("/lost/ring-full", json!(1))]
        {
            let mut changed = summary();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(exact(&changed, 1000).is_err(), "{pointer}");
        }
    }

    #[test]
    fn a_report_says_whether_the_budgets_are_met() {
        let timed = |ns| report(&[measured(Vec::new()), measured(vec![("kfree_skb".to_owned(), ns, 2000)])], 1000);
        let text = timed(900_000);
        assert!(text.contains("| ipv4 | 100000 | 4.9 | 2.0 | 7 | 9 | 2.0 | 900 |"), "{text}");
        assert!(text.contains("`kfree_skb` 2.0 runs of 450 ns") && !text.contains("NOT"), "{text}");
        assert!(timed(1_100_000).contains("hooks: NOT met (1100 ns a SYN"));
    }

    #[test]
    fn only_what_ran_meanwhile_counts() {
        let one = |id: &str, ns, runs| (id.to_owned(), ns, runs);
        let grown = difference(&[one("1", 10, 1), one("2", 5, 1)], &[one("1", 30, 3), one("2", 5, 1), one("3", 7, 1)]);
        assert_eq!(grown, [one("1", 20, 2), one("3", 7, 1)]);
    }
}
