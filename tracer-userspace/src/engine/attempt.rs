//! One connection attempt under way: what is known of it so far.

use smallvec::SmallVec;

use super::evidence::{DropClass, Dropped, Fact, Flow, Full, IcmpError, SynAckAgain, What};
use super::timing;
use crate::record::{BootTime, SocketRecord, socket_flag};

/// Most facts kept of one attempt; beyond them the middle goes, the first and the last stay.
const FACTS_MAX: usize = 24;

/// errno values as Linux numbers them on every architecture that is supported here.
pub(super) mod errno {
    pub(in super::super) const EPERM: u32 = 1;
    pub(in super::super) const EACCES: u32 = 13;
    pub(in super::super) const ENOPROTOOPT: u32 = 92;
    pub(in super::super) const EADDRNOTAVAIL: u32 = 99;
    pub(in super::super) const ENETUNREACH: u32 = 101;
    pub(in super::super) const ECONNREFUSED: u32 = 111;
    pub(in super::super) const EHOSTUNREACH: u32 = 113;
}

/// What the initiating socket of this host said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnEnd {
    pub(super) netns: u32,
    pub(super) flow: Flow,
    /// When its first SYN was due, if it is known.
    pub(super) started: Option<BootTime>,
    /// Who called connect(), if it is known.
    pub(super) task: Option<Task>,
    /// SYNs that got past this host's own OUTPUT chain.
    pub(super) syns_sent: u32,
    pub(super) retransmits: u32,
}

/// A process as kernel records name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) pid: u32,
    pub(super) comm: [u8; 16],
}

impl Task {
    /// The task of a socket record, if it names one.
    pub(super) fn of(record: &SocketRecord) -> Option<Self> {
        (record.flags & socket_flag::HAS_TASK != 0).then_some(Self { pid: record.pid, comm: record.comm })
    }
}

/// An attempt under way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The initiator's; 0 if not known.
    pub(super) isn: u32,
    /// First packet, as far as it was seen.
    pub(super) started: BootTime,
    /// Last record.
    pub(super) last: BootTime,
    /// The watched port; an attempt without one is none of ours.
    pub(super) port: Option<u16>,
    /// This host's own initiating socket.
    pub(super) own: Option<OwnEnd>,
    /// Nearly all have two at most: those stand here.
    facts: SmallVec<[Fact; 2]>,
}

impl Attempt {
    pub(super) fn new(isn: u32, time: BootTime) -> Self {
        Self { isn, started: time, last: time, port: None, own: None, facts: SmallVec::new() }
    }

    /// Makes a new attempt of it.
    pub(super) fn begin_anew(&mut self, isn: u32, time: BootTime) {
        (self.isn, self.started, self.last) = (isn, time, time);
        (self.port, self.own) = (None, None);
        self.facts.clear();
    }

    /// From when on something lost may be this attempt's: from its start, as far as that is known.
    pub(super) fn may_miss_since(&self) -> BootTime {
        match &self.own {
            Some(own) if own.started.is_none() => self.started.before(timing::REMEMBERED),
            _ => self.started,
        }
    }

    /// Everything seen, in the order of event time.
    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// Adds what was seen. A late record finds its place by its time.
    pub(super) fn add(&mut self, fact: Fact) {
        self.last = self.last.max(fact.time);
        self.started = self.started.min(fact.time);
        if self.facts.len() >= FACTS_MAX {
            self.facts.remove(FACTS_MAX / 2);
        }
        let place =
            self.facts.iter().rposition(|known| known.time <= fact.time).map_or(0, |place| place.saturating_add(1));
        self.facts.insert(place, fact);
    }

    /// Takes over what a record of the initiating socket says.
    pub(super) fn learn(&mut self, record: &SocketRecord) {
        let flow = Flow::from_initiator(&record.tuple);
        let own = self.own.get_or_insert(OwnEnd {
            netns: record.header.netns,
            flow,
            started: None,
            task: None,
            syns_sent: 0,
            retransmits: 0,
        });
        own.flow = flow;
        own.task = Task::of(record).or(own.task);
        own.syns_sent = own.syns_sent.max(record.syns_sent);
        own.retransmits = own.retransmits.max(record.retransmits);
        if record.started_ns != 0 {
            let started = BootTime::from_ns(record.started_ns);
            own.started = Some(started);
            self.started = self.started.min(started);
        }
        if self.isn == 0 {
            self.isn = record.isn;
        }
    }

    /// When the first fact of this sort was seen.
    pub(super) fn first(&self, wanted: impl Fn(&What) -> bool) -> Option<BootTime> {
        self.facts.iter().find(|fact| wanted(&fact.what)).map(|fact| fact.time)
    }

    /// When the last fact of this sort was seen.
    pub(super) fn last_of(&self, wanted: impl Fn(&What) -> bool) -> Option<BootTime> {
        self.facts.iter().rev().find(|fact| wanted(&fact.what)).map(|fact| fact.time)
    }

    /// All drops.
    pub(super) fn drops(&self) -> impl DoubleEndedIterator<Item = (&Fact, &Dropped)> + Clone {
        self.facts.iter().filter_map(|fact| match &fact.what {
            What::Drop(dropped) => Some((fact, dropped)),
            _ => None,
        })
    }

