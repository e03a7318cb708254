//! The one place that reads clocks.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::record::{BootTime, ClockPair};

const NS_PER_SECOND: i128 = 1_000_000_000;

/// Now, on `CLOCK_BOOTTIME`: the clock of the kernel's records.
#[must_use]
pub fn boot_time() -> BootTime {
    BootTime::from_ns(boot_ns())
}

/// Now on both clocks: `CLOCK_REALTIME`, and the middle of two readings of `CLOCK_BOOTTIME` around it.
#[must_use]
pub fn clock_pair() -> ClockPair {
    let before = boot_ns();
    let unix = clock_gettime(ClockId::Realtime);
    let after = boot_ns();
    ClockPair { boot_ns: before.midpoint(after), unix_ns: saturating_i64(nanoseconds(unix)) }
}

fn boot_ns() -> u64 {
    let ns = nanoseconds(clock_gettime(ClockId::Boottime));
    u64::try_from(ns).unwrap_or_default()
}

fn nanoseconds(time: Timespec) -> i128 {
    i128::from(time.tv_sec).saturating_mul(NS_PER_SECOND).saturating_add(i128::from(time.tv_nsec))
}

fn saturating_i64(ns: i128) -> i64 {
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_lies_between_two_readings() {
        let before = boot_time();
        let pair = clock_pair();
        let after = boot_time();
        assert!(before.as_ns() > 0);
        assert!((before.as_ns()..=after.as_ns()).contains(&pair.boot_ns));
        // 2020-01-01: a clock that was never set would be caught here
        assert!(pair.unix_ns > 1_577_836_800_000_000_000);
    }

    #[test]
    fn boot_time_agrees_with_proc_uptime() {
        let before = boot_time().as_ns();
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let after = boot_time().as_ns();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        // /proc/uptime counts hundredths of a second and cuts
        #[expect(clippy::cast_precision_loss, reason = "hundredths of a second are compared")]
        let (earliest, latest) = (before as f64 / 1e9 - 0.02, after as f64 / 1e9 + 0.02);
        assert!((earliest..=latest).contains(&seconds), "{earliest} {seconds} {latest}");
    }

    #[test]
    fn years_beyond_the_range_saturate() {
        let far = Timespec { tv_sec: i64::MAX, tv_nsec: 999_999_999 };
        assert_eq!(saturating_i64(nanoseconds(far)), i64::MAX);
        assert_eq!(saturating_i64(nanoseconds(Timespec { tv_sec: -1, tv_nsec: 1 })), -999_999_999);
        assert_eq!(saturating_i64(nanoseconds(Timespec { tv_sec: i64::MIN, tv_nsec: 0 })), i64::MIN);
    }
}
