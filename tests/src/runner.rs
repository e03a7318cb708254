//! Running items of the lab: a line for each, and last the counts.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};

use crate::item::Item;
use crate::parallel::each;
use crate::scenario::Scenario;
use crate::scratch;
use crate::shared::{self, Sharing};
use crate::tools::{self, Tools};

/// Says how far something is.
pub fn progress(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// What came of the items so far.
#[derive(Default)]
struct Tally {
    passed: AtomicUsize,
    failed: AtomicUsize,
    skipped: AtomicUsize,
}

impl Tally {
    /// Counts an outcome and prints its line.
    fn say(&self, title: &str, outcome: Result<Result<()>, String>) {
        if scratch::is_interrupted() {
            return;
        }
        let (count, line) = match outcome {
            Ok(Ok(())) => (&self.passed, format!("ok {title}")),
            Ok(Err(error)) => (&self.failed, format!("FAIL {title}: {error:#}")),
            Err(reason) => (&self.skipped, format!("skipped: {title}: {reason}")),
        };
        count.fetch_add(1, Ordering::Relaxed);
        drop(writeln!(io::stdout(), "{line}"));
    }

    /// The last line, unless it was interrupted.
    fn conclude(self) -> Result<ExitCode> {
        if scratch::is_interrupted() {
            bail!("interrupted");
        }
        let [passed, failed, skipped] = [self.passed, self.failed, self.skipped].map(AtomicUsize::into_inner);
        writeln!(io::stdout(), "{passed} passed, {failed} failed, {skipped} skipped").context("writing the outcome")?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Runs items, so many at once.
///
/// # Errors
/// When it is interrupted, or its words cannot be written.
pub fn run_all(tools: &Tools, items: Vec<Item>, jobs: NonZero<usize>) -> Result<ExitCode> {
    let nothing_runs = begin()?;
    let tally = Tally::default();
    each(jobs, items.into_iter(), |item| {
        if !scratch::is_interrupted() {
            let skipped = nothing_runs.clone().or_else(|| item.missing());
            tally.say(&item.title(), skipped.map_or_else(|| Ok(item.run(tools)), Err));
        }
    });
    tally.conclude()
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
    let nothing_runs = begin()?;
    let tally = Tally::default();
    let mut can_run = Vec::new();
    for item in items {
        match (nothing_runs.clone().or_else(|| item.missing()), item) {
            (Some(reason), item) => tally.say(&item.title(), Err(reason)),
            (None, Item::Scenario(scenario)) => can_run.push(*scenario),
            (None, item) => tally.say(&item.title(), Ok(item.run(tools))),
        }
    }
    let (alike, own): (Vec<_>, Vec<_>) = can_run.into_iter().partition(Scenario::shares_recorder);
    let mut by_flags: BTreeMap<&[&str], Vec<Scenario>> = BTreeMap::new();
    for scenario in alike {
        by_flags.entry(scenario.flags).or_default().push(scenario);
    }
    let outcome = |scenario: &Scenario, outcome| tally.say(&scenario.title(), Ok(outcome));
    let sharing = Sharing { keep, jobs, outcome: &outcome, progress: &progress };
    for batch in by_flags.values().flat_map(|alike| alike.chunks(share.get())) {
        if !scratch::is_interrupted() {
            shared::run_together(tools, batch, &sharing);
        }
    }
    shared::run_side_by_side(tools, &own, &sharing);
    tally.conclude()
}

/// Removes what earlier runs have left behind; why nothing can run, if so.
fn begin() -> Result<Option<String>> {
    let nothing_runs = tools::missing();
    if nothing_runs.is_none() {
        scratch::sweep()?;
        scratch::clean_up_when_interrupted();
    }
    Ok(nothing_runs)
}
