//! Metrics of HTTP exchanges.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};
use tracer_ebpf::{LATENCY_BUCKETS, latency_floor_us};

use super::families::PortLabel;
use crate::record::ExchangeCount;

/// Bounds of the latency buckets: powers of two, microseconds, from 256 us to 67 s. The programs' own
/// buckets meet at each.
const BOUNDS: std::ops::RangeInclusive<u32> = 8..=26;
/// Buckets, the one without a bound included.
const BUCKETS: usize = 20;

/// Labels of exchanges. A status is a code that HTTP has a class for, `none`, or `other`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    port: u16,
    status: Cow<'static, str>,
}

/// Labels of connections whose exchanges are not read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    port: u16,
    protocol: &'static str,
}

/// What exchanges are counted by.
#[derive(Clone, Debug, Default)]
pub(super) struct ExchangeFamilies {
    exchanges: Family<StatusLabels, Counter>,
    latency: Family<PortLabel, Latencies>,
    slow: Family<PortLabel, Counter>,
    waiting: Family<PortLabel, Gauge>,
    unread: Family<ProtocolLabels, Counter>,
    lost_step: Family<PortLabel, Counter>,
}

impl ExchangeFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("exchanges", "HTTP exchanges that ended, by status", self.exchanges.clone());
        registry.register_with_unit(
            "exchange_latency",
            "Last byte of a request to first byte of its response",
            Unit::Seconds,
            self.latency.clone(),
        );
        registry.register("exchanges_slow", "Responses later than --slow", self.slow.clone());
        registry.register("exchanges_waiting", "Requests that wait for a response now", self.waiting.clone());
        registry.register(
            "connections_unread",
            "Connections whose exchanges cannot be read, by what they began with",
            self.unread.clone(),
        );
        registry.register(
            "exchanges_lost_step",
            "How often heads could not be told from bodies any more on a connection",
            self.lost_step.clone(),
        );
    }

    /// The port's metrics are there from now on; those that were stay as they are.
    pub(super) fn watch(&self, port: u16) {
        let label = PortLabel { port };
        let waiting = self.waiting.get_or_create_owned(&label).get();
        self.count(port, &ExchangeCount::default());
        self.waiting.get_or_create_owned(&label).set(waiting);
    }

    /// Takes over what a port's exchanges did.
    pub(super) fn count(&self, port: u16, count: &ExchangeCount) {
        let label = PortLabel { port };
        for (status, exchanges) in &count.statuses {
            let labels = StatusLabels { port, status: name(*status) };
            self.exchanges.get_or_create_owned(&labels).inc_by(*exchanges);
        }
        self.latency.get_or_create_owned(&label).add(&count.latency);
        self.slow.get_or_create_owned(&label).inc_by(count.slow);
        self.lost_step.get_or_create_owned(&label).inc_by(count.lost_step);
        self.waiting.get_or_create_owned(&label).set(i64::try_from(count.waiting).unwrap_or(i64::MAX));
        for (protocol, connections) in [("tls", count.tls), ("http2", count.http2), ("other", count.not_http)] {
            let labels = ProtocolLabels { port, protocol };
            self.unread.get_or_create_owned(&labels).inc_by(connections);
        }
    }

    /// The port is no longer watched: nobody will say when a request no longer waits there.
    pub(super) fn leave(&self, port: u16) {
        self.waiting.get_or_create_owned(&PortLabel { port }).set(0);
    }
}

fn name(status: u16) -> Cow<'static, str> {
    match status {
        0 => Cow::Borrowed("none"),
        100..=599 => Cow::Owned(status.to_string()),
        _ => Cow::Borrowed("other"),
    }
}

/// A latency histogram.
#[derive(Clone, Debug, Default)]
struct Latencies(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Latencies {
    fn add(&self, moved: &[(u16, u64)]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (bucket, exchanges) in moved {
            let bucket = u32::from(*bucket).min(LATENCY_BUCKETS.saturating_sub(1));
            let least = latency_floor_us(bucket);
            let place = BOUNDS.take_while(|power| least >= 1 << power).count();
            if let Some(total) = counts.buckets.get_mut(place) {
                *total = total.saturating_add(*exchanges);
            }
            // how long each took is known to 1/8: the middle is off by half of that at most
            let next = latency_floor_us(bucket.saturating_add(1));
            let middle = least.midpoint(next.saturating_sub(1));
            counts.sum_us = counts.sum_us.saturating_add(middle.saturating_mul(*exchanges));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 us, which is 285 years")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

impl EncodeMetric for Latencies {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = BOUNDS.map(|power| seconds(1 << power)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.buckets).collect();
        let count = counts.buckets.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let sum = seconds(counts.sum_us);
        drop(counts);
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Latencies {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use tracer_ebpf::latency_bucket;

    use super::*;

    #[test]
    fn each_bound_is_one_of_the_programs() {
        assert_eq!(BOUNDS.count() + 1, BUCKETS);
        for power in BOUNDS {
            assert_eq!(latency_floor_us(latency_bucket(1 << power)), 1 << power, "{power}");
        }
    }

    #[test]
    fn latencies_go_where_they_belong() {
        let latencies = Latencies::default();
        let bucket = |us| u16::try_from(latency_bucket(us)).unwrap();
        latencies.add(&[(bucket(5), 1), (bucket(255), 2), (bucket(256), 4), (bucket(u64::MAX), 8), (u16::MAX, 16)]);
        let counts = latencies.0.lock().unwrap();
        assert_eq!(counts.buckets[..3], [3, 4, 0]);
        assert_eq!(counts.buckets[BUCKETS - 1], 24);
    }

    #[test]
    fn the_sum_is_near() {
        let latencies = Latencies::default();
        latencies.add(&[(u16::try_from(latency_bucket(1_000_000)).unwrap(), 10)]);
        let sum = seconds(latencies.0.lock().unwrap().sum_us);
        assert!((sum - 10.0).abs() <= 10.0 / 8.0, "{sum}");
    }
}
