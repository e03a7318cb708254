//! `cargo xtask build`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    console, process, setup,
    workspace::{self, program, target},
};

/// Builds the program with its eBPF part inside: target/debug/wherefore, or with --release
/// target/release/wherefore, which needs no library and runs on any distribution.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Optimise, and link statically.
    #[arg(long)]
    release: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Scope::Build, setup::Consent::Ask)?;
    build(arguments.release)?;
    console::result(program(arguments.release).display());
    Ok(())
}

/// Builds the program to where [`program`] says.
///
/// # Errors
/// If cargo fails or the program cannot be put in its place.
pub(crate) fn build(release: bool) -> Result<()> {
    if release {
        static_release()
    } else {
        process::run(process::cargo().args(["build", "--package", "tracer-userspace"]))
    }
}

/// The release program: the given one, or a new one.
///
/// # Errors
/// If there is no such file, or none can be built.
pub(crate) fn release(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        ensure!(given.is_file(), "there is no program {}", given.display());
        return Ok(given.to_owned());
    }
    build(true)?;
    Ok(program(true))
}

/// Builds the lab's program, which drives the scenarios and measures, and says where it is.
///
/// # Errors
/// If cargo fails.
pub(crate) fn lab(release: bool) -> Result<PathBuf> {
    let optimised = if release { &["--release"][..] } else { &[] };
    process::run(process::cargo().arg("build").args(LAB.arguments()).args(optimised))?;
    Ok(workspace::lab(release))
}

fn static_release() -> Result<()> {
    let [built] = statically([PROGRAM], &host()?)?;
    put(&built, &program(true))
}

/// Builds the release program and an optimised lab, both static, to where [`program`] and
/// [`workspace::lab`] say: what this machine is tested with, and guests.
///
/// # Errors
/// If cargo fails or a program cannot be put in its place.
pub(crate) fn tested() -> Result<()> {
    let [built, lab] = statically([PROGRAM, LAB], &host()?)?;
    put(&built, &program(true))?;
    put(&lab, &workspace::lab(true))
}

/// A program of the workspace.
#[derive(Clone, Copy)]
pub(crate) struct Binary {
    pub(crate) package: &'static str,
    pub(crate) name: &'static str,
}

impl Binary {
    /// What cargo is told of it.
    pub(crate) fn arguments(self) -> [&'static str; 4] {
        ["--package", self.package, "--bin", self.name]
    }
}

pub(crate) const PROGRAM: Binary = Binary { package: "tracer-userspace", name: "wherefore" };
/// Drives the scenarios, and measures.
pub(crate) const LAB: Binary = Binary { package: "wherefore-tests", name: "wherefore-lab" };

/// Builds programs for a target so that they need no library, and says where they are. What is needed
/// together is built together: apart, their common crates would be built for each.
///
/// # Errors
/// If cargo fails.
pub(crate) fn statically<const N: usize>(binaries: [Binary; N], triple: &str) -> Result<[PathBuf; N]> {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" -C target-feature=+crt-static");
    // With --target the flags are for the program alone. Without, they would also reach the
    // procedural macros, which are loaded by the compiler and cannot be static.
    process::run(
        process::cargo()
            .args(["build", "--release", "--target", triple])
            .args(binaries.iter().flat_map(|binary| binary.arguments()))
            .env("RUSTFLAGS", flags.trim_start()),
    )?;
    Ok(binaries.map(|binary| target().join(triple).join("release").join(binary.name)))
}

/// Puts a copy in place by a rename: the old file may be running, and cannot be written then.
fn put(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("the target folder is the root")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let new = to.with_extension("new");
    fs::copy(from, &new).with_context(|| format!("cannot copy {} to {}", from.display(), new.display()))?;
    fs::rename(&new, to).with_context(|| format!("cannot rename {} to {}", new.display(), to.display()))
}

/// The triple of the machine that this runs on.
pub(crate) fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = process::read(std::process::Command::new(rustc).arg("-vV").current_dir(workspace::root()))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_a_copy_over_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("built"), folder.path().join("release/wherefore"));
        for content in ["first", "second"] {
            fs::write(&from, content).unwrap();
            put(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), content);
        }
    }

    #[test]
    fn a_given_program_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let given = folder.path().join("given");
        assert!(release(Some(&given)).unwrap_err().to_string().contains("there is no program"));
        fs::write(&given, "").unwrap();
        assert_eq!(release(Some(&given)).unwrap(), given);
    }

    #[test]
    fn a_program_that_was_not_built_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = put(&folder.path().join("absent"), &folder.path().join("wherefore")).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error:#}");
    }
}
