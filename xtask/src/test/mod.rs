//! `cargo xtask test`.

mod kernels;
mod tally;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::{build, console, process, setup, workspace};
use tally::Tally;

/// The variable that tells the lab which program to test.
const PROGRAM: &str = "WHEREFORE_PROGRAM";

/// Sets up, builds the release program and runs every test: unit and documentation tests, and the
/// scenario lab, which needs root. The last line is the count.
///
/// The lab's small set runs on other kernels too, in VMs, where this is started as root.
///
/// A test that this machine cannot run prints `skipped: NAME: REASON` and counts as skipped.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Do not look for what is missing.
    #[arg(long)]
    pub(crate) no_setup: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    if let Err(error) = run_all(arguments, &mut tally) {
        tally.fail(format!("{error:#}"));
    }
    for skip in tally.skips() {
        console::result(skip);
    }
    for failure in tally.failures() {
        console::result(format_args!("failed: {failure}"));
    }
    console::result(&tally);
    tally.verdict()
}

fn run_all(arguments: &Arguments, tally: &mut Tally) -> Result<()> {
    if !arguments.no_setup {
        setup::ensure(setup::Scope::Test, setup::Consent::Ask)?;
    }
    build::tested()?;
    if process::is_root() {
        // guests mostly wait, and take what processor time is left
        return thread::scope(|scope| {
            let others = scope.spawn(kernels::others);
            let here = run(test().arg("--workspace"), tally).and_then(|()| kernels::here(tally));
            kernels::count_others(others.join(), tally);
            here
        });
    }
    run(test().args(["--workspace", "--exclude", build::LAB.package]), tally)?;
    let runner = format!("CARGO_TARGET_{}_RUNNER", build::host()?.to_uppercase().replace('-', "_"));
    run(test().args(["--package", build::LAB.package]).env(runner, "sudo --preserve-env --"), tally)?;
    kernels::here(tally)?;
    tally.skip("skipped: other kernels: their images are made by root".to_owned());
    Ok(())
}

fn test() -> Command {
    let mut command = process::cargo();
    command
        .args(["test", "--no-fail-fast"])
        .env(PROGRAM, workspace::program(true))
        // the lines of tests side by side could not be told apart
        .env_remove("RUST_TEST_NOCAPTURE");
    command
}

/// Runs the tests and counts them, showing what they print but for passed tests' own output.
fn run(command: &mut Command, tally: &mut Tally) -> Result<()> {
    // passed tests' output has the reasons of those that were skipped
    command.args(["--", "--show-output"]);
    console::note(format_args!("$ {}", process::shown(command)));
    let failures = tally.failures().len();
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let output = child.stdout.take().context("no pipe to cargo")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        if tally.line(&line) {
            console::result(&line);
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() && tally.failures().len() == failures {
        bail!("`{}` failed before its tests were counted: {status}", process::shown(command));
    }
    Ok(())
}
