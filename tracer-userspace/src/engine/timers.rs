//! Which attempt, or exchange, is to be decided when.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::record::BootTime;

/// Entries of attempts that are no longer there are thrown out beyond this many.
const SLACK: usize = 4096;

/// How many queues there are beside the heap: about as many as there are waits that are common.
const LANES: usize = 4;

/// A time, how many were inserted before, and a name.
type Entry<Id> = (BootTime, u64, Id);

/// A queue of (time, name), by time and then by the order of insertion.
///
/// An entry may be out of date: whoever takes one out asks what it names.
///
/// Nearly all are inserted at a time that goes on and with one of a few waits, so each of these makes a
/// row that is in order as it comes. What fits into no row goes into the heap.
#[derive(Debug)]
pub(super) struct Timers<Id> {
    /// Each in order.
    lanes: [VecDeque<Entry<Id>>; LANES],
    heap: BinaryHeap<Reverse<Entry<Id>>>,
    inserted: u64,
    /// The time of the next one; the last moment there is, if there is none. Asked for at every record.
    earliest: BootTime,
}

/// No moment.
pub(super) const NEVER: BootTime = BootTime::from_ns(u64::MAX);

impl<Id: Ord> Default for Timers<Id> {
    fn default() -> Self {
        Self { lanes: std::array::from_fn(|_| VecDeque::new()), heap: BinaryHeap::new(), inserted: 0, earliest: NEVER }
    }
}

impl<Id: Ord + Copy> Timers<Id> {
    /// The time of the next one; the last moment there is, if there is none.
    pub(super) fn next(&self) -> BootTime {
        self.earliest
    }

    fn find_next(&self) -> BootTime {
        let lanes = self.lanes.iter().filter_map(|lane| lane.front().map(|(time, ..)| *time));
        lanes.chain(self.heap.peek().map(|Reverse((time, ..))| *time)).min().unwrap_or(NEVER)
    }

    pub(super) fn insert(&mut self, time: BootTime, id: Id) {
        self.inserted = self.inserted.wrapping_add(1);
        self.earliest = self.earliest.min(time);
        let entry = (time, self.inserted, id);
        // the lane that ends last before it: so each keeps to waits of its own
        let ends = |lane: &VecDeque<Entry<Id>>| lane.back().map(|(end, ..)| *end);
        let fitting = self.lanes.iter_mut().filter(|lane| ends(lane).is_none_or(|end| end <= time));
        match fitting.max_by_key(|lane| ends(lane)) {
            Some(lane) => lane.push_back(entry),
            None => self.heap.push(Reverse(entry)),
        }
    }

    /// The next one before `limit`.
    pub(super) fn pop_before(&mut self, limit: BootTime) -> Option<(BootTime, Id)> {
        if self.earliest >= limit {
            return None;
        }
        let waiting = self.lanes.iter_mut().filter(|lane| !lane.is_empty());
        let lane = waiting.min_by_key(|lane| lane.front().map(|(time, place, _)| (*time, *place)));
        let first = lane.as_ref().and_then(|lane| lane.front()).map(|(time, place, _)| (*time, *place));
        let in_heap = self.heap.peek().map(|Reverse((time, place, _))| (*time, *place));
        let of_heap = in_heap.is_some_and(|in_heap| first.is_none_or(|first| in_heap < first));
        let (next, _place) = if of_heap { in_heap } else { first }?;
        if next >= limit {
            return None;
        }
        let entry = if of_heap { self.heap.pop().map(|Reverse(entry)| entry) } else { lane?.pop_front() };
        self.earliest = self.find_next();
        entry.map(|(time, _, id)| (time, id))
    }

    /// Throws out what is out of date once there is much of it; `live` is the number of attempts.
    pub(super) fn compact(&mut self, live: usize, is_current: impl Fn(BootTime, Id) -> bool) {
        let waiting = self.lanes.iter().map(VecDeque::len).sum::<usize>().saturating_add(self.heap.len());
        if waiting > live.saturating_mul(4).saturating_add(SLACK) {
            for lane in &mut self.lanes {
                lane.retain(|(time, _, id)| is_current(*time, *id));
            }
            self.heap.retain(|Reverse((time, _, id))| is_current(*time, *id));
            self.earliest = self.find_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::attempts::{Attempts, Id};
    use crate::engine::evidence::Flow;

    #[test]
    fn by_time_then_by_insertion_and_compacted() {
        let mut attempts = Attempts::default();
        let at = BootTime::from_ns;
        let ids: Vec<Id> = (1..4).map(|isn| attempts.begin(isn, Flow::default(), 0, at(0)).0).collect();
        let mut timers = Timers::default();
        for (time, id) in [(30, ids[0]), (10, ids[2]), (10, ids[1])] {
            timers.insert(at(time), id);
        }
        assert_eq!(timers.pop_before(at(10)), None);
        assert_eq!(timers.pop_before(at(11)), Some((at(10), ids[2])));
        assert_eq!(timers.pop_before(at(11)), Some((at(10), ids[1])));
        assert_eq!(timers.pop_before(at(11)), None);
        for time in 0..5000 {
            timers.insert(at(time), ids[1]);
        }
        timers.compact(3, |_, id| id == ids[0]);
        assert_eq!(timers.pop_before(at(99)), Some((at(30), ids[0])));
        assert_eq!(timers.pop_before(at(9999)), None);
    }

    proptest! {
        /// Whatever is inserted when, they come out as from a sorted list.
        #[test]
        fn in_the_order_of_time_and_insertion(steps in proptest::collection::vec((0..40_u64, 0..30_u64), 1..200)) {
            let mut timers = Timers::default();
            let mut expected: Vec<(u64, usize)> = Vec::new();
            for (number, (time, limit)) in steps.into_iter().enumerate() {
                timers.insert(BootTime::from_ns(time), number);
                expected.push((time, number));
                expected.sort_unstable();
                prop_assert_eq!(timers.next().as_ns(), expected.first().map_or(u64::MAX, |(time, _)| *time));
                while expected.first().is_some_and(|(time, _)| *time < limit) {
                    let (time, number) = expected.remove(0);
                    prop_assert_eq!(timers.pop_before(BootTime::from_ns(limit)), Some((BootTime::from_ns(time), number)));
                }
                prop_assert_eq!(timers.pop_before(BootTime::from_ns(limit)), None);
            }
        }
    }
}
