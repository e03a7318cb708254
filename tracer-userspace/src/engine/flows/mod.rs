//! Connections that have told something: which ends belong together, what is pending of their
//! exchanges, and of which exchanges a verdict has been said. Bounded; what is thrown out is counted.
//!
//! long: one table and its indexes, which change together

mod drops;
mod exchange;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

pub(in crate::engine) use drops::{Drops, PacketDrop};
pub(in crate::engine) use exchange::{
    CLOSES, End, Exchange, body, has, idle, is_cut, is_http, is_inbound, is_open, is_unanswered, latency, moment,
    stalled, time, waited, was_delivered, went_on,
};

use parts::Parts;
use smallvec::SmallVec;

use super::attempts::HashMap;
use super::evidence::{Endpoint, Flow};
use super::timing::{HELD, REMEMBERED};
use super::world::Recent;
use crate::record::{BootTime, Exchange as Heads, FlowRecord, flow_event, flow_flag};

/// Most connections in memory.
pub(in crate::engine) const CONNECTIONS_MAX: usize = 16_384;

/// Most exchanges that are not decided: those hold their evidence.
pub(in crate::engine) const PENDING_MAX: usize = 16_384;

/// Beyond this many exchanges of one connection those that are decided are forgotten.
const EXCHANGES_KEPT: usize = 16;

/// Most connections with the same ISN that can be found by it.
const SAME_ISN_MAX: usize = 8;

/// Names an exchange; never another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::engine) struct ExchangeId {
    connection: u64,
    part: Part,
}

/// What of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    /// An exchange, by its number; 0: outside of any.
    Exchange(u32),
    /// Data that came after this end had closed: a request that has no number here.
    LateData,
}

/// A connection of this host, one of its ends or both.
#[derive(Debug)]
pub(in crate::engine) struct Connection {
    /// Ends as the first record had them.
    pub(in crate::engine) flow: Flow,
    /// The initiator's; 0 if not known.
    pub(in crate::engine) isn: u32,
    /// Names of its accepting and its connecting end.
    ids: [Option<u64>; 2],
    exchanges: Parts<State>,
    /// How many of them are not decided.
    pending: usize,
    last: BootTime,
    /// The last reader at its accepting end; 0 if not known.
    pid: u32,
}

impl Connection {
    /// Responses come in order: what was held of exchanges before this one was answered.
    fn answered_before(&mut self, part: Part) {
        for state in self.exchanges.before_mut(part) {
            if matches!(state, State::Pending(_, None)) {
                *state = DECIDED;
                self.pending = self.pending.saturating_sub(1);
            }
        }
    }

    /// Forgets the oldest that are decided, where there are many.
    fn forget_decided(&mut self) {
        while self.exchanges.len() > EXCHANGES_KEPT {
            let decided = self.exchanges.iter().find(|(_, state)| !matches!(state, State::Pending(..)));
            let Some(part) = decided.map(|(part, _)| *part) else { return };
            self.exchanges.remove(part);
        }
    }

    /// Gives up the oldest exchange, or this one.
    fn evict(&mut self, newest: Part) {
        let oldest = self.exchanges.iter().find(|(_, state)| matches!(state, State::Pending(..)));
        let part = oldest.map_or(newest, |(part, _)| *part);
        if let Some(State::Pending(..)) = self.exchanges.insert(part, DECIDED) {
            self.pending = self.pending.saturating_sub(1);
        }
    }
}

#[derive(Debug)]
enum State {
    /// Not decided, and when it is to be looked at.
    Pending(Box<Exchange>, Option<BootTime>),
    /// Nothing more to be said.
    Decided {
        /// Only the connecting end had told of it.
        outbound_only: bool,
    },
}

/// An exchange that is of no more interest.
const DECIDED: State = State::Decided { outbound_only: false };

/// Which end a record is from: place in [`Connection::ids`].
fn side(record: &FlowRecord) -> usize {
    usize::from(!is_inbound(record))
}

/// Ends in the order of the first SYN.
pub(in crate::engine) fn flow_of(record: &FlowRecord) -> Flow {
    if is_inbound(record) { Flow::from_responder(&record.tuple) } else { Flow::from_initiator(&record.tuple) }
}

