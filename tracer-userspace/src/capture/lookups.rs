//! Look-ups that records trigger: what the engine could not find out from kernel records alone goes
//! into the stream here, stamped with the time of the record that asked.
//!
//! long: one place for all that a record may ask for

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::facts::Symbols;
use super::firewall::RuleFinder;
use super::host::{Host, IcmpSockets, PressureGauge, Snapshot, process};
use super::plan::IcmpFamilies;
use super::published::Published;
use super::servers::{Changes, Servers};
use super::upstreams::{Upstreams, port_of_drop, port_of_handshake};
use crate::record::{BootTime, HostBody, HostRecord, PacketRecord, Record, SocketRecord, Symbol, kind, tcp_state};

/// Path look-ups of one (namespace, destination, port) are this far apart at least.
const PATH_EVERY: Duration = Duration::from_millis(200);
/// Path look-ups between two ticks at most: each blocks for a moment.
const PATHS_PER_TICK: u32 = 64;
/// Addresses of a namespace are read again at most this often.
const ADDRESSES_EVERY: Duration = Duration::from_secs(1);
/// Namespaces are looked for this often.
const RESCAN_EVERY: Duration = Duration::from_secs(2);
/// Most places in the kernel, and most processes, remembered as told.
const REMEMBERED: usize = 4096;
/// Namespaces in which connections are counted at the start: each takes a walk through all sockets of the host.
const COUNTED_MAX: usize = 64;
/// `ECONNREFUSED`: the peer's answer explains all, no look-up is needed.
const ECONNREFUSED: u32 = 111;

/// The look-ups and what they have told already.
pub(super) struct Lookups {
    host: Host,
    symbols: Option<Symbols>,
    wanted_sockets: IcmpFamilies,
    icmp_sockets: IcmpSockets,
    ports: Vec<u16>,
    symbol_ids: HashMap<u64, u64>,
    processes: HashMap<u32, BootTime>,
    paths: HashMap<(u32, IpAddr, u16), BootTime>,
    paths_left: u32,
    addresses: BTreeMap<u32, (BootTime, Vec<IpAddr>)>,
    next_rescan: BootTime,
    losses: BTreeMap<&'static str, u64>,
    servers: Servers,
    upstreams: Upstreams,
    pressure: PressureGauge,
    rules: RuleFinder,
}

impl Lookups {
    /// Nothing told yet.
    pub(super) fn new(
        host: Host,
        symbols: Option<Symbols>,
        wanted_sockets: IcmpFamilies,
        ports: Vec<u16>,
        rules: RuleFinder,
    ) -> Self {
        Self {
            host,
            symbols,
            wanted_sockets,
            icmp_sockets: IcmpSockets::default(),
            ports,
            symbol_ids: HashMap::new(),
            processes: HashMap::new(),
            paths: HashMap::new(),
            paths_left: PATHS_PER_TICK,
            addresses: BTreeMap::new(),
            next_rescan: BootTime::default(),
            losses: BTreeMap::new(),
            servers: Servers::default(),
            upstreams: Upstreams::default(),
            pressure: PressureGauge::default(),
            rules,
        }
    }

    /// Namespaces, listeners and their processes as they are now.
    pub(super) fn snapshot(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        for inode in self.host.watched_namespaces() {
            self.open_icmp_sockets(inode);
        }
        for namespace in self.host.namespaces().iter().filter(|one| self.host.selection().watches(one.inode)) {
            self.rules.expect(namespace);
        }
        let snapshot = self.host.snapshot(&self.ports, now);
        for problem in &snapshot.problems {
            log::info!("{problem}");
        }
        for record in &snapshot.records {
            match &record.body {
                HostBody::Namespace(namespace) => {
                    self.addresses.insert(record.netns, (now, namespace.addresses.clone()));
                }
                HostBody::Process(info) => {
                    self.processes.insert(info.pid, now);
                }
                _ => {}
            }
        }
        self.tell_listeners(snapshot, stream);
        stream.extend(self.pressure.look(&self.host, now).into_iter().map(Record::Host));
        self.next_rescan = now.after(RESCAN_EVERY);
    }

