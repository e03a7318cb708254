//! What a stream has told of its host so far, for the head of a file that must be read without the
//! stream's beginning: names, processes, listeners, where REJECT rules were seen, and connections whose
//! end will decide what was told of them. Kept as the
//! records that told it, so that a reader learns it the way it always does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::record::{
    BootTime, FlowRecord, HostBody, HostRecord, Listener, ListenerEvent, PacketRecord, Record, SocketRecord,
    flow_event, kind, socket_flag, tcp_state,
};
use crate::verdict::address;

/// Most facts kept of each sort; the oldest make room.
const KEPT_MAX: usize = 4_096;
/// Listeners that are gone, kept for each port of a namespace: enough to name the last one.
const GONE_MAX: usize = 4;

/// Port of a namespace.
type Place = (u32, u16);
/// An attempt's first SYN, as the packet itself has it: initial sequence number, ports.
type Syn = (u32, u16, u16);

/// A remote end, and the type and code with which it refused.
type Refusal = ([u8; 16], u16, u8, u8);

/// A listening socket and the records that told of it.
#[derive(Debug)]
struct Known {
    inode: u64,
    address: IpAddr,
    v6_only: bool,
    appeared: Record,
    /// The last look-up of who holds it.
    learned: Option<Record>,
    gone: Option<Record>,
}

impl Known {
    /// As the engine tells them apart.
    fn is(&self, inode: u64, address: IpAddr, v6_only: bool) -> bool {
        if inode != 0 && self.inode != 0 {
            return self.inode == inode;
        }
        self.address == address && self.v6_only == v6_only
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        std::iter::once(&self.appeared).chain(&self.learned).chain(&self.gone)
    }
}

/// The stream's facts, as records.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    namespaces: BTreeMap<u32, Record>,
    processes: BTreeMap<u32, Record>,
    /// How those that held a listener ended.
    exits: BTreeMap<u32, Record>,
    symbols: BTreeMap<u64, Record>,
    /// Published ports, by the namespace that translates.
    publications: BTreeMap<u32, Record>,
    listeners: BTreeMap<Place, Vec<Known>>,
    /// An ICMP error that was sent, and the dropped packet that it answered, once that was seen too.
    rejects: BTreeMap<(Place, bool), (Syn, Record, Option<Record>)>,
    /// The last refusal by ICMP from each remote end.
    refusals: BTreeMap<Refusal, Record>,
    /// By connection and exchange: what was told of it and is decided by what follows only, and the heads
    /// that came with it.
    held: BTreeMap<(u64, u32), (Record, Option<Record>)>,
    /// Heads whose record comes next.
    heads: Option<Record>,
}

impl Knowledge {
    /// Takes over what a record says.
    pub(super) fn learn(&mut self, record: Record) {
        match &record {
            Record::Host(host) => match &host.body {
                HostBody::Namespace(_) => keep(&mut self.namespaces, host.netns, record),
                HostBody::Process(process) => keep(&mut self.processes, process.pid, record),
                HostBody::Symbol(symbol) => keep(&mut self.symbols, symbol.id, record),
                HostBody::Publications(_) => keep(&mut self.publications, host.netns, record),
                HostBody::Listener(_) => self.listener(record),
                HostBody::Exchange(_) => self.heads = Some(record),
                _ => {}
            },
            Record::Socket(socket) => self.socket(*socket),
            Record::Packet(packet) => self.packet(packet),
            Record::Icmp(icmp) if icmp.header.kind == kind::ICMP_SENT => {
                let is_v4 = address(icmp.quoted.dst).is_ipv4();
                let key = ((icmp.header.netns, icmp.quoted.dst_port), is_v4);
                let syn = (icmp.seq, icmp.quoted.src_port, icmp.quoted.dst_port);
                make_room(&mut self.rejects, &key, |(_syn, sent, _drop)| sent.time());
                self.rejects.insert(key, (syn, record, None));
            }
            Record::Icmp(icmp) => {
                let key = (icmp.quoted.dst, icmp.quoted.dst_port, icmp.icmp_type, icmp.icmp_code);
                keep(&mut self.refusals, key, record);
            }
            Record::Process(process) if process.header.kind == kind::PROCESS_EXIT && self.listened(process.pid) => {
                keep(&mut self.exits, process.pid, record);
            }
            Record::Flow(flow) => self.flow(*flow),
            Record::Handshake(_) | Record::Process(_) | Record::UnixConnect(_) => {}
        }
    }