/// The port that the connection is about: the accepting end's.
pub(in crate::engine) fn port_of(record: &FlowRecord) -> u16 {
    flow_of(record).responder.port
}

/// All of them. The hash maps are never iterated: their order is nobody's.
#[derive(Debug, Default)]
pub(in crate::engine) struct Flows {
    connections: BTreeMap<u64, Connection>,
    begun: u64,
    /// Exchanges that are not decided.
    pending_count: usize,
    by_id: HashMap<u64, u64>,
    by_isn: HashMap<u32, SmallVec<[u64; 2]>>,
    /// Heads whose record has not come yet.
    heads: Recent<(u64, u32), Box<Heads>>,
    /// Exchanges that have a verdict, by their connection's name: longer remembered than connections.
    said: Recent<(u64, Part), ()>,
    pub(in crate::engine) drops: Drops,
    /// Oldest first, with the time at which to look again whether it can be forgotten.
    forget: VecDeque<(BootTime, u64)>,
}

impl Flows {
    /// Takes a record over. Gives its exchange if that learned something and is still to be decided,
    /// and whether another connection's evidence had to make room.
    pub(in crate::engine) fn learn(&mut self, record: &FlowRecord) -> (Option<ExchangeId>, bool) {
        let (number, evicted) = self.connection_of(record);
        let part = self.part_of(number, record);
        let heads = self.heads.take(&(record.id, record.exchange));
        let said = self.said.get(&(record.id, part)).is_some();
        let Some(connection) = self.connections.get_mut(&number) else { return (None, evicted) };
        connection.last = connection.last.max(time(record));
        if is_inbound(record) && record.pid != 0 {
            connection.pid = record.pid;
        }
        let before = connection.pending;
        let state = connection.exchanges.get_or_insert_with(part, || {
            connection.pending = connection.pending.saturating_add(usize::from(!said));
            if said { DECIDED } else { State::Pending(Box::default(), None) }
        });
        let learned = match state {
            Some(State::Pending(exchange, _)) => {
                let learned = exchange.add(record);
                let read = heads.map(|heads| exchange.read(heads)).is_some();
                learned || read
            }
            Some(State::Decided { .. }) | None => false,
        };
        if CLOSES.contains(&record.event) {
            connection.answered_before(part);
        }
        connection.forget_decided();
        let crowded = self.pending_count >= PENDING_MAX && connection.pending > before;
        if crowded {
            connection.evict(part);
        }
        self.pending_count = self.pending_count.saturating_add(connection.pending).saturating_sub(before);
        let id = ExchangeId { connection: number, part };
        (learned.then_some(id), evicted || crowded)
    }

    /// Takes over what was read of an exchange's heads.
    pub(in crate::engine) fn read(&mut self, heads: Box<Heads>) {
        let key = (heads.id, heads.number);
        let connection = self.by_id.get(&heads.id).and_then(|number| self.connections.get_mut(number));
        let known = connection.and_then(|connection| connection.exchanges.get_mut(Part::Exchange(heads.number)));
        match known {
            Some(State::Pending(exchange, _)) => exchange.read(heads),
            // late data may have the number of the exchange before it
            Some(State::Decided { .. }) | None => self.heads.insert(key, heads),
        }
    }

    /// The exchange and its connection, if it is not decided yet.
    pub(in crate::engine) fn pending(&self, id: ExchangeId) -> Option<(&Connection, &Exchange)> {
        let connection = self.connections.get(&id.connection)?;
        match connection.exchanges.get(id.part)? {
            State::Pending(exchange, _) => Some((connection, exchange)),
            State::Decided { .. } => None,
        }
    }

    /// Notes that it was kept as a cause.
    pub(in crate::engine) fn note_cause(&mut self, id: ExchangeId) {
        if let Some(State::Pending(exchange, _)) = self.state(id) {
            exchange.is_cause = true;
        }
    }

    /// Notes when it is to be looked at; true if the timers must hear of it.
    pub(in crate::engine) fn schedule(&mut self, id: ExchangeId, due: BootTime) -> bool {
        let Some(State::Pending(_, timer)) = self.state(id) else { return false };
        let sooner = timer.is_none_or(|timer| due < timer);
        if sooner {
            *timer = Some(due);
        }
        sooner
    }