    /// Connections that are there, by watched port.
    pub(super) fn connections(&mut self) -> BTreeMap<u16, u64> {
        let mut all = BTreeMap::new();
        let inodes = self.host.watched_namespaces();
        if inodes.len() > COUNTED_MAX {
            log::info!("connections that are there already are counted in {COUNTED_MAX} network namespaces only");
        }
        for inode in inodes.into_iter().take(COUNTED_MAX) {
            match self.host.connections(inode, &self.ports) {
                Ok(found) => {
                    for (port, count) in found {
                        let total: &mut u64 = all.entry(port).or_default();
                        *total = total.saturating_add(count);
                    }
                }
                Err(error) => log::info!("{error}"),
            }
        }
        all
    }

    /// These ports are watched from now on: tells who listens on those that were not before.
    pub(super) fn set_ports(&mut self, ports: &[u16], now: BootTime, stream: &mut Vec<Record>) {
        stream.extend(self.upstreams.forget_all(now).into_iter().map(Record::Host));
        let added: Vec<u16> = ports.iter().copied().filter(|port| !self.ports.contains(port)).collect();
        self.ports = ports.to_vec();
        if added.is_empty() {
            return;
        }
        for inode in self.host.watched_namespaces() {
            let found = self.host.listeners(inode, &added, now);
            for problem in &found.problems {
                log::info!("{problem}");
            }
            self.tell_listeners(found, stream);
        }
    }

    /// Puts what was found into the stream; who holds a listener is followed from now on.
    fn tell_listeners(&mut self, found: Snapshot, stream: &mut Vec<Record>) {
        let inodes = found.records.iter().filter_map(|record| match &record.body {
            HostBody::Listener(listener) => Some(listener.inode),
            _ => None,
        });
        self.servers.found(found.holders, inodes);
        stream.extend(found.records.into_iter().map(Record::Host));
    }

    /// Which processes are to be followed from now on, and which no more.
    pub(super) fn take_servers(&mut self) -> Changes {
        self.servers.take_changes()
    }

    /// Passes a kernel record on: first what it rests on, then the record, then what it asks for.
    pub(super) fn pass(&mut self, record: Record, stream: &mut Vec<Record>) {
        self.servers.look_at(&record);
        match record {
            Record::Packet(mut packet) => {
                let time = BootTime::from_ns(packet.header.time_ns);
                self.namespace(packet.header.netns, time, stream);
                if packet.header.kind == kind::PACKET_DROP {
                    self.ask_for_rule(&packet);
                    self.name_location(&mut packet, stream);
                    self.refresh_addresses(&packet, time, stream);
                    self.upstream(port_of_drop(&packet), time, stream);
                }
                stream.push(Record::Packet(packet));
            }
            Record::Socket(socket) => {
                let time = BootTime::from_ns(socket.header.time_ns);
                self.namespace(socket.header.netns, time, stream);
                self.process(socket.pid, time, stream);
                stream.push(Record::Socket(socket));
                if asks_for_path(&socket) {
                    self.path(&socket, time, stream);
                }
            }
            Record::Handshake(handshake) => {
                let time = BootTime::from_ns(handshake.header.time_ns);
                self.namespace(handshake.header.netns, time, stream);
                self.upstream(port_of_handshake(&handshake), time, stream);
                stream.push(Record::Handshake(handshake));
            }
            Record::Process(process) => {
                let time = BootTime::from_ns(process.header.time_ns);
                if process.header.kind == kind::PROCESS_EXEC {
                    self.processes.remove(&process.pid);
                }
                self.process(process.pid, time, stream);
                stream.push(Record::Process(process));
            }
            Record::UnixConnect(failed) => {
                let time = BootTime::from_ns(failed.header.time_ns);
                self.namespace(failed.header.netns, time, stream);
                self.process(failed.pid, time, stream);
                stream.push(Record::UnixConnect(failed));
            }
            other => stream.push(other),
        }
    }

    /// Who listens on a port that is not watched, but was connected to in vain.
    fn upstream(&mut self, port: Option<(u32, u16)>, time: BootTime, stream: &mut Vec<Record>) {
        if let Some(key) = port.filter(|(_netns, port)| !self.ports.contains(port)) {
            stream.extend(self.upstreams.look(&mut self.host, key, time).into_iter().map(Record::Host));
        }
    }