    /// Whether this process was told to hold a listener.
    fn listened(&self, pid: u32) -> bool {
        let holder = |record: &Record| match record {
            Record::Socket(socket) => socket.pid,
            Record::Host(HostRecord { body: HostBody::Listener(listener), .. }) => listener.pid,
            _ => 0,
        };
        pid != 0 && self.listeners.values().flatten().flat_map(Known::records).any(|record| holder(record) == pid)
    }

    /// All of it, in the order of time.
    pub(super) fn records(&self) -> Vec<&Record> {
        let facts = self.namespaces.values().chain(self.processes.values()).chain(self.symbols.values());
        let facts = facts.chain(self.exits.values()).chain(self.publications.values());
        let listeners = self.listeners.values().flatten().flat_map(Known::records);
        let paired = self.rejects.values().filter_map(|(_syn, sent, dropped)| Some([sent, dropped.as_ref()?]));
        let held = self.held.values().flat_map(|(record, heads)| heads.iter().chain([record]));
        let mut records: Vec<&Record> =
            facts.chain(listeners).chain(paired.flatten()).chain(self.refusals.values()).chain(held).collect();
        records.sort_by_key(|record| record.time());
        records
    }

    /// The peer's FIN may be half a close, and silence may end: until the connection's end is told, that
    /// is all there is of an exchange, however long ago.
    fn flow(&mut self, flow: FlowRecord) {
        let key = (flow.id, flow.exchange);
        let heads = self.heads.take().filter(|heads| match heads {
            Record::Host(HostRecord { body: HostBody::Exchange(heads), .. }) => (heads.id, heads.number) == key,
            _ => false,
        });
        match flow.event {
            flow_event::FIN_RECEIVED | flow_event::UNANSWERED => {
                make_room(&mut self.held, &key, |(record, _heads)| record.time());
                self.held.insert(key, (Record::Flow(flow), heads));
            }
            flow_event::RESPONSE | flow_event::LATE_DATA => {}
            _ => self.held.retain(|(id, _exchange), _| *id != flow.id),
        }
    }

    fn packet(&mut self, packet: &PacketRecord) {
        if packet.header.kind != kind::PACKET_DROP {
            return;
        }
        let is_v4 = address(packet.tuple.dst).is_ipv4();
        let key = ((packet.header.netns, packet.tuple.dst_port), is_v4);
        let syn = (packet.seq, packet.tuple.src_port, packet.tuple.dst_port);
        if let Some((answered, _sent, dropped)) = self.rejects.get_mut(&key)
            && *answered == syn
        {
            *dropped = Some(Record::Packet(*packet));
        }
    }

    fn socket(&mut self, socket: SocketRecord) {
        let is_state = socket.header.kind == kind::SOCKET_STATE;
        let place = (socket.header.netns, socket.tuple.src_port);
        let (bound, v6_only) = (address(socket.tuple.src), socket.flags & socket_flag::V6_ONLY != 0);
        if is_state && socket.new_state == tcp_state::LISTEN {
            self.appeared(place, socket.inode, bound, v6_only, Record::Socket(socket));
        } else if is_state && socket.old_state == tcp_state::LISTEN {
            self.went(place, socket.inode, bound, v6_only, Record::Socket(socket));
        }
    }

