//! What the watched ports did: a line a port, at most once a second.

use std::collections::BTreeMap;

use super::latency::{Histogram, bucket_end_us};
use super::output::{Counters, Output, PortSummary};
use super::timing::SECOND;
use crate::record::{BootTime, ExchangeCount, PortCount};

#[derive(Debug, Default)]
struct Port {
    connections: u64,
    exchanges: u64,
    status: BTreeMap<Option<u16>, u64>,
    latency: Histogram,
    slow: u64,
    waiting: u64,
    open: u64,
    changed: bool,
    last_line: Option<BootTime>,
    total: PortSummary,
}

/// Counts by port.
#[derive(Debug, Default)]
pub(super) struct PortCounters {
    ports: BTreeMap<u16, Port>,
    connections: u64,
    exchanges: u64,
}

impl PortCounters {
    /// A port that is watched; it is in the summary whatever happens.
    pub(super) fn watch(&mut self, port: u16) {
        self.ports.entry(port).or_default();
    }

    /// Takes over what a port did.
    pub(super) fn add(&mut self, count: &PortCount) {
        let port = self.ports.entry(count.port).or_default();
        let made = count.accepted.saturating_add(count.connected);
        port.connections = port.connections.saturating_add(made);
        port.open = port.open.saturating_add(count.open).saturating_add(made).saturating_sub(count.closed);
        port.changed |= made > 0 || count.closed > 0 || count.open > 0;
        port.total.syn = port.total.syn.saturating_add(count.syns);
        port.total.health_check_syn = port.total.health_check_syn.saturating_add(count.health_checks);
        if count.last_syn_ns != 0 {
            port.total.last_syn = port.total.last_syn.max(Some(BootTime::from_ns(count.last_syn_ns)));
        }
        self.connections = self.connections.saturating_add(made);
    }

    /// Takes over what the exchanges of a port did.
    pub(super) fn add_exchanges(&mut self, count: &ExchangeCount) {
        let port = self.ports.entry(count.port).or_default();
        let mut ended = 0_u64;
        for (status, exchanges) in count.statuses.iter().filter(|(_status, exchanges)| *exchanges > 0) {
            let status = (*status != 0).then_some(*status);
            for total in [&mut port.status, &mut port.total.http.status] {
                let total = total.entry(status).or_default();
                *total = total.saturating_add(*exchanges);
            }
            ended = ended.saturating_add(*exchanges);
        }
        for latency in [&mut port.latency, &mut port.total.http.latency] {
            count.latency.iter().for_each(|(bucket, exchanges)| latency.add(*bucket, *exchanges));
        }
        port.total.http.latency.raise_max(count.latency_max_us);
        // that is the longest of all: of this interval only its bucket is known
        let moved = count.latency.iter().filter(|(_bucket, exchanges)| *exchanges > 0);
        if let Some((highest, _)) = moved.max() {
            port.latency.raise_max(bucket_end_us(*highest).min(count.latency_max_us));
        }
        port.changed |= ended > 0 || count.slow > 0 || port.waiting != count.waiting;
        port.waiting = count.waiting;
        let http = &mut port.total.http;
        let sums = [
            (&mut port.exchanges, ended),
            (&mut port.slow, count.slow),
            (&mut http.exchanges, ended),
            (&mut http.slow, count.slow),
            (&mut http.tls, count.tls),
            (&mut http.http2, count.http2),
            (&mut http.not_http, count.not_http),
            (&mut http.lost_step, count.lost_step),
            (&mut self.exchanges, ended),
        ];
        for (total, more) in sums {
            *total = total.saturating_add(more);
        }
    }

    /// These ports are watched now: of others nobody will say when a request no longer waits.
    pub(super) fn watch_only(&mut self, ports: &[u16]) {
        let left = self.ports.iter_mut().filter(|(number, port)| port.waiting > 0 && !ports.contains(number));
        for (_number, port) in left {
            port.waiting = 0;
            port.changed = true;
        }
    }

    /// Says what changed, for ports whose last line is a second old.
    pub(super) fn say(&mut self, now: BootTime, out: &mut Vec<Output>) {
        for (number, port) in &mut self.ports {
            if port.changed && port.last_line.is_none_or(|last| now.since(last) >= SECOND) {
                port.say(*number, now, out);
            }
        }
    }

