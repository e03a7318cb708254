//! Tables of connection tracking, as the capture side read them once a second.

use std::time::Duration;

use super::pressure::Pressures;
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
}

/// How full it was when a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// It dropped packets at that time.
    Dropping(Reading),
    /// There was hardly room.
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
            Some(Reading { time: *time, count, limit, dropped })
        })
    }

    /// Whether connection tracking explains a packet that netfilter dropped then. Its tables may be
    /// limited for all namespaces together.
    pub(super) fn at_drop(&self, netns: u32, time: BootTime) -> Option<Fill> {
        let near = |reading: &Reading| reading.time >= time && reading.time.since(time) <= READ_EVERY;
        let readings = || [netns, 0].into_iter().flat_map(|place| self.conntrack(place));
        let dropping = readings().filter(near).find(|reading| reading.dropped > 0).map(Fill::Dropping);
        let around =
            |reading: &Reading| near(reading) || time.since(reading.time) <= READ_EVERY && reading.time <= time;
        dropping.or_else(|| readings().filter(around).find(Reading::is_nearly_full).map(Fill::NearlyFull))
    }
}

impl Reading {
    fn is_nearly_full(&self) -> bool {
        match (self.count, self.limit) {
            (Some(count), Some(limit)) if limit > 0 => count.saturating_mul(100) >= limit.saturating_mul(NEARLY_FULL),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
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
            tables.at_drop(netns, at(ms)).map(|fill| match fill {
                Fill::Dropping(reading) => ("dropping", reading.dropped),
                Fill::NearlyFull(reading) => ("nearly", reading.dropped),
            })
        };
        assert_eq!(kind(7, 1500), Some(("dropping", 3)));
        assert_eq!(kind(7, 100), Some(("dropping", 3)), "readings may be late");
        assert_eq!(kind(7, 5000), None, "long over");
        assert_eq!(kind(7, 8000), Some(("nearly", 0)));
        assert_eq!(kind(8, 1500), None, "another namespace");
    }
}