    fn listener(&mut self, record: Record) {
        let Record::Host(HostRecord { netns, body: HostBody::Listener(listener), .. }) = &record else { return };
        let Listener { inode, port, v6_only, event, .. } = *listener;
        let (place, bound) = ((*netns, port), listener.address.to_canonical());
        if event == ListenerEvent::Gone {
            self.went(place, inode, bound, v6_only, record);
            return;
        }
        let mut known = self.listeners.get_mut(&place).into_iter().flatten();
        match known.find(|known| known.is(inode, bound, v6_only) && (known.gone.is_none() || known.inode == inode)) {
            Some(known) => known.learned = Some(record),
            None => self.appeared(place, inode, bound, v6_only, record),
        }
    }

    fn appeared(&mut self, place: Place, inode: u64, address: IpAddr, v6_only: bool, appeared: Record) {
        make_room(&mut self.listeners, &place, |table| {
            // whoever still listens stays longest
            let last = table.iter().map(|known| known.gone.as_ref().map_or(BootTime::from_ns(u64::MAX), Record::time));
            last.max().unwrap_or_default()
        });
        let table = self.listeners.entry(place).or_default();
        table.retain(|known| inode == 0 || known.inode != inode || known.gone.is_some());
        table.push(Known { inode, address, v6_only, appeared, learned: None, gone: None });
        let mut surplus = table.iter().filter(|known| known.gone.is_some()).count().saturating_sub(GONE_MAX);
        table.retain(|known| {
            let goes = surplus > 0 && known.gone.is_some();
            surplus = surplus.saturating_sub(usize::from(goes));
            !goes
        });
    }

    fn went(&mut self, place: Place, inode: u64, address: IpAddr, v6_only: bool, gone: Record) {
        let mut table = self.listeners.get_mut(&place).into_iter().flatten();
        if let Some(known) = table.find(|known| known.gone.is_none() && known.is(inode, address, v6_only)) {
            known.gone = Some(gone);
        }
    }
}

fn keep<K: Ord + Copy>(map: &mut BTreeMap<K, Record>, key: K, record: Record) {
    make_room(map, &key, Record::time);
    map.insert(key, record);
}

/// Throws the oldest eighth out where a new key would be one too many.
fn make_room<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>, key: &K, time: impl Fn(&V) -> BootTime) {
    if map.len() < KEPT_MAX || map.contains_key(key) {
        return;
    }
    let mut ages: Vec<(BootTime, K)> = map.iter().map(|(key, value)| (time(value), *key)).collect();
    ages.sort_unstable();
    for (_time, key) in ages.into_iter().take(KEPT_MAX / 8) {
        map.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Exchange, Header};

    fn told(ms: u64, id: u64, event: u8) -> Record {
        let header = Header { kind: kind::FLOW, time_ns: ms * 1_000_000, ..Header::default() };
        Record::Flow(FlowRecord { header, id, exchange: 1, event, ..FlowRecord::default() })
    }

    fn heads(ms: u64, id: u64) -> Record {
        let body = HostBody::Exchange(Box::new(Exchange { id, number: 1, ..Exchange::default() }));
        Record::Host(HostRecord { time: BootTime::from_ns(ms * 1_000_000), netns: 0, body })
    }

    #[test]
    fn what_a_connections_end_will_decide_is_known_until_then() {
        let mut known = Knowledge::default();
        let told_of = [
            heads(1, 7),
            told(1, 7, flow_event::FIN_RECEIVED),
            told(2, 8, flow_event::UNANSWERED),
            heads(3, 9),
            told(3, 9, flow_event::RESPONSE),
        ];
        for record in &told_of {
            known.learn(record.clone());
        }
        assert_eq!(known.records(), told_of[..3].iter().collect::<Vec<_>>());
        known.learn(told(4, 7, flow_event::CLOSED));
        known.learn(told(5, 8, flow_event::TIMED_OUT));
        assert!(known.records().is_empty());
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut known = Knowledge::default();
        for id in 0..2 * KEPT_MAX as u64 {
            known.learn(told(id, id, flow_event::FIN_RECEIVED));
        }
        assert!(known.held.len() <= KEPT_MAX);
        assert!(known.held.contains_key(&(2 * KEPT_MAX as u64 - 1, 1)));
    }
}
