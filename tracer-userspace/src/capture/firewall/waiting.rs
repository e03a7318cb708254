//! Questions that wait for the thread that lists rules: what a verdict waits for comes before what is listed in
//! advance, and a namespace that may not be listed again yet keeps no other waiting.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};

use crate::capture::host::NetNamespace;
use crate::record::{BootTime, PacketRecord};

/// Packets that wait, at most.
pub(super) const WAITING_MAX: usize = 64;

/// A packet that netfilter dropped.
#[derive(Debug)]
pub(super) struct Dropped {
    pub(super) namespace: NetNamespace,
    pub(super) packet: PacketRecord,
    /// Whether it was for the namespace itself, if known.
    pub(super) local: Option<bool>,
}

/// Something to do for the thread.
#[derive(Debug)]
pub(super) enum Question {
    /// Which rule dropped this?
    Packet(Box<Dropped>),
    /// List the rules once, for the counters.
    Baseline(NetNamespace),
}

/// What has been asked and not been done.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    packets: Vec<(BootTime, Box<Dropped>)>,
    baselines: VecDeque<NetNamespace>,
}

impl Waiting {
    /// What to do next; waits for it. `due` says when a packet's namespace may be listed, if that is soon enough.
    /// `None` once nobody asks any more.
    pub(super) fn next(
        &mut self,
        questions: &Receiver<Question>,
        due: impl Fn(&Dropped) -> Option<BootTime>,
        clock: impl Fn() -> BootTime,
    ) -> Option<Question> {
        loop {
            match questions.try_recv() {
                Ok(question) => {
                    self.take(question, &due);
                    continue;
                }
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            let (now, first) = (clock(), self.first());
            if let Some((at, _)) = first.filter(|(_, due)| *due <= now) {
                return Some(Question::Packet(self.packets.swap_remove(at).1));
            }
            if let Some(namespace) = self.baselines.pop_front() {
                return Some(Question::Baseline(namespace));
            }
            let asked = match first {
                Some((_, due)) => questions.recv_timeout(due.since(now)),
                None => questions.recv().map_err(|_nobody| RecvTimeoutError::Disconnected),
            };
            match asked {
                Ok(question) => self.take(question, &due),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// The packet that is due first.
    fn first(&self) -> Option<(usize, BootTime)> {
        let due = self.packets.iter().map(|(due, _)| *due);
        due.enumerate().min_by_key(|(_, due)| *due)
    }

    fn take(&mut self, question: Question, due: impl Fn(&Dropped) -> Option<BootTime>) {
        match question {
            Question::Baseline(namespace) => self.baselines.push_back(namespace),
            Question::Packet(dropped) => match due(&dropped) {
                Some(due) if self.packets.len() < WAITING_MAX => self.packets.push((due, dropped)),
                _ => log::debug!("a firewall rule is not looked up: there is no time for it"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// The first `count` things that are done, of two namespaces to list and packets dropped in a third.
    fn done(count: usize, due: impl Fn(&Dropped) -> Option<BootTime>) -> Vec<(&'static str, u32)> {
        let (questions, waiting) = channel();
        for inode in [1, 2] {
            questions.send(Question::Baseline(NetNamespace::unreachable(inode))).unwrap();
        }
        questions.send(packet_in(7)).unwrap();
        let mut all = Waiting::default();
        let mut next = || match all.next(&waiting, &due, || BootTime::from_ns(10)).unwrap() {
            Question::Packet(dropped) => ("packet", dropped.namespace.inode),
            Question::Baseline(namespace) => ("baseline", namespace.inode),
        };
        (0..count).map(|_| next()).collect()
    }

    fn packet_in(inode: u32) -> Question {
        let namespace = NetNamespace::unreachable(inode);
        Question::Packet(Box::new(Dropped { namespace, packet: PacketRecord::default(), local: None }))
    }

    #[test]
    fn what_a_verdict_waits_for_comes_first() {
        let at_once = |_: &Dropped| Some(BootTime::from_ns(10));
        assert_eq!(done(3, at_once), [("packet", 7), ("baseline", 1), ("baseline", 2)]);
    }

    #[test]
    fn a_namespace_that_must_wait_keeps_no_other_waiting() {
        let by_namespace =
            |dropped: &Dropped| Some(BootTime::from_ns(if dropped.namespace.inode == 7 { 11 } else { 10 }));
        let (questions, waiting) = channel();
        for inode in [7, 8] {
            questions.send(packet_in(inode)).unwrap();
        }
        let mut all = Waiting::default();
        let time = std::cell::Cell::new(9);
        // each look at the clock makes it later
        let clock = || BootTime::from_ns(time.replace(time.get() + 1));
        let mut next = || match all.next(&waiting, by_namespace, clock) {
            Some(Question::Packet(dropped)) => dropped.namespace.inode,
            other => panic!("{other:?}"),
        };
        assert_eq!([next(), next()], [8, 7]);
        drop(questions);
        assert!(all.next(&waiting, by_namespace, clock).is_none());
    }

    #[test]
    fn what_would_come_too_late_is_left_out() {
        let too_late = |_: &Dropped| None;
        assert_eq!(done(2, too_late), [("baseline", 1), ("baseline", 2)]);
    }
}
