//! The Debian userland that all kernels of an architecture share: a read-only disk image, and the
//! static busybox of its initrds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt::Mirrors;
use super::arch::Arch;
use super::cache::{self, Cache};
use super::command::quietly;
use super::disk;

/// To be raised when what this file builds changes.
const RECIPE: u32 = 1;
const SUITE: &str = "bookworm";
/// What the scenarios need in the guest.
const PACKAGES: [&str; 15] = [
    "busybox-static",
    "conntrack",
    "curl",
    "ethtool",
    "haproxy",
    "iproute2",
    "ipset",
    "iptables",
    "iputils-ping",
    "kmod",
    "nftables",
    "nginx-light",
    "procps",
    "python3",
    "util-linux",
];

/// The userland in the cache.
#[derive(Debug, Clone)]
pub(super) struct Userland {
    folder: PathBuf,
}

impl Userland {
    /// Takes the userland from the cache, or builds it.
    pub(super) fn prepare(cache: &Cache, mirrors: &Mirrors, arch: Arch) -> Result<Self> {
        let by_hand = if arch == Arch::Arm { super::userland_arm::RECIPE_TEXT } else { "" };
        let recipe = format!("userland {RECIPE}\nsuite {SUITE}\npackages {PACKAGES:?}\n{by_hand}");
        let folder =
            cache.entry(&format!("userland-{}", arch.debian()), &recipe, |target| build(mirrors, arch, target))?;
        Ok(Self { folder })
    }

    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("rootfs.img")
    }

    pub(super) fn busybox(&self) -> Result<Vec<u8>> {
        fs::read(self.folder.join("busybox")).context("the cached userland has no busybox")
    }
}

fn build(mirrors: &Mirrors, arch: Arch, target: &Path) -> Result<()> {
    let tree = target.join("rootfs");
    let mut bootstrap = Command::new("mmdebstrap");
    let essential = match arch {
        Arch::X86 => [].as_slice(),
        Arch::Arm => &super::userland_arm::ESSENTIAL,
    };
    let packages = [&PACKAGES, essential].concat();
    bootstrap.args(["--quiet", "--mode=root", &format!("--include={}", packages.join(","))]);
    for unwanted in ["doc", "man", "locale", "info"] {
        bootstrap.arg(format!("--dpkgopt=path-exclude=/usr/share/{unwanted}/*"));
    }
    match arch {
        Arch::X86 => bootstrap.arg("--variant=minbase"),
        // another architecture's maintainer scripts cannot run here: unpack, then link by hand
        Arch::Arm => bootstrap.args(["--variant=extract", "--architectures=arm64", "--skip=check/qemu"]),
    };
    quietly(bootstrap.arg(SUITE).arg(&tree).arg(mirrors.line(SUITE).trim()))
        .context("the userland needs root: run `cargo xtask kernels` as root once")?;
    if arch == Arch::Arm {
        super::userland_arm::link(&tree)?;
    }
    fs::create_dir_all(tree.join("usr/lib/modules"))?;
    fs::write(tree.join("etc/hosts"), "127.0.0.1 localhost vm\n::1 localhost vm\n")?;
    fs::copy(tree.join("usr/bin/busybox"), target.join("busybox")).context("the userland has no busybox")?;
    disk::from_tree(&tree, &target.join("rootfs.img"), 64)?;
    cache::remove(&tree)
}
