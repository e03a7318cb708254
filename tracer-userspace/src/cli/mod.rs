//! The command line: what was asked for, and the one place that says why it could not be done.

pub mod analysis;
pub mod args;
#[cfg(feature = "capture")]
mod config;
mod console;
#[cfg(feature = "capture")]
pub mod doctor;
mod explain;
mod failure;
#[cfg(feature = "capture")]
mod listeners_hint;
#[cfg(feature = "capture")]
mod live_status;
#[cfg(feature = "capture")]
mod log;
#[cfg(feature = "capture")]
pub mod metrics;
pub mod moment;
#[cfg(feature = "capture")]
mod notify;
pub mod peer;
pub mod ports;
#[cfg(feature = "capture")]
mod published_ports;
#[cfg(feature = "capture")]
mod record;
mod replay;
#[cfg(feature = "capture")]
pub mod size;
pub mod statuses;
#[cfg(feature = "capture")]
mod tee;
#[cfg(feature = "capture")]
mod unread;
#[cfg(feature = "capture")]
mod watched_ports;

use std::process::ExitCode;

use clap::Parser;

pub use failure::Failure;

use args::{Cli, Command};

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(error) => failure::of_clap(&error),
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
        Command::Record(args) => record::run(&args),
        #[cfg(feature = "capture")]
        Command::Watch(args) => record::watch(&args),
        #[cfg(feature = "capture")]
        Command::Doctor(args) => doctor::run(&args.into()),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
    }
}
