//! All attempts: those under way, and for a while those that are over, so that a SYN retry or the
//! other end's view of the same attempt is recognised. Bounded; what is thrown out is counted.
//!
//! long: one table, whose entries, index by ISN and bounds change together

use std::collections::VecDeque;
use std::collections::hash_map::Entry as MapEntry;

use super::attempt::Attempt;
use super::evidence::Flow;
use super::timers::NEVER;
use super::timing::REMEMBERED;
use crate::record::BootTime;

/// What it hashes with is seeded anew in each process, and quick: peers choose ISNs.
pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// Most attempts in memory.
pub(super) const ATTEMPTS_MAX: usize = 65_536;

/// Most of them under way: those hold their evidence.
pub(super) const UNDER_WAY_MAX: usize = 32_768;

/// Most attempts whose memory is kept for others.
const SPARE_MAX: usize = 256;

/// Most attempts of one ISN that can be found by it: a flood of SYNs with a constant ISN costs no more.
const SAME_ISN_MAX: usize = 64;

/// Names one attempt; never another one, also when its place is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    place: u32,
    generation: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A verdict was said, or none was due: later evidence changes nothing.
    Decided {
        /// A RST told the initiator: it will not try again.
        by_reset: bool,
    },
    /// It succeeded, or a success came after the verdict and was counted.
    Succeeded,
}

#[derive(Debug)]
enum State {
    Vacant,
    UnderWay(Box<Attempt>),
    Over { outcome: Outcome, started: BootTime, last: BootTime },
}

/// Kept small: in a flood the table is larger than a processor's cache, and what is looked at first stands
/// together.
#[derive(Debug)]
struct Entry {
    generation: u32,
    isn: u32,
    /// When it is to be decided, as the timers know it; [`NEVER`]: they do not.
    timer: BootTime,
    state: State,
    /// Ends as the first record had them.
    flow: Flow,
    /// Where a packet of it was dropped.
    dropped_in: Option<u32>,
    inode: u64,
    /// Ends as the last different record had them.
    other: Option<Box<Flow>>,
    /// Next attempt with the same ISN; [`NOWHERE`]: there is none.
    next: u32,
    /// Whether it is in the chain of its ISN.
    chained: bool,
}

/// No place.
const NOWHERE: u32 = u32::MAX;

const _: () = assert!(size_of::<Entry>() <= 128);

impl Entry {
    /// Ends as its records had them.
    fn flows(&self) -> impl Iterator<Item = &Flow> {
        std::iter::once(&self.flow).chain(self.other.as_deref())
    }
}

/// What finding an attempt gives.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// It is under way.
    UnderWay(&'a mut Attempt),
    /// It is over.
    Over(&'a mut Outcome),
}

/// Attempts by ISN and by socket. The maps are never iterated: their order is nobody's.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    entries: Vec<Entry>,
    vacant: Vec<u32>,
    by_isn: HashMap<u32, u32>,
    by_inode: HashMap<u64, Id>,
    /// Oldest first; may name some that are no longer under way.
    under_way: VecDeque<Id>,
    under_way_count: usize,
    /// Oldest first, with the time at which to look again whether it can be forgotten.
    over: VecDeque<(BootTime, Id)>,
    /// Attempts that began by then and are over may have been thrown out before their time.
    forgotten_until: BootTime,
    /// Memory of attempts that are done with.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    spare: Vec<Box<Attempt>>,
}

impl Attempts {
    /// The attempt of a record. Found by ISN and flow: the same initiator, or what address translation
    /// can have made of it; but two packets dropped in one namespace (`dropped_in`) are of one attempt
    /// only if their initiator is the same. While one of both sides does not know the ISN yet, the
    /// initiating socket's inode stands in.
    pub(super) fn find(&self, isn: u32, flow: &Flow, inode: u64, dropped_in: Option<u32>) -> Option<Id> {
        let mut translated = None;
        let mut place = if isn == 0 { NOWHERE } else { self.by_isn.get(&isn).copied().unwrap_or(NOWHERE) };
        while let Some(entry) = self.entry(place) {
            let id = Id { place, generation: entry.generation };
            if entry.flows().any(|known| known.initiator == flow.initiator) {
                return Some(id);
            }
            let elsewhere = dropped_in.is_none() || entry.dropped_in != dropped_in;
            if translated.is_none() && elsewhere && entry.flows().any(|known| known.compatible(flow)) {
                translated = Some(id);
            }
            place = entry.next;
        }
        if translated.is_some() {
            return translated;
        }
        if inode == 0 {
            return None;
        }
        let id = *self.by_inode.get(&inode)?;
        let entry = self.get(id)?;
        let same_attempt = isn == 0 || entry.isn == 0;
        (same_attempt && matches!(entry.state, State::UnderWay(_))).then_some(id)
    }

    /// Whether the attempt that a connection began with failed, or is about to: at the connecting end a
    /// handshake can look complete that the accepting end threw away.
    pub(super) fn has_failed(&self, isn: u32, flow: &Flow) -> bool {
        let entry = self.find(isn, flow, 0, None).and_then(|id| self.get(id));
        let failed =
            |state: &State| matches!(state, State::UnderWay(_) | State::Over { outcome: Outcome::Decided { .. }, .. });
        entry.is_some_and(|entry| failed(&entry.state))
    }

