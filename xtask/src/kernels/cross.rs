//! Programs for arm64 guests: a cross build with Debian's compiler, linker and standard library.
//!
//! rustup's own aarch64 target would do as well; Debian's is used because the eBPF part is built with
//! Debian's compiler already, and its packages come verified from the mirror.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt::{Mirrors, Suite};
use super::arch::Arch;
use super::cache::Cache;
use super::command::quietly;
use crate::build::Binary;
use crate::process::{cargo, read, run};
use crate::setup;
use crate::workspace::target;

const TRIPLE: &str = "aarch64-unknown-linux-gnu";
const RUSTC: &str = "/usr/bin/rustc";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const LIBRARY: &str = "libstd-rust-web-dev";
/// Where that library may lie, in this order.
const SUITES: [&str; 2] = ["bookworm-security", "bookworm"];

/// Builds programs for arm64, static, and says where they are.
pub(super) fn build<const N: usize>(binaries: [Binary; N]) -> Result<[PathBuf; N]> {
    setup::ensure(setup::Scope::CrossBuild, setup::Consent::Ask)?;
    let sysroot = sysroot()?;
    run(cargo()
        .args(["build", "--release", "--target", TRIPLE])
        .args(binaries.iter().flat_map(|binary| binary.arguments()))
        // another compiler's artefacts must not mix with the usual one's
        .arg("--target-dir")
        .arg(target().join("cross"))
        .env("RUSTC", RUSTC)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            format!("--sysroot {} -C target-feature=+crt-static", sysroot.display()),
        )
        .env("CC_aarch64_unknown_linux_gnu", LINKER)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    Ok(binaries.map(|binary| target().join("cross").join(TRIPLE).join("release").join(binary.name)))
}

/// The standard library for arm64 of the very version of the compiler.
fn sysroot() -> Result<PathBuf> {
    let version = read(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", LIBRARY]))
        .context("Debian's rustc-web is needed for arm64 programs")?;
    let cache = Cache::open(false)?;
    cache.entry("sysroot-arm64", &format!("sysroot 1\n{LIBRARY} {version}\n"), |folder| fetch(&cache, &version, folder))
}

fn fetch(cache: &Cache, version: &str, folder: &Path) -> Result<()> {
    let mirrors = Mirrors::of_this_machine();
    let tree = folder.join("tree");
    let package = format!("{LIBRARY}={version}");
    let of_suite = |suite| Suite::fetch(cache.root(), &mirrors, suite, Arch::Arm)?.unpack(&[&package], &tree);
    let mut result = Ok(());
    for suite in SUITES {
        result = of_suite(suite);
        if result.is_ok() {
            break;
        }
    }
    result?;
    let libraries = folder.join("lib/rustlib");
    fs::create_dir_all(&libraries)?;
    quietly(Command::new("cp").arg("-aL").arg(tree.join("usr/lib/rustlib").join(TRIPLE)).arg(&libraries))
        .context("the package has no standard library for arm64")?;
    super::cache::remove(&tree)
}
