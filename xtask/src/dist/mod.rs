//! `cargo xtask dist`.

mod deb;
mod rpm;
mod tarball;
#[cfg(test)]
mod tests;
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{build, console, process, setup, workspace};

/// Packages the static release program with its manual pages, shell completions, systemd unit and
/// configuration: a .deb, a tarball, and an .rpm where rpmbuild is installed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Package this program instead of building one.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the packages go [default: target/dist].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What is packaged.
#[derive(Debug)]
struct Contents {
    program: PathBuf,
    /// Manual pages and completions, as tracer-userspace's example `generate` writes them.
    generated: PathBuf,
    version: String,
    /// As rustc names it: `x86_64`, `aarch64`.
    architecture: String,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Scope::Build, setup::Consent::Ask)?;
    let program = build::release(arguments.program.as_deref())?;
    let out = arguments.out.clone().unwrap_or_else(|| workspace::target().join("dist"));
    let generated = out.join("generated");
    afresh(&generated)?;
    let generate = ["run", "--quiet", "--package", "tracer-userspace", "--example", "generate", "--"];
    process::run(process::cargo().args(generate).arg(&generated))?;
    let triple = build::host()?;
    let architecture = triple.split('-').next().context("the host's triple is empty")?.to_owned();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    for package in package(&Contents { program, generated, version, architecture }, &out)? {
        console::result(package.display());
    }
    Ok(())
}

/// Makes the packages in `out`; they are in the result.
fn package(contents: &Contents, out: &Path) -> Result<Vec<PathBuf>> {
    let mut made = vec![deb::build(contents, out)?, tarball::build(contents, out)?];
    made.extend(rpm::build(contents, out)?);
    Ok(made)
}

/// An empty folder.
fn afresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
