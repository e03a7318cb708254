//! Who listens on a port of this host that is not watched, when a server of a watched port cannot connect
//! to it: the programs tell of the listeners of watched ports only, so they are looked up then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host::{Host, ListeningSocket};
use crate::record::{BootTime, HandshakeRecord, HostBody, HostRecord, Listener, ListenerEvent, PacketRecord, kind};
use crate::record::{handshake_flag, tcp_flag};

/// Look-ups of one port of a namespace are this far apart at least.
const EVERY: Duration = Duration::from_millis(50);
/// Look-ups between two ticks at most: each blocks for a moment.
const PER_TICK: u32 = 64;
/// Most ports remembered; who was looked up longest ago makes room.
const PORTS_MAX: usize = 1024;

/// What was told of such a port.
#[derive(Debug)]
struct Told {
    looked: BootTime,
    listeners: Vec<ListeningSocket>,
}

/// Listeners of ports that are not watched, as last told.
#[derive(Debug)]
pub(super) struct Upstreams {
    told: BTreeMap<(u32, u16), Told>,
    left: u32,
    lost: u64,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self { told: BTreeMap::new(), left: PER_TICK, lost: 0 }
    }
}

/// Namespace and port of the listener that a dropped packet was to reach: a SYN of no socket.
pub(super) fn port_of_drop(packet: &PacketRecord) -> Option<(u32, u16)> {
    let is_syn = packet.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
    (packet.header.kind == kind::PACKET_DROP && is_syn).then_some((packet.header.netns, packet.tuple.dst_port))
}

/// The same of a handshake that a listener could not finish.
pub(super) fn port_of_handshake(handshake: &HandshakeRecord) -> Option<(u32, u16)> {
    let chained = handshake.flags & handshake_flag::CHAINED != 0;
    chained.then_some((handshake.header.netns, handshake.tuple.src_port))
}

impl Upstreams {
    /// Records of who listens on this port now, and of who no longer does.
    pub(super) fn look(&mut self, host: &mut Host, key: (u32, u16), time: BootTime) -> Vec<HostRecord> {
        if self.told.get(&key).is_some_and(|told| time.since(told.looked) < EVERY) {
            return Vec::new();
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.lost = self.lost.saturating_add(1);
            return Vec::new();
        };
        self.left = left;
        let (netns, port) = key;
        let listeners = match host.listening_sockets(netns, Some(&[port])) {
            Ok(listeners) => listeners,
            Err(error) => {
                log::info!("{error}");
                return Vec::new();
            }
        };
        let before = self.told.remove(&key).map(|told| told.listeners).unwrap_or_default();
        let gone = before.iter().filter(|known| !listeners.iter().any(|there| is_same(known, there)));
        let mut records: Vec<HostRecord> = gone.map(|known| record_of_gone(netns, known, time)).collect();
        if listeners.iter().any(|there| !before.iter().any(|known| is_same(known, there))) {
            // with their processes, which takes longer
            records.extend(host.listeners(netns, &[port], time).records);
        }
        self.make_room(&mut records, time);
        self.told.insert(key, Told { looked: time, listeners });
        records
    }

    /// A tick: more may be looked up. Gives how many look-ups were left out.
    pub(super) fn tick(&mut self) -> u64 {
        self.left = PER_TICK;
        std::mem::take(&mut self.lost)
    }

    /// Other ports are watched from now on: what was told is taken back, and told anew where it is needed.
    pub(super) fn forget_all(&mut self, time: BootTime) -> Vec<HostRecord> {
        let told = std::mem::take(&mut self.told);
        told.into_iter().flat_map(|((netns, _), told)| gone_of(netns, &told, time)).collect()
    }

    fn make_room(&mut self, records: &mut Vec<HostRecord>, time: BootTime) {
        if self.told.len() < PORTS_MAX {
            return;
        }
        let oldest = self.told.iter().min_by_key(|(_key, told)| told.looked).map(|(key, _told)| *key);
        if let Some((key, told)) = oldest.and_then(|key| Some((key, self.told.remove(&key)?))) {
            records.extend(gone_of(key.0, &told, time));
        }
    }
}

