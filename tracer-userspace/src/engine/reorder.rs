//! Puts records in the order of event time: a record waits until the newest time seen is 200 ms
//! past it. Equal times keep the stream's order.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crate::record::{BootTime, Record};
use crate::verdict::REORDER_WINDOW;

/// Most records that wait. A stream that has more within 200 ms is put in order as far as that goes;
/// what comes later than that is counted as late.
pub(super) const WAITING_MAX: usize = 131_072;

/// A record that waits.
#[derive(Debug)]
struct Waiting {
    time: BootTime,
    /// Place in the stream.
    place: u64,
    record: Record,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.place).cmp(&(other.time, other.place))
    }
}

/// The records that wait. Most come in order and go through a plain queue; those that step back in
/// time are kept apart, and both are merged on the way out.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    in_order: VecDeque<Waiting>,
    stepped_back: BinaryHeap<Reverse<Waiting>>,
    newest: BootTime,
    pushed: u64,
}

impl Reorder {
    /// Takes a record in.
    pub(super) fn push(&mut self, record: Record) {
        let time = record.time();
        self.newest = self.newest.max(time);
        self.pushed = self.pushed.wrapping_add(1);
        let waiting = Waiting { time, place: self.pushed, record };
        if self.in_order.back().is_none_or(|last| last.time <= time) {
            self.in_order.push_back(waiting);
        } else {
            self.stepped_back.push(Reverse(waiting));
        }
    }

    /// The time that no record in order is older than any more.
    pub(super) fn watermark(&self) -> BootTime {
        self.newest.before(REORDER_WINDOW)
    }

    /// Up to when records have to go before their time, because too many wait.
    pub(super) fn overfull(&self) -> Option<BootTime> {
        let is_full = self.in_order.len().saturating_add(self.stepped_back.len()) > WAITING_MAX;
        is_full.then(|| self.oldest()).flatten()
    }

    fn oldest(&self) -> Option<BootTime> {
        let front = self.in_order.front().map(|waiting| waiting.time);
        let back = self.stepped_back.peek().map(|Reverse(waiting)| waiting.time);
        front.into_iter().chain(back).min()
    }

    /// The newest time seen.
    pub(super) fn newest(&self) -> BootTime {
        self.newest
    }

    /// The oldest record, if it is not newer than `limit`.
    pub(super) fn pop_until(&mut self, limit: BootTime) -> Option<Record> {
        let front = self.in_order.front();
        let back = self.stepped_back.peek().map(|Reverse(waiting)| waiting);
        let (oldest, take_front) = match (front, back) {
            (Some(front), Some(back)) if back < front => (back, false),
            (Some(front), _) => (front, true),
            (None, Some(back)) => (back, false),
            (None, None) => return None,
        };
        if oldest.time > limit {
            return None;
        }
        if take_front {
            self.in_order.pop_front().map(|waiting| waiting.record)
        } else {
            self.stepped_back.pop().map(|Reverse(waiting)| waiting.record)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HostBody, HostRecord, Loss};

    fn record(ms: u64, cause: &str) -> Record {
        let body = HostBody::Loss(Loss::now(cause, 1));
        Record::Host(HostRecord { time: BootTime::from_ns(ms * 1_000_000), netns: 0, body })
    }

    fn drain(reorder: &mut Reorder, limit: BootTime) -> Vec<(u64, String)> {
        let mut out = Vec::new();
        while let Some(record) = reorder.pop_until(limit) {
            let Record::Host(HostRecord { time, body: HostBody::Loss(loss), .. }) = record else {
                panic!("{record:?}")
            };
            out.push((time.as_ns() / 1_000_000, loss.cause));
        }
        out
    }

    #[test]
    fn waits_for_the_window_and_keeps_equal_times_in_order() {
        let mut reorder = Reorder::default();
        for (ms, cause) in [(1000, "a"), (1150, "b"), (1050, "c"), (1050, "d"), (1150, "e"), (1001, "f")] {
            reorder.push(record(ms, cause));
        }
        let watermark = reorder.watermark();
        assert_eq!(drain(&mut reorder, watermark), []);
        reorder.push(record(1250, "g"));
        let pairs = |rows: &[(u64, &str)]| rows.iter().map(|(ms, c)| (*ms, (*c).to_owned())).collect::<Vec<_>>();
        let watermark = reorder.watermark();
        assert_eq!(drain(&mut reorder, watermark), pairs(&[(1000, "a"), (1001, "f"), (1050, "c"), (1050, "d")]));
        let newest = reorder.newest();
        assert_eq!(drain(&mut reorder, newest), pairs(&[(1150, "b"), (1150, "e"), (1250, "g")]));
        assert_eq!(reorder.pop_until(newest), None);
    }
}
