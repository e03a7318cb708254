//! Event time as people read it: UTC.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use crate::record::{BootTime, ClockPair};

/// RFC 3339 with all nine digits, so that lines sort and compare as text.
const RFC_3339: DateTimePrinter = DateTimePrinter::new().precision(Some(9));

/// Turns a stream's boot times into UTC, by the clock pair that it began with.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock {
    /// Unix time of boot, nanoseconds.
    booted_unix_ns: i128,
}

impl WallClock {
    /// The clock of a stream that began with this pair.
    #[must_use]
    pub fn new(pair: ClockPair) -> Self {
        Self { booted_unix_ns: i128::from(pair.unix_ns) - i128::from(pair.boot_ns) }
    }

    /// The moment in UTC; the nearest one that can be written if a damaged clock pair leads out of
    /// the calendar.
    #[must_use]
    pub fn timestamp(self, time: BootTime) -> Timestamp {
        let unix_ns = self.booted_unix_ns.saturating_add(i128::from(time.as_ns()));
        let nearest = if unix_ns < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_nanosecond(unix_ns).unwrap_or(nearest)
    }

    /// RFC 3339, UTC, nanoseconds.
    #[must_use]
    pub fn rfc_3339(self, time: BootTime) -> String {
        RFC_3339.timestamp_to_string(&self.timestamp(time))
    }

    /// `HH:MM:SS.mmm`, UTC, cut to milliseconds.
    #[must_use]
    pub fn time_of_day(self, time: BootTime) -> String {
        self.timestamp(time).strftime("%H:%M:%S.%3f").to_string()
    }

    /// `YYYY-MM-DD`, UTC.
    #[must_use]
    pub fn date(self, time: BootTime) -> String {
        self.timestamp(time).strftime("%Y-%m-%d").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 12:03:41.221 UTC, 1000 s after boot.
    const PAIR: ClockPair = ClockPair { boot_ns: 1_000_000_000_000, unix_ns: 1_795_262_621_221_000_000 };

    #[test]
    fn boot_times_become_utc() {
        let clock = WallClock::new(PAIR);
        let time = BootTime::from_ns(1_000_000_000_000);
        assert_eq!(clock.rfc_3339(time), "2026-11-21T12:03:41.221000000Z");
        assert_eq!(clock.time_of_day(time), "12:03:41.221");
        assert_eq!(clock.date(time), "2026-11-21");
        assert_eq!(clock.rfc_3339(BootTime::from_ns(1)), "2026-11-21T11:47:01.221000001Z");
    }

    #[test]
    fn milliseconds_are_cut_not_rounded() {
        let clock = WallClock::new(PAIR);
        assert_eq!(clock.time_of_day(BootTime::from_ns(1_000_000_999_999)), "12:03:41.221");
    }

    #[test]
    fn an_impossible_clock_gives_the_edge_of_the_calendar() {
        let late = WallClock::new(ClockPair { boot_ns: 0, unix_ns: i64::MAX });
        assert!(late.rfc_3339(BootTime::from_ns(u64::MAX)).starts_with("2846-"));
        let early = WallClock::new(ClockPair { boot_ns: u64::MAX, unix_ns: i64::MIN });
        assert!(early.rfc_3339(BootTime::default()).starts_with("1093-"));
    }
}
