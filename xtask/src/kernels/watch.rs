//! Following one guest from its start to QEMU's end, and judging how it ended.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::clock::Stopwatch;

/// A guest that has not reached its userland by then is broken.
const BOOT: Duration = Duration::from_secs(90);
/// For the power-off after the command has ended.
const POWER_OFF: Duration = Duration::from_secs(30);
/// For what a killed QEMU had still to say.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Ends the output, written by vm-init.
const END: char = '\u{1e}';
const LONGEST_LINE: u64 = 64 << 10;

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

/// What comes from a guest.
pub(super) enum Event {
    /// A line of the command's output.
    Output(String),
    /// A line of vm-init's own: `up UPTIME`, later `exit STATUS UPTIME`.
    Progress(String),
}

/// Sends each line of a stream until its end.
pub(super) fn follow(stream: impl Read + Send + 'static, sender: SyncSender<Event>, event: fn(String) -> Event) {
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

/// What a guest has said, and when.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) output: String,
    pub(super) up_seconds: Option<f64>,
    exit: Option<u8>,
    /// Uptimes by the guest's clock, and this machine's seconds, from the command's start to its end.
    clocks: Clocks,
    output_ended: bool,
    told_off: bool,
    timed_out: bool,
}

impl Watched {
    /// Follows the guest until QEMU has closed both streams; kills it at the deadline in force.
    pub(super) fn follow(
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
                Ok(Event::Progress(text)) => {
                    self.take_progress(&text, stopwatch.seconds());
                    limit = if self.exit.is_some() { stopwatch.elapsed() + POWER_OFF } else { deadline };
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

    fn take_progress(&mut self, text: &str, seconds: f64) {
        let mut words = text.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("up"), uptime, None) => {
                self.up_seconds = Some(seconds);
                self.clocks.begin(uptime, seconds);
            }
            (Some("exit"), Some(status), uptime) => {
                self.exit = status.parse().ok();
                self.clocks.end(uptime, seconds);
            }
            _ => {}
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

/// A guest on a busy machine may mistake its clock's rate; what it times is worth nothing then.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Clocks {
    begin: Option<(f64, f64)>,
    end: Option<(f64, f64)>,
}

impl Clocks {
    fn begin(&mut self, uptime: Option<&str>, seconds: f64) {
        self.begin = uptime.and_then(|uptime| Some((uptime.parse().ok()?, seconds)));
    }

    fn end(&mut self, uptime: Option<&str>, seconds: f64) {
        self.end = uptime.and_then(|uptime| Some((uptime.parse().ok()?, seconds)));
    }

    /// Says so if the two clocks differ by more than a late message can explain.
    fn differ(self) -> Option<String> {
        let ((guest_begin, our_begin), (guest_end, our_end)) = self.begin.zip(self.end)?;
        let (guest, ours) = (guest_end - guest_begin, our_end - our_begin);
        let wrong = (guest - ours).abs() > 3.0 + ours * 0.1;
        wrong.then(|| format!("the guest's clock counted {guest:.1} s where {ours:.1} s passed"))
    }
}

/// How a guest ended whose QEMU has ended with `qemu` and whose console has this sign of damage.
pub(super) fn classify(watched: &Watched, damage: Option<&str>, qemu: &str) -> Ending {
    if let (None, Some(clocks)) = (damage, watched.clocks.differ()) {
        return Ending::Broke(clocks);
    }
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

    #[test]
    fn a_guest_whose_clock_is_wrong_is_broken() {
        for (exit, wrong) in
            [("exit 0 13.0", false), ("exit 0 15.9", false), ("exit 0 53.0", true), ("exit 0 4.0", true)]
        {
            let mut watched = Watched { output_ended: true, ..Watched::default() };
            watched.take_progress("up 3.0", 5.0);
            watched.take_progress(exit, 15.0);
            assert_eq!((watched.up_seconds, watched.exit), (Some(5.0), Some(0)));
            let ending = classify(&watched, None, "");
            assert_eq!(matches!(ending, Ending::Broke(_)), wrong, "{exit}: {ending:?}");
        }
    }
}
