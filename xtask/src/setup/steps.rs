//! Carrying out a plan.

use std::{env, ffi::OsString, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::plan::{APP_SERVER, Plan};
use crate::{console, process};

/// Debian's LLVM that bpf-linker is built against: the one of its rustc-web, whose output it reads.
const LLVM: &str = "/usr/lib/llvm-22";

/// The release of bpf-linker that knows that LLVM.
const LINKER_VERSION: &str = "0.13.0";

/// The release of the app server.
const APP_SERVER_VERSION: &str = "gunicorn==23.0.0";

pub(super) fn carry_out(plan: &Plan) -> Result<()> {
    if !plan.packages.is_empty() {
        install_packages(&plan.packages)?;
    }
    if let Some(tools) = &plan.linker {
        install_linker(tools)?;
    }
    if let Some(folder) = &plan.app_server
        && let Err(error) = install_app_server(folder)
    {
        // needs python3-venv and a way to PyPI
        console::note(format!("{APP_SERVER} is not installed, and what needs it is skipped: {error:#}"));
    }
    Ok(())
}

fn install_app_server(folder: &Path) -> Result<()> {
    process::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pip = folder.join("bin/pip");
    process::run(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", APP_SERVER_VERSION]))
}

fn install_packages(packages: &[&str]) -> Result<()> {
    process::run(apt_get().args(["--quiet", "update"]))?;
    process::run(
        apt_get().args(["--quiet", "--yes", "--no-install-recommends", "--no-remove", "install"]).args(packages),
    )
    .context(
        "is a package unknown here, or in conflict with one that is installed? Debian 12 and newer have them all",
    )?;
    let servers = [("nginx-light", "nginx"), ("haproxy", "haproxy")];
    servers.iter().filter(|(package, _)| packages.contains(package)).try_for_each(|(_, service)| stop(service))
}

fn apt_get() -> Command {
    // through env, as sudo clears the environment
    let mut command = process::as_root("env");
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command
}

/// Its package starts the server, now and at each boot. The tests start their own.
fn stop(service: &str) -> Result<()> {
    if Path::new("/run/systemd/system").is_dir() {
        return process::run(process::as_root("systemctl").args(["disable", "--now", &format!("{service}.service")]));
    }
    process::run(process::as_root("service").args([service, "stop"]))
}

fn install_linker(tools: &Path) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let llvm = Path::new(LLVM).join("bin");
    let path: OsString = env::join_paths([llvm].into_iter().chain(env::split_paths(&path))).context("PATH")?;
    process::run(
        process::cargo()
            .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--force"])
            .args(["--no-default-features", "--features", "llvm-22", "--root"])
            .arg(tools)
            .env("LLVM_PREFIX", LLVM)
            .env("PATH", path),
    )
}
