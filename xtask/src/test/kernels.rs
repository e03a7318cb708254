//! The lab: every scenario on this kernel, the small set on others, in VMs. Parts of every test run.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Read},
    process::{Command, ExitStatus, Stdio},
    thread,
};

use anyhow::{Context as _, Result};

use super::tally::Tally;
use crate::{console, process, workspace};

/// What became of one scenario on one kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped(String),
}

/// What a run said of each scenario, and how it ended.
pub(super) type Ran = (Outcomes, ExitStatus);

/// Runs every scenario of the lab on this kernel, many with one recorder, and counts.
pub(super) fn here(tally: &mut Tally) -> Result<()> {
    let mut command = process::as_root(workspace::lab(true));
    command.args(["run", "--share", "32", "--jobs", "8", "--wherefore"]).arg(workspace::program(true));
    // the lab says on standard output what came of each
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the lab")?;
    let said = child.stdout.take().context("no pipe to the lab")?;
    let outcomes = outcomes(said, |line| format!("[lab] {line}"))?;
    count((outcomes, child.wait().context("cannot wait for the lab")?), "the lab", tally);
    Ok(())
}

/// Runs the small set on other kernels, by a process of its own that lets others go first.
pub(super) fn others() -> Result<Ran> {
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(env::current_exe().context("no path to this program")?);
    command.args(["kernels", "--ci", "--keep-going"]).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the kernels' tests")?;
    let notes = child.stderr.take().context("no pipe to the kernels' tests")?;
    let outcomes = outcomes(notes, str::to_owned)?;
    Ok((outcomes, child.wait().context("cannot wait for the kernels' tests")?))
}

/// Counts what [`others`] said.
pub(super) fn count_others(ran: thread::Result<Result<Ran>>, tally: &mut Tally) {
    match ran {
        Ok(Ok(ran)) => count(ran, "the kernels' tests", tally),
        Ok(Err(error)) => tally.fail(format!("the kernels' tests: {error:#}")),
        Err(_panic) => tally.fail("the kernels' tests: a panic".to_owned()),
    }
}

pub(super) type Outcomes = BTreeMap<String, Outcome>;

/// Shows each line, as `label` makes it, and keeps what it says of a scenario.
fn outcomes(said: impl Read, label: impl Fn(&str) -> String) -> Result<Outcomes> {
    // by kernel and scenario: what a VM that broke had said is said again by the next
    let mut outcomes = BTreeMap::new();
    for line in BufReader::new(said).split(b'\n') {
        let line = line.context("cannot read what the tests say")?;
        let line = label(&String::from_utf8_lossy(&line));
        console::note(&line);
        outcomes.extend(outcome(&line));
    }
    Ok(outcomes)
}

fn count((outcomes, status): Ran, what: &str, tally: &mut Tally) {
    if outcomes.is_empty() {
        tally.fail(format!("{what} tested nothing: {status}"));
    }
    let failed = outcomes.values().filter(|outcome| **outcome == Outcome::Failed).count();
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed => tally.pass(),
            Outcome::Failed => tally.fail(name),
            Outcome::Skipped(reason) => tally.skip(format!("skipped: {name}: {reason}")),
        }
    }
    if !status.success() && failed == 0 {
        tally.fail(format!("{what}: {status}"));
    }
}

/// Reads a line like `[5.10] ok process-down/ipv4`.
fn outcome(line: &str) -> Option<(String, Outcome)> {
    let (label, said) = line.strip_prefix('[')?.split_once("] ")?;
    let name = |scenario: &str| format!("[{label}] {scenario}");
    if let Some(scenario) = said.strip_prefix("ok ") {
        return Some((name(scenario), Outcome::Passed));
    }
    if let Some(rest) = said.strip_prefix("FAIL ") {
        let scenario = rest.split_once(": ").map_or(rest, |(scenario, _why)| scenario);
        return Some((name(scenario), Outcome::Failed));
    }
    let (scenario, reason) = said.strip_prefix("skipped: ")?.split_once(": ")?;
    Some((name(scenario), Outcome::Skipped(reason.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_lab_in_a_guest() {
        let check = |line, expected| assert_eq!(outcome(line), expected, "{line}");
        let told = |name: &str, outcome| Some((name.to_owned(), outcome));
        check("[5.10] ok process-down/ipv4", told("[5.10] process-down/ipv4", Outcome::Passed));
        check("[6.1] FAIL no-route/ipv6: seen from: x", told("[6.1] no-route/ipv6", Outcome::Failed));
        let skipped = Outcome::Skipped("no IPv6".to_owned());
        check("[7.3] skipped: no-route/ipv6: no IPv6", told("[7.3] no-route/ipv6", skipped));
        check("[7.3] 3 passed, 0 failed, 0 skipped", None);
        check("kernels: images ready", None);
    }
}
