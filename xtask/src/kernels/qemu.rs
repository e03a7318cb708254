//! The QEMU that the guests run on. Debian 12's 7.2 corrupts x86 guests at random on a loaded host,
//! so there version 10 from backports is unpacked into the cache, beside the installed one, whose
//! libraries it uses.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::apt::{Mirrors, Suite};
use super::arch::Arch;
use super::cache::Cache;
use crate::process::read;

const RECIPE: &str = "qemu 1\n";
const SUITE: &str = "bookworm-backports";
/// The first release trusted with the guests.
const OLDEST: u32 = 10;

/// A QEMU to start.
#[derive(Debug, Clone)]
pub(super) struct Qemu {
    program: PathBuf,
    data: Vec<PathBuf>,
    arch: Arch,
}

impl Qemu {
    /// The machine's own QEMU where it is new enough, else one from backports in the cache.
    pub(super) fn prepare(cache: &Cache, mirrors: &Mirrors, arch: Arch) -> Result<Self> {
        let name = match arch {
            Arch::X86 => "qemu-system-x86_64",
            Arch::Arm => "qemu-system-aarch64",
        };
        let own = Self { program: PathBuf::from(name), data: Vec::new(), arch };
        if own.version().is_ok_and(|version| version >= OLDEST) {
            return Ok(own);
        }
        let packages = match arch {
            Arch::X86 => ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"].as_slice(),
            Arch::Arm => ["qemu-system-arm", "qemu-system-common", "qemu-system-data"].as_slice(),
        };
        let entry = format!("qemu-{}", arch.debian());
        let folder = cache.entry(&entry, RECIPE, |target| {
            if !fs::read_to_string("/etc/os-release").is_ok_and(|text| text.contains("bookworm")) {
                bail!(
                    "{name} is missing or older than {OLDEST}: install a newer QEMU (only for Debian 12 is one fetched)"
                );
            }
            Suite::fetch(cache.root(), mirrors, SUITE, Arch::X86)?.unpack(packages, target)
        })?;
        let share = folder.join("usr/share");
        let fetched = Self {
            program: folder.join("usr/bin").join(name),
            data: vec![share.join("seabios"), share.join("qemu")],
            arch,
        };
        let version = fetched
            .version()
            .context("the fetched QEMU does not start: are the libraries of qemu-system-x86 installed?")?;
        if version < OLDEST {
            bail!("{SUITE} has QEMU {version}, older than {OLDEST}");
        }
        Ok(fetched)
    }

    /// The major version.
    fn version(&self) -> Result<u32> {
        let text = read(Command::new(&self.program).arg("--version"))?;
        let number = text.split("version ").nth(1).and_then(|rest| rest.split('.').next());
        number.and_then(|number| number.parse().ok()).with_context(|| format!("no version in {text:?}"))
    }

    /// QEMU with the machine chosen, to die with this process.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program);
        for folder in &self.data {
            command.arg("-L").arg(folder);
        }
        command.args(match self.arch {
            Arch::X86 => ["-machine", "pc", "-cpu", "max"],
            Arch::Arm => ["-machine", "virt,gic-version=3", "-cpu", "cortex-a72"],
        });
        command.args(["-accel", "tcg,thread=multi", "-nodefaults", "-display", "none", "-no-reboot"]);
        command
    }

    pub(super) fn arch(&self) -> Arch {
        self.arch
    }
}
