//! The rounds: every pair of an undisturbed and a watched round lies close together in time, in random
//! order, so that what else goes on on the machine meets both alike.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::load::{Load, Stage};
use super::statistics::Numbers;
use super::watcher::{Watcher, cpu_ticks, programs};
use crate::tools::Tools;
use crate::weigh::memory::Memory;

/// Clock ticks a second (`USER_HZ`, 100 on every architecture that is supported here).
const TICKS: f64 = 100.0;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rounds with nothing, nothing again, `wherefore`, and `wherefore` on another port.
    pub pairs: u32,
    /// Of these, how many also have the other tools.
    pub others: u32,
    /// Rounds in which the kernel takes the programs' time.
    pub timed: u32,
    /// Seconds of load in one round.
    pub seconds: u32,
}

/// One watcher's throughput in one round.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// Which round.
    pub round: u32,
    /// Who watched.
    pub watcher: Watcher,
    /// Requests a second.
    pub rate: f64,
}

/// What `wherefore` itself took in one round.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Share of one core.
    pub cpu: f64,
    /// Resident memory in MiB, mappings of the programs' maps apart.
    pub resident_mib: f64,
}

/// What the programs in the kernel took in one timed round.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Runs for each request.
    pub runs: f64,
    /// Their time for each request, ns; the statistics' own time is in it.
    pub ns: f64,
    /// Processor time of nginx and wrk for each request, what the kernel does for them included, ns.
    pub cpu_ns: f64,
}

/// All of one load.
#[derive(Debug)]
pub struct Measured {
    /// Which.
    pub load: Load,
    /// Every round.
    pub throughput: Vec<Throughput>,
    /// Every round with `wherefore`.
    pub own: Vec<Own>,
    /// Every timed round.
    pub hooks: Vec<Hooks>,
    /// The same with another port watched: the programs' runs, and hardly any work of theirs.
    pub hooks_elsewhere: Vec<Hooks>,
}

impl Measured {
    /// Throughput with `watcher` over throughput with nothing, a number for each round that had both.
    pub fn ratios(&self, watcher: Watcher) -> Vec<f64> {
        let rate = |round, wanted| {
            self.throughput.iter().find(|one| one.round == round && one.watcher == wanted).map(|one| one.rate)
        };
        let rounds = self.throughput.iter().filter(|one| one.watcher == watcher).map(|one| one.round);
        rounds.filter_map(|round| Some(rate(round, watcher)? / rate(round, Watcher::Nobody)?)).collect()
    }

    /// Throughput of every round with `watcher`.
    pub fn rates(&self, watcher: Watcher) -> Vec<f64> {
        self.throughput.iter().filter(|one| one.watcher == watcher).map(|one| one.rate).collect()
    }
}

/// Measures one load.
///
/// # Errors
/// When the load or a watcher fails.
pub fn measure(
    tools: &Tools,
    stage: &Stage,
    load: Load,
    size: Size,
    progress: &mut impl FnMut(&str),
) -> Result<Measured> {
    let mut measured =
        Measured { load, throughput: Vec::new(), own: Vec::new(), hooks: Vec::new(), hooks_elsewhere: Vec::new() };
    let mut numbers = Numbers(0x0bad_cafe);
    stage.run(load, 1).context("the first, unmeasured round")?;
    for round in 0..size.pairs {
        let mut watchers = vec![Watcher::Nobody, Watcher::NobodyAgain, Watcher::Wherefore, Watcher::WhereforeElsewhere];
        if round < size.others {
            let others = [Watcher::Tcpdump, Watcher::Tcpstates, Watcher::Tcplife];
            watchers.extend(others.into_iter().filter(|other| other.missing().is_none()));
        }
        numbers.shuffle(&mut watchers);
        for watcher in watchers {
            progress(&format!("{}: round {} of {}: {}", load.label(), round + 1, size.pairs, watcher.label()));
            one_round(tools, stage, watcher, round, size, &mut measured)?;
        }
    }
    for round in 0..size.timed {
        progress(&format!("{}: timed round {} of {}", load.label(), round + 1, size.timed));
        measured.hooks.push(timed_round(tools, stage, Watcher::Wherefore, load, size.seconds)?);
        measured.hooks_elsewhere.push(timed_round(tools, stage, Watcher::WhereforeElsewhere, load, size.seconds)?);
    }
    Ok(measured)
}

fn one_round(
    tools: &Tools,
    stage: &Stage,
    watcher: Watcher,
    round: u32,
    size: Size,
    measured: &mut Measured,
) -> Result<()> {
    let watching = watcher.start(tools, &stage.namespace)?;
    let own = watching.as_ref().filter(|_| watcher == Watcher::Wherefore).map(super::watcher::Watching::pid);
    let before = own.map(cpu_ticks).transpose()?;
    let requests = stage.run(measured.load, size.seconds)?;
    let seconds = f64::from(size.seconds);
    if let (Some(pid), Some(before)) = (own, before) {
        let Memory { own, file, .. } = Memory::of(pid)?;
        let cpu = difference(before, cpu_ticks(pid)?) / TICKS / seconds;
        measured.own.push(Own { cpu, resident_mib: own + file });
    }
    measured.throughput.push(Throughput { round, watcher, rate: number(requests) / seconds });
    watching.map_or(Ok(()), super::watcher::Watching::end)
}

/// A round in which the kernel takes the time of each run of each program.
fn timed_round(tools: &Tools, stage: &Stage, watcher: Watcher, load: Load, seconds: u32) -> Result<Hooks> {
    let statistics = Statistics::on()?;
    let watching = watcher.start(tools, &stage.namespace)?.context("nobody watches")?;
    let sums = |list: Vec<(String, u64, u64)>| {
        list.iter().fold((0_u64, 0_u64), |(ns, runs), one| (ns.saturating_add(one.1), runs.saturating_add(one.2)))
    };
    let before = sums(programs(watching.pid())?);
    let busy = stage.ticks()?;
    let requests = number(stage.run(load, seconds)?).max(1.0);
    let busy = difference(busy, stage.ticks()?) / TICKS * 1e9;
    let after = sums(programs(watching.pid())?);
    watching.end()?;
    drop(statistics);
    Ok(Hooks {
        runs: difference(before.1, after.1) / requests,
        ns: difference(before.0, after.0) / requests,
        cpu_ns: busy / requests,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts and times of seconds are far below 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

fn difference(before: u64, after: u64) -> f64 {
    number(after.saturating_sub(before))
}

/// The kernel's statistics of eBPF programs, on while this lives if they were not before.
#[derive(Debug)]
pub struct Statistics {
    before: String,
}

/// Their switch.
pub const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl Statistics {
    /// Turns them on.
    ///
    /// # Errors
    /// When the switch is not there.
    pub fn on() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("reading {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("writing {SWITCH}"))?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        drop(fs::write(Path::new(SWITCH), self.before.trim()));
    }
}
