//! The command line: what was asked for, and the one place that says why it could not be done.

pub mod args;
mod console;
#[cfg(feature = "capture")]
pub mod doctor;
mod explain;
mod failure;
pub mod moment;
pub mod peer;
pub mod ports;
pub mod statuses;

use std::process::ExitCode;

use clap::Parser;

pub use failure::Failure;

use args::{Cli, Command};

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(error) => failure::of_clap(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(line) = failure.line() {
                console::error_line(&line);
            }
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        #[cfg(feature = "capture")]
        Command::Doctor(args) => doctor::run(&args.into()),
        Command::Explain(args) => explain::run(&args),
        _ => Err(Failure::usage("not yet")),
    }
}