    /// Begins an attempt. Gives back one that had to make room, if its evidence is lost with it.
    pub(super) fn begin(&mut self, isn: u32, flow: Flow, inode: u64, time: BootTime) -> (Id, Option<Evicted>) {
        let evicted = self.make_room();
        let attempt = self.spare.pop().map_or_else(
            || Box::new(Attempt::new(isn, time)),
            |mut attempt| {
                attempt.begin_anew(isn, time);
                attempt
            },
        );
        let entry = Entry {
            generation: 0,
            isn: 0,
            timer: NEVER,
            state: State::UnderWay(attempt),
            flow,
            dropped_in: None,
            inode,
            other: None,
            next: NOWHERE,
            chained: false,
        };
        let id = self.place(entry);
        self.name(id, isn);
        if inode != 0 {
            self.by_inode.insert(inode, id);
        }
        self.under_way.push_back(id);
        self.under_way_count = self.under_way_count.saturating_add(1);
        (id, evicted)
    }

    /// The attempt, with the ends as this record has them.
    pub(super) fn visit(&mut self, id: Id, isn: u32, flow: Flow, time: BootTime) -> Option<Found<'_>> {
        self.name(id, isn);
        let entry = self.get_mut(id)?;
        if entry.flow != flow {
            match &mut entry.other {
                Some(other) => **other = flow,
                None => entry.other = Some(Box::new(flow)),
            }
        }
        match &mut entry.state {
            State::Vacant => None,
            State::UnderWay(attempt) => Some(Found::UnderWay(attempt)),
            State::Over { outcome, last, .. } => {
                *last = time.max(*last);
                Some(Found::Over(outcome))
            }
        }
    }

    /// Notes where a packet of the attempt was dropped.
    pub(super) fn dropped_in(&mut self, id: Id, netns: u32) {
        if let Some(entry) = self.get_mut(id) {
            entry.dropped_in = Some(netns);
        }
    }

    /// The attempt, if it is under way.
    pub(super) fn under_way(&self, id: Id) -> Option<&Attempt> {
        match &self.get(id)?.state {
            State::UnderWay(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// Notes when the attempt is to be decided; true if the timers must hear of it. A later time
    /// than they know needs no telling: they ask when theirs has come.
    pub(super) fn schedule(&mut self, id: Id, due: BootTime) -> bool {
        let Some(entry) = self.get_mut(id) else { return false };
        let sooner = due < entry.timer;
        if sooner {
            entry.timer = due;
        }
        sooner
    }

    /// Whether the timers' entry is still the attempt's own.
    pub(super) fn is_current(&self, time: BootTime, id: Id) -> bool {
        self.get(id).is_some_and(|entry| entry.timer == time)
    }

    /// Takes the timer out; false if it was out of date.
    pub(super) fn take_timer(&mut self, time: BootTime, id: Id) -> bool {
        let Some(entry) = self.get_mut(id).filter(|entry| entry.timer == time) else { return false };
        entry.timer = NEVER;
        true
    }

    /// Ends an attempt that is remembered from now on; gives its evidence.
    pub(super) fn settle(&mut self, id: Id, outcome: Outcome) -> Option<Box<Attempt>> {
        let entry = self.get_mut(id)?;
        let State::UnderWay(attempt) = std::mem::replace(&mut entry.state, State::Vacant) else { return None };
        entry.state = State::Over { outcome, started: attempt.started, last: attempt.last };
        entry.timer = NEVER;
        self.under_way_count = self.under_way_count.saturating_sub(1);
        self.over.push_back((attempt.last.after(REMEMBERED), id));
        Some(attempt)
    }

    /// Ends an attempt and forgets it at once.
    pub(super) fn forget(&mut self, id: Id) {
        let Some(entry) = self.get_mut(id) else { return };
        let State::UnderWay(attempt) = std::mem::replace(&mut entry.state, State::Vacant) else { return };
        self.under_way_count = self.under_way_count.saturating_sub(1);
        self.remove(id);
        self.recycle(attempt);
    }

    /// The same of an attempt whose evidence nobody needs.
    pub(super) fn close(&mut self, id: Id, outcome: Outcome) {
        if let Some(attempt) = self.settle(id, outcome) {
            self.recycle(attempt);
        }
    }

    /// Takes back the memory of an attempt's evidence.
    pub(super) fn recycle(&mut self, attempt: Box<Attempt>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(attempt);
        }
    }

    /// Forgets what has been over for long enough.
    pub(super) fn expire(&mut self, now: BootTime) {
        while let Some((look_again, id)) = self.over.front().copied() {
            if look_again >= now {
                return;
            }
            self.over.pop_front();
            let Some(State::Over { last, .. }) = self.get(id).map(|entry| &entry.state) else { continue };
            let until = last.after(REMEMBERED);
            if until >= now {
                self.over.push_back((until, id));
            } else {
                self.remove(id);
            }
        }
    }

    /// Attempts under way, oldest first.
    pub(super) fn all_under_way(&self) -> Vec<Id> {
        self.under_way.iter().copied().filter(|id| self.under_way(*id).is_some()).collect()
    }

    /// Whether an unknown attempt that began then may be one that is over and was thrown out.
    pub(super) fn may_be_forgotten(&self, started: BootTime) -> bool {
        started <= self.forgotten_until
    }

    /// How many are under way.
    pub(super) fn under_way_count(&self) -> usize {
        self.under_way_count
    }

    /// How many there are at all.
    pub(super) fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.vacant.len())
    }

    /// Throws the oldest out where there are too many.
    fn make_room(&mut self) -> Option<Evicted> {
        let is_full = self.under_way_count >= UNDER_WAY_MAX;
        while let Some(id) = self.under_way.front().copied() {
            let there = self.under_way(id).is_some();
            if there && !is_full {
                break;
            }
            self.under_way.pop_front();
            if there {
                self.forget(id);
                return Some(Evicted::UnderWay);
            }
        }
        if self.under_way.len() > UNDER_WAY_MAX.saturating_mul(4) {
            let kept = self.all_under_way();
            self.under_way = kept.into();
        }
        if self.len() < ATTEMPTS_MAX {
            return None;
        }
        while let Some((_, id)) = self.over.pop_front() {
            if let Some(State::Over { outcome, started, .. }) = self.get(id).map(|entry| &entry.state) {
                let evicted = match outcome {
                    Outcome::Decided { by_reset: true } => None,
                    _ => Some(Evicted::Over),
                };
                self.forgotten_until = self.forgotten_until.max(*started);
                self.remove(id);
                return evicted;
            }
        }
        None
    }

    fn entry(&self, place: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(place).ok()?)
    }

    fn get(&self, id: Id) -> Option<&Entry> {
        self.entry(id.place).filter(|entry| entry.generation == id.generation)
    }

    fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(usize::try_from(id.place).ok()?)?;
        (entry.generation == id.generation).then_some(entry)
    }

    /// Puts an entry into a vacant place.
    fn place(&mut self, mut entry: Entry) -> Id {
        if let Some(place) = self.vacant.pop()
            && let Some(old) = usize::try_from(place).ok().and_then(|at| self.entries.get_mut(at))
        {
            entry.generation = old.generation.wrapping_add(1);
            let id = Id { place, generation: entry.generation };
            *old = entry;
            return id;
        }
        let place = u32::try_from(self.entries.len()).unwrap_or(NOWHERE);
        self.entries.push(entry);
        Id { place, generation: 0 }
    }

    /// Makes the attempt findable by its ISN, once that is known.
    fn name(&mut self, id: Id, isn: u32) {
        let Some(entry) = self.get(id) else { return };
        if isn == 0 || entry.isn != 0 {
            return;
        }
        let (chained, next) = match self.by_isn.entry(isn) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(id.place);
                (true, NOWHERE)
            }
            MapEntry::Occupied(mut first) if chain_len(&self.entries, *first.get()) < SAME_ISN_MAX => {
                (true, first.insert(id.place))
            }
            MapEntry::Occupied(_) => (false, NOWHERE),
        };
        if let Some(entry) = self.get_mut(id) {
            (entry.isn, entry.chained, entry.next) = (isn, chained, next);
        }
    }

    /// Takes an entry out of every index and makes its place vacant.
    fn remove(&mut self, id: Id) {
        let Some(entry) = self.get_mut(id) else { return };
        let (isn, inode, chained, next) = (entry.isn, entry.inode, entry.chained, entry.next);
        entry.state = State::Vacant;
        entry.timer = NEVER;
        entry.next = NOWHERE;
        entry.other = None;
        entry.generation = entry.generation.wrapping_add(1);
        self.vacant.push(id.place);
        if inode != 0 && self.by_inode.get(&inode) == Some(&id) {
            self.by_inode.remove(&inode);
        }
        if chained {
            self.unlink(isn, id.place, next);
        }
    }

    /// Takes a place out of the chain of its ISN.
    fn unlink(&mut self, isn: u32, place: u32, next: u32) {
        let MapEntry::Occupied(mut first) = self.by_isn.entry(isn) else { return };
        if *first.get() == place {
            if next == NOWHERE {
                first.remove();
            } else {
                first.insert(next);
            }
            return;
        }
        let mut at = *first.get();
        while let Some(entry) = usize::try_from(at).ok().and_then(|at| self.entries.get_mut(at)) {
            if entry.next == place {
                entry.next = next;
                return;
            }
            at = entry.next;
        }
    }
}

/// How many attempts can be found from this one of their ISN on.
fn chain_len(entries: &[Entry], first: u32) -> usize {
    let next = |place: &u32| entries.get(usize::try_from(*place).ok()?).map(|entry| entry.next);
    std::iter::successors(Some(first), next).take_while(|place| *place != NOWHERE).take(SAME_ISN_MAX).count()
}

/// What had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evicted {
    /// Evidence of an attempt under way was lost.
    UnderWay,
    /// An attempt that is over is no longer recognised, should it show itself again.
    Over,
}

#[cfg(test)]
mod tests;
