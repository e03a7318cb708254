//! What namespaces and the host had too much of, as samples over time.

use std::collections::{BTreeMap, VecDeque};

use super::timing::SECOND;
use crate::record::{BootTime, Pressure};
use crate::verdict::{Event, Evidence, Slug};

/// Samples kept of a namespace: one a second at most, so this many seconds at least.
const SAMPLES_MAX: usize = 120;
/// Namespaces kept; beyond them the lowest inode goes.
const NAMESPACES_MAX: usize = 1024;
/// What grew is told by the sample after: they are a second apart, and those of devices two.
const SAMPLE_AFTER_SECONDS: u64 = 3;
/// Share of a span that some task waited for memory, percent, from which it is worth saying.
const STALL_PERCENT: u64 = 10;

/// Fill of the connection tracking table from which it is worth saying.
const CONNTRACK_PERCENT: u64 = 90;

/// A sample and when it was taken.
pub(super) type Sample = (BootTime, Pressure);

/// All samples, by namespace; 0 is the host.
#[derive(Debug, Default)]
pub(super) struct Pressures {
    samples: BTreeMap<u32, VecDeque<Sample>>,
}

/// How a counter grew between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) by: u64,
    /// When the sample that shows it was taken.
    pub(super) seen: BootTime,
}

impl Pressures {
    /// Takes over a host record.
    pub(super) fn learn(&mut self, netns: u32, pressure: &Pressure, time: BootTime) {
        if self.samples.len() >= NAMESPACES_MAX && !self.samples.contains_key(&netns) {
            self.samples.pop_first();
        }
        let samples = self.samples.entry(netns).or_default();
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back((time, pressure.clone()));
    }

    /// Samples of a namespace, oldest first.
    pub(super) fn samples(&self, netns: u32) -> impl Iterator<Item = &Sample> {
        self.samples.get(&netns).into_iter().flatten()
    }

    /// How much a counter grew over a span; `None` if it did not, or there is nothing to compare with.
    /// A sample is sent only where something changed: the last before the span tells how it began.
    pub(super) fn grew(
        &self,
        netns: u32,
        (from, to): (BootTime, BootTime),
        counter: impl Fn(&Pressure) -> Option<u64>,
    ) -> Option<Growth> {
        let samples = self.samples.get(&netns)?;
        let before =
            samples.iter().rev().find(|(time, _)| *time <= from).and_then(|(_, pressure)| counter(pressure))?;
        let until = to.after(SECOND * u32::try_from(SAMPLE_AFTER_SECONDS).unwrap_or(1));
        let after = |(time, _): &&Sample| *time > from && *time <= until;
        let (seen, last) = samples.iter().filter(after).find_map(|(time, pressure)| {
            counter(pressure).filter(|value| *value > before).map(|value| (*time, value))
        })?;
        // the first sample after the span's end may add to what grew within it
        let at_end =
            samples.iter().filter(after).find(|(time, _)| *time >= to).and_then(|(_, pressure)| counter(pressure));
        Some(Growth { by: at_end.unwrap_or(last).max(last).saturating_sub(before), seen })
    }

    /// Entries of the connection tracking table and their limit, as last told by this time.
    pub(super) fn conntrack_fill(&self, netns: u32, by: BootTime) -> Option<(u64, u64)> {
        let (_, pressure) = self.samples.get(&netns)?.iter().rev().find(|(time, _)| *time <= by)?;
        pressure.conntrack_count.zip(pressure.conntrack_limit)
    }

    /// What may explain a verdict of this kind over its span, in words.
    pub(super) fn evidence(&self, slug: Slug, netns: u32, span: (BootTime, BootTime)) -> Vec<Evidence> {
        let mut found = Vec::new();
        if slug == Slug::FirewallDrop
            && let Some((count, limit)) = self.conntrack_fill(netns, span.1)
            && limit > 0
            && count.saturating_mul(100) >= limit.saturating_mul(CONNTRACK_PERCENT)
        {
            let detail = format!("the connection tracking table held {count} of {limit} entries");
            found.push(Evidence { time: span.1, event: Event::HostPressure, detail });
        }
        let mut tell = |growth: Option<Growth>, detail: &dyn Fn(u64) -> String| {
            found.extend(growth.map(|Growth { by, seen }| Evidence {
                time: seen,
                event: Event::HostPressure,
                detail: detail(by),
            }));
        };
        if slug == Slug::AcceptQueueFull {
            tell(self.grew(netns, span, |pressure| pressure.listen_overflows), &|by| {
                format!("the accept queues of the namespace overflowed {by} times meanwhile")
            });
        }
        if is_of_the_way(slug) {
            for (netns, name) in self.allowances() {
                tell(self.grew(netns, span, |pressure| allowance(pressure, name)), &|by| {
                    format!("{name} rose by {by} meanwhile: the instance exceeded what its network allows")
                });
            }
        }
        if may_be_of_memory(slug) {
            let stall = self.grew(0, span, |pressure| pressure.memory_stall_us);
            let span_us = u64::try_from(span.1.since(span.0).as_micros()).unwrap_or(u64::MAX).max(1_000_000);
            tell(stall.filter(|stall| stall.by >= span_us / 100 * STALL_PERCENT), &|by| {
                format!("tasks waited {} ms for memory meanwhile", by / 1000)
            });
        }
        found
    }

