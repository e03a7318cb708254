//! Packets of established connections that were dropped: the last few of each connection.

use super::pair;
use crate::engine::evidence::{DropClass, Endpoint, Flow};
use crate::engine::world::Recent;
use crate::record::BootTime;

/// Drops kept of one connection.
const KEPT_OF_EACH: usize = 8;

/// A packet that the kernel dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct PacketDrop {
    pub(in crate::engine) time: BootTime,
    pub(in crate::engine) netns: u32,
    pub(in crate::engine) class: DropClass,
    pub(in crate::engine) reason: Option<u32>,
    /// Number of the symbol; 0 if none.
    pub(in crate::engine) location: u64,
    pub(in crate::engine) from: Endpoint,
    pub(in crate::engine) to: Endpoint,
    pub(in crate::engine) payload_len: u32,
    /// Interface it came in on; 0 if none.
    pub(in crate::engine) ifindex: u32,
}

/// By both ends.
#[derive(Debug, Default)]
pub(in crate::engine) struct Drops {
    by_ends: Recent<(Endpoint, Endpoint), Vec<PacketDrop>>,
}

impl Drops {
    /// Takes a drop over.
    pub(in crate::engine) fn learn(&mut self, drop: PacketDrop) {
        let key = pair(&Flow { initiator: drop.from, responder: drop.to });
        let Some(known) = self.by_ends.get_mut(&key) else {
            self.by_ends.insert(key, vec![drop]);
            return;
        };
        if known.len() >= KEPT_OF_EACH {
            known.remove(KEPT_OF_EACH / 2);
        }
        let place = known.iter().take_while(|other| other.time <= drop.time).count();
        known.insert(place, drop);
    }

    /// Those of a connection within a time, both ends included.
    pub(in crate::engine) fn of(
        &self,
        flow: &Flow,
        from: BootTime,
        to: BootTime,
    ) -> impl DoubleEndedIterator<Item = &PacketDrop> {
        let known = self.by_ends.get(&pair(flow)).map_or(&[][..], Vec::as_slice);
        known.iter().filter(move |drop| drop.time >= from && drop.time <= to)
    }
}
