//! The engine: records in, verdicts out. Pure: no I/O, no clock; the only time it knows is the
//! records'.
//!
//! A record goes through `reorder`, then `intake` makes it a fact of its attempt (`attempts`),
//! of its connection's exchange (`flows`), or of the `world`; `timing` says when an attempt is decided
//! and `exchanges` when an exchange is, `rules` and `exchange_rules` say what it was, and `fold` what of
//! that is printed one by one. Nothing here depends on when or in what pieces records are pushed: the
//! same stream always gives the same outputs.

mod attempt;
mod attempts;
mod causes;
mod conntrack;
mod counters;
mod decide;
mod drop_class;
mod evidence;
mod exchange_rules;
mod exchanges;
mod exits;
mod flow_text;
mod flows;
mod fold;
mod holds;
mod icmp;
mod intake;
mod latency;
mod listeners;
mod namespaces;
mod output;
mod pressure;
mod published;
mod reorder;
mod rules;
mod silence;
mod summary;
mod text;
mod timers;
mod timing;
mod top;
mod unseen;
mod upstream_socket;
mod world;

#[cfg(test)]
mod causes_tests;
#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod flow_script;
#[cfg(test)]
mod script;
#[cfg(test)]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;

use attempts::{Attempts, Id};
use causes::Causes;
use counters::PortCounters;
use flows::{ExchangeId, Flows};
use fold::Fold;
pub use latency::Histogram;
pub use output::{Counters, Damage, Dropped, HttpSummary, Latency, Output, PortSummary, Summary};
#[cfg(feature = "capture")]
pub(crate) use published::Published;
use reorder::Reorder;
use silence::Silences;
use summary::Totals;
use timers::Timers;
use timing::NANOSECOND;
pub use top::{Failed, Frequent, Top, TopOfStatus};
use unseen::Unseen;
use world::World;

use crate::record::{BootTime, HostBody, HostRecord, Record, RecordView};

/// Decides why connections and requests failed, from one stream of records.
#[derive(Debug, Default)]
pub struct Engine {
    reorder: Reorder,
    /// Event time up to which everything is done.
    now: BootTime,
    world: World,
    attempts: Attempts,
    timers: Timers<Id>,
    flows: Flows,
    exchange_timers: Timers<ExchangeId>,
    causes: Causes,
    silences: Silences,
    unseen: Unseen,
    fold: Fold,
    counters: PortCounters,
    totals: Totals,
    finished: bool,
}

impl Engine {
    /// An engine at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record in, and appends to `out` what has become certain enough to say: everything
    /// that lies 200 ms behind the newest time seen.
    ///
    /// The first record should be a host record `Start`; without one every port is taken as watched.
    pub fn push(&mut self, record: Record, out: &mut Vec<Output>) {
        let time = record.time();
        match record {
            Record::Host(record) => self.push_host(record, out),
            record if time < self.now => {
                self.count(time);
                self.late(record, out);
            }
            record => {
                self.count(time);
                self.reorder.push(time, record);
                self.go_on(out);
            }
        }
    }

    /// The same of a record that lies in a buffer; `time_ns` is its header's.
    pub fn push_view(&mut self, time_ns: u64, view: RecordView<'_>, out: &mut Vec<Output>) {
        let time = BootTime::from_ns(time_ns);
        match view {
            RecordView::Host(record) => self.push_host(record, out),
            view if time < self.now => {
                self.count(time);
                self.late(view.into(), out);
            }
            view => {
                self.count(time);
                self.reorder.push_view(time, view);
                self.go_on(out);
            }
        }
    }

    fn push_host(&mut self, record: HostRecord, out: &mut Vec<Output>) {
        let time = record.time;
        self.totals.seen(time);
        match &record.body {
            HostBody::Start(start) => {
                self.world.start(start);
                for port in &start.ports {
                    self.counters.watch(*port);
                }
                out.push(Output::Start(start.clone()));
            }
            // a name has no time: it only has to be there before the drop that needs it
            HostBody::Symbol(symbol) => self.world.symbol(symbol.id, &symbol.name),
            _ if time < self.now => self.late(Record::Host(record), out),
            _ => {
                self.reorder.push(time, Record::Host(record));
                self.go_on(out);
            }
        }
    }

    /// A record of the kernel side went through.
    fn count(&mut self, time: BootTime) {
        self.totals.seen(time);
        self.totals.records = self.totals.records.saturating_add(1);
    }

    fn late(&mut self, record: Record, out: &mut Vec<Output>) {
        self.totals.late = self.totals.late.saturating_add(1);
        self.apply(record, out);
    }

    /// Does what lies far enough behind the newest time seen.
    fn go_on(&mut self, out: &mut Vec<Output>) {
        let watermark = self.reorder.watermark();
        self.release(watermark, out);
        if let Some(oldest) = self.reorder.overfull() {
            self.release(oldest, out);
        }
        self.run_timers(watermark, out);
    }

    /// Whatever was counted so far is not this stream's: what follows is counted from zero. What is
    /// known of attempts and of the host stays.
    pub fn count_from_here(&mut self) {
        self.totals = Totals::default();
        self.counters.count_from_here();
    }

    /// The stream ended: direct evidence decides, mere silence is counted as undecided. Appends the
    /// last counters and the summary. A second call says nothing.
    pub fn finish(&mut self, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let end = self.reorder.newest();
        self.release(end, out);
        self.run_timers(BootTime::from_ns(end.as_ns().saturating_add(1)), out);
        self.now = self.now.max(end);
        self.decide_all(out);
        self.decide_all_exchanges(out);
        self.fold.flush(out);
        self.counters.say_all(self.now, out);
        out.push(Output::Summary(Box::new(self.totals.summary(&self.world, &self.counters))));
    }

    /// Goes through the records up to `limit`, with everything that is due between them.
    fn release(&mut self, limit: BootTime, out: &mut Vec<Output>) {
        while let Some((time, oldest)) = self.reorder.next_until(limit) {
            self.run_timers(time, out);
            self.advance(time, out);
            self.take(oldest, out);
        }
    }

    /// Decides what is due before `limit`. What is due at `limit` waits for the records of that
    /// very moment.
    fn run_timers(&mut self, limit: BootTime, out: &mut Vec<Output>) {
        loop {
            // of the same moment attempts come first: one of them may be why an exchange failed
            let until = self.exchange_timers.next().after(NANOSECOND).min(limit);
            if let Some((time, id)) = self.timers.pop_before(until) {
                self.advance(time, out);
                self.look_at(time, id, out);
            } else if let Some((time, id)) = self.exchange_timers.pop_before(limit) {
                self.advance(time, out);
                self.look_at_exchange(time, id, out);
            } else {
                return;
            }
        }
    }

    /// Event time goes on.
    fn advance(&mut self, time: BootTime, out: &mut Vec<Output>) {
        if time > self.now {
            self.now = time;
            self.fold.advance(time, out);
            self.attempts.expire(time);
            self.flows.expire(time);
        }
    }
}
