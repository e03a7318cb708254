//! Puts records in the order of event time: a record waits until the newest time seen is 200 ms
//! past it. Equal times keep the stream's order.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use crate::record::{
    BootTime, FlowRecord, HandshakeRecord, HostRecord, IcmpRecord, PacketRecord, ProcessRecord, Record, RecordView,
    SocketRecord, UnixConnectRecord,
};
use crate::verdict::REORDER_WINDOW;

/// Most records that wait. A stream that has more within 200 ms is put in order as far as that goes;
/// what comes later than that is counted as late.
pub(super) const WAITING_MAX: usize = 131_072;

/// A record that waits although it stepped back.
#[derive(Debug)]
struct Waiting {
    time: BootTime,
    /// Place in the stream.
    place: u64,
    record: Record,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.place).cmp(&(other.time, other.place))
    }
}

/// In which queue of [`InOrder`] a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Socket,
    Packet,
    Icmp,
    Flow,
    Handshake,
    Process,
    UnixConnect,
    Host,
}

/// Records that came in order: a queue of their times, and a queue of each sort, so that a short record
/// takes no more room than it needs. In a dense stream that room is more than a processor's cache.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    times: VecDeque<(BootTime, Sort)>,
    pub(super) sockets: VecDeque<SocketRecord>,
    pub(super) packets: VecDeque<PacketRecord>,
    pub(super) icmp: VecDeque<IcmpRecord>,
    pub(super) flows: VecDeque<FlowRecord>,
    pub(super) handshakes: VecDeque<HandshakeRecord>,
    pub(super) processes: VecDeque<ProcessRecord>,
    pub(super) unix_connects: VecDeque<UnixConnectRecord>,
    pub(super) host: VecDeque<HostRecord>,
}

/// Where the oldest record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oldest {
    /// At the front of this queue: whoever is told so takes it out.
    InOrder(Sort),
    /// To be had from [`Reorder::stepped_back`].
    SteppedBack,
}

impl InOrder {
    fn oldest(&self) -> Option<BootTime> {
        self.times.front().map(|(time, _)| *time)
    }

    fn newest(&self) -> Option<BootTime> {
        self.times.back().map(|(time, _)| *time)
    }

    fn push(&mut self, time: BootTime, record: Record) {
        let sort = match record {
            Record::Socket(record) => put(&mut self.sockets, record, Sort::Socket),
            Record::Packet(record) => put(&mut self.packets, record, Sort::Packet),
            Record::Icmp(record) => put(&mut self.icmp, record, Sort::Icmp),
            Record::Flow(record) => put(&mut self.flows, record, Sort::Flow),
            Record::Handshake(record) => put(&mut self.handshakes, record, Sort::Handshake),
            Record::Process(record) => put(&mut self.processes, record, Sort::Process),
            Record::UnixConnect(record) => put(&mut self.unix_connects, record, Sort::UnixConnect),
            Record::Host(record) => put(&mut self.host, record, Sort::Host),
        };
        self.times.push_back((time, sort));
    }

    #[inline]
    fn push_view(&mut self, time: BootTime, view: RecordView<'_>) {
        let sort = match view {
            RecordView::Socket(unread) => put(&mut self.sockets, unread.read(), Sort::Socket),
            RecordView::Packet(unread) => put(&mut self.packets, unread.read(), Sort::Packet),
            RecordView::Icmp(unread) => put(&mut self.icmp, unread.read(), Sort::Icmp),
            RecordView::Flow(unread) => put(&mut self.flows, unread.read(), Sort::Flow),
            RecordView::Handshake(unread) => put(&mut self.handshakes, unread.read(), Sort::Handshake),
            RecordView::Process(unread) => put(&mut self.processes, unread.read(), Sort::Process),
            RecordView::UnixConnect(unread) => put(&mut self.unix_connects, unread.read(), Sort::UnixConnect),
            RecordView::Host(record) => put(&mut self.host, record, Sort::Host),
        };
        self.times.push_back((time, sort));
    }
}

#[inline]
fn put<T>(queue: &mut VecDeque<T>, record: T, sort: Sort) -> Sort {
    queue.push_back(record);
    sort
}

/// The records that wait. Most come in order and go through plain queues; those that step back in
/// time are kept apart, and both are merged on the way out.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    pub(super) in_order: InOrder,
    stepped_back: BinaryHeap<Reverse<Waiting>>,
    newest: BootTime,
    pushed: u64,
}

impl Reorder {
    /// Takes a record of this time in.
    pub(super) fn push(&mut self, time: BootTime, record: Record) {
        if self.is_next(time) {
            self.in_order.push(time, record);
        } else {
            self.keep_apart(time, record);
        }
    }

