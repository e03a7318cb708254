//! What is put at the head of a stream: namespaces, listeners of the watched ports, their processes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Host;
use super::listeners::ListeningSocket;
use super::processes::{process, socket_holders};
use super::sockets::LookupError;
use crate::record::{BootTime, HostBody, HostRecord, Listener, ListenerEvent, ProcessInfo};

/// Host records, and what could not be looked up for them.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In order: namespaces, processes, then the listeners that name them.
    pub records: Vec<HostRecord>,
    /// Look-ups that failed; the records are whole otherwise.
    pub problems: Vec<LookupError>,
    /// Every process that holds one of the listeners: master and workers.
    pub holders: BTreeSet<u32>,
}

/// A row of the table shown when no port is given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerRow {
    /// Port.
    pub port: u16,
    /// Bound address.
    pub address: IpAddr,
    /// Pid and comm.
    pub process: Option<(u32, String)>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Container id.
    pub container: Option<String>,
    /// Name of its namespace; empty for the host's own.
    pub namespace: String,
}

/// Listening sockets with the processes that hold them.
#[derive(Debug, Default)]
struct Found {
    listeners: Vec<(u32, ListeningSocket)>,
    owners: BTreeMap<u64, u32>,
    holders: BTreeSet<u32>,
    processes: BTreeMap<u32, ProcessInfo>,
    problems: Vec<LookupError>,
}

impl Host {
    /// All namespaces, and in the watched ones the listeners of `ports` with their processes.
    pub fn snapshot(&mut self, ports: &[u16], now: BootTime) -> Snapshot {
        let inodes: Vec<u32> = self.namespaces.iter().map(|namespace| namespace.inode).collect();
        let mut snapshot = Snapshot::default();
        let mut found = Found::default();
        for inode in inodes {
            let (record, problem) = self.namespace_record(inode, now);
            snapshot.records.extend(record);
            snapshot.problems.extend(problem);
            // at once, while the namespace's sockets are open
            if self.selection.watches(inode) {
                self.add_listeners(inode, Some(ports), &mut found);
            }
        }
        found.find_owners();
        snapshot.add(found, now);
        snapshot
    }

    /// The listeners of `ports` in one namespace, with their processes: for when a listener appeared.
    pub fn listeners(&mut self, netns: u32, ports: &[u16], now: BootTime) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut found = Found::default();
        self.add_listeners(netns, Some(ports), &mut found);
        found.find_owners();
        snapshot.add(found, now);
        snapshot
    }

    /// Every listening TCP socket of every namespace, ascending by port and address.
    pub fn table_of_all_listeners(&mut self) -> (Vec<ListenerRow>, Vec<LookupError>) {
        let inodes: Vec<u32> = self.namespaces.iter().map(|namespace| namespace.inode).collect();
        let mut found = Found::default();
        for inode in inodes {
            self.add_listeners(inode, None, &mut found);
        }
        found.find_owners();
        let row = |(netns, socket): &(u32, ListeningSocket)| {
            let owner = found.owners.get(&socket.inode).and_then(|pid| found.processes.get(pid));
            ListenerRow {
                port: socket.port,
                address: socket.address,
                process: owner.map(|owner| (owner.pid, owner.comm.clone())),
                unit: owner.and_then(|owner| owner.unit.clone()),
                container: owner.and_then(|owner| owner.container.clone()),
                namespace: self.namespaces.get(*netns).map(|namespace| namespace.name.clone()).unwrap_or_default(),
            }
        };
        let mut rows: Vec<ListenerRow> = found.listeners.iter().map(row).collect();
        rows.sort_unstable();
        // several sockets of one process may share an address and port (SO_REUSEPORT)
        rows.dedup();
        (rows, found.problems)
    }

    fn add_listeners(&mut self, netns: u32, ports: Option<&[u16]>, found: &mut Found) {
        match self.listening_sockets(netns, ports) {
            Ok(sockets) => found.listeners.extend(sockets.into_iter().map(|socket| (netns, socket))),
            Err(problem) => found.problems.push(problem),
        }
    }
}

impl Found {
    fn find_owners(&mut self) {
        let inodes = self.listeners.iter().map(|(_netns, socket)| socket.inode);
        let wanted: BTreeSet<u64> = inodes.filter(|inode| *inode != 0).collect();
        if !wanted.is_empty() {
            let found = socket_holders(&wanted);
            self.owners = found.owners.into_iter().collect();
            self.holders = found.all;
        }
        let pids: BTreeSet<u32> = self.owners.values().copied().collect();
        self.processes = pids.into_iter().filter_map(|pid| Some((pid, process(pid)?))).collect();
    }
}

impl Snapshot {
    fn add(&mut self, found: Found, now: BootTime) {
        let processes = found.processes.into_values();
        self.records.extend(processes.map(|process| HostRecord {
            time: now,
            netns: 0,
            body: HostBody::Process(process),
        }));
        self.records.extend(found.listeners.into_iter().map(|(netns, socket)| HostRecord {
            time: now,
            netns,
            body: HostBody::Listener(Listener {
                inode: socket.inode,
                address: socket.address,
                port: socket.port,
                v6_only: socket.v6_only,
                pid: found.owners.get(&socket.inode).copied().unwrap_or_default(),
                backlog: socket.backlog,
                event: ListenerEvent::Present,
            }),
        }));
        self.problems.extend(found.problems);
        self.holders.extend(found.holders);
    }
}
