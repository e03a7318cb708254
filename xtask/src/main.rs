//! Build, test and lab commands.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

mod kernels;

/// Wherefore's build, test and lab commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    Kernels(kernels::Args),
}

#[expect(clippy::print_stderr, reason = "the one place that prints an error")]
fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no workspace around it")?;
    match Task::parse() {
        Task::Kernels(args) => kernels::run(&args, root),
    }
}
