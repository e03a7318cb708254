//! What the status line counts, from the records that pass by.

use std::collections::{BTreeMap, BTreeSet};

use super::record::is_listener_change;
use crate::output::status::{PortStatus, Status, StatusLines};
use crate::record::{BootTime, HostBody, ListenerEvent, Record, SocketRecord, Start, kind, tcp_state};

/// Counts since the start, by port.
#[derive(Debug, Default)]
pub(super) struct LiveStatus {
    lines: StatusLines,
    ports: BTreeMap<u16, Counts>,
    lost: u64,
}

#[derive(Debug, Default)]
struct Counts {
    syns: u64,
    health_checks: u64,
    /// The most SYNs that were more than health checks, and when one more was seen.
    clients: u64,
    last_client: Option<BootTime>,
    last_check: Option<BootTime>,
    accepted: u64,
    failed: u64,
    waiting: u64,
    last_syn: Option<BootTime>,
    listeners: BTreeMap<(u32, u64), String>,
    namespaces: BTreeSet<u32>,
}

impl Counts {
    /// A health check is known for one when it is over: what of the SYNs is more than ever before was a
    /// client's.
    fn tell_apart(&mut self, health_checks: u64) {
        self.health_checks = self.health_checks.saturating_add(health_checks);
        if health_checks > 0 {
            self.last_check = self.last_syn;
        }
        let clients = self.syns.saturating_sub(self.health_checks);
        if clients > self.clients {
            (self.clients, self.last_client) = (clients, self.last_syn);
        }
    }
}

impl LiveStatus {
    /// Takes up what the records tell; `shown_as` says under which port.
    pub(super) fn note(&mut self, records: &[Record], shown_as: impl Fn(u16) -> u16) {
        for record in records {
            match record {
                Record::Socket(socket) if socket.header.kind == kind::SOCKET_STATE => {
                    self.socket(socket, shown_as(socket.tuple.src_port));
                }
                Record::Host(host) => self.host(host.netns, &host.body, &shown_as),
                _ => {}
            }
        }
    }

    fn socket(&mut self, socket: &SocketRecord, port: u16) {
        if !is_listener_change(socket.old_state, socket.new_state) {
            return;
        }
        let counts = self.ports.entry(port).or_default();
        let key = (socket.header.netns, socket.inode);
        if socket.new_state == tcp_state::LISTEN {
            let comm: Vec<u8> = socket.comm.iter().copied().take_while(|byte| *byte != 0).collect();
            counts.listeners.insert(key, format!("{}[{}]", String::from_utf8_lossy(&comm), socket.pid));
        } else {
            counts.listeners.remove(&key);
        }
    }

    fn host(&mut self, netns: u32, body: &HostBody, shown_as: &impl Fn(u16) -> u16) {
        match body {
            HostBody::Listener(listener) => {
                let counts = self.ports.entry(shown_as(listener.port)).or_default();
                match listener.event {
                    ListenerEvent::Present => {
                        counts.namespaces.insert(netns);
                        counts.listeners.insert((netns, listener.inode), format!("pid {}", listener.pid));
                    }
                    ListenerEvent::Gone => {
                        counts.listeners.remove(&(netns, listener.inode));
                    }
                }
            }
            HostBody::Ports(moved) => {
                for count in &moved.ports {
                    let counts = self.ports.entry(shown_as(count.port)).or_default();
                    counts.syns = counts.syns.saturating_add(count.syns);
                    counts.accepted = counts.accepted.saturating_add(count.accepted);
                    if count.last_syn_ns != 0 {
                        counts.last_syn = Some(BootTime::from_ns(count.last_syn_ns));
                    }
                    counts.tell_apart(count.health_checks);
                }
            }
            HostBody::Exchanges(moved) => {
                for count in &moved.ports {
                    self.ports.entry(shown_as(count.port)).or_default().waiting = count.waiting;
                }
            }
            HostBody::Loss(loss) => self.lost = self.lost.saturating_add(loss.count),
            _ => {}
        }
    }

    /// A verdict was given.
    pub(super) fn failed(&mut self, port: u16, count: u64) {
        let counts = self.ports.entry(port).or_default();
        counts.failed = counts.failed.saturating_add(count);
    }

    /// The status line, and the silences that are due.
    pub(super) fn render(&mut self, start: &Start, now: BootTime, file_lost: u64) -> String {
        let began = BootTime::from_ns(start.clock.boot_ns);
        let ports = start
            .ports
            .iter()
            .map(|port| {
                let counts = self.ports.entry(*port).or_default();
                let since = |last: Option<BootTime>| now.since(last.unwrap_or(began));
                PortStatus {
                    port: *port,
                    listener: counts.listeners.values().next().cloned(),
                    syn: counts.syns,
                    health_check_syn: counts.health_checks,
                    accepted: counts.accepted,
                    failed: counts.failed,
                    waiting: counts.waiting,
                    since_syn: counts.last_syn.map(|last| now.since(last)),
                    client_silence: since(counts.last_client),
                    health_check_silence: since(counts.last_check),
                }
            })
            .collect();
        self.lines.render(&Status { ports, lost: self.lost.saturating_add(file_lost) })
    }
}
