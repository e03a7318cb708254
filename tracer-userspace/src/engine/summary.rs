//! Totals of the stream, for its last line.

use std::collections::BTreeMap;

use tracer_ebpf::loss;

use super::counters::PortCounters;
use super::output::Summary;
use super::top::Top;
use super::world::World;
use crate::record::BootTime;
use crate::verdict::Slug;

/// Cause of loss: attempts that had to make room for others.
pub(super) const ATTEMPTS_EVICTED: &str = "attempts-evicted";

/// Cause of loss: exchanges that had to make room for others.
pub(super) const EXCHANGES_EVICTED: &str = "exchanges-evicted";

/// Cause of loss: records that could not be written to the trace file.
const FILE_WRITE: &str = "trace-write";

/// What is counted while records go through.
#[derive(Debug)]
pub(super) struct Totals {
    first: Option<BootTime>,
    last: BootTime,
    pub(super) records: u64,
    lost: BTreeMap<String, u64>,
    verdicts: BTreeMap<Slug, u64>,
    pub(super) undecided: u64,
    pub(super) abandoned: u64,
    pub(super) late: u64,
    pub(super) suppressed: u64,
    recovered: BTreeMap<Slug, u64>,
    pub(super) top: Top,
}

impl Default for Totals {
    fn default() -> Self {
        let causes = loss::NAMES.into_iter().chain([ATTEMPTS_EVICTED, EXCHANGES_EVICTED, FILE_WRITE]);
        Self {
            first: None,
            last: BootTime::default(),
            records: 0,
            lost: causes.map(|cause| (cause.to_owned(), 0)).collect(),
            verdicts: BTreeMap::new(),
            undecided: 0,
            abandoned: 0,
            late: 0,
            suppressed: 0,
            recovered: BTreeMap::new(),
            top: Top::default(),
        }
    }
}

impl Totals {
    /// A record of this time went through.
    pub(super) fn seen(&mut self, time: BootTime) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = self.last.max(time);
    }

    pub(super) fn lost(&mut self, cause: &str, count: u64) {
        if let Some(total) = self.lost.get_mut(cause) {
            *total = total.saturating_add(count);
        } else {
            self.lost.insert(cause.to_owned(), count);
        }
    }

    pub(super) fn verdict(&mut self, slug: Slug) {
        count(&mut self.verdicts, slug);
    }

    /// So many more verdicts of this slug.
    pub(super) fn verdicts(&mut self, slug: Slug, more: u64) {
        let total = self.verdicts.entry(slug).or_default();
        *total = total.saturating_add(more);
    }

    pub(super) fn recovered(&mut self, slug: Slug) {
        count(&mut self.recovered, slug);
    }

    /// The last line.
    pub(super) fn summary(&self, world: &World, counters: &PortCounters) -> Summary {
        let mut ports = counters.totals();
        for (port, total) in &mut ports {
            total.listener = world.is_listened_on(*port);
        }
        Summary {
            from: self.first.unwrap_or_default(),
            to: self.last,
            records: self.records,
            lost: self.lost.clone(),
            connections: counters.connections(),
            exchanges: counters.exchanges(),
            verdicts: self.verdicts.clone(),
            undecided: self.undecided,
            abandoned: self.abandoned,
            late: self.late,
            suppressed: self.suppressed,
            recovered: self.recovered.clone(),
            ports,
            top: self.top.clone(),
            ..Summary::default()
        }
    }
}

fn count(map: &mut BTreeMap<Slug, u64>, slug: Slug) {
    let total = map.entry(slug).or_default();
    *total = total.saturating_add(1);
}