    /// Says what has not been said yet.
    pub(super) fn say_all(&mut self, now: BootTime, out: &mut Vec<Output>) {
        for (number, port) in &mut self.ports {
            if port.changed {
                port.say(*number, now, out);
            }
        }
    }

    /// Forgets what the ports did, not which are watched, nor what waits there now.
    pub(super) fn count_from_here(&mut self) {
        for port in self.ports.values_mut() {
            *port = Port { waiting: port.waiting, ..Port::default() };
        }
        (self.connections, self.exchanges) = (0, 0);
    }

    /// Connections made, at all ports.
    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// Exchanges that ended, at all ports.
    pub(super) fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// Totals; whether something listens is filled in by the caller.
    pub(super) fn totals(&self) -> BTreeMap<u16, PortSummary> {
        self.ports.iter().map(|(number, port)| (*number, port.total.clone())).collect()
    }
}

impl Port {
    fn say(&mut self, number: u16, now: BootTime, out: &mut Vec<Output>) {
        out.push(Output::Counters(Box::new(Counters {
            time: now,
            port: number,
            connections: std::mem::take(&mut self.connections),
            exchanges: std::mem::take(&mut self.exchanges),
            status: std::mem::take(&mut self.status),
            latency_us: std::mem::take(&mut self.latency).quantiles(),
            slow: std::mem::take(&mut self.slow),
            waiting: self.waiting,
            open: self.open,
        })));
        self.changed = false;
        self.last_line = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, Latency};
    use crate::record::{ExchangeCounts, HostBody, HostRecord, PortCounts, Record, Tick};

