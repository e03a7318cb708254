//! Who listened where, and when.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::attempt::Task;
use super::evidence::Endpoint;
use crate::record::{BootTime, Listener, ListenerEvent, SocketRecord, socket_flag, tcp_state};
use crate::verdict::address;

/// Listeners that are gone, kept for each port of a namespace: enough to name the last one.
const GONE_MAX: usize = 4;

/// Ports of namespaces, most that are kept.
const TABLES_MAX: usize = 16_384;

/// A listening socket, as long as it lived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// 0 if not known.
    inode: u64,
    pub(super) address: IpAddr,
    v6_only: bool,
    /// Who holds it: pid and comm, if known.
    pub(super) pid: Option<u32>,
    pub(super) comm: Option<[u8; 16]>,
    /// When it began; `None`: before recording did.
    pub(super) since: Option<BootTime>,
    /// When it went.
    pub(super) gone: Option<BootTime>,
}

impl Entry {
    /// Whether a SYN to this address would find it.
    pub(super) fn covers(&self, destination: IpAddr) -> bool {
        match (self.address, destination) {
            (IpAddr::V4(bound), IpAddr::V4(wanted)) => bound.is_unspecified() || bound == wanted,
            (IpAddr::V6(bound), IpAddr::V6(wanted)) => bound.is_unspecified() || bound == wanted,
            (IpAddr::V6(bound), IpAddr::V4(_)) => bound.is_unspecified() && !self.v6_only,
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }

    fn was_there(&self, time: BootTime) -> bool {
        self.since.is_none_or(|since| since <= time) && self.gone.is_none_or(|gone| gone > time)
    }

    fn is_same(&self, inode: u64, address: IpAddr, v6_only: bool) -> bool {
        if inode != 0 && self.inode != 0 {
            return self.inode == inode;
        }
        self.address == address && self.v6_only == v6_only
    }
}

/// Listeners by namespace and port.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    tables: BTreeMap<(u32, u16), Vec<Entry>>,
}

impl Listeners {
    /// Takes over a kernel record whose socket came to LISTEN or left it; false if it did neither.
    pub(super) fn state_changed(&mut self, record: &SocketRecord) -> bool {
        let time = BootTime::from_ns(record.header.time_ns);
        let key = (record.header.netns, record.tuple.src_port);
        let bound = address(record.tuple.src);
        let v6_only = record.flags & socket_flag::V6_ONLY != 0;
        if record.new_state == tcp_state::LISTEN {
            let task = Task::of(record);
            let entry = Entry {
                inode: record.inode,
                address: bound,
                v6_only,
                pid: task.map(|task| task.pid),
                comm: task.map(|task| task.comm),
                since: Some(time),
                gone: None,
            };
            self.appeared(key, entry);
        } else if record.old_state == tcp_state::LISTEN {
            self.went(key, record.inode, bound, v6_only, time);
        } else {
            return false;
        }
        true
    }

    /// Forgets the listeners of all other ports.
    pub(super) fn keep_ports(&mut self, ports: &[u16]) {
        self.tables.retain(|(_netns, port), _entries| ports.contains(port));
    }

    /// Takes over a host record.
    pub(super) fn learn(&mut self, netns: u32, listener: &Listener, time: BootTime) {
        let key = (netns, listener.port);
        let bound = listener.address.to_canonical();
        if listener.event == ListenerEvent::Gone {
            self.went(key, listener.inode, bound, listener.v6_only, time);
            return;
        }
        let pid = (listener.pid != 0).then_some(listener.pid);
        if let Some(known) = self.find(key, listener.inode, bound, listener.v6_only) {
            if known.pid != pid && pid.is_some() {
                known.pid = pid;
                known.comm = None;
            }
            known.inode = if known.inode == 0 { listener.inode } else { known.inode };
            return;
        }
        let entry = Entry {
            inode: listener.inode,
            address: bound,
            v6_only: listener.v6_only,
            pid,
            comm: None,
            since: None,
            gone: None,
        };
        self.appeared(key, entry);
    }

    /// Listeners of a port that were there at this time.
    pub(super) fn at(&self, netns: u32, port: u16, time: BootTime) -> impl Iterator<Item = &Entry> {
        self.table(netns, port).iter().filter(move |entry| entry.was_there(time))
    }

    /// Listeners of a port that are there now.
    pub(super) fn present(&self, netns: u32, port: u16) -> impl Iterator<Item = &Entry> {
        self.table(netns, port).iter().filter(|entry| entry.gone.is_none())
    }

    /// The last of a port that went by this time.
    pub(super) fn last_gone(&self, netns: u32, port: u16, time: BootTime) -> Option<&Entry> {
        let gone = self.table(netns, port).iter().filter(|entry| entry.gone.is_some_and(|gone| gone <= time));
        gone.max_by_key(|entry| entry.gone)
    }

    /// Whether anything listens on this port, in any namespace.
    pub(super) fn any(&self, port: u16) -> bool {
        self.tables.iter().any(|(key, table)| key.1 == port && table.iter().any(|entry| entry.gone.is_none()))
    }

