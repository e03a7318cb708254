//! One boot of one guest: its disks, its command, its deadline, and how it ended.
//!
//! Disks: vda the userland, vdb the modules, vdc a tar of the input files, vdd a tar of `/run/out`
//! on its way back. The command's output comes over one virtio port, which is QEMU's stdout; the
//! guest's progress (`up`, `exit N`) over another, a socket that is QEMU's stdin. When the output's
//! end mark has come too, the host says `off`, for which the guest waits.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
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

/// A guest that has not reached its userland by then is broken.
const BOOT: Duration = Duration::from_secs(90);
/// For the power-off after the command has ended.
const POWER_OFF: Duration = Duration::from_secs(30);
/// For what a killed QEMU had still to say.
const LAST_WORDS: Duration = Duration::from_secs(5);
const OUT_BYTES: u64 = 256 << 20;
/// Ends the output, written by vm-init.
const END: char = '\u{1e}';
const LONGEST_LINE: u64 = 64 << 10;

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

/// How a boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The command ended with this status.
    Exited(u8),
    /// The guest was alive at the deadline, the command unfinished.
    Hung,
    /// The guest died or its kernel was damaged: no result.
    Broke(String),
}

/// A boot and its times.
#[derive(Debug)]
pub(super) struct Boot {
    pub(super) ending: Ending,
    pub(super) output: String,
    pub(super) up_seconds: Option<f64>,
    pub(super) seconds: f64,
}

enum Event {
    Output(String),
    Progress(String),
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
        "console={console} quiet oops=panic panic=-1 mitigations=off tsc=reliable cryptomgr.notests \
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

/// Sends each line of a stream until its end.
fn follow(stream: impl Read + Send + 'static, sender: SyncSender<Event>, event: fn(String) -> Event) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        loop {
            let mut bytes = Vec::new();
            match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(event(text)).is_err() {
                return;
            }
        }
    });
}

#[derive(Debug, Default)]
struct Watched {
    output: String,
    up_seconds: Option<f64>,
    exit: Option<u8>,
    output_ended: bool,
    told_off: bool,
    timed_out: bool,
}

impl Watched {
    /// Follows the guest until QEMU has closed both streams; kills it at the deadline in force.
    fn follow(
        &mut self,
        events: &Receiver<Event>,
        (stopwatch, deadline): (Stopwatch, Duration),
        (qemu, mut guest): (&mut Child, &UnixStream),
        line: &mut impl FnMut(&str),
    ) -> Result<()> {
        let mut limit = BOOT.min(deadline);
        loop {
            match events.recv_timeout(stopwatch.left_of(limit)) {
                Ok(Event::Output(text)) => self.take_line(&text, line),
                Ok(Event::Progress(text)) if text == "up" => {
                    self.up_seconds = Some(stopwatch.seconds());
                    limit = deadline;
                }
                Ok(Event::Progress(text)) => {
                    self.exit = text.strip_prefix("exit ").and_then(|status| status.parse().ok());
                    limit = stopwatch.elapsed() + POWER_OFF;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) if self.timed_out => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    self.timed_out = true;
                    qemu.kill().context("cannot end QEMU")?;
                    // what it said before is still to be read
                    limit = stopwatch.elapsed() + LAST_WORDS;
                }
            }
            if self.output_ended && self.exit.is_some() && !self.told_off {
                self.told_off = true;
                guest.write_all(b"off\n").ok();
            }
        }
    }

    fn take_line(&mut self, text: &str, line: &mut impl FnMut(&str)) {
        let (text, ended) = text.strip_suffix(END).map_or((text, false), |before| (before, true));
        self.output_ended |= ended;
        if !(ended && text.is_empty()) {
            line(text);
            self.output.push_str(text);
            self.output.push('\n');
        }
    }
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

fn classify(watched: &Watched, damage: Option<&str>, qemu: &str) -> Ending {
    match (damage, watched.exit) {
        (Some(line), _) => Ending::Broke(format!("console: {line}")),
        (None, Some(status)) if watched.output_ended => Ending::Exited(status),
        (None, Some(_)) => Ending::Broke("the output's end never came".to_owned()),
        (None, None) if watched.timed_out && watched.up_seconds.is_some() => Ending::Hung,
        (None, None) if watched.timed_out => Ending::Broke("no userland in time".to_owned()),
        (None, None) => Ending::Broke(format!("QEMU ended ({qemu}) before the command")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_guest_is_no_test_failure() {
        let up = || Watched { up_seconds: Some(2.0), ..Watched::default() };
        let exited = || Watched { exit: Some(3), output_ended: true, ..up() };
        let late = || Watched { timed_out: true, ..up() };
        for (watched, damage, expected) in [
            (exited(), None, Ending::Exited(3)),
            (Watched { timed_out: true, ..exited() }, None, Ending::Exited(3)),
            (
                Watched { output_ended: false, ..exited() },
                None,
                Ending::Broke("the output's end never came".to_owned()),
            ),
            (exited(), Some("Oops"), Ending::Broke("console: Oops".to_owned())),
            (late(), None, Ending::Hung),
            (late(), Some("Oops"), Ending::Broke("console: Oops".to_owned())),
            (Watched { up_seconds: None, ..late() }, None, Ending::Broke("no userland in time".to_owned())),
            (up(), None, Ending::Broke("QEMU ended (exit status: 0) before the command".to_owned())),
        ] {
            assert_eq!(classify(&watched, damage, "exit status: 0"), expected, "{watched:?}");
        }
    }

    #[test]
    fn the_end_mark_is_no_output() {
        for (sent, expected) in
            [(vec!["a", "\u{1e}"], "a\n"), (vec!["a", "b\u{1e}"], "a\nb\n"), (vec!["", "\u{1e}"], "\n")]
        {
            let mut watched = Watched::default();
            let mut seen = String::new();
            for text in sent {
                assert!(!watched.output_ended);
                watched.take_line(text, &mut |line| seen.extend([line, "\n"]));
            }
            assert!(watched.output_ended);
            assert_eq!((watched.output.as_str(), seen.as_str()), (expected, expected));
        }
    }
}
