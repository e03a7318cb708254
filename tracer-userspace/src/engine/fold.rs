//! Floods: of each kind the first verdicts of a second are single lines, the others of that second
//! are one line with their count.

use std::collections::BTreeMap;

use super::output::Output;
use super::timing::{SECOND_NS, SINGLES_A_SECOND};
use crate::record::BootTime;
use crate::verdict::{Confidence, Http, Role, Slug, Verdict};
use std::net::SocketAddr;

/// What a flood left out is told with the next look at the counters: so many seconds later at most.
const UNSEEN_SECONDS: u64 = 2;

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
    /// The last folded lines about refused SYNs, and their second.
    flushed: Vec<(Key, Box<Verdict>)>,
    flushed_second: u64,
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
        let buckets = std::mem::take(&mut self.buckets);
        if buckets.values().any(|bucket| bucket.folded.is_some()) {
            self.flushed_second = self.second;
            self.flushed.clear();
        }
        for (key, bucket) in buckets {
            let Some(folded) = bucket.folded else { continue };
            if is_refusal(key) {
                self.flushed.push((key, folded.clone()));
            }
            out.push(Output::Verdict(folded));
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

impl Fold {
    /// So many more SYNs of this port were refused, of which no more is known: they were like those of the same
    /// time that are. Says what those were called; `None` if there were none.
    pub(super) fn add_unseen(&mut self, port: u16, count: u64, now: BootTime) -> Option<Slug> {
        let is_refusal = |key: Key| is_refusal(key) && key.3 == port;
        let present = self.buckets.iter_mut().filter(|(key, _)| is_refusal(**key));
        let present = present.filter_map(|(key, bucket)| Some((key.0, bucket.folded.as_mut()?)));
        if let Some((slug, folded)) = present.max_by_key(|(_, folded)| folded.count) {
            add_more(folded, count);
            return Some(slug);
        }
        let fresh = now.as_ns() / SECOND_NS <= self.flushed_second.saturating_add(UNSEEN_SECONDS);
        let (key, last) = self.flushed.iter().rev().find(|(key, _)| fresh && is_refusal(*key))?;
        let mut again = last.clone();
        again.time = now;
        add_more(&mut again, count);
        again.count = count;
        let (key, slug) = (*key, key.0);
        self.buckets.entry(key).or_default().folded = Some(again);
        Some(slug)
    }

    /// The same, after a verdict of this kind; `build` makes the folded line's text if there is none yet.
    pub(super) fn add_unseen_like(&mut self, key: Key, count: u64, build: impl FnOnce() -> Verdict) {
        let folded = &mut self.buckets.entry(key).or_default().folded;
        if let Some(folded) = folded {
            add_more(folded, count);
            return;
        }
        let mut new = Box::new(build());
        add_more(&mut new, count);
        new.count = count;
        *folded = Some(new);
    }
}

/// Whether verdicts of this kind are SYNs that found no socket.
pub(super) fn is_refusal((slug, role, ..): Key) -> bool {
    matches!(slug, Slug::ProcessDown | Slug::WrongBindAddress) && role == Role::Inbound
}

fn add_more(folded: &mut Verdict, count: u64) {
    if folded.count == 1 {
        forget_one(folded);
    }
    folded.count = folded.count.saturating_add(count);
    folded.remote = None;
}

/// How a line begins that stands for several.
const MORE: &str = "And more like this one in the same second: ";

/// A line that stands for several says nothing that is of one.
fn forget_one(folded: &mut Verdict) {
    if folded.summary.starts_with(MORE) {
        return;
    }
    folded.isn = None;
    folded.http = Http::default();
    folded.cause = None;
    if let Some(process) = &mut folded.process {
        process.pid = None;
    }
    folded.summary.insert_str(0, MORE);
}

/// One more for a folded line.
fn merge(folded: &mut Verdict, brief: Brief<'_>) {
    if folded.count == 1 {
        forget_one(folded);
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
