//! Floods: of each kind the first verdicts of a second are single lines, the others of that second
//! are one line with their count.

use std::collections::BTreeMap;

use super::output::Output;
use super::timing::{SECOND_NS, SINGLES_A_SECOND};
use crate::record::BootTime;
use crate::verdict::{Confidence, Http, Role, Slug, Verdict};
use std::net::SocketAddr;

/// What makes verdicts of one kind.
pub(super) type Key = (Slug, Role, u32, u16);

/// What is needed of a verdict that only counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief<'a> {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) time: BootTime,
    pub(super) confidence: Confidence,
    pub(super) alternatives: &'a [Slug],
    /// Comm of the connecting process, if it is known.
    pub(super) comm: Option<[u8; 16]>,
}

#[derive(Debug, Default)]
struct Bucket {
    singles: u32,
    folded: Option<Box<Verdict>>,
    /// Comm of the folded line's connecting process.
    comm: Option<[u8; 16]>,
}

/// The second under way.
#[derive(Debug, Default)]
pub(super) struct Fold {
    second: u64,
    buckets: BTreeMap<Key, Bucket>,
}

impl Fold {
    /// Says the folded lines of seconds that are over by `now`.
    pub(super) fn advance(&mut self, now: BootTime, out: &mut Vec<Output>) {
        let second = now.as_ns() / SECOND_NS;
        if second > self.second {
            self.flush(out);
            self.second = second;
        }
    }

    /// Says the folded lines.
    pub(super) fn flush(&mut self, out: &mut Vec<Output>) {
        for (_, bucket) in std::mem::take(&mut self.buckets) {
            out.extend(bucket.folded.map(Output::Verdict));
        }
    }

    /// A verdict of this kind, decided in the second that [`Fold::advance`] was told of. `build`
    /// makes its text, and is called only where that will be read.
    pub(super) fn add(&mut self, key: Key, brief: Brief<'_>, build: impl FnOnce() -> Verdict, out: &mut Vec<Output>) {
        let bucket = self.buckets.entry(key).or_default();
        if bucket.singles < SINGLES_A_SECOND {
            bucket.singles = bucket.singles.saturating_add(1);
            out.push(Output::Verdict(Box::new(build())));
        } else if let Some(folded) = &mut bucket.folded {
            merge(folded, brief);
            if bucket.comm != brief.comm {
                folded.process = None;
            }
        } else {
            bucket.comm = brief.comm;
            bucket.folded = Some(Box::new(build()));
        }
    }
}

/// One more for a folded line.
fn merge(folded: &mut Verdict, brief: Brief<'_>) {
    if folded.count == 1 {
        folded.isn = None;
        folded.http = Http::default();
        folded.cause = None;
        if let Some(process) = &mut folded.process {
            process.pid = None;
        }
        folded.summary = format!("And more like this one in the same second: {}", folded.summary);
    }
    folded.count = folded.count.saturating_add(1);
    folded.time = folded.time.max(brief.time);
    folded.local = folded.local.and_then(|local| common(local, brief.local));
    folded.remote = folded.remote.and_then(|remote| common(remote, brief.remote));
    if brief.confidence == Confidence::Likely && folded.confidence != Confidence::Likely {
        folded.confidence = Confidence::Likely;
        folded.alternatives = brief.alternatives.to_vec();
    }
}

/// What two ends have in common: all, the address, or nothing.
fn common(one: SocketAddr, other: SocketAddr) -> Option<SocketAddr> {
    match (one == other, one.ip() == other.ip()) {
        (true, _) => Some(one),
        (false, true) => Some(SocketAddr::new(one.ip(), 0)),
        (false, false) => None,
    }
}
