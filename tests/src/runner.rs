//! Running items of the lab: a line for each, and last the counts.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use crate::item::Item;
use crate::scenario::Scenario;
use crate::scratch;
use crate::shared::{self, Sharing};
use crate::tools::{self, Tools};

/// Says how far something is.
pub fn progress(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Runs items, so many at once.
///
/// # Errors
/// When it is interrupted, or its words cannot be written.
pub fn run_all(tools: &Tools, items: Vec<Item>, jobs: NonZero<usize>) -> Result<ExitCode> {
    let nothing_runs = tools::missing();
    if nothing_runs.is_none() {
        scratch::sweep()?;
        scratch::clean_up_when_interrupted();
    }
    let queue = Mutex::new(items.into_iter());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(item) = next.filter(|_| !scratch::is_interrupted()) else { break };
                    let skipped = nothing_runs.clone().or_else(|| item.missing());
                    let outcome = skipped.map_or_else(|| Ok(item.run(tools)), Err);
                    say(&mut tally.lock().unwrap_or_else(PoisonError::into_inner), &item.title(), outcome);
                }
            });
        }
    });
    if scratch::is_interrupted() {
        bail!("interrupted");
    }
    conclude(&tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs scenarios by so many that share a recorder, whose flags are the same for all; then those that share none side
/// by side. What is no scenario comes first, alone. Traces of those that passed are left in `keep`.
///
/// # Errors
/// When it is interrupted, or its words cannot be written.
pub fn run_shared(
    tools: &Tools,
    items: Vec<Item>,
    share: NonZero<usize>,
    keep: Option<PathBuf>,
    jobs: NonZero<usize>,
) -> Result<ExitCode> {
    let tally = Mutex::new(Tally::default());
    let told = |title: &str, outcome| say(&mut tally.lock().unwrap_or_else(PoisonError::into_inner), title, outcome);
    let nothing_runs = tools::missing();
    if nothing_runs.is_none() {
        scratch::sweep()?;
        scratch::clean_up_when_interrupted();
    }
    let mut can_run = Vec::new();
    for item in items {
        match (nothing_runs.clone().or_else(|| item.missing()), item) {
            (Some(reason), item) => told(&item.title(), Err(reason)),
            (None, Item::Scenario(scenario)) => can_run.push(*scenario),
            (None, item) => told(&item.title(), Ok(item.run(tools))),
        }
    }
    let (alike, own): (Vec<_>, Vec<_>) = can_run.into_iter().partition(Scenario::shares_recorder);
    let mut by_flags: BTreeMap<&[&str], Vec<Scenario>> = BTreeMap::new();
    for scenario in alike {
        by_flags.entry(scenario.flags).or_default().push(scenario);
    }
    let outcome = |scenario: &Scenario, outcome| told(&scenario.title(), Ok(outcome));
    let sharing = Sharing { keep, jobs, outcome: &outcome, progress: &progress };
    for batch in by_flags.values().flat_map(|alike| alike.chunks(share.get())) {
        if !scratch::is_interrupted() {
            shared::run_together(tools, batch, &sharing);
        }
    }
    shared::run_side_by_side(tools, &own, &sharing);
    if scratch::is_interrupted() {
        bail!("interrupted");
    }
    conclude(&tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn conclude(tally: &Tally) -> Result<ExitCode> {
    let Tally { passed, failed, skipped } = tally;
    writeln!(io::stdout(), "{passed} passed, {failed} failed, {skipped} skipped").context("writing the outcome")?;
    Ok(if *failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Counts an outcome and prints its line.
fn say(tally: &mut Tally, title: &str, outcome: Result<Result<()>, String>) {
    if scratch::is_interrupted() {
        return;
    }
    let line = match outcome {
        Ok(Ok(())) => {
            tally.passed += 1;
            format!("ok {title}")
        }
        Ok(Err(error)) => {
            tally.failed += 1;
            format!("FAIL {title}: {error:#}")
        }
        Err(reason) => {
            tally.skipped += 1;
            format!("skipped: {title}: {reason}")
        }
    };
    drop(writeln!(io::stdout(), "{line}"));
}