    /// When it is to be looked at, if it is not decided.
    pub(in crate::engine) fn due(&self, id: ExchangeId) -> Option<BootTime> {
        match self.connections.get(&id.connection)?.exchanges.get(id.part)? {
            State::Pending(_, timer) => *timer,
            State::Decided { .. } => None,
        }
    }

    /// Takes the timer out; false if it was out of date.
    pub(in crate::engine) fn take_timer(&mut self, time: BootTime, id: ExchangeId) -> bool {
        let Some(State::Pending(_, timer)) = self.state(id) else { return false };
        let current = *timer == Some(time);
        if current {
            *timer = None;
        }
        current
    }

    /// Whether the timers' entry is still the exchange's own.
    pub(in crate::engine) fn is_current(&self, time: BootTime, id: ExchangeId) -> bool {
        let state = self.connections.get(&id.connection).and_then(|connection| connection.exchanges.get(id.part));
        matches!(state, Some(State::Pending(_, Some(timer))) if *timer == time)
    }

    /// Ends an exchange: whatever comes of it later, nothing is said any more. Gives its evidence.
    pub(in crate::engine) fn settle(&mut self, id: ExchangeId) -> Option<Box<Exchange>> {
        let ids = self.connections.get(&id.connection).map(|connection| connection.ids)?;
        for name in ids.into_iter().flatten() {
            self.said.insert((name, id.part), ());
        }
        let connection = self.connections.get_mut(&id.connection)?;
        let state = connection.exchanges.get_mut(id.part)?;
        let State::Pending(exchange, _) = std::mem::replace(state, DECIDED) else { return None };
        *state = State::Decided { outbound_only: exchange.inbound.is_none() };
        connection.pending = connection.pending.saturating_sub(1);
        self.pending_count = self.pending_count.saturating_sub(1);
        Some(exchange)
    }

    /// The connection of an exchange.
    pub(in crate::engine) fn connection(&self, id: ExchangeId) -> Option<&Connection> {
        self.connections.get(&id.connection)
    }

    /// The process that answered an exchange, if it is known.
    pub(in crate::engine) fn owner(&self, id: ExchangeId, record: &FlowRecord) -> u32 {
        let known = self.connections.get(&id.connection).map_or(0, |connection| connection.pid);
        if record.pid == 0 { known } else { record.pid }
    }

    /// All that are not decided, in the order in which they would be looked at.
    pub(in crate::engine) fn all_pending(&self) -> Vec<ExchangeId> {
        let mut all = Vec::new();
        for (number, connection) in &self.connections {
            for (part, state) in connection.exchanges.iter() {
                if let State::Pending(_, timer) = state {
                    let id = ExchangeId { connection: *number, part: *part };
                    all.push((timer.unwrap_or(BootTime::from_ns(u64::MAX)), id));
                }
            }
        }
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    }

    /// Forgets the pending exchanges of ports that are no longer watched. Gives how many.
    pub(in crate::engine) fn keep(&mut self, is_watched: impl Fn(u16) -> bool) -> u64 {
        let mut gone = 0;
        for connection in self.connections.values_mut() {
            if is_watched(connection.flow.responder.port) {
                continue;
            }
            for state in connection.exchanges.values_mut() {
                let State::Pending(exchange, _) = state else { continue };
                if !exchange.ends().any(|end| end.has(flow_flag::CHAINED)) {
                    *state = DECIDED;
                    connection.pending = connection.pending.saturating_sub(1);
                    self.pending_count = self.pending_count.saturating_sub(1);
                    gone += 1;
                }
            }
        }
        gone
    }

    /// Forgets connections that have told nothing for long: for longer, if something is pending.
    pub(in crate::engine) fn expire(&mut self, now: BootTime) {
        while let Some((look_again, number)) = self.forget.front().copied() {
            if look_again >= now {
                return;
            }
            self.forget.pop_front();
            let Some(connection) = self.connections.get(&number) else { continue };
            let held = connection.pending > 0;
            let until = connection.last.after(if held { HELD } else { REMEMBERED });
            if until >= now {
                self.forget.push_back((until.min(now.after(REMEMBERED)), number));
            } else {
                self.remove(number);
            }
        }
    }

    /// How many exchanges are not decided.
    pub(in crate::engine) fn pending_count(&self) -> usize {
        self.pending_count
    }

