//! One boot of one guest: its disks, its command, its deadline, and how it ended.
//!
//! Disks: vda the userland, vdb the modules, vdc a tar of the input files, vdd a tar of `/run/out`
//! on its way back. The command's output comes over one virtio port, which is QEMU's stdout; the
//! guest's progress (`up UPTIME`, `exit N UPTIME`) over another, a socket that is QEMU's stdin. When the output's
//! end mark has come too, the host says `off`, for which the guest waits.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::catalogue::Cgroups;
use super::clock::Stopwatch;
use super::command::quietly;
use super::console::damage;
use super::initrd;
use super::kernel_image::KernelImage;
use super::qemu::Qemu;
use super::userland::Userland;
use super::watch::{Ending, Event, Watched, classify, follow};

const OUT_BYTES: u64 = 256 << 20;

/// What a guest is made of.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) qemu: Qemu,
    pub(super) kernel: KernelImage,
    pub(super) userland: Userland,
    pub(super) cgroups: Cgroups,
    pub(super) memory_mib: u32,
    pub(super) cpus: u32,
}

/// What a guest does.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// A shell command, run as root in the folder of the files.
    pub(super) command: String,
    /// Files and folders copied in.
    pub(super) files: Vec<PathBuf>,
    /// For the command, from the boot's start.
    pub(super) deadline: Duration,
}

/// A boot and its times.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) ending: Ending,
    pub(super) output: String,
    pub(super) up_seconds: Option<f64>,
    pub(super) seconds: f64,
}

/// Boots the machine for the task. `folder` gets `console`, `output` and what the command left in
/// `/run/out` as `out/`; `line` is called with each line of output as it comes.
pub(super) fn boot(machine: &Machine, task: &Task, folder: &Path, mut line: impl FnMut(&str)) -> Result<Boot> {
    super::cache::remove(folder)?;
    fs::create_dir_all(folder.join("out")).with_context(|| format!("cannot make {}", folder.display()))?;
    make_disks(machine, task, folder)?;
    let stopwatch = Stopwatch::start();
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = qemu(machine, folder, OwnedFd::from(theirs))?;
    let (sender, receiver) = sync_channel(256);
    let stdout = child.stdout.take().context("QEMU has no stdout")?;
    follow(stdout, sender.clone(), Event::Output);
    follow(ours.try_clone()?, sender, Event::Progress);
    let mut watched = Watched::default();
    watched.follow(&receiver, (stopwatch, task.deadline), (&mut child, &ours), &mut line)?;
    let status = child.wait()?;
    let console = String::from_utf8_lossy(&fs::read(folder.join("console"))?).into_owned();
    fs::write(folder.join("output"), &watched.output)?;
    collect(folder)?;
    let ending = classify(&watched, damage(&console), &status.to_string());
    let output = std::mem::take(&mut watched.output);
    Ok(Boot { ending, output, up_seconds: watched.up_seconds, seconds: stopwatch.seconds() })
}

fn make_disks(machine: &Machine, task: &Task, folder: &Path) -> Result<()> {
    fs::write(folder.join("initrd"), initrd::make(&machine.kernel, &machine.userland.busybox()?)?)?;
    File::create(folder.join("console"))?;
    File::create(folder.join("out.img"))?.set_len(OUT_BYTES)?;
    let mut script = File::create(folder.join(".command"))?;
    writeln!(script, "{}", task.command)?;
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(folder.join("in.tar")).arg("-C").arg(folder).arg(".command");
    for file in &task.files {
        let file = fs::canonicalize(file).with_context(|| format!("cannot copy {} into the guest", file.display()))?;
        let (parent, name) = file.parent().zip(file.file_name()).context("a file without a name")?;
        tar.arg("-C").arg(parent).arg(name);
    }
    quietly(&mut tar)
}

fn qemu(machine: &Machine, folder: &Path, progress: OwnedFd) -> Result<Child> {
    let mut command = machine.qemu.command();
    let drive = |file: &Path, options: &str| format!("file={},format=raw,if=virtio,{options}", file.display());
    let shared = "readonly=on,file.locking=off";
    let cgroups = if machine.cgroups == Cgroups::V1 { " wherefore.cgroup=v1" } else { "" };
    let console = machine.qemu.arch().console();
    let append = format!(
        "console={console} quiet oops=panic panic=-1 mitigations=off tsc=unstable clocksource=hpet cryptomgr.notests \
         random.trust_cpu=on{cgroups}"
    );
    command.arg("-m").arg(machine.memory_mib.to_string()).arg("-smp").arg(machine.cpus.to_string());
    command.arg("-kernel").arg(machine.kernel.vmlinuz()).arg("-initrd").arg(folder.join("initrd"));
    command.arg("-append").arg(append).arg("-serial").arg(format!("file:{}", folder.join("console").display()));
    for drive in [
        drive(&machine.userland.image(), shared),
        drive(&machine.kernel.modules(), shared),
        drive(&folder.join("in.tar"), "readonly=on"),
        drive(&folder.join("out.img"), "cache=unsafe"),
    ] {
        command.arg("-drive").arg(drive);
    }
    command.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
    command.args([
        "-chardev",
        "file,id=output,path=/dev/stdout",
        "-device",
        "virtserialport,chardev=output,name=output",
    ]);
    command.args(["-chardev", "socket,id=status,fd=0", "-device", "virtserialport,chardev=status,name=status"]);
    command.stdin(Stdio::from(progress)).stdout(Stdio::piped()).stderr(File::create(folder.join("qemu.log"))?);
    command.spawn().context("cannot start QEMU (setpriv of util-linux is needed too)")
}

/// Unpacks what came back and removes the disks.
fn collect(folder: &Path) -> Result<()> {
    quietly(Command::new("tar").arg("-xf").arg(folder.join("out.img")).arg("-C").arg(folder.join("out")))
        .context("what the guest left in /run/out cannot be read")?;
    for disk in ["out.img", "in.tar", "initrd", ".command"] {
        fs::remove_file(folder.join(disk))?;
    }
    Ok(())
}