    /// Looks for namespaces that came or went; their ICMP sockets are opened and closed with them.
    /// Says whether any came or went.
    pub(super) fn rescan(&mut self, now: BootTime, stream: &mut Vec<Record>) -> bool {
        self.paths_left = PATHS_PER_TICK;
        let left_out = self.upstreams.tick();
        if left_out > 0 {
            let count = self.losses.entry("listener-lookups").or_default();
            *count = count.saturating_add(left_out);
        }
        stream.extend(self.pressure.look(&self.host, now).into_iter().map(Record::Host));
        if now < self.next_rescan {
            return false;
        }
        self.next_rescan = now.after(RESCAN_EVERY);
        let rescan = self.host.rescan(now);
        let changed = rescan.as_ref().is_ok_and(|rescan| !rescan.new.is_empty() || !rescan.gone.is_empty());
        self.take_up(rescan, now, stream);
        self.forget(now);
        changed
    }

    /// Packets that a namespace's devices have received, loopback apart; `None` if that is not known.
    pub(super) fn received(&mut self, netns: u32) -> Option<u64> {
        self.pressure.received(netns)
    }

    /// What stands behind these ports by destination NAT, read now.
    pub(super) fn published(&self, ports: &[u16]) -> Published {
        Published::read(&self.host, &self.rules, ports)
    }

