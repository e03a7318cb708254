//! The tools of the host that the images and VMs need, installed where they are missing.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::command::{exists, read, run, say};

/// A tool and the Debian package that has it.
const TOOLS: [(&str, &str); 9] = [
    ("mmdebstrap", "mmdebstrap"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("mke2fs", "e2fsprogs"),
    ("xz", "xz-utils"),
    ("tar", "tar"),
    ("dpkg-deb", "dpkg"),
    ("setpriv", "util-linux"),
    // also for its libraries, which a QEMU from the cache uses
    ("qemu-system-x86_64", "qemu-system-x86"),
];

/// Installs what is missing, as root; else says what to install.
pub(super) fn install() -> Result<()> {
    let mut missing: Vec<_> = TOOLS.iter().filter(|(tool, _)| !exists(tool)).map(|(_, package)| *package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !exists("apt-get") {
        bail!("missing: {packages}; only Debian machines with apt can build the VMs");
    }
    if read(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("missing tools; install them with: sudo apt-get install --no-install-recommends {packages}");
    }
    say(format_args!("kernels: installing {packages}"));
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-q");
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(missing)).context("cannot install the tools")
}
