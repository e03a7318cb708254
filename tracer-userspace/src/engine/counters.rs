//! What the watched ports did: a line a port, at most once a second.

use std::collections::BTreeMap;

use super::output::{Counters, Latency, Output, PortSummary};
use super::timing::SECOND;
use crate::record::{BootTime, PortCount};

#[derive(Debug, Default)]
struct Port {
    connections: u64,
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
        port.open = port.open.saturating_add(made).saturating_sub(count.closed);
        port.changed |= made > 0 || count.closed > 0;
        port.total.syn = port.total.syn.saturating_add(count.syns);
        if count.last_syn_ns != 0 {
            port.total.last_syn = port.total.last_syn.max(Some(BootTime::from_ns(count.last_syn_ns)));
        }
        self.connections = self.connections.saturating_add(made);
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

    /// Forgets what the ports did, not which are watched.
    pub(super) fn count_from_here(&mut self) {
        for port in self.ports.values_mut() {
            *port = Port::default();
        }
        self.connections = 0;
    }

    /// Connections made, at all ports.
    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    /// Totals; whether something listens is filled in by the caller.
    pub(super) fn totals(&self) -> BTreeMap<u16, PortSummary> {
        self.ports.iter().map(|(number, port)| (*number, port.total)).collect()
    }
}

impl Port {
    fn say(&mut self, number: u16, now: BootTime, out: &mut Vec<Output>) {
        out.push(Output::Counters(Box::new(Counters {
            time: now,
            port: number,
            connections: self.connections,
            exchanges: 0,
            status: BTreeMap::new(),
            latency_us: Latency::default(),
            slow: 0,
            waiting: 0,
            open: self.open,
        })));
        self.connections = 0;
        self.changed = false;
        self.last_line = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(counters.totals().keys().copied().collect::<Vec<_>>(), [80, 81]);
    }
}