    /// Look-ups left out since the last call, by cause.
    pub(super) fn take_losses(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.losses).into_iter().map(|(cause, count)| (cause.to_owned(), count)).collect()
    }

    fn take_up(
        &mut self,
        rescan: Result<super::host::Rescan, super::host::NamespaceError>,
        now: BootTime,
        stream: &mut Vec<Record>,
    ) {
        let rescan = match rescan {
            Ok(rescan) => rescan,
            Err(error) => {
                log::warn!("{error}");
                return;
            }
        };
        for inode in rescan.gone {
            self.icmp_sockets.close(inode);
            self.pressure.forget(inode);
            self.addresses.remove(&inode);
        }
        for record in rescan.records {
            if let HostBody::Namespace(namespace) = &record.body {
                self.addresses.insert(record.netns, (now, namespace.addresses.clone()));
            }
            stream.push(Record::Host(record));
        }
        if !rescan.new.is_empty() {
            self.pressure.expect_new();
        }
        for inode in rescan.new {
            if self.host.selection().watches(inode) {
                self.open_icmp_sockets(inode);
                // listeners that were there before this namespace was known
                let found = self.host.listeners(inode, &self.ports, now);
                self.tell_listeners(found, stream);
            }
        }
        for problem in rescan.problems {
            log::info!("{problem}");
        }
    }

    fn open_icmp_sockets(&mut self, inode: u32) {
        if !self.wanted_sockets.v4 && !self.wanted_sockets.v6 {
            return;
        }
        let Some(namespace) = self.host.namespaces().get(inode) else { return };
        if let Err(error) = self.icmp_sockets.open(namespace) {
            log::warn!("received ICMP errors stay unseen: {error}");
        }
    }

    /// A namespace met for the first time is looked up before its record goes on.
    fn namespace(&mut self, inode: u32, time: BootTime, stream: &mut Vec<Record>) {
        if inode != 0 && self.host.namespaces().get(inode).is_none() {
            let rescan = self.host.rescan_for(inode, time);
            self.take_up(rescan, time, stream);
        }
    }

    /// Has the rule looked up that dropped a packet, if one did.
    fn ask_for_rule(&mut self, packet: &PacketRecord) {
        let function = self.symbols.as_ref().and_then(|symbols| symbols.name_of(packet.location));
        if !self.rules.is_by_netfilter(packet, function) {
            return;
        }
        let Some(namespace) = self.host.namespaces().get(packet.header.netns) else { return };
        let destination = crate::verdict::address(packet.tuple.dst);
        let addresses = self.addresses.get(&packet.header.netns).map(|(_read, addresses)| addresses);
        let local = addresses.filter(|known| !known.is_empty()).map(|known| known.contains(&destination));
        self.rules.ask(namespace, packet, local);
    }

    /// Rules that were found since the last call.
    pub(super) fn take_rules(&mut self, stream: &mut Vec<Record>) {
        stream.extend(self.rules.take_found().into_iter().map(Record::Host));
    }

    /// Replaces a kernel address by a number, and tells the number's name once.
    fn name_location(&mut self, packet: &mut PacketRecord, stream: &mut Vec<Record>) {
        if packet.location == 0 {
            return;
        }
        let next = u64::try_from(self.symbol_ids.len()).unwrap_or(u64::MAX).saturating_add(1);
        let id = if let Some(id) = self.symbol_ids.get(&packet.location) {
            *id
        } else {
            let name = self.symbols.as_ref().and_then(|symbols| symbols.name_of(packet.location));
            let body = HostBody::Symbol(Symbol { id: next, name: name.unwrap_or_default().to_owned() });
            let time = BootTime::from_ns(packet.header.time_ns);
            stream.push(Record::Host(HostRecord { time, netns: 0, body }));
            if self.symbol_ids.len() < REMEMBERED {
                self.symbol_ids.insert(packet.location, next);
            }
            next
        };
        packet.location = id;
    }

    /// Whether a drop was on the way in or through depends on whose address the destination is: those
    /// of the dropping namespace are read again if it is none that is known.
    fn refresh_addresses(&mut self, packet: &PacketRecord, time: BootTime, stream: &mut Vec<Record>) {
        let destination = crate::verdict::address(packet.tuple.dst);
        if self.addresses.values().any(|(_read, addresses)| addresses.contains(&destination)) {
            return;
        }
        let stale: Vec<u32> = self
            .addresses
            .iter()
            .filter(|(_inode, (read, _addresses))| time.since(*read) >= ADDRESSES_EVERY)
            .map(|(inode, _)| *inode)
            .collect();
        for inode in stale {
            let (record, problem) = self.host.namespace_record(inode, time);
            if let Some(problem) = problem {
                log::debug!("{problem}");
            }
            let Some(record) = record else { continue };
            let HostBody::Namespace(namespace) = &record.body else { continue };
            let known = self.addresses.insert(inode, (time, namespace.addresses.clone()));
            if known.is_none_or(|(_read, addresses)| addresses != namespace.addresses) {
                stream.push(Record::Host(record));
            }
        }
    }

    /// Who a process is, told once while it is remembered.
    fn process(&mut self, pid: u32, time: BootTime, stream: &mut Vec<Record>) {
        if pid == 0 || self.processes.contains_key(&pid) {
            return;
        }
        if self.processes.len() >= REMEMBERED {
            // to tell one again does no harm
            self.processes.clear();
        }
        if let Some(info) = process(pid) {
            stream.push(Record::Host(HostRecord { time, netns: 0, body: HostBody::Process(info) }));
        }
        self.processes.insert(pid, time);
    }

    fn path(&mut self, socket: &SocketRecord, time: BootTime, stream: &mut Vec<Record>) {
        let remote = SocketAddr::new(crate::verdict::address(socket.tuple.dst), socket.tuple.dst_port);
        let netns = socket.header.netns;
        let key = (netns, remote.ip(), remote.port());
        if self.paths.get(&key).is_some_and(|told| time.since(*told) < PATH_EVERY) {
            return;
        }
        let Some(left) = self.paths_left.checked_sub(1) else {
            let count = self.losses.entry("path-lookups").or_default();
            *count = count.saturating_add(1);
            return;
        };
        self.paths_left = left;
        self.paths.insert(key, time);
        match self.host.path(netns, remote, time) {
            Ok(record) => stream.push(Record::Host(record)),
            Err(error) => log::info!("{error}"),
        }
    }

    /// Keeps what is remembered as told within bounds, and pids from meaning another process for ever.
    fn forget(&mut self, now: BootTime) {
        const PROCESS_TOLD_FOR: Duration = Duration::from_mins(1);
        self.processes.retain(|_pid, told| now.since(*told) < PROCESS_TOLD_FOR);
        self.paths.retain(|_key, told| now.since(*told) < PATH_EVERY);
    }
}

/// Attempts that ended, or drag on, without an answer that explains them.
fn asks_for_path(socket: &SocketRecord) -> bool {
    match socket.header.kind {
        kind::SOCKET_STATE => {
            socket.old_state == tcp_state::SYN_SENT
                && socket.new_state == tcp_state::CLOSE
                && socket.error != ECONNREFUSED
        }
        kind::SYN_RETRANSMIT => socket.retransmits >= 2,
        kind::CONNECT_UNSENT => true,
        _ => false,
    }
}
