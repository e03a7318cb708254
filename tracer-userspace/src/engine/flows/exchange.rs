//! One exchange that something has been told of: the records of either end, and what was read of its
//! heads.

use std::time::Duration;

use crate::record::{BODY_CHUNKED, BODY_UNKNOWN, BootTime, Exchange as Heads, FlowRecord, flow_event, flow_flag};

/// What one end told, one record an event.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct End {
    /// In the order of time.
    records: Vec<FlowRecord>,
}

impl End {
    /// Takes a record over; false if that event was told before. A silence that was overcome makes room for
    /// the next.
    fn add(&mut self, record: &FlowRecord) -> bool {
        if let Some(known) = self.of(record.event) {
            if record.event != flow_event::UNANSWERED || !went_on(record, known) {
                return false;
            }
            self.records.retain(|known| known.event != record.event);
        }
        let time = record.header.time_ns;
        let place = self.records.iter().take_while(|known| known.header.time_ns <= time).count();
        self.records.insert(place, *record);
        true
    }

    /// In the order of time; never empty.
    pub(in crate::engine) fn records(&self) -> &[FlowRecord] {
        &self.records
    }

    /// The record of an event.
    pub(in crate::engine) fn of(&self, event: u8) -> Option<&FlowRecord> {
        self.records.iter().find(|record| record.event == event)
    }

    /// The first record of one of these events.
    pub(in crate::engine) fn first_of(&self, events: &[u8]) -> Option<&FlowRecord> {
        self.records.iter().find(|record| events.contains(&record.event))
    }

    /// Bits that any record has.
    pub(in crate::engine) fn has(&self, flag: u32) -> bool {
        self.records.iter().any(|record| record.flags & flag != 0)
    }

    /// The last record that says so.
    pub(in crate::engine) fn latest<T>(&self, say: impl Fn(&FlowRecord) -> Option<T>) -> Option<T> {
        self.records.iter().rev().find_map(say)
    }

    /// The socket's last reader or writer, if it is known.
    pub(in crate::engine) fn pid(&self) -> u32 {
        self.latest(|record| (record.pid != 0).then_some(record.pid)).unwrap_or(0)
    }
}

/// When a record was written.
pub(in crate::engine) fn time(record: &FlowRecord) -> BootTime {
    BootTime::from_ns(record.header.time_ns)
}

/// A moment that a record names, if it does.
pub(in crate::engine) fn moment(ns: u64) -> Option<BootTime> {
    (ns != 0).then_some(BootTime::from_ns(ns))
}

/// Whether this record is from the accepting end.
pub(in crate::engine) fn is_inbound(record: &FlowRecord) -> bool {
    record.flags & flow_flag::INBOUND != 0
}

/// Whether it has this bit.
pub(in crate::engine) fn has(record: &FlowRecord, flag: u32) -> bool {
    record.flags & flag != 0
}

/// No byte of a final response had passed.
pub(in crate::engine) fn is_unanswered(record: &FlowRecord) -> bool {
    record.response_start_ns == 0 && record.status == 0
}

/// A response had begun, and was not whole.
pub(in crate::engine) fn is_cut(record: &FlowRecord) -> bool {
    !is_unanswered(record) && !has(record, flow_flag::RESPONSE_COMPLETE)
}

/// Something was open: no response, or half of one.
pub(in crate::engine) fn is_open(record: &FlowRecord) -> bool {
    !has(record, flow_flag::RESPONSE_COMPLETE | flow_flag::UPGRADED)
}

/// How long the request had waited for a response, from its last byte.
pub(in crate::engine) fn waited(record: &FlowRecord) -> Duration {
    let last = record.request_end_ns.max(record.request_start_ns);
    moment(last).map_or(Duration::ZERO, |last| time(record).since(last))
}

/// How long no byte of the response had passed.
pub(in crate::engine) fn stalled(record: &FlowRecord) -> Duration {
    let last = record.response_end_ns.max(record.response_start_ns);
    moment(last).map_or(Duration::ZERO, |last| time(record).since(last))
}

/// Whether more of what this end sends passed after this: what was sent before had come through.
pub(in crate::engine) fn went_on(record: &FlowRecord, since: &FlowRecord) -> bool {
    let own = if is_inbound(record) { record.response_end_ns } else { record.request_end_ns };
    moment(own).is_some_and(|last| last > time(since))
}

/// How long nothing had passed before the request began, or before this event where there is none.
pub(in crate::engine) fn idle(record: &FlowRecord) -> Duration {
    let until = moment(record.request_start_ns).unwrap_or_else(|| time(record));
    moment(record.idle_since_ns).map_or(Duration::ZERO, |since| until.since(since))
}

