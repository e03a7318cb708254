//! A Debian cloud kernel made ready to boot: `vmlinuz`, a disk image of its modules, and the few
//! drivers that the initrd loads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt::{Mirrors, Suite};
use super::arch::Arch;
use super::cache::{self, Cache};
use super::catalogue::{Kernel, newest};
use super::command::quietly;
use super::disk;
use crate::console::note;
use crate::process::read;

/// To be raised when what this file builds changes.
const RECIPE: u32 = 1;
/// What the initrd needs before it has the modules' disk; absent ones are built into the kernel.
const DRIVERS: [&str; 5] = ["virtio_pci", "virtio_blk", "virtio_console", "overlay", "virtio_rng"];

/// A kernel in the cache.
#[derive(Debug, Clone)]
pub(super) struct KernelImage {
    folder: PathBuf,
    /// What `uname -r` says in the guest.
    pub(super) release: String,
}

impl KernelImage {
    /// Takes the kernel from the cache, or fetches and builds it.
    pub(super) fn prepare(cache: &Cache, mirrors: &Mirrors, kernel: &Kernel, arch: Arch) -> Result<Self> {
        let recipe =
            format!("kernel {RECIPE}\nsuites {:?}\nversion {:?}\ndrivers {DRIVERS:?}\n", kernel.suites, kernel.version);
        let name = format!("kernel-{}-{}", kernel.image, arch.debian());
        let folder = cache.entry(&name, &recipe, |target| build(cache.root(), mirrors, kernel, arch, target))?;
        let release = fs::read_to_string(folder.join("release")).context("the cached kernel has no release file")?;
        Ok(Self { folder, release })
    }

    pub(super) fn vmlinuz(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.folder.join("modules.img")
    }

    /// The initrd's drivers in the order in which they load.
    pub(super) fn drivers(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let order = fs::read_to_string(self.folder.join("drivers/order"))?;
        let driver = |name: &str| Ok((name.to_owned(), fs::read(self.folder.join("drivers").join(name))?));
        order.lines().map(driver).collect()
    }
}

fn build(root: &Path, mirrors: &Mirrors, kernel: &Kernel, arch: Arch, target: &Path) -> Result<()> {
    let tree = target.join("tree");
    fs::create_dir(&tree)?;
    fetch(root, mirrors, kernel, arch, &tree)?;
    let modules = tree.join("lib/modules");
    if !modules.exists() {
        fs::create_dir_all(tree.join("lib"))?;
        fs::rename(tree.join("usr/lib/modules"), &modules).context("the packages hold no modules")?;
    }
    let release = only_entry(&modules)?;
    let of_release = modules.join(&release);
    let boot = tree.join("boot");
    let candidates =
        [boot.join(format!("vmlinuz-{release}")), of_release.join("vmlinuz"), of_release.join("vmlinuz.unsigned")];
    let vmlinuz = candidates.iter().find(|path| path.exists()).context("the packages hold no vmlinuz")?;
    fs::rename(vmlinuz, target.join("vmlinuz"))?;
    quietly(Command::new("depmod").arg("-b").arg(&tree).arg(&release))?;
    keep_drivers(&tree, &release, &target.join("drivers"))?;
    for unwanted in ["System.map", "vmlinuz", "vmlinuz.unsigned", "build", "source"] {
        match fs::remove_file(of_release.join(unwanted)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    disk::from_tree(&modules, &target.join("modules.img"), 16)?;
    fs::write(target.join("release"), &release)?;
    note(format_args!("kernels: {} is {release}", kernel.image));
    cache::remove(&tree)
}

/// Up to 6.18 one package holds all; from 6.19 it is in three parts and linux-image is empty.
fn fetch(root: &Path, mirrors: &Mirrors, kernel: &Kernel, arch: Arch, tree: &Path) -> Result<()> {
    for name in kernel.suites {
        let suite = Suite::fetch(root, mirrors, name, arch)?;
        let packages =
            suite.names(&format!("^linux-(image|modules|binary|base)(-unsigned)?-[0-9].*-cloud-{}$", arch.debian()))?;
        let whole = |kind: &str| -> Vec<String> {
            let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
            packages.iter().filter(|name| name.strip_prefix(kind).is_some_and(digit)).cloned().collect()
        };
        let modules = whole("linux-modules-");
        if let Some(modules) = newest(&modules, kernel.version) {
            let release = modules.trim_start_matches("linux-modules-");
            let parts = ["linux-binary-", "linux-binary-unsigned-"].map(|kind| format!("{kind}{release}"));
            let binary = parts.iter().find(|part| packages.contains(part));
            let binary = binary.with_context(|| format!("{name} has {modules} but no kernel for it"))?;
            // its linux-base has the lists of what is built in
            return suite.unpack(&[modules, binary, &format!("linux-base-{release}")], tree);
        }
        let images: Vec<_> = whole("linux-image-").into_iter().filter(|name| is_whole(name)).collect();
        if let Some(image) = newest(&images, kernel.version) {
            return suite.unpack(&[image], tree);
        }
    }
    bail!("no cloud kernel {} in {}: the archive has moved on", kernel.image, kernel.suites.join(" or "))
}

/// Is a linux-image package of this name a kernel, not the empty package of 6.19 and later?
fn is_whole(image: &str) -> bool {
    let images = [image.to_owned()];
    let older = |major: u64| newest(&images, &[major]).is_some();
    let split = (19..100).any(|minor| newest(&images, &[6, minor]).is_some());
    (older(5) || older(6)) && !split
}

/// Copies the drivers, unpacked, with their order.
fn keep_drivers(tree: &Path, release: &str, target: &Path) -> Result<()> {
    fs::create_dir(target)?;
    let mut order: Vec<String> = Vec::new();
    for driver in DRIVERS {
        let modprobe =
            read(Command::new("modprobe").arg("-d").arg(tree).args(["-S", release, "--show-depends", driver]))?;
        for path in modprobe.lines().filter_map(|line| line.strip_prefix("insmod ")).map(|path| Path::new(path.trim()))
        {
            let file = path.file_name().and_then(|name| name.to_str()).context("a module without a name")?;
            let name = file.trim_end_matches(".xz").to_owned();
            if order.contains(&name) {
                continue;
            }
            let copy = target.join(file);
            fs::copy(path, &copy)?;
            if file != name {
                quietly(Command::new("xz").args(["--decompress", "--force"]).arg(&copy))?;
            }
            order.push(name);
        }
    }
    let lines: String = order.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
    Ok(fs::write(target.join("order"), lines)?)
}

fn only_entry(folder: &Path) -> Result<String> {
    let names: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    match names.as_slice() {
        [one] => one.file_name().into_string().ok().context("a kernel release that is not UTF-8"),
        others => bail!("{} holds {} kernels, not one", folder.display(), others.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_from_6_19_on_are_empty() {
        for (image, whole) in [
            ("linux-image-5.10.0-46-cloud-amd64", true),
            ("linux-image-6.1.0-50-cloud-amd64", true),
            ("linux-image-6.18.15+deb13-cloud-amd64", true),
            ("linux-image-6.19.10+deb13-cloud-amd64", false),
            ("linux-image-7.3.4+deb13-cloud-amd64", false),
        ] {
            assert_eq!(is_whole(image), whole, "{image}");
        }
    }
}
