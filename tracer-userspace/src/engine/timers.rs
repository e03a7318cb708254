//! Which attempt, or exchange, is to be decided when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::record::BootTime;

/// Entries of attempts that are no longer there are thrown out beyond this many.
const SLACK: usize = 4096;

/// A queue of (time, name), by time and then by the order of insertion.
///
/// An entry may be out of date: whoever takes one out asks what it names.
#[derive(Debug)]
pub(super) struct Timers<Id> {
    heap: BinaryHeap<Reverse<(BootTime, u64, Id)>>,
    inserted: u64,
}

impl<Id: Ord> Default for Timers<Id> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), inserted: 0 }
    }
}

impl<Id: Ord + Copy> Timers<Id> {
    /// The time of the next one.
    pub(super) fn next(&self) -> Option<BootTime> {
        self.heap.peek().map(|Reverse((time, ..))| *time)
    }

    pub(super) fn insert(&mut self, time: BootTime, id: Id) {
        self.inserted = self.inserted.wrapping_add(1);
        self.heap.push(Reverse((time, self.inserted, id)));
    }

    /// The next one before `limit`.
    pub(super) fn pop_before(&mut self, limit: BootTime) -> Option<(BootTime, Id)> {
        let Reverse((time, _, _)) = self.heap.peek()?;
        if *time >= limit {
            return None;
        }
        self.heap.pop().map(|Reverse((time, _, id))| (time, id))
    }

    /// Throws out what is out of date once there is much of it; `live` is the number of attempts.
    pub(super) fn compact(&mut self, live: usize, is_current: impl Fn(BootTime, Id) -> bool) {
        if self.heap.len() > live.saturating_mul(4).saturating_add(SLACK) {
            self.heap.retain(|Reverse((time, _, id))| is_current(*time, *id));
        }
    }
}

#[cfg(test)]
mod tests {
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
}
