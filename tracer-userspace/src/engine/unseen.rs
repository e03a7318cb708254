//! Refused SYNs of a flood that were only counted, before anything was said of those beside them.

use std::collections::BTreeMap;

use super::timing::SECOND;
use crate::record::BootTime;

/// By port: how many, and when that was told last.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    ports: BTreeMap<u16, (u64, BootTime)>,
}

impl Unseen {
    /// So many were left out.
    pub(super) fn learn(&mut self, port: u16, count: u64, time: BootTime) {
        let (left, last) = self.ports.entry(port).or_default();
        // of long ago, with no verdict since: they were something else
        let old = if time.since(*last) > SECOND { 0 } else { *left };
        (*left, *last) = (old.saturating_add(count), time);
    }

    /// Those that were like a verdict which is said now.
    pub(super) fn take(&mut self, port: u16, now: BootTime) -> u64 {
        self.ports.remove(&port).filter(|(_, last)| now.since(*last) <= SECOND).map_or(0, |(left, _)| left)
    }
}