    #[test]
    fn a_line_a_second_with_what_changed_since() {
        let mut counters = PortCounters::default();
        let mut out = Vec::new();
        let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
        let count = |accepted, closed| PortCount { port: 80, accepted, closed, ..PortCount::default() };
        counters.watch(80);
        counters.watch(81);
        counters.say(at(0), &mut out);
        assert!(out.is_empty(), "nothing moved");
        counters.add(&count(3, 1));
        counters.say(at(100), &mut out);
        counters.add(&count(1, 0));
        counters.say(at(1099), &mut out);
        assert_eq!(out.len(), 1);
        counters.say(at(1100), &mut out);
        counters.say(at(9000), &mut out);
        counters.add(&count(0, 9));
        counters.say_all(at(9001), &mut out);
        let lines: Vec<_> = out
            .iter()
            .map(|output| match output {
                Output::Counters(line) => (line.port, line.time, line.connections, line.open),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lines, [(80, at(100), 3, 2), (80, at(1100), 1, 3), (80, at(9001), 0, 0)]);
        assert_eq!(counters.connections(), 4);
        // those of before recording are no connections of this one, and are open
        counters.add(&PortCount { open: 7, ..count(1, 2) });
        assert_eq!(said(&mut counters, 12_000).map(|line| (line.connections, line.open)), Some((1, 6)));
        assert_eq!(counters.totals().keys().copied().collect::<Vec<_>>(), [80, 81]);
    }

    fn at(ms: u64) -> BootTime {
        BootTime::from_ns(ms * 1_000_000)
    }

    /// The line that is said now, if any.
    fn said(counters: &mut PortCounters, ms: u64) -> Option<Counters> {
        let mut out = Vec::new();
        counters.say(at(ms), &mut out);
        assert!(out.len() <= 1);
        match out.pop()? {
            Output::Counters(line) => Some(*line),
            other => panic!("{other:?}"),
        }
    }

    fn ended() -> ExchangeCount {
        ExchangeCount {
            port: 80,
            statuses: vec![(0, 1), (200, 7), (404, 0), (502, 2)],
            latency: vec![(3, 9)],
            latency_max_us: 3,
            slow: 1,
            waiting: 2,
            ..ExchangeCount::default()
        }
    }

    #[test]
    fn exchanges_are_told_once_and_summed() {
        let mut counters = PortCounters::default();
        counters.add_exchanges(&ended());
        counters.add_exchanges(&ExchangeCount { waiting: 1, ..ended() });
        let line = said(&mut counters, 0).unwrap();
        assert_eq!((line.port, line.exchanges, line.slow, line.waiting), (80, 20, 2, 1));
        assert_eq!(line.status, BTreeMap::from([(None, 2), (Some(200), 14), (Some(502), 4)]));
        assert_eq!(line.latency_us, Latency { p50: 3, p90: 3, p99: 3, max: 3 });
        assert_eq!(said(&mut counters, 2000), None, "nothing moved");
        counters.add_exchanges(&ExchangeCount { port: 80, waiting: 1, tls: 4, ..ExchangeCount::default() });
        assert_eq!(said(&mut counters, 3000), None, "no line tells of TLS");
        counters.add_exchanges(&ExchangeCount {
            port: 80,
            http2: 1,
            not_http: 2,
            lost_step: 3,
            ..ExchangeCount::default()
        });
        let line = said(&mut counters, 4000).unwrap();
        let zero = Counters { time: at(4000), port: 80, ..Counters::default() };
        assert_eq!(line, zero, "one stopped waiting");
        let totals = &counters.totals()[&80].http;
        assert_eq!((totals.exchanges, totals.slow, counters.exchanges()), (20, 2, 20));
        assert_eq!((totals.tls, totals.http2, totals.not_http, totals.lost_step), (4, 1, 2, 3));
        assert_eq!((totals.status[&Some(200)], totals.latency.count()), (14, 18));
    }

    #[test]
    fn the_longest_of_an_interval_is_its_own() {
        let mut counters = PortCounters::default();
        let count = |bucket_of, latency_max_us| ExchangeCount {
            port: 80,
            statuses: vec![(200, 1)],
            latency: vec![(u16::try_from(tracer_ebpf::latency_bucket(bucket_of)).unwrap(), 1)],
            latency_max_us,
            ..ExchangeCount::default()
        };
        let mut max = |ms, count| {
            counters.add_exchanges(&count);
            said(&mut counters, ms).unwrap().latency_us.max
        };
        assert_eq!(max(0, count(9000, 9000)), 9000);
        let later = max(1000, count(1000, 9000));
        assert!((1000..1125).contains(&later), "{later}");
        assert_eq!(max(2000, count(9_100, 9_100)), 9_100);
        assert_eq!(counters.totals()[&80].http.latency.quantiles().max, 9_100);
    }

    #[test]
    fn what_was_repeated_does_not_count_and_what_waits_still_waits() {
        let mut counters = PortCounters::default();
        counters.add_exchanges(&ended());
        counters.count_from_here();
        assert_eq!(said(&mut counters, 0), None);
        assert_eq!((counters.exchanges(), counters.totals()[&80].http.is_empty()), (0, true));
        counters.add_exchanges(&ended());
        let line = said(&mut counters, 1).unwrap();
        assert_eq!((line.exchanges, line.waiting), (10, 2));
    }

    #[test]
    fn at_a_port_that_is_left_nothing_waits() {
        let mut counters = PortCounters::default();
        counters.add_exchanges(&ended());
        said(&mut counters, 0);
        counters.watch_only(&[80, 81]);
        assert_eq!(said(&mut counters, 2000), None);
        counters.watch_only(&[81]);
        assert_eq!(said(&mut counters, 3000).map(|line| line.waiting), Some(0));
    }

    #[test]
    fn a_stream_tells_its_exchanges_in_one_line_a_second() {
        let host = |ms, body| Record::Host(HostRecord { time: at(ms), netns: 0, body });
        let tick = |ms| host(ms, HostBody::Tick(Tick::default()));
        let made =
            HostBody::Ports(PortCounts { ports: vec![PortCount { port: 80, accepted: 3, ..PortCount::default() }] });
        let counted = HostBody::Exchanges(ExchangeCounts { ports: vec![ended()] });
        let stream =
            [tick(1000), host(1000, made), host(1001, counted.clone()), tick(1250), host(2000, counted), tick(2250)];
        let (mut engine, mut out) = (Engine::new(), Vec::new());
        for record in &stream {
            engine.push(record.clone(), &mut out);
        }
        engine.finish(&mut out);
        let lines: Vec<_> = out
            .iter()
            .filter_map(|output| match output {
                Output::Counters(line) => Some((line.time, line.connections, line.exchanges)),
                _ => None,
            })
            .collect();
        assert_eq!(lines, [(at(1250), 3, 10), (at(2250), 0, 10)]);
        let Some(Output::Summary(summary)) = out.pop() else { panic!("no summary") };
        assert_eq!((summary.exchanges, summary.ports[&80].http.exchanges), (20, 20));
        let mut whole = summary.clone();
        whole.join(&summary);
        let http = &whole.ports[&80].http;
        assert_eq!((whole.exchanges, http.exchanges, http.status[&Some(502)], http.latency.count()), (40, 40, 8, 36));
    }
}
