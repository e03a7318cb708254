//! The eBPF programs: built with warnings denied, and linted.

use std::{env::consts::ARCH, fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{
    build::host,
    compile::Request,
    process,
    setup::EBPF_TARGET,
    toolchain::Search,
    workspace::{root, target},
};

pub(super) fn check() -> Result<()> {
    let toolchain = Search::from_env().find(EBPF_TARGET)?;
    let (workspace, target_dir) = (root(), target().join("ebpf-lint"));
    let request = Request {
        workspace: &workspace,
        target_dir: &target_dir,
        target: EBPF_TARGET,
        arch: ARCH,
        flags: &["-Dwarnings"],
    };
    process::run(&mut request.command(&toolchain))?;
    has_btf(&request.object())?;
    clippy()
}

/// The kernel refuses maps and global data without their types, which an object loses in silence if
/// the compiler makes no debug info or the linker is not told to keep it.
fn has_btf(object: &Path) -> Result<()> {
    const SECTION: &[u8] = b"\0.BTF\0";
    let bytes = fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    if !bytes.windows(SECTION.len()).any(|window| window == SECTION) {
        bail!("{} has no section .BTF", object.display());
    }
    Ok(())
}

/// Clippy for this machine's own target: the prebuilt compiler for BPF comes without one, and the
/// programs' source is the same. Unwinding, which needs std, is off as it is for BPF.
fn clippy() -> Result<()> {
    process::run(
        process::cargo()
            .args(["clippy", "--package", "tracer-ebpf", "--bin", "wherefore-ebpf", "--features", "programs"])
            .args(["--target", &host()?, "--target-dir"])
            .arg(target().join("ebpf-lint"))
            .args(["--", "-D", "warnings"])
            .env("CARGO_ENCODED_RUSTFLAGS", format!("-Cpanic=abort\x1f--cfg=bpf_target_arch=\"{ARCH}\"")),
    )
}
