//! What host records and the stream as a whole told: everything that a rule may look at besides its
//! attempt.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use super::attempts::HashMap;
use super::drop_class::{class_of_reason, class_of_symbol};
use super::evidence::{DropClass, Endpoint};
use super::exits::Exits;
use super::listeners::Listeners;
use super::namespaces::Namespaces;
use super::pressure::Pressures;
use super::published::Published;
use super::timing::{FALLBACK_WITHIN, RATE_LIMIT_WINDOW, RULE_AFTER, RULE_BEFORE, SECOND, SLOW_DEFAULT};
use crate::record::{BootTime, PacketRecord, PathReport, ProcessInfo, Rule, Start, packet_flag};

/// Most elements kept of each sort of fact that time makes worthless.
const KEPT_MAX: usize = 4096;

/// A map that forgets its oldest keys. Never iterated: its order is nobody's.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { map: HashMap::default(), order: VecDeque::new() }
    }
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    /// Takes a value out; its key keeps its place in the queue of those to be forgotten.
    pub(super) fn take(&mut self, key: &K) -> Option<V> {
        self.map.remove(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

/// Where a REJECT rule was seen: namespace, port, whether IPv4.
pub(super) type RejectKey = (u32, u16, bool);

/// Which packets a firewall rule was looked up for: namespace, source, destination, and whichever of the
/// ports the initiator did not choose (for a SYN-ACK its source's).
type RuleKey = (u32, IpAddr, IpAddr, u16);

/// Something was lost, at some time between these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) from: BootTime,
    pub(super) until: BootTime,
    pub(super) cause: String,
    pub(super) count: u64,
    /// The latest `until` so far: a long time may end after one that is told of later.
    reach: BootTime,
}

/// The stream's facts.
#[derive(Debug, Default)]
pub(super) struct World {
    ports: Vec<u16>,
    reasons: BTreeMap<u32, (DropClass, String)>,
    symbols: Recent<u64, String>,
    pub(super) listeners: Listeners,
    pub(super) namespaces: Namespaces,
    processes: Recent<u32, ProcessInfo>,
    paths: Recent<(u32, IpAddr, u16), (BootTime, PathReport)>,
    rejects: Recent<RejectKey, BootTime>,
    remote_rejects: Recent<Endpoint, BootTime>,
    connected: Recent<(u32, u16), (BootTime, Endpoint)>,
    losses: VecDeque<Lost>,
    /// How processes that serve watched ports ended.
    pub(super) exits: Exits,
    pub(super) pressures: Pressures,
    rules: Recent<RuleKey, (BootTime, Rule)>,
    pub(super) published: Published,
    /// `--slow`, if the stream says it.
    slow: Option<Duration>,
    /// `--status`: codes and classes; empty if the stream does not say.
    statuses: Vec<String>,
}

impl World {
    /// Begins anew with what a stream says of itself.
    pub(super) fn start(&mut self, start: &Start) {
        self.watch(&start.ports);
        self.slow = (start.slow_ns > 0).then(|| Duration::from_nanos(start.slow_ns));
        self.statuses.clone_from(&start.statuses);
        let rows = start.drop_reasons.iter();
        self.reasons = rows.map(|(number, name)| (*number, (class_of_reason(name), name.clone()))).collect();
    }

    /// These ports are watched from now on.
    pub(super) fn watch(&mut self, ports: &[u16]) {
        self.ports = ports.to_vec();
        self.ports.sort_unstable();
    }

    /// Whether a port is watched. A stream whose beginning is missing does not say: then all are.
    pub(super) fn watches(&self, port: u16) -> bool {
        port != 0
            && (self.ports.is_empty()
                || self.ports.binary_search(&port).is_ok()
                || self.published.has_target_port(port))
    }

    /// The port under which what happens at a port is counted: the published one, if it is watched only
    /// for standing behind that.
    pub(super) fn counted_as(&self, port: u16) -> u16 {
        let asked_for = self.ports.is_empty() || self.ports.binary_search(&port).is_ok();
        let published = if asked_for { None } else { self.published.published_as(port) };
        published.unwrap_or(port)
    }

    /// Whether something listens on a port, or on one behind it.
    pub(super) fn is_listened_on(&self, port: u16) -> bool {
        self.listeners.any(port) || self.published.targets_of(port).any(|target| self.listeners.any(target))
    }

    /// Whether what goes to this end is watched: its port is, or a published port is sent on to it.
    pub(super) fn watches_end(&self, netns: u32, end: Endpoint) -> bool {
        let asked_for = self.ports.is_empty() || self.ports.binary_search(&end.port).is_ok();
        end.port != 0 && (asked_for || self.published.port_of(netns, end).is_some())
    }

    /// How long a request may wait.
    pub(super) fn slow(&self) -> Duration {
        self.slow.unwrap_or(SLOW_DEFAULT)
    }

    /// Whether this status is a verdict.
    pub(super) fn watches_status(&self, status: u16) -> bool {
        let is = |wanted: &str| match wanted.strip_suffix("xx") {
            Some(class) => class.parse() == Ok(status / 100),
            None => wanted.parse() == Ok(status),
        };
        let default = ["403", "429", "5xx"];
        status != 0
            && if self.statuses.is_empty() {
                default.into_iter().any(is)
            } else {
                self.statuses.iter().map(String::as_str).any(is)
            }
    }

    pub(super) fn symbol(&mut self, id: u64, name: &str) {
        self.symbols.insert(id, name.to_owned());
    }

    pub(super) fn process(&mut self, info: &ProcessInfo) {
        self.processes.insert(info.pid, info.clone());
    }

    pub(super) fn process_of(&self, pid: u32) -> Option<&ProcessInfo> {
        self.processes.get(&pid)
    }

    pub(super) fn path(&mut self, netns: u32, report: &PathReport, time: BootTime) {
        let key = (netns, report.destination.to_canonical(), report.port);
        self.paths.insert(key, (time, report.clone()));
    }

    /// The last look at the way to this end, if it was made since `since`.
    pub(super) fn path_to(&self, netns: u32, end: Endpoint, since: BootTime) -> Option<(BootTime, &PathReport)> {
        let (time, report) = self.paths.get(&(netns, end.ip(), end.port))?;
        (*time >= since).then_some((*time, report))
    }

    /// Why a packet was dropped. Before 5.17 the kernel gives no reason, and later not always one that
    /// says something: then the place says it.
    pub(super) fn classify(&self, packet: &PacketRecord) -> DropClass {
        if let Some((class, _name)) = self.told_reason(packet) {
            return *class;
        }
        self.symbols.get(&packet.location).map_or(DropClass::Other, |name| class_of_symbol(name))
    }

    /// Whether the kernel gave a reason that says something.
    pub(super) fn reason_is_told(&self, packet: &PacketRecord) -> bool {
        self.told_reason(packet).is_some()
    }

    fn told_reason(&self, packet: &PacketRecord) -> Option<&(DropClass, String)> {
        if packet.flags & packet_flag::HAS_REASON == 0 {
            return None;
        }
        self.reasons.get(&packet.reason).filter(|(_, name)| name != "NOT_SPECIFIED")
    }

    /// The kernel's name of a drop reason.
    pub(super) fn reason_name(&self, reason: u32) -> Option<&str> {
        self.reasons.get(&reason).map(|(_, name)| name.as_str())
    }

    /// The function that dropped.
    pub(super) fn symbol_name(&self, location: u64) -> Option<&str> {
        self.symbols.get(&location).map(String::as_str)
    }

    /// Netfilter dropped a packet and answered by ICMP.
    pub(super) fn reject_seen(&mut self, key: RejectKey, time: BootTime) {
        note_latest(&mut self.rejects, key, time);
    }

    /// When a REJECT rule was last seen here, if not too long before `since`.
    pub(super) fn reject_near(&self, key: RejectKey, since: BootTime) -> Option<BootTime> {
        self.rejects.get(&key).copied().filter(|time| *time >= since.before(RATE_LIMIT_WINDOW))
    }

    /// A firewall rule was looked up.
    pub(super) fn rule(&mut self, netns: u32, rule: &Rule, time: BootTime) {
        let (source, destination) = (rule.source.ip().to_canonical(), rule.destination.ip().to_canonical());
        for port in [rule.destination.port(), rule.source.port()] {
            self.rules.insert((netns, source, destination, port), (time, rule.clone()));
        }
    }

    /// The rule that dropped a packet from one end to another, if it was found; `port` is the
    /// responder's. A look-up serves packets of some seconds.
    pub(super) fn rule_of(&self, netns: u32, ends: (IpAddr, IpAddr), port: u16, time: BootTime) -> Option<&Rule> {
        let (found, rule) = self.rules.get(&(netns, ends.0, ends.1, port))?;
        let near = *found >= time.before(RULE_BEFORE) && *found <= time.after(RULE_AFTER);
        near.then_some(rule)
    }

    /// A remote end answered a SYN by an ICMP error of a REJECT rule.
    pub(super) fn remote_reject_seen(&mut self, end: Endpoint, time: BootTime) {
        note_latest(&mut self.remote_rejects, end, time);
    }

    /// When a remote end last answered so, if not too long before `since`.
    pub(super) fn remote_reject_near(&self, end: Endpoint, since: BootTime) -> Option<BootTime> {
        self.remote_rejects.get(&end).copied().filter(|time| *time >= since.before(RATE_LIMIT_WINDOW))
    }

    /// A connection of this process was made.
    pub(super) fn connected(&mut self, pid: u32, end: Endpoint, time: BootTime) {
        self.connected.insert((pid, end.port), (time, end));
    }

    /// Whether this process connected to another address at that port, within a second of `time`.
    pub(super) fn connected_elsewhere(&self, pid: u32, end: Endpoint, time: BootTime) -> bool {
        self.connected.get(&(pid, end.port)).is_some_and(|(when, other)| {
            other.address != end.address && *when >= time.before(SECOND) && *when <= time.after(SECOND)
        })
    }

    /// Whether this process connected to the other family's address at that port right after `failed`.
    pub(super) fn fell_back(&self, pid: u32, end: Endpoint, failed: BootTime) -> bool {
        self.connected.get(&(pid, end.port)).is_some_and(|(when, other)| {
            other.is_v4() != end.is_v4() && *when >= failed && *when <= failed.after(FALLBACK_WITHIN)
        })
    }

    /// Something was lost.
    pub(super) fn lost(&mut self, cause: &str, count: u64, time: BootTime) {
        self.lost_between(cause, count, (time, time));
    }

    /// Something was lost in this time.
    pub(super) fn lost_between(&mut self, cause: &str, count: u64, (from, until): (BootTime, BootTime)) {
        let until = until.max(from);
        if let Some(last) = self.losses.back_mut()
            && (last.from, last.until) == (from, until)
            && last.cause == cause
        {
            last.count = last.count.saturating_add(count);
            return;
        }
        if self.losses.len() >= KEPT_MAX {
            self.losses.pop_front();
        }
        let reach = self.losses.back().map_or(until, |last| last.reach.max(until));
        self.losses.push_back(Lost { from, until, cause: cause.to_owned(), count, reach });
    }

    /// What may have been lost between these times, both included.
    pub(super) fn losses_between(&self, from: BootTime, to: BootTime) -> impl Iterator<Item = &Lost> {
        let recent = self.losses.iter().rev().take_while(move |lost| lost.reach >= from);
        recent.filter(move |lost| lost.until >= from && lost.from <= to)
    }
}

fn note_latest<K: Hash + Eq + Copy>(map: &mut Recent<K, BootTime>, key: K, time: BootTime) {
    let latest = map.get(&key).map_or(time, |known| time.max(*known));
    map.insert(key, latest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_before_place_and_place_where_the_reason_says_nothing() {
        let mut world = World::default();
        let reasons =
            [(2, "NOT_SPECIFIED"), (3, "NO_SOCKET"), (11, "NETFILTER_DROP"), (58, "NEIGH_FAILED"), (9, "TCP_CSUM")];
        let drop_reasons = reasons.iter().map(|(number, name)| (*number, (*name).to_owned())).collect();
        world.start(&Start { drop_reasons, ..Start::default() });
        world.symbol(1, "nf_hook_slow");
        world.symbol(2, "tcp_v4_rcv");
        world.symbol(3, "neigh_invalidate");
        let check = |reason: Option<u32>, location, expected| {
            let flags = if reason.is_some() { packet_flag::HAS_REASON } else { 0 };
            let packet = PacketRecord { flags, reason: reason.unwrap_or(0), location, ..PacketRecord::default() };
            assert_eq!(world.classify(&packet), expected, "{reason:?} {location}");
        };
        check(Some(3), 1, DropClass::NoSocket);
        check(Some(11), 2, DropClass::Netfilter);
        check(Some(58), 2, DropClass::NeighbourFailed);
        check(Some(9), 2, DropClass::Other);
        check(Some(2), 1, DropClass::Netfilter);
        check(Some(77), 1, DropClass::Netfilter);
        check(None, 1, DropClass::Netfilter);
        check(None, 2, DropClass::NoSocket);
        check(None, 3, DropClass::NeighbourFailed);
        check(None, 4, DropClass::Other);
    }

    #[test]
    fn the_oldest_facts_are_forgotten() {
        let mut recent = Recent::default();
        for key in (0..KEPT_MAX + 2).rev() {
            recent.insert(key, key);
            recent.insert(key, key + 1);
        }
        assert_eq!((recent.map.len(), recent.order.len()), (KEPT_MAX, KEPT_MAX));
        assert_eq!((recent.get(&(KEPT_MAX + 1)), recent.get(&KEPT_MAX), recent.get(&0)), (None, None, Some(&1)));
    }

    #[test]
    fn losses_of_a_window() {
        let mut world = World::default();
        let at = BootTime::from_ns;
        for (time, cause, count) in [(10, "ring-full", 1), (20, "ring-full", 2), (20, "ring-full", 3), (30, "late", 4)]
        {
            world.lost(cause, count, at(time));
        }
        world.lost_between("ring-full", 7, (at(40), at(60)));
        // what is told of later may be over earlier
        world.lost("attempts-evicted", 8, at(52));
        let counts = |from, to| world.losses_between(at(from), at(to)).map(|lost| lost.count).collect::<Vec<_>>();
        assert_eq!(counts(11, 29), [5]);
        assert_eq!(counts(20, 30), [4, 5]);
        assert!(counts(21, 29).is_empty());
        assert_eq!((counts(45, 50), counts(60, 70), counts(31, 40)), (vec![7], vec![7], vec![7]));
        assert!(counts(61, 70).is_empty() && counts(31, 39).is_empty());
        assert_eq!((counts(55, 58), counts(45, 52)), (vec![7], vec![8, 7]));
    }
}
