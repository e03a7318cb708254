//! Tables of connection tracking, as the capture side read them once a second.

use std::time::Duration;

use super::pressure::Pressures;
use super::timing::TRACKING_WAIT;
use crate::record::BootTime;

/// Readings are a second apart: the one that tells of a drop is no later, nor the one before it earlier.
const READ_EVERY: Duration = Duration::from_millis(2_500);

/// A table this full, in percent, may have been full between two readings.
const NEARLY_FULL: u64 = 95;

/// Connection tracking at one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) time: BootTime,
    pub(super) count: Option<u64>,
    pub(super) limit: Option<u64>,
    /// Packets dropped since the reading before.
    pub(super) dropped: u64,
    /// Whether there is a counter of dropped packets.
    counts_drops: bool,
}

/// How full it was when a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// It dropped packets at that time.
    Dropping(Reading),
    /// There was hardly room, and whether it dropped packets is not known.
    NearlyFull(Reading),
}

impl Pressures {
    /// Connection tracking of a namespace at each reading, oldest first; 0 is the whole host.
    fn conntrack(&self, netns: u32) -> impl Iterator<Item = Reading> {
        // the first reading says nothing of when its drops were
        let (mut total, mut limit) = (None, None);
        self.samples(netns).filter_map(move |(time, pressure)| {
            let (count, drops) = (pressure.conntrack_count, pressure.conntrack_drops);
            if count.is_none() && drops.is_none() {
                return None;
            }
            let now = drops.or(total).unwrap_or(0);
            let dropped = total.map_or(0, |before| now.saturating_sub(before));
            (total, limit) = (Some(now), pressure.conntrack_limit.or(limit));
            Some(Reading { time: *time, count, limit, dropped, counts_drops: drops.is_some() })
        })
    }

    /// Whether connection tracking explains packets of one sender that netfilter dropped at these times, as far as is
    /// known now. Its tables may be limited for all namespaces together.
    pub(super) fn at_drops(
        &self,
        netns: u32,
        times: &(impl Iterator<Item = BootTime> + Clone),
        now: BootTime,
    ) -> Option<Fill> {
        let places = || [netns, 0].into_iter().filter(|place| self.samples(*place).next().is_some());
        let told = |time| places().find_map(|place| self.dropping(place, time));
        times.clone().find_map(told).map(Fill::Dropping).or_else(|| {
            let knows = |place: &u32| times.clone().any(|time| self.knows_of_no_drop(*place, time, now));
            let unsure = places().filter(|place| !knows(place));
            let mut readings = unsure.flat_map(|place| {
                times.clone().flat_map(move |time| self.around(place, time).chain(self.last_before(place, time)))
            });
            readings.find(Reading::is_nearly_full).map(Fill::NearlyFull)
        })
    }

    /// The reading that tells of drops at this time.
    fn dropping(&self, netns: u32, time: BootTime) -> Option<Reading> {
        self.around(netns, time).find(|reading| reading.time >= time && reading.dropped > 0)
    }

    /// Readings shortly before and after.
    fn around(&self, netns: u32, time: BootTime) -> impl Iterator<Item = Reading> {
        let apart = move |reading: &Reading| {
            if reading.time >= time { reading.time.since(time) } else { time.since(reading.time) }
        };
        self.conntrack(netns).filter(move |reading| apart(reading) <= READ_EVERY)
    }

    /// What still held at this time: what is read is told only where it differs from the last.
    fn last_before(&self, netns: u32, time: BootTime) -> Option<Reading> {
        self.conntrack(netns).take_while(|reading| reading.time <= time).last()
    }

    /// Whether the table would have told by now of a drop at this time, and has told of none. No reading means no
    /// drop, once one was due; but readings of a busy host may be late, and what came to a full table was dropped by it.
    fn knows_of_no_drop(&self, netns: u32, time: BootTime, now: BootTime) -> bool {
        let counted = || self.conntrack(netns).filter(|reading| reading.counts_drops).map(|reading| reading.time);
        let was_full = self.last_before(netns, time).is_some_and(|reading| reading.is_filled(100));
        let due = now >= time.after(TRACKING_WAIT) && !was_full;
        counted().any(|read| read <= time) && (due || counted().any(|read| read >= time))
    }
}

impl Reading {
    fn is_nearly_full(&self) -> bool {
        self.is_filled(NEARLY_FULL)
    }

