//! Many scenarios, one recorder: for machines where starting a recorder takes longer than a scenario.
//!
//! One `wherefore record` watches the namespaces of all of them. What each vantage of each scenario
//! would have recorded is cut out of its trace ([`crate::cut`]) and judged by the real program's
//! replay, with the same expectations as ever; what the recorder itself printed is compared with a replay of the
//! whole trace. Only the connections are counted for all together.
//! A scenario that fails here is run again alone: what runs at the same time may have disturbed it,
//! and a slow machine's clocks may have.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use serde_json::Value;

use crate::check::faults;
use crate::cut::cut;
use crate::lab::Place;
use crate::parallel::each;
use crate::recorder::{Recorder, Recording, replay, verdict_lines};
use crate::run::{Stage, keep_traces, run};
use crate::scenario::{Exchanges, Scenario, Step, Vantage, View};
use crate::scratch;
use crate::tools::Tools;
use crate::wait::now;

/// The recording goes on for this long after the last packet: any silence is decided by then.
const AFTERWARDS: Duration = wherefore::trace::REPEATED;

/// How scenarios share a recorder.
pub struct Sharing<'a> {
    /// Where to leave the traces of scenarios that passed, as `NAME.FAMILY.VANTAGE.wft`.
    pub keep: Option<PathBuf>,
    /// How many act at once.
    pub jobs: NonZero<usize>,
    /// Takes each outcome as soon as it is known.
    pub outcome: &'a (dyn Fn(&Scenario, Result<()>) + Sync),
    /// Takes lines that say how far it is.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

/// Runs scenarios with one recorder, which each of them can share.
pub fn run_together(tools: &Tools, scenarios: &[Scenario], sharing: &Sharing<'_>) {
    let begin = now();
    let stage = |what: &str| {
        let [first, ..] = scenarios else { return };
        let seconds = begin.elapsed().as_secs();
        (sharing.progress)(&format!("{} and {} more: {what} after {seconds} s", first.title(), scenarios.len() - 1));
    };
    let (attempted, replay_fault) = attempt(tools, scenarios, sharing, &stage)
        .unwrap_or_else(|error| (scenarios.iter().map(|_| Err(anyhow!("{error:#}"))).collect(), None));
    stage("judged");
    let mut results = scenarios.iter().zip(attempted);
    // whose verdicts these are does not matter; that it goes well alone would say nothing
    if let Some((fault, (first, _))) = replay_fault.and_then(|fault| Some((fault, results.next()?))) {
        let others = scenarios.len() - 1;
        (sharing.outcome)(first, Err(anyhow!("a recorder that was shared with {others} others: {fault}")));
    }
    let failed = results.filter_map(|(scenario, result)| failed(scenario, result, sharing));
    again_alone(tools, failed.collect(), sharing);
}

/// Runs scenarios with a recorder each, a quarter as many at once as share one, since to start it takes an emulated machine
/// seconds of processor time.
pub fn run_side_by_side(tools: &Tools, scenarios: &[Scenario], sharing: &Sharing<'_>) {
    let jobs = NonZero::new(sharing.jobs.get() / 4).unwrap_or(NonZero::<usize>::MIN);
    let results = each(jobs, scenarios.iter(), |scenario| {
        if scratch::is_interrupted() {
            return None;
        }
        failed(scenario, run(tools, scenario, sharing.keep.as_deref()), sharing)
    });
    again_alone(tools, results.into_iter().flatten().collect(), sharing);
}

/// Tells that it passed, or gives why it did not.
fn failed<'a>(scenario: &'a Scenario, result: Result<()>, sharing: &Sharing<'_>) -> Option<(&'a Scenario, Error)> {
    match result {
        Ok(()) => {
            (sharing.outcome)(scenario, Ok(()));
            None
        }
        Err(error) => Some((scenario, error)),
    }
}

/// What runs at the same time may have disturbed those that failed.
fn again_alone(tools: &Tools, failed: Vec<(&Scenario, Error)>, sharing: &Sharing<'_>) {
    for (scenario, error) in failed {
        if scratch::is_interrupted() {
            return;
        }
        (sharing.progress)(&format!("{}, again alone: {error:#}", scenario.title()));
        (sharing.outcome)(scenario, run(tools, scenario, sharing.keep.as_deref()));
    }
}

/// A scenario on its way.
struct Actor<'a> {
    scenario: &'a Scenario,
    stage: Result<Stage>,
}

