//! `cargo xtask setup`: facts, then a plan, then the plan's steps.

mod facts;
mod plan;
mod steps;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail};

use crate::console;
pub(crate) use facts::EBPF_TARGET;
use facts::Facts;
use plan::Plan;

/// Finds or installs what building and testing need: a compiler for eBPF, and the programs that
/// the tests drive (firewalls, a web server). Says what it will install before it does.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Install without asking. Also so if there is no terminal to ask on.
    #[arg(long)]
    yes: bool,
}

/// What the machine must be ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Building the program.
    Build,
    /// That, and running every test.
    Test,
    /// Building for arm64 elsewhere, beside what building needs.
    CrossBuild,
    /// Building, and measuring beside what people use today.
    Bench,
    /// Making and running virtual machines with other kernels; no more.
    Kernels,
}

/// Whether the user is asked before something is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Ask, if there is a terminal to ask on.
    Ask,
    /// Agreed already.
    Given,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    let consent = if arguments.yes { Consent::Given } else { Consent::Ask };
    if !ensure(Scope::Test, consent)? {
        console::note("nothing is missing");
    }
    Ok(())
}

/// Installs what is missing, and returns whether anything was.
///
/// # Errors
/// If the user declines, or a step fails, or something can only be installed by hand.
pub(crate) fn ensure(scope: Scope, consent: Consent) -> Result<bool> {
    let plan = Plan::new(&Facts::gather(), scope);
    if plan.is_empty() {
        return Ok(false);
    }
    console::note(&plan);
    if !plan.by_hand.is_empty() {
        bail!("setup cannot install all that is missing on this system");
    }
    if consent == Consent::Ask && !agrees()? {
        bail!("nothing was installed");
    }
    steps::carry_out(&plan)?;
    let left = Plan { app_server: None, ..Plan::new(&Facts::gather(), scope) };
    if !left.is_empty() {
        bail!("after the installation something is still missing:\n{left}");
    }
    Ok(true)
}

fn agrees() -> Result<bool> {
    let input = io::stdin();
    if !input.is_terminal() || !io::stderr().is_terminal() {
        return Ok(true);
    }
    write!(io::stderr(), "Go ahead? [Y/n] ").context("cannot ask")?;
    let mut answer = String::new();
    let length = input.lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(length > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}