    /// The same of a record in a buffer.
    #[inline]
    pub(super) fn push_view(&mut self, time: BootTime, view: RecordView<'_>) {
        if self.is_next(time) {
            self.in_order.push_view(time, view);
        } else {
            self.keep_apart(time, view.into());
        }
    }

    /// Whether a record of this time is in order; it is the newest then.
    fn is_next(&mut self, time: BootTime) -> bool {
        self.newest = self.newest.max(time);
        self.in_order.newest().is_none_or(|last| last <= time)
    }

    fn keep_apart(&mut self, time: BootTime, record: Record) {
        self.pushed = self.pushed.wrapping_add(1);
        self.stepped_back.push(Reverse(Waiting { time, place: self.pushed, record }));
    }

    /// The time that no record in order is older than any more.
    pub(super) fn watermark(&self) -> BootTime {
        self.newest.before(REORDER_WINDOW)
    }

    /// Up to when records have to go before their time, because too many wait.
    pub(super) fn overfull(&self) -> Option<BootTime> {
        let is_full = self.in_order.times.len().saturating_add(self.stepped_back.len()) > WAITING_MAX;
        is_full.then(|| self.oldest()).flatten()
    }

    fn oldest(&self) -> Option<BootTime> {
        let back = self.stepped_back.peek().map(|Reverse(waiting)| waiting.time);
        self.in_order.oldest().into_iter().chain(back).min()
    }

    /// The newest time seen.
    pub(super) fn newest(&self) -> BootTime {
        self.newest
    }

    /// Where the oldest record is, if it is not newer than `limit`, and its time. It is taken out by the caller, from
    /// where it is to where it is needed.
    ///
    /// Of equal times those in order come first: whatever stepped back to their time came after them, since
    /// there was a newer one in order then, and until that goes no other of their time is put in order.
    #[inline]
    pub(super) fn next_until(&mut self, limit: BootTime) -> Option<(BootTime, Oldest)> {
        let front = self.in_order.times.front().copied();
        if let Some(Reverse(waiting)) = self.stepped_back.peek()
            && front.is_none_or(|(front, _)| waiting.time < front)
        {
            return (waiting.time <= limit).then_some((waiting.time, Oldest::SteppedBack));
        }
        let (time, sort) = front.filter(|(front, _)| *front <= limit)?;
        self.in_order.times.pop_front();
        Some((time, Oldest::InOrder(sort)))
    }

    /// The oldest record of those that stepped back.
    pub(super) fn stepped_back(&mut self) -> Option<Record> {
        self.stepped_back.pop().map(|Reverse(waiting)| waiting.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HostBody, HostRecord, Loss};

    fn at(ms: u64) -> BootTime {
        BootTime::from_ns(ms * 1_000_000)
    }

    fn record(ms: u64, cause: &str) -> Record {
        let body = HostBody::Loss(Loss::now(cause, 1));
        Record::Host(HostRecord { time: at(ms), netns: 0, body })
    }

    fn drain(reorder: &mut Reorder, limit: BootTime) -> Vec<(u64, String)> {
        let mut out = Vec::new();
        while let Some((time, oldest)) = reorder.next_until(limit) {
            let record = match oldest {
                Oldest::InOrder(sort) => {
                    assert_eq!(sort, Sort::Host);
                    reorder.in_order.host.pop_front().map(Record::Host)
                }
                Oldest::SteppedBack => reorder.stepped_back(),
            };
            let Some(Record::Host(HostRecord { body: HostBody::Loss(loss), .. })) = record else {
                panic!("{record:?}")
            };
            out.push((time.as_ns() / 1_000_000, loss.cause));
        }
        out
    }

    #[test]
    fn waits_for_the_window_and_keeps_equal_times_in_order() {
        let mut reorder = Reorder::default();
        for (ms, cause) in [(1000, "a"), (1150, "b"), (1050, "c"), (1050, "d"), (1150, "e"), (1001, "f")] {
            reorder.push(at(ms), record(ms, cause));
        }
        let watermark = reorder.watermark();
        assert_eq!(drain(&mut reorder, watermark), []);
        reorder.push(at(1250), record(1250, "g"));
        let pairs = |rows: &[(u64, &str)]| rows.iter().map(|(ms, c)| (*ms, (*c).to_owned())).collect::<Vec<_>>();
        let watermark = reorder.watermark();
        assert_eq!(drain(&mut reorder, watermark), pairs(&[(1000, "a"), (1001, "f"), (1050, "c"), (1050, "d")]));
        let newest = reorder.newest();
        assert_eq!(drain(&mut reorder, newest), pairs(&[(1150, "b"), (1150, "e"), (1250, "g")]));
        assert_eq!(reorder.next_until(newest), None);
    }
}
