//! `cargo xtask bench --own` and `cargo xtask bench --replay`.

use std::process::Stdio;

use anyhow::Result;

use crate::{build, console, process, setup, workspace};

/// What the recorder itself takes. Prints Markdown.
///
/// # Errors
/// When something is missing or fails.
pub(crate) fn own(rest: &[String]) -> Result<()> {
    setup::ensure(setup::Scope::Bench, setup::Consent::Ask)?;
    build::build(true)?;
    let lab = ["build", "--release", "--package", "wherefore-tests", "--bin", "wherefore-lab"];
    process::run(process::cargo().args(lab))?;
    let mut command = process::as_root(workspace::target().join("release").join("wherefore-lab"));
    command.arg("weigh").arg("--wherefore").arg(workspace::program(true)).args(rest).stderr(Stdio::inherit());
    console::note(format_args!("$ {}", process::shown(&command)));
    console::result(process::read(&mut command)?.trim());
    Ok(())
}

/// Size and speed of traces. Needs no privileges and no eBPF. Prints Markdown.
///
/// # Errors
/// When something fails.
pub(crate) fn replay(rest: &[String]) -> Result<()> {
    let mut command = process::cargo();
    command.args(["bench", "--package", "tracer-userspace", "--no-default-features", "--bench", "trace", "--"]);
    process::run(command.args(rest))
}
