//! Build, test and lab commands: `cargo xtask help`.

mod bench;
mod build;
mod ci;
#[path = "../../tracer-userspace/build/compile.rs"]
mod compile;
mod console;
mod corpus;
mod demo;
mod dist;
mod kernels;
mod lint;
mod process;
mod run;
mod setup;
mod soak;
mod test;
#[path = "../../tracer-userspace/build/toolchain.rs"]
mod toolchain;
#[cfg(test)]
mod toolchain_tests;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and runs wherefore.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::Arguments),
    Build(build::Arguments),
    /// Breaks a real nginx in five ways and shows what the program says of each.
    Demo,
    Run(run::Arguments),
    Test(test::Arguments),
    Lint(lint::Arguments),
    Kernels(kernels::Arguments),
    Corpus(corpus::Arguments),
    Dist(dist::Arguments),
    Bench(bench::Arguments),
    Soak(soak::Arguments),
    /// Runs what is checked before a change is taken: `lint`, then `test`.
    Ci,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(arguments) => setup::command(&arguments),
        Command::Build(arguments) => build::command(&arguments),
        Command::Demo => demo::command(),
        Command::Run(arguments) => run::command(&arguments),
        Command::Test(arguments) => test::command(&arguments),
        Command::Lint(arguments) => lint::command(&arguments),
        Command::Kernels(arguments) => kernels::command(&arguments),
        Command::Corpus(arguments) => corpus::command(&arguments),
        Command::Dist(arguments) => dist::command(&arguments),
        Command::Bench(arguments) => bench::command(&arguments),
        Command::Soak(arguments) => soak::command(&arguments),
        Command::Ci => ci::command(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
