//! Which attempt is to be decided when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::attempts::Id;
use crate::record::BootTime;

/// Entries of attempts that are no longer there are thrown out beyond this many.
const SLACK: usize = 4096;

/// A queue of (time, attempt), by time and then by the order of insertion.
///
/// An entry may be out of date: whoever takes one out asks the attempt.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(BootTime, u64, Id)>>,
    inserted: u64,
}

impl Timers {
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