    /// The listener that packets to this end are for, if one is there.
    pub(super) fn covering(&self, netns: u32, end: Endpoint) -> Option<&Entry> {
        self.present(netns, end.port).find(|entry| entry.covers(end.ip()))
    }

    fn table(&self, netns: u32, port: u16) -> &[Entry] {
        self.tables.get(&(netns, port)).map_or(&[], Vec::as_slice)
    }

    /// A known one with this identity; one that is gone only if its inode says that it is the same.
    fn find(&mut self, key: (u32, u16), inode: u64, address: IpAddr, v6_only: bool) -> Option<&mut Entry> {
        let table = self.tables.get_mut(&key)?;
        let found = table.iter().position(|entry| {
            let is_same = entry.is_same(inode, address, v6_only);
            is_same && (entry.gone.is_none() || (inode != 0 && entry.inode == inode))
        });
        found.and_then(|at| table.get_mut(at))
    }

    fn appeared(&mut self, key: (u32, u16), entry: Entry) {
        if self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&key) {
            self.tables.retain(|_, table| table.iter().any(|entry| entry.gone.is_none()));
            if self.tables.len() >= TABLES_MAX {
                self.tables.pop_first();
            }
        }
        let table = self.tables.entry(key).or_default();
        table.retain(|known| entry.inode == 0 || known.inode != entry.inode || known.gone.is_some());
        table.push(entry);
        let mut surplus = table.iter().filter(|known| known.gone.is_some()).count().saturating_sub(GONE_MAX);
        table.retain(|known| {
            let goes = surplus > 0 && known.gone.is_some();
            surplus = surplus.saturating_sub(usize::from(goes));
            !goes
        });
    }

    fn went(&mut self, key: (u32, u16), inode: u64, address: IpAddr, v6_only: bool, time: BootTime) {
        let Some(table) = self.tables.get_mut(&key) else { return };
        let present = || table.iter().position(|entry| entry.gone.is_none() && entry.is_same(inode, address, v6_only));
        if let Some(entry) = present().and_then(|at| table.get_mut(at)) {
            entry.gone = Some(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(inode: u64, address: &str, v6_only: bool) -> Listener {
        let address = address.parse().unwrap();
        Listener { inode, address, port: 80, v6_only, pid: 7, backlog: (0, 128), event: ListenerEvent::Present }
    }

    fn at(ms: u64) -> BootTime {
        BootTime::from_ns(ms * 1_000_000)
    }

    #[test]
    fn coverage() {
        let check = |bound: &str, v6_only, wanted: &str, expected| {
            let mut listeners = Listeners::default();
            listeners.learn(1, &listener(5, bound, v6_only), at(0));
            let covers = listeners.present(1, 80).any(|entry| entry.covers(wanted.parse().unwrap()));
            assert_eq!(covers, expected, "{bound} {v6_only} {wanted}");
        };
        check("0.0.0.0", false, "192.0.2.1", true);
        check("0.0.0.0", false, "fd00::1", false);
        check("192.0.2.1", false, "192.0.2.1", true);
        check("127.0.0.1", false, "192.0.2.1", false);
        check("::", false, "192.0.2.1", true);
        check("::", true, "192.0.2.1", false);
        check("::", true, "fd00::1", true);
        check("::1", false, "fd00::1", false);
        check("fd00::1", false, "fd00::1", true);
        check("::ffff:192.0.2.1", false, "192.0.2.1", true);
    }

    #[test]
    fn the_table_is_as_of_a_time() {
        let mut listeners = Listeners::default();
        listeners.learn(1, &listener(5, "0.0.0.0", false), at(100));
        let gone = Listener { event: ListenerEvent::Gone, ..listener(5, "0.0.0.0", false) };
        listeners.learn(1, &gone, at(500));
        assert_eq!(listeners.at(1, 80, at(50)).count(), 1, "it was there before recording began");
        assert_eq!(listeners.at(1, 80, at(499)).count(), 1);
        assert_eq!(listeners.at(1, 80, at(500)).count(), 0);
        assert_eq!(listeners.last_gone(1, 80, at(500)).and_then(|entry| entry.pid), Some(7));
        assert_eq!(listeners.last_gone(1, 80, at(499)), None);
        // a look-up that was overtaken by the close does not bring it back
        listeners.learn(1, &listener(5, "0.0.0.0", false), at(501));
        assert_eq!(listeners.present(1, 80).count(), 0);
        assert!(!listeners.any(80));
    }

    #[test]
    fn what_went_is_kept_within_bounds() {
        let mut listeners = Listeners::default();
        for inode in 1..100 {
            listeners.learn(1, &listener(inode, "0.0.0.0", false), at(inode));
            let gone = Listener { event: ListenerEvent::Gone, ..listener(inode, "0.0.0.0", false) };
            listeners.learn(1, &gone, at(inode));
        }
        assert!(listeners.table(1, 80).len() <= GONE_MAX + 1);
    }
}