    fn is_filled(&self, percent: u64) -> bool {
        match (self.count, self.limit) {
            (Some(count), Some(limit)) if limit > 0 => count.saturating_mul(100) >= limit.saturating_mul(percent),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;
    use crate::record::Pressure;

    #[test]
    fn drops_belong_to_the_reading_that_tells_of_them() {
        let mut tables = Pressures::default();
        let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
        let reading = |count, drops| Pressure {
            conntrack_count: Some(count),
            conntrack_limit: Some(100),
            conntrack_drops: Some(drops),
            ..Pressure::default()
        };
        tables.learn(7, &reading(10, 5), at(1000));
        tables.learn(7, &reading(100, 8), at(2000));
        tables.learn(7, &reading(95, 8), at(9000));
        let kind = |netns, ms| {
            tables.at_drops(netns, &once(at(ms)), at(ms + 500)).map(|fill| match fill {
                Fill::Dropping(reading) => ("dropping", reading.dropped),
                Fill::NearlyFull(reading) => ("nearly", reading.dropped),
            })
        };
        assert_eq!(kind(7, 1500), Some(("dropping", 3)));
        assert_eq!(kind(7, 100), Some(("dropping", 3)), "readings may be late");
        assert_eq!(kind(7, 5000), None, "it dropped nothing more until it was read again");
        assert_eq!(kind(7, 8000), None, "nearly full, and it dropped nothing");
        assert_eq!(kind(8, 1500), None, "another namespace");
    }

    #[test]
    fn a_table_that_is_nearly_full_may_have_been_full() {
        let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
        let told = |drops, reads: &[u64], now| {
            let mut tables = Pressures::default();
            let (conntrack_count, conntrack_limit) = (Some(97), Some(100));
            let reading = Pressure { conntrack_count, conntrack_limit, conntrack_drops: drops, ..Pressure::default() };
            for ms in reads {
                tables.learn(7, &reading, at(*ms));
            }
            tables.at_drops(7, &once(at(2000)), at(now)).is_some()
        };
        assert!(told(None, &[1000, 3000], 9000), "nothing counts what is dropped");
        assert!(told(Some(5), &[1000], 2500), "the next reading is not due");
        assert!(told(Some(5), &[3000], 9000), "the counter may have been less");
        assert!(!told(Some(5), &[1000, 3000], 3500));
        assert!(!told(Some(5), &[1000], 5000), "no reading, no difference");
        assert!(!told(None, &[7000], 9000));
    }

    /// Where the recorder gets hardly any processor time, the reading that would tell of the drop comes after the verdict.
    #[test]
    fn a_full_table_is_not_cleared_by_a_reading_that_is_late() {
        let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
        let told = |count, reads: &[(u64, u64)], now| {
            let mut tables = Pressures::default();
            for (ms, drops) in reads {
                let (conntrack_limit, conntrack_drops) = (Some(100), Some(*drops));
                let reading =
                    Pressure { conntrack_count: Some(count), conntrack_limit, conntrack_drops, ..Pressure::default() };
                tables.learn(7, &reading, at(*ms));
            }
            tables.at_drops(7, &once(at(9000)), at(now)).map(|fill| matches!(fill, Fill::Dropping(_)))
        };
        assert_eq!(told(100, &[(1000, 5)], 12_000), Some(false), "full for eight seconds");
        assert_eq!(told(100, &[(1000, 5), (11_400, 6)], 12_000), Some(true));
        assert_eq!(told(100, &[(1000, 5), (9500, 5)], 12_000), None, "read, and nothing was dropped");
        assert_eq!(told(97, &[(1000, 5)], 12_000), None, "there was room");
    }

    #[test]
    fn one_of_several_packets_says_it_for_all() {
        let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
        let told = |drops: [u64; 2]| {
            let mut tables = Pressures::default();
            for (ms, drops) in [(1000, drops[0]), (2000, drops[1])] {
                let (conntrack_count, conntrack_limit) = (Some(97), Some(100));
                let conntrack_drops = Some(drops);
                tables.learn(
                    7,
                    &Pressure { conntrack_count, conntrack_limit, conntrack_drops, ..Pressure::default() },
                    at(ms),
                );
            }
            tables.at_drops(7, &[at(1500), at(2500)].into_iter(), at(2600)).is_some()
        };
        assert!(told([5, 6]));
        assert!(!told([5, 5]));
    }
}