    /// Counters of exceeded allowances that are known, and in which namespace.
    fn allowances(&self) -> impl Iterator<Item = (u32, &str)> {
        let last = self.samples.iter().filter_map(|(netns, samples)| Some((*netns, &samples.back()?.1)));
        last.flat_map(|(netns, pressure)| pressure.allowances.iter().map(move |(name, _)| (netns, name.as_str())))
    }
}

fn allowance(pressure: &Pressure, name: &str) -> Option<u64> {
    pressure.allowances.iter().find(|(known, _)| known == name).map(|(_, total)| *total)
}

/// Packets went missing on the way: a device that exceeds its allowance drops so.
fn is_of_the_way(slug: Slug) -> bool {
    matches!(
        slug,
        Slug::SecurityGroupDrop
            | Slug::InboundSilence
            | Slug::ReturnPathDrop
            | Slug::HandshakeAbandoned
            | Slug::IdleFlowExpired
            | Slug::PeerVanished
    )
}

/// Slow or dropping for want of memory.
fn may_be_of_memory(slug: Slug) -> bool {
    matches!(
        slug,
        Slug::AppTimeout
            | Slug::AcceptQueueFull
            | Slug::KernelDrop
            | Slug::IncompleteResponse
            | Slug::HealthCheckFailed
            | Slug::ProcessDown
            | Slug::ProcessCrashed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> BootTime {
        BootTime::from_ns(ms * 1_000_000)
    }

    fn overflows(total: u64) -> Pressure {
        Pressure { listen_overflows: Some(total), ..Pressure::default() }
    }

    #[test]
    fn growth_over_a_span() {
        let mut pressures = Pressures::default();
        for (ms, total) in [(1000, 5), (3000, 5), (4000, 8), (9000, 20)] {
            pressures.learn(1, &overflows(total), at(ms));
        }
        let grew = |netns, from, to| pressures.grew(netns, (at(from), at(to)), |pressure| pressure.listen_overflows);
        assert_eq!(grew(1, 3500, 3600), Some(Growth { by: 3, seen: at(4000) }));
        assert_eq!(grew(1, 1500, 2000), Some(Growth { by: 3, seen: at(4000) }), "no sample of between");
        assert_eq!(grew(1, 4500, 5000), None, "the next sample is of another time");
        assert_eq!(grew(1, 4500, 9000), Some(Growth { by: 12, seen: at(9000) }));
        assert_eq!(grew(1, 500, 4000), None, "nothing tells how it began");
        assert_eq!(grew(2, 3500, 3600), None);
        assert_eq!(pressures.grew(1, (at(3500), at(3600)), |pressure| pressure.conntrack_drops), None);
    }

    #[test]
    fn what_explains_what() {
        let mut pressures = Pressures::default();
        let name = "ens5 pps_allowance_exceeded";
        let sample = |total| Pressure { allowances: vec![(name.to_owned(), total)], ..overflows(total) };
        pressures.learn(1, &sample(1), at(1000));
        pressures.learn(0, &Pressure { memory_stall_us: Some(0), ..Pressure::default() }, at(1000));
        pressures.learn(1, &sample(4), at(3000));
        pressures.learn(0, &Pressure { memory_stall_us: Some(450_000), ..Pressure::default() }, at(3000));
        let told = |slug, netns, to| {
            let evidence = pressures.evidence(slug, netns, (at(2000), at(to)));
            evidence.into_iter().map(|item| item.detail).collect::<Vec<_>>().join("; ")
        };
        let exceeded = "ens5 pps_allowance_exceeded rose by 3 meanwhile: the instance exceeded what its network allows";
        assert_eq!(told(Slug::SecurityGroupDrop, 9, 2500), exceeded);
        assert_eq!(
            told(Slug::AcceptQueueFull, 1, 2500),
            "the accept queues of the namespace overflowed 3 times meanwhile; tasks waited 450 ms for memory meanwhile"
        );
        assert_eq!(told(Slug::AppTimeout, 1, 2500), "tasks waited 450 ms for memory meanwhile");
        assert_eq!(told(Slug::AppTimeout, 1, 12_000), "", "not so much of a long time");
        assert_eq!(told(Slug::FirewallReject, 1, 2500), "");
    }

    #[test]
    fn how_full_the_connection_tracking_table_was() {
        let mut pressures = Pressures::default();
        let sample =
            |count| Pressure { conntrack_count: Some(count), conntrack_limit: Some(100), ..Pressure::default() };
        pressures.learn(1, &sample(10), at(1000));
        pressures.learn(1, &sample(99), at(2000));
        assert_eq!(pressures.conntrack_fill(1, at(999)), None);
        assert_eq!(pressures.conntrack_fill(1, at(1500)), Some((10, 100)));
        assert_eq!(pressures.conntrack_fill(1, at(2000)), Some((99, 100)));
        for netns in 2..2000 {
            pressures.learn(netns, &sample(1), at(3000));
        }
        assert!(pressures.samples.len() <= NAMESPACES_MAX);
    }
}