fn is_same(one: &ListeningSocket, other: &ListeningSocket) -> bool {
    (one.inode, one.address, one.v6_only) == (other.inode, other.address, other.v6_only)
}

fn gone_of(netns: u32, told: &Told, time: BootTime) -> Vec<HostRecord> {
    told.listeners.iter().map(|known| record_of_gone(netns, known, time)).collect()
}

fn record_of_gone(netns: u32, known: &ListeningSocket, time: BootTime) -> HostRecord {
    let body = HostBody::Listener(Listener {
        inode: known.inode,
        address: known.address,
        port: known.port,
        v6_only: known.v6_only,
        pid: 0,
        backlog: known.backlog,
        event: ListenerEvent::Gone,
    });
    HostRecord { time, netns, body }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn events(records: &[HostRecord], of: u16) -> Vec<(ListenerEvent, u32)> {
        let listeners = records.iter().filter_map(|record| match &record.body {
            HostBody::Listener(listener) if listener.port == of => Some((listener.event, listener.pid)),
            _ => None,
        });
        listeners.collect()
    }

    fn own_namespace(host: &Host) -> u32 {
        use std::os::unix::fs::MetadataExt as _;
        let inode = std::fs::metadata("/proc/self/ns/net").unwrap().ino();
        let inode = u32::try_from(inode).unwrap();
        assert!(host.namespaces().get(inode).is_some());
        inode
    }

    #[test]
    fn who_listens_is_told_once_and_again_when_it_is_gone() {
        let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
        let mut host = Host::open(&[], at(0)).unwrap();
        let netns = own_namespace(&host);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut upstreams = Upstreams::default();
        let here = (ListenerEvent::Present, std::process::id());
        let mut look = |ms| events(&upstreams.look(&mut host, (netns, port), at(ms)), port);
        assert_eq!(look(1000), [here]);
        assert_eq!(look(1100), []);
        drop(listener);
        // too soon to look again
        assert_eq!(look(1120), []);
        assert_eq!(look(1200), [(ListenerEvent::Gone, 0)]);
        assert_eq!(look(1300), []);
        let again = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_eq!(look(1400), [here]);
        let taken_back = upstreams.forget_all(at(1500));
        assert_eq!(events(&taken_back, port), [(ListenerEvent::Gone, 0)]);
        drop(again);
    }

    #[test]
    fn look_ups_are_few_and_those_left_out_are_counted() {
        let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
        let mut host = Host::open(&[], at(0)).unwrap();
        let netns = own_namespace(&host);
        let mut upstreams = Upstreams::default();
        for n in 0..u64::from(PER_TICK) + 3 {
            upstreams.look(&mut host, (netns, 1), at(1000 + 100 * n));
        }
        assert_eq!(upstreams.tick(), 3);
        assert_eq!(upstreams.tick(), 0);
    }

    #[test]
    fn what_asks_for_a_look() {
        let drop = |tcp_flags| {
            let mut packet = PacketRecord { tcp_flags, ..PacketRecord::default() };
            packet.header.kind = kind::PACKET_DROP;
            packet.header.netns = 7;
            packet.tuple.dst_port = 9001;
            port_of_drop(&packet)
        };
        assert_eq!(drop(tcp_flag::SYN), Some((7, 9001)));
        assert_eq!(drop(tcp_flag::SYN | tcp_flag::ACK), None);
        assert_eq!(drop(tcp_flag::ACK), None);
        let mut handshake = HandshakeRecord::default();
        handshake.tuple.src_port = 9003;
        assert_eq!(port_of_handshake(&handshake), None);
        handshake.flags = handshake_flag::CHAINED;
        assert_eq!(port_of_handshake(&handshake), Some((0, 9003)));
    }
}
