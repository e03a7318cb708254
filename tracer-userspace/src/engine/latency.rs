//! Latencies of exchanges, as the programs count them: in buckets.

use std::collections::BTreeMap;

use tracer_ebpf::{LATENCY_BUCKETS, latency_floor_us};

use super::output::Latency;

/// The longest latency that a bucket ([`tracer_ebpf::latency_bucket`]) holds, microseconds.
pub(super) fn bucket_end_us(bucket: u16) -> u64 {
    end_us(u32::from(bucket))
}

fn end_us(bucket: u32) -> u64 {
    let next = bucket.saturating_add(1);
    if next < LATENCY_BUCKETS { latency_floor_us(next).saturating_sub(1) } else { u64::MAX }
}

/// A latency histogram. A bucket is at most 1/8 of its least latency wide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: BTreeMap<u32, u64>,
    max_us: u64,
}

impl Histogram {
    /// So many exchanges more in a bucket ([`tracer_ebpf::latency_bucket`]).
    pub fn add(&mut self, bucket: u16, count: u64) {
        let bucket = u32::from(bucket).min(LATENCY_BUCKETS.saturating_sub(1));
        if count > 0 {
            let total = self.buckets.entry(bucket).or_default();
            *total = total.saturating_add(count);
        }
    }

    /// The longest latency was at least this, microseconds.
    pub fn raise_max(&mut self, us: u64) {
        self.max_us = self.max_us.max(us);
    }

    /// Takes in another histogram.
    pub fn join(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            let total = self.buckets.entry(*bucket).or_default();
            *total = total.saturating_add(*count);
        }
        self.raise_max(other.max_us);
    }

    /// Exchanges with a response.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Quantiles: the upper end of the bucket that holds each, so that none is said too short and none
    /// more than 12.5% too long; `max` is exact.
    #[must_use]
    pub fn quantiles(&self) -> Latency {
        let Some(last) = self.buckets.keys().next_back() else { return Latency::default() };
        // the longest is read a moment before or after the buckets
        let max = self.max_us.max(latency_floor_us(*last));
        let at = |percent| self.upper_end(percent).min(max);
        Latency { p50: at(50), p90: at(90), p99: at(99), max }
    }

    fn upper_end(&self, percent: u64) -> u64 {
        let count = u128::from(self.count());
        let rank = count.saturating_mul(u128::from(percent)).div_ceil(100);
        let mut seen = 0_u128;
        for (bucket, count) in &self.buckets {
            seen = seen.saturating_add(u128::from(*count));
            if seen >= rank {
                return end_us(*bucket);
            }
        }
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tracer_ebpf::latency_bucket;

    use super::*;

    fn histogram(latencies: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for latency in latencies {
            histogram.add(u16::try_from(latency_bucket(*latency)).unwrap(), 1);
            histogram.raise_max(*latency);
        }
        histogram
    }

    #[test]
    fn few_latencies() {
        let check = |latencies: &[u64], expected: [u64; 4]| {
            let Latency { p50, p90, p99, max } = histogram(latencies).quantiles();
            assert_eq!([p50, p90, p99, max], expected, "{latencies:?}");
        };
        check(&[], [0; 4]);
        check(&[0], [0; 4]);
        check(&[5], [5; 4]);
        check(&[1, 2, 3, 4], [2, 4, 4, 4]);
        check(&[1000], [1000; 4]);
        check(&[1000, 1000, 9000], [1023, 9000, 9000, 9000]);
        check(&[u64::MAX], [u64::MAX; 4]);
    }

    #[test]
    fn of_a_hundred_the_last_is_the_99th_quantile_of_none() {
        let mut latencies = vec![7; 99];
        latencies.push(1_000_000);
        assert_eq!(histogram(&latencies).quantiles(), Latency { p50: 7, p90: 7, p99: 7, max: 1_000_000 });
        latencies.push(1_000_000);
        assert_eq!(histogram(&latencies).quantiles().p99, 1_000_000);
    }

    #[test]
    fn a_longest_that_was_read_too_early() {
        let mut read = Histogram::default();
        read.add(u16::try_from(latency_bucket(9000)).unwrap(), 1);
        assert_eq!(read.quantiles(), Latency { p50: 8192, p90: 8192, p99: 8192, max: 8192 });
    }

    proptest! {
        #[test]
        fn quantiles_are_at_most_an_eighth_too_long(
            mut latencies in proptest::collection::vec(0..200_000_000_u64, 1..300),
            split in any::<proptest::sample::Index>(),
        ) {
            let (one, other) = latencies.split_at(split.index(latencies.len()));
            let mut joined = histogram(one);
            joined.join(&histogram(other));
            prop_assert_eq!(&joined, &histogram(&latencies));
            latencies.sort_unstable();
            let found = joined.quantiles();
            for (percent, told) in [(50, found.p50), (90, found.p90), (99, found.p99), (100, found.max)] {
                let exact = latencies[(latencies.len() * percent).div_ceil(100) - 1];
                prop_assert!(told >= exact && told - exact <= exact / 8, "p{percent}: {told} for {exact}");
            }
        }
    }
}