fn attempt(
    tools: &Tools,
    scenarios: &[Scenario],
    sharing: &Sharing<'_>,
    stage: &impl Fn(&str),
) -> Result<(Vec<Result<()>>, Option<String>)> {
    let (before, after): (Vec<&[Step]>, Vec<&[Step]>) = scenarios.iter().map(parts).unzip();
    let mut actors: Vec<Actor<'_>> = each(sharing.jobs, scenarios.iter().zip(before), |(scenario, steps)| {
        let prepared = Stage::new(scenario).and_then(|stage| act(tools, scenario, stage, steps));
        Actor { scenario, stage: prepared }
    });
    let flags = scenarios.first().map_or(&[][..], |scenario| scenario.flags);
    let places = [Place::Server, Place::Client, Place::Router];
    let labs = actors.iter().filter_map(|actor| actor.stage.as_ref().ok()).map(|stage| &stage.lab);
    let namespaces: Vec<_> = labs.flat_map(|lab| places.map(|place| lab.at(place))).collect();
    stage("prepared");
    let recorder = Recorder::watch(tools, Vantage::All, &namespaces, flags)?;
    recorder.await_ready()?;
    stage("watched");
    actors = each(sharing.jobs, actors.into_iter().zip(after), |(Actor { scenario, stage }, steps)| Actor {
        scenario,
        stage: stage.and_then(|stage| act(tools, scenario, stage, steps)),
    });
    stage("acted");
    // time that is recorded, in which nothing happens
    std::thread::sleep(AFTERWARDS);
    recorder.interrupt()?;
    let recording = recorder.finish()?;
    // what each scenario's part says is looked at below: here that all that was printed is what the trace says
    let replay_fault = recording.check_replay(tools).err().map(|error| format!("{error:#}"));
    let uncounted = connections_fault(&recording, &actors);
    let results = each(sharing.jobs, actors.into_iter(), |Actor { scenario, stage }| {
        let counts = scenario.expect.widest().connections.is_some();
        match &uncounted {
            Some(fault) if counts => bail!("{fault}"),
            _ => judge(tools, &recording, scenario, &stage?, sharing.keep.as_deref()),
        }
    });
    Ok((results, replay_fault))
}

/// The steps before the recorders start, and those after.
fn parts(scenario: &Scenario) -> (&[Step], &[Step]) {
    let mut parts = scenario.steps.splitn(2, |step| matches!(step, Step::Record));
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn act(tools: &Tools, scenario: &Scenario, mut stage: Stage, steps: &[Step]) -> Result<Stage> {
    for step in steps {
        stage.walk(tools, scenario, step).with_context(|| format!("step {step:?}"))?;
    }
    Ok(stage)
}

/// Whether all connections were counted that must have been made.
fn connections_fault(recording: &Recording, actors: &[Actor<'_>]) -> Option<String> {
    let views: Vec<&View> = actors.iter().map(|actor| actor.scenario.expect.widest()).collect();
    let least: u64 = views.iter().filter_map(|view| view.connections.as_ref()).map(|range| *range.start()).sum();
    let counted = recording.summary.get("connections").and_then(Value::as_u64).unwrap_or(0);
    (counted < least).then(|| format!("connections is {counted}, and at least {least} were made"))
}

/// What is said of one scenario from each of its vantages.
fn judge(tools: &Tools, recording: &Recording, scenario: &Scenario, stage: &Stage, keep: Option<&Path>) -> Result<()> {
    let directory = scratch::directory()?;
    let mut wrong = Vec::new();
    let mut traces = Vec::new();
    for (vantage, view) in scenario.expect.views() {
        let name = scenario.trace_name(vantage);
        let trace = directory.path().join(format!("{name}.wft"));
        let scene = stage.scene(vantage);
        fs::write(&trace, cut(&recording.trace, &scene.watched)?)?;
        let lines = replay(tools, &trace)?;
        let verdicts =
            verdict_lines(&lines).iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
        let summary: Value = serde_json::from_str(lines.last().context("replay says nothing")?)?;
        let uncounted = View {
            connections: None,
            exchanges: Exchanges::Any,
            health_checks: None,
            open: None,
            syns: None,
            ..view.clone()
        };
        let mut found = faults(&verdicts, &[], &summary, &uncounted, &scene);
        found.extend(stage.listener_fault(scenario, &summary, vantage));
        if !found.is_empty() {
            scratch::leave_failed(&trace, &name)?;
        }
        wrong.extend(found.iter().map(|fault| format!("{}, cut out: {fault}", vantage.label())));
        traces.push((name, trace));
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    keep.map_or(Ok(()), |folder| keep_traces(folder, traces.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_parted_where_recording_begins() {
        for scenario in crate::scenarios::all() {
            let (before, after) = parts(&scenario);
            assert_eq!(before.len() + after.len() + 1, scenario.steps.len());
            assert!(!after.is_empty());
        }
    }
}