/// Last request byte to first response byte.
pub(in crate::engine) fn latency(record: &FlowRecord) -> Option<Duration> {
    let (request, response) = (moment(record.request_end_ns)?, moment(record.response_start_ns)?);
    Some(response.since(request))
}

/// Whether it is known to be HTTP/1.
pub(in crate::engine) fn is_http(record: &FlowRecord) -> bool {
    has(record, flow_flag::HTTP)
}

/// Whether the request is known to have reached this end whole, or cannot for the app's sake.
pub(in crate::engine) fn was_delivered(record: &FlowRecord) -> bool {
    use crate::record::stage;
    has(record, flow_flag::REQUEST_COMPLETE) || matches!(record.stage, stage::NOT_ACCEPTED | stage::NOT_READ)
}

/// How much of the response's body was announced, and how much came.
pub(in crate::engine) fn body(record: &FlowRecord) -> String {
    let seen = record.body_seen;
    match record.body_expected {
        BODY_UNKNOWN => format!("{seen} bytes of a body of unknown length"),
        BODY_CHUNKED => format!("{seen} bytes of a chunked body without its last chunk"),
        length => format!("{seen} of {length} bytes of the body"),
    }
}

/// An exchange, or what happened to a connection outside of any.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Exchange {
    /// What the accepting end told.
    pub(in crate::engine) inbound: Option<End>,
    /// What the connecting end told.
    pub(in crate::engine) outbound: Option<End>,
    pub(in crate::engine) heads: Option<Box<Heads>>,
    /// What the connecting end did was kept as what may be the cause of another failure.
    pub(in crate::engine) is_cause: bool,
}

impl Exchange {
    /// Takes a record over; false if it says nothing new.
    pub(super) fn add(&mut self, record: &FlowRecord) -> bool {
        let end = if is_inbound(record) { &mut self.inbound } else { &mut self.outbound };
        // most tell one thing and no more
        end.get_or_insert_with(|| End { records: Vec::with_capacity(1) }).add(record)
    }

    /// Takes over what was read of its heads: later readings know more.
    pub(super) fn read(&mut self, heads: Box<Heads>) {
        self.heads = Some(match self.heads.take() {
            None => heads,
            Some(known) => Box::new(join(*known, *heads)),
        });
    }

    /// The end that decides: the accepting one, where both are on this host.
    pub(in crate::engine) fn leading(&self) -> Option<&End> {
        self.inbound.as_ref().or(self.outbound.as_ref())
    }

    /// Both ends' records.
    pub(in crate::engine) fn ends(&self) -> impl Iterator<Item = &End> {
        self.inbound.iter().chain(&self.outbound)
    }

    /// When it began, as far as it is known; never after any of its records.
    pub(in crate::engine) fn started(&self) -> BootTime {
        let of_end = |end: &End| {
            let began = end.latest(|record| moment(record.request_start_ns));
            let first = end.records.first().map(time);
            began.into_iter().chain(first).min()
        };
        self.ends().filter_map(of_end).min().unwrap_or_default()
    }

    /// The status that was answered.
    pub(in crate::engine) fn status(&self) -> Option<u16> {
        let of_end = |end: &End| end.latest(|record| (record.status != 0).then_some(record.status));
        self.ends().find_map(of_end)
    }

    /// The process at the connecting end, if it is on this host and known.
    pub(in crate::engine) fn initiator_pid(&self) -> u32 {
        self.outbound.as_ref().map_or(0, End::pid)
    }

    /// Whether its request is a health checker's.
    pub(in crate::engine) fn is_health_check(&self) -> bool {
        self.ends().any(|end| end.has(flow_flag::HEALTH_CHECK))
    }
}

/// Events after which nothing more comes.
pub(in crate::engine) const CLOSES: [u8; 3] = [flow_event::FIN_SENT, flow_event::RESET_SENT, flow_event::CLOSED];

fn join(old: Heads, new: Heads) -> Heads {
    Heads {
        id: new.id,
        number: new.number,
        method: new.method.or(old.method),
        path: new.path.or(old.path),
        host: new.host.or(old.host),
        user_agent: new.user_agent.or(old.user_agent),
        trace_id: new.trace_id.or(old.trace_id),
        has: if new.has.is_empty() { old.has } else { new.has },
        client: new.client.or(old.client),
        proxied_for: new.proxied_for.or(old.proxied_for),
        server: new.server.or(old.server),
        via: new.via.or(old.via),
        malformed: new.malformed.or(old.malformed),
    }
}
