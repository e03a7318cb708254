//! How processes that serve a watched port ended.

use super::timing::EXIT_BEFORE;
use super::world::Recent;
use crate::record::{BootTime, ProcessRecord, kind, process_flag};

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) time: BootTime,
    pub(super) comm: [u8; 16],
    /// As in wait(2).
    status: u32,
    pub(super) core_dumped: bool,
    pub(super) oom_killed: bool,
}

impl Exit {
    fn signal(&self) -> u32 {
        self.status & 0x7f
    }

    /// The same in words: `was ended by signal 11 (SIGSEGV), core dumped`.
    pub(super) fn words(&self) -> String {
        let core = if self.core_dumped { ", core dumped" } else { "" };
        match (self.signal(), signal_name(self.signal())) {
            (0, _) => format!("ended with exit code {}", self.code()),
            (9, _) if self.oom_killed => "was killed by the OOM killer".to_owned(),
            (signal, Some(name)) => format!("was ended by signal {signal} ({name}){core}"),
            (signal, None) => format!("was ended by signal {signal}{core}"),
        }
    }

    /// Whether it went otherwise than by exit code 0.
    pub(super) fn is_abnormal(&self) -> bool {
        self.signal() != 0 || self.code() != 0
    }

    fn code(&self) -> u32 {
        (self.status >> 8) & 0xff
    }

    /// `code N`, `signal N`, `signal 9 (oom-kill)`.
    pub(super) fn text(&self) -> String {
        match self.signal() {
            0 => format!("code {}", self.code()),
            9 if self.oom_killed => "signal 9 (oom-kill)".to_owned(),
            signal => format!("signal {signal}"),
        }
    }
}

/// Names of the signals that end processes; their numbers are the same on every architecture that is
/// supported here.
fn signal_name(signal: u32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// Ends of processes, and whom the OOM killer chose; the oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Exits {
    exits: Recent<u32, Exit>,
    victims: Recent<u32, BootTime>,
}

impl Exits {
    /// Takes over a record.
    pub(super) fn learn(&mut self, record: &ProcessRecord) {
        let time = BootTime::from_ns(record.header.time_ns);
        match record.header.kind {
            kind::PROCESS_EXIT => {
                let chosen = self.victims.get(&record.pid).is_some_and(|chosen| *chosen <= time);
                let exit = Exit {
                    time,
                    comm: record.comm,
                    status: record.exit_code,
                    core_dumped: record.flags & process_flag::CORE_DUMPED != 0,
                    oom_killed: chosen || record.flags & process_flag::OOM_KILLED != 0,
                };
                self.exits.insert(record.pid, exit);
                let _forgotten = self.victims.take(&record.pid);
            }
            kind::OOM_VICTIM => self.victims.insert(record.pid, time),
            _ => {}
        }
    }

    /// The end of this process, if it came about when its connection was closed.
    pub(super) fn near(&self, pid: u32, closed: BootTime, until: BootTime) -> Option<&Exit> {
        let exit = self.exits.get(&pid).filter(|_| pid != 0)?;
        (exit.time >= closed.before(EXIT_BEFORE) && exit.time <= until).then_some(exit)
    }

    /// How it ended, if it has, by this time.
    pub(super) fn last(&self, pid: u32, by: BootTime) -> Option<&Exit> {
        self.exits.get(&pid).filter(|exit| pid != 0 && exit.time <= by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Header;

    fn record(kind: u16, ms: u64, exit_code: u32, flags: u32) -> ProcessRecord {
        let header = Header { kind, time_ns: ms * 1_000_000, ..Header::default() };
        ProcessRecord { header, pid: 7, exit_code, flags, ..ProcessRecord::default() }
    }

    fn at(ms: u64) -> BootTime {
        BootTime::from_ns(ms * 1_000_000)
    }

    #[test]
    fn how_it_ended() {
        let check = |exit_code, flags, text: &str, abnormal| {
            let mut exits = Exits::default();
            exits.learn(&record(kind::PROCESS_EXIT, 1000, exit_code, flags));
            let exit = exits.last(7, at(1000)).unwrap();
            assert_eq!((exit.text().as_str(), exit.is_abnormal()), (text, abnormal));
        };
        check(0, 0, "code 0", false);
        check(1 << 8, 0, "code 1", true);
        check(255 << 8, 0, "code 255", true);
        check(9, 0, "signal 9", true);
        check(9, process_flag::OOM_KILLED, "signal 9 (oom-kill)", true);
        check(15, process_flag::OOM_KILLED, "signal 15", true);
        check(0x8b, process_flag::CORE_DUMPED, "signal 11", true);
    }

    #[test]
    fn how_it_ended_in_words() {
        let check = |exit_code, flags, words: &str| {
            let mut exits = Exits::default();
            exits.learn(&record(kind::PROCESS_EXIT, 1000, exit_code, flags));
            assert_eq!(exits.last(7, at(1000)).unwrap().words(), words);
        };
        check(0, 0, "ended with exit code 0");
        check(3 << 8, 0, "ended with exit code 3");
        check(9, 0, "was ended by signal 9 (SIGKILL)");
        check(9, process_flag::OOM_KILLED, "was killed by the OOM killer");
        check(11, process_flag::CORE_DUMPED, "was ended by signal 11 (SIGSEGV), core dumped");
        check(40, 0, "was ended by signal 40");
    }

    #[test]
    fn the_oom_killers_choice_may_come_before_the_end() {
        let mut exits = Exits::default();
        exits.learn(&record(kind::OOM_VICTIM, 900, 0, 0));
        exits.learn(&record(kind::PROCESS_EXIT, 1000, 9, 0));
        assert_eq!(exits.last(7, at(1000)).unwrap().text(), "signal 9 (oom-kill)");
        // another process with the same number
        exits.learn(&record(kind::PROCESS_EXIT, 2000, 9, 0));
        assert_eq!(exits.last(7, at(2000)).unwrap().text(), "signal 9");
    }

    #[test]
    fn only_about_that_time() {
        let mut exits = Exits::default();
        exits.learn(&record(kind::PROCESS_EXIT, 10_000, 9, 0));
        let near = |pid, closed, until| exits.near(pid, at(closed), at(until)).is_some();
        assert!(near(7, 10_000, 10_000) && near(7, 9_900, 10_100) && near(7, 14_000, 14_300));
        assert!(!near(7, 9_000, 9_300) && !near(7, 16_000, 16_300) && !near(8, 10_000, 10_000) && !near(0, 1, 2));
        assert_eq!(exits.last(7, at(9_999)), None);
    }
}