    /// What netfilter dropped.
    pub(super) fn netfilter_drops(&self) -> impl DoubleEndedIterator<Item = (&Fact, &Dropped)> + Clone {
        self.drops().filter(|(_, dropped)| dropped.class == DropClass::Netfilter)
    }

    /// What the kernel dropped for a reason of its own.
    pub(super) fn other_drops(&self) -> impl DoubleEndedIterator<Item = (&Fact, &Dropped)> {
        self.drops().filter(|(_, dropped)| dropped.class == DropClass::Other)
    }

    /// When a listener of this host was full.
    pub(super) fn listener_full(&self) -> impl DoubleEndedIterator<Item = (&Fact, &Full)> {
        self.facts.iter().filter_map(|fact| match &fact.what {
            What::ListenerFull(full) => Some((fact, full)),
            _ => None,
        })
    }

    /// SYN-ACKs that were sent again.
    pub(super) fn syn_acks_again(&self) -> impl DoubleEndedIterator<Item = (&Fact, &SynAckAgain)> {
        self.facts.iter().filter_map(|fact| match &fact.what {
            What::SynAckRetransmitted(again) => Some((fact, again)),
            _ => None,
        })
    }

    /// When connect() was refused by something that is no route, and with which errno.
    pub(super) fn refused_connect(&self) -> Option<(BootTime, u32)> {
        self.facts.iter().find_map(|fact| match fact.what {
            What::ConnectUnsent { error } if matches!(error, errno::EPERM | errno::EACCES) => Some((fact.time, error)),
            _ => None,
        })
    }

    /// ICMP errors that answer the SYN.
    pub(super) fn icmp_answers(&self) -> impl DoubleEndedIterator<Item = (&Fact, &IcmpError)> {
        self.facts.iter().filter_map(|fact| match &fact.what {
            What::Icmp(error) if error.meaning.is_answer() => Some((fact, error)),
            _ => None,
        })
    }

    /// When something first answered the SYN, or was first seen to make an answer impossible.
    pub(super) fn first_answer(&self) -> Option<BootTime> {
        self.first(is_answer)
    }

    /// When our socket left `SYN_SENT` for CLOSE.
    pub(super) fn closed(&self) -> Option<BootTime> {
        self.first(|what| matches!(what, What::Closed(_)))
    }

    /// Whether our socket was closed without a source port, and so without a SYN: that is how
    /// `tcp_v4_connect` gives up when `inet_hash_connect` returns `EADDRNOTAVAIL`.
    pub(super) fn lacked_a_port(&self) -> bool {
        let fits = |what: &What| matches!(what, What::Closed(0 | errno::EADDRNOTAVAIL));
        self.own.as_ref().is_some_and(|own| {
            own.flow.initiator.port == 0 && own.started.is_some() && own.syns_sent == 0 && own.retransmits == 0
        }) && self.first(fits).is_some()
    }

    /// How the socket error reads, if one was reported that is no mere time-out.
    pub(super) fn socket_error(&self) -> Option<(&Fact, u32)> {
        self.facts.iter().rev().find_map(|fact| match fact.what {
            What::SocketError(error) | What::Closed(error) if is_telling(error) => Some((fact, error)),
            _ => None,
        })
    }

    /// Whether an attempt that our socket gave up lasted long enough to speak of silence.
    pub(super) fn was_long_enough(&self) -> bool {
        let Some(own) = &self.own else { return false };
        let Some(closed) = self.closed() else { return false };
        let retransmitted =
            own.retransmits > 0 || self.first(|what| matches!(what, What::SynRetransmitted(_))).is_some();
        match own.started {
            Some(started) => closed.since(started) >= timing::GAVE_UP_AGE_MIN,
            // under way before recording began, or not followed: a retransmission says that the first second is over
            None => retransmitted || closed.since(self.started) >= timing::GAVE_UP_AGE_MIN,
        }
    }

    /// When the retransmission was sent that makes enough of them for silence.
    pub(super) fn enough_retransmitted(&self) -> Option<BootTime> {
        let mut seen = 0;
        let mut last = None;
        self.facts.iter().find_map(|fact| {
            let What::SynRetransmitted(n) = fact.what else { return None };
            seen += u32::from(last.replace(fact.time) != Some(fact.time));
            (n.max(seen) >= timing::SILENCE_RETRANSMITS).then_some(fact.time)
        })
    }
}

/// Whether this ends the waiting: an answer, or a drop that says that none can come.
pub(super) fn is_answer(what: &What) -> bool {
    match what {
        What::ResetReceived | What::NetfilterReset(_) => true,
        What::Icmp(error) => error.meaning.is_answer(),
        What::Drop(dropped) => matches!(dropped.class, DropClass::NoSocket | DropClass::NeighbourFailed),
        What::SocketError(error) | What::Closed(error) => is_telling(*error),
        What::ListenerFull(full) => full.aborts,
        What::ResetSent | What::SynRetransmitted(_) | What::SynAckRetransmitted(_) | What::ConnectUnsent { .. } => {
            false
        }
    }
}

/// Errors that only an answer (or its absence at the next hop) sets; a time-out is mere silence.
fn is_telling(error: u32) -> bool {
    matches!(error, errno::EACCES | errno::ENOPROTOOPT | errno::ENETUNREACH | errno::ECONNREFUSED | errno::EHOSTUNREACH)
}
