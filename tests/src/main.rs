//! `wherefore-lab`: the scenario lab as one program, for this machine or for one it is copied to.

use std::io::{self, Write as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use wherefore_tests::lab::Family;
use wherefore_tests::scenario::Scenario;
use wherefore_tests::tools::{self, Tools};
use wherefore_tests::{app, demo, run, scenarios, scratch};

/// Breaks connections in every way that `wherefore` knows, and checks what it says.
#[derive(Parser)]
#[command(name = "wherefore-lab")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the name of every scenario
    List,
    /// Run scenarios; exit with 1 if one fails
    Run {
        /// Only scenarios whose name contains one of these
        names: Vec<String>,
        /// Only over this protocol
        #[arg(long)]
        family: Option<FamilyArgument>,
        /// The program under test [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
        /// How many at once
        #[arg(long, default_value = "4")]
        jobs: NonZero<usize>,
    },
    /// Break a real nginx in five ways and show what `wherefore` says of each
    Demo {
        /// The program to show [default: $WHEREFORE_PROGRAM, or the one beside this program]
        #[arg(long)]
        wherefore: Option<PathBuf>,
    },
    /// The test app that scenarios start
    #[command(hide = true)]
    App(app::Options),
}

#[derive(Clone, Copy, ValueEnum)]
enum FamilyArgument {
    /// IPv4
    #[value(name = "4")]
    V4,
    /// IPv6
    #[value(name = "6")]
    V6,
}

fn main() -> ExitCode {
    match obey(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<ExitCode> {
    match command {
        Command::List => list(),
        Command::Run { names, family, wherefore, jobs } => {
            let tools = Tools::find(wherefore.as_deref(), &std::env::current_exe()?)?;
            run_all(&tools, chosen(&names, family)?, jobs)
        }
        Command::Demo { wherefore } => {
            if let Some(reason) = tools::missing() {
                bail!(reason);
            }
            let tools = Tools::find(wherefore.as_deref(), &std::env::current_exe()?)?;
            scratch::sweep()?;
            scratch::clean_up_when_interrupted();
            demo::run(&tools, &mut io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::App(options) => app::serve(&options).map(|()| ExitCode::SUCCESS),
    }
}

fn list() -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    for scenario in scenarios::all() {
        writeln!(out, "{}", scenario.title())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(names: &[String], family: Option<FamilyArgument>) -> Result<Vec<Scenario>> {
    let family = family.map(|family| match family {
        FamilyArgument::V4 => Family::V4,
        FamilyArgument::V6 => Family::V6,
    });
    let mut chosen = scenarios::all();
    chosen.retain(|scenario| {
        family.is_none_or(|family| scenario.family == family)
            && (names.is_empty() || names.iter().any(|name| scenario.title().contains(name.as_str())))
    });
    if chosen.is_empty() {
        bail!("no scenario has such a name; `wherefore-lab list` prints them");
    }
    Ok(chosen)
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn run_all(tools: &Tools, scenarios: Vec<Scenario>, jobs: NonZero<usize>) -> Result<ExitCode> {
    let nothing_runs = tools::missing();
    if nothing_runs.is_none() {
        scratch::sweep()?;
        scratch::clean_up_when_interrupted();
    }
    let queue = Mutex::new(scenarios.into_iter());
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(scenario) = next.filter(|_| !scratch::is_interrupted()) else { break };
                    let skipped = nothing_runs.clone().or_else(|| run::missing(&scenario));
                    let outcome = skipped.map_or_else(|| Ok(run::run(tools, &scenario)), Err);
                    say(&mut tally.lock().unwrap_or_else(PoisonError::into_inner), &scenario, outcome);
                }
            });
        }
    });
    if scratch::is_interrupted() {
        bail!("interrupted");
    }
    let Tally { passed, failed, skipped } = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(io::stdout(), "{passed} passed, {failed} failed, {skipped} skipped").context("writing the outcome")?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Counts an outcome and prints its line.
fn say(tally: &mut Tally, scenario: &Scenario, outcome: Result<Result<()>, String>) {
    if scratch::is_interrupted() {
        return;
    }
    let title = scenario.title();
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
