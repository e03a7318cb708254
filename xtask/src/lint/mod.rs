//! `cargo xtask lint`.

mod ebpf;
mod links;
mod tidy;

use std::process::Command;

use anyhow::{Result, bail};

use crate::{console, process, setup};

/// Checks style and everything that can be found without running the program.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Do not look for what is missing.
    #[arg(long)]
    pub(crate) no_setup: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    if !arguments.no_setup {
        setup::ensure(setup::Scope::Build, setup::Consent::Ask)?;
    }
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        if let Err(error) = check() {
            console::note(format_args!("lint: {name}: {error:#}"));
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint found problems: {}", failed.join(", "));
    }
    console::note("lint: no problems");
    Ok(())
}

type Check = fn() -> Result<()>;

/// All of them run, also when an earlier one has failed; the quick ones first.
const CHECKS: [(&str, Check); 7] = [
    ("format", format),
    ("tidy", tidy::check),
    ("links", links::check),
    ("clippy", clippy),
    ("replay only", replay_only),
    ("eBPF programs", ebpf::check),
    ("documentation", documentation),
];

fn format() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    process::run(deny_warnings(process::cargo().args(["clippy", "--workspace", "--all-targets"])))
}

/// The program without capture, which needs neither Linux nor an eBPF compiler.
fn replay_only() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["clippy", "--package", "tracer-userspace", "--no-default-features", "--all-targets"]);
    process::run(deny_warnings(&mut cargo))
}

fn documentation() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["doc", "--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut cargo)
}

fn deny_warnings(cargo: &mut Command) -> &mut Command {
    cargo.args(["--", "-D", "warnings"])
}