    /// How many connections there are.
    #[cfg(test)]
    pub(in crate::engine) fn len(&self) -> usize {
        self.connections.len()
    }

    fn state(&mut self, id: ExchangeId) -> Option<&mut State> {
        self.connections.get_mut(&id.connection)?.exchanges.get_mut(id.part)
    }

    /// The connection that a record is about; a new one if none is known. The two ends have different
    /// names; the initiator's ISN and end tell that they belong together.
    fn connection_of(&mut self, record: &FlowRecord) -> (u64, bool) {
        if let Some(number) = self.by_id.get(&record.id) {
            return (*number, false);
        }
        let (flow, side) = (flow_of(record), side(record));
        let others = self.by_isn.get(&record.isn).filter(|_| record.isn != 0);
        let other = others.into_iter().flatten().copied().find(|number| {
            self.connections
                .get(number)
                .is_some_and(|known| known.ids.get(side).is_some_and(Option::is_none) && known.flow.compatible(&flow))
        });
        if let Some(number) = other {
            if let Some(slot) = self.connections.get_mut(&number).and_then(|known| known.ids.get_mut(side)) {
                *slot = Some(record.id);
            }
            self.by_id.insert(record.id, number);
            return (number, false);
        }
        let evicted = self.make_room();
        self.begun = self.begun.wrapping_add(1);
        let number = self.begun;
        let ids = if side == 0 { [Some(record.id), None] } else { [None, Some(record.id)] };
        let last = time(record);
        let connection =
            Connection { flow, isn: record.isn, ids, exchanges: Parts::default(), pending: 0, last, pid: 0 };
        self.connections.insert(number, connection);
        self.by_id.insert(record.id, number);
        if record.isn != 0 {
            let same = self.by_isn.entry(record.isn).or_default();
            if same.len() < SAME_ISN_MAX {
                same.push(number);
            }
        }
        self.forget.push_back((last.after(REMEMBERED), number));
        (number, evicted)
    }

    /// What of its connection a record is about. The end that had closed gives late data no number, the
    /// end that sent it does: it is the same request, the last that the connection sees.
    fn part_of(&self, connection: u64, record: &FlowRecord) -> Part {
        let known = self.connections.get(&connection).map(|connection| &connection.exchanges);
        let late = known.is_some_and(|known| known.get(Part::LateData).is_some());
        if record.event != flow_event::LATE_DATA {
            return if late && !is_inbound(record) { Part::LateData } else { Part::Exchange(record.exchange) };
        }
        let of_other_end = |state: &State| match state {
            State::Pending(exchange, _) => exchange.inbound.is_none() && exchange.outbound.is_some(),
            State::Decided { outbound_only } => *outbound_only,
        };
        let sent = known.and_then(|known| known.iter().next_back()).filter(|(_, state)| of_other_end(state));
        sent.map_or(Part::LateData, |(part, _)| *part)
    }

    /// Throws the oldest out where there are too many; true if something of it was pending.
    fn make_room(&mut self) -> bool {
        if self.connections.len() < CONNECTIONS_MAX {
            return false;
        }
        let Some((number, oldest)) = self.connections.first_key_value() else { return false };
        let pending = oldest.pending > 0;
        let number = *number;
        self.remove(number);
        if self.forget.len() > CONNECTIONS_MAX.saturating_mul(2) {
            self.forget.retain(|(_, number)| self.connections.contains_key(number));
        }
        pending
    }

    fn remove(&mut self, number: u64) {
        let Some(connection) = self.connections.remove(&number) else { return };
        self.pending_count = self.pending_count.saturating_sub(connection.pending);
        for id in connection.ids.into_iter().flatten() {
            self.by_id.remove(&id);
        }
        if let Some(same) = self.by_isn.get_mut(&connection.isn) {
            same.retain(|known| *known != number);
            if same.is_empty() {
                self.by_isn.remove(&connection.isn);
            }
        }
    }
}

/// Both ends of a connection, whichever way a packet goes.
pub(in crate::engine) fn pair(flow: &Flow) -> (Endpoint, Endpoint) {
    let (one, other) = (flow.initiator, flow.responder);
    if one <= other { (one, other) } else { (other, one) }
}
