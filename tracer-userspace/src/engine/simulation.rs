//! Seeded streams of many attempts and exchanges: shuffled within the reorder window, doubled, lost, cut. Whatever
//! comes, nothing panics, an attempt gets at most one verdict, and the order of arrival within the
//! window changes nothing.
//!
//! `PROPTEST_CASES` says how many streams each test makes, and `PROPTEST_RNG_SEED` from which seed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::attempts::ATTEMPTS_MAX;
use super::flow_script::APP;
use super::flows::{CONNECTIONS_MAX, PENDING_MAX};
use super::script::{CLIENT, ROUTER, SERVER, Script, invariants, run, script, verdicts};
use super::{Engine, Output};
use crate::record::{BootTime, HostBody, HostRecord, Neighbour, Record, flow_event as event, flow_flag};

/// What happens to one attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Refused,
    WrongAddress,
    Rejected,
    ResetByNetfilter,
    Dropped,
    DroppedThenLetIn,
    OwnDropped,
    Silent,
    GivenUpEarly,
    AnsweredAfterAll,
    DeadHost,
    Unsent,
    RouterSaysNo,
    Answered503,
    Relayed,
    UpstreamDown,
    ClosedEarly,
    Crashed,
    LeftEarly,
    HalfClosed,
    Hung,
    Vanished,
    Raced,
    ResponseDropped,
}

const FATES: [Fate; 24] = [
    Fate::Refused,
    Fate::WrongAddress,
    Fate::Rejected,
    Fate::ResetByNetfilter,
    Fate::Dropped,
    Fate::DroppedThenLetIn,
    Fate::OwnDropped,
    Fate::Silent,
    Fate::GivenUpEarly,
    Fate::AnsweredAfterAll,
    Fate::DeadHost,
    Fate::Unsent,
    Fate::RouterSaysNo,
    Fate::Answered503,
    Fate::Relayed,
    Fate::UpstreamDown,
    Fate::ClosedEarly,
    Fate::Crashed,
    Fate::LeftEarly,
    Fate::HalfClosed,
    Fate::Hung,
    Fate::Vanished,
    Fate::Raced,
    Fate::ResponseDropped,
];

#[derive(Clone, Debug)]
pub(crate) struct Life {
    fate: Fate,
    start_ms: u64,
    v6: bool,
    /// Which ends are seen.
    server_seen: bool,
    client_seen: bool,
}

fn life() -> impl Strategy<Value = Life> {
    life_within(6_000)
}

/// A life that begins within so many milliseconds.
pub(crate) fn life_within(ms: u64) -> impl Strategy<Value = Life> {
    let fate = prop::sample::select(FATES.to_vec());
    (fate, 0..ms, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(fate, start_ms, v6, server_seen, client_seen)| Life { fate, start_ms, v6, server_seen, client_seen },
    )
}

/// The records of one life, in order.
fn live(number: u16, life: &Life) -> Vec<Record> {
    let t = |ms| life.start_ms + ms;
    let mut s = script().at(t(0)).attempt(number);
    s.records.clear();
    s = if life.v6 { s.v6() } else { s };
    let server = |s: Script, what: fn(Script) -> Script| if life.server_seen { what(s.in_ns(SERVER)) } else { s };
    let client = |s: Script, what: fn(Script) -> Script| if life.client_seen { what(s.in_ns(CLIENT)) } else { s };
    let s = match life.fate {
        Fate::Refused => client(server(s, Script::no_socket).at(t(1)), |s| s.reset_received().closed(111)),
        Fate::WrongAddress => server(s, |s| s.listener(9, "127.0.0.1").no_socket()),
        Fate::Rejected => {
            let s = server(s, |s| s.icmp_sent(3, 3).netfilter());
            client(s.at(t(1)), |s| s.icmp_received(3, 3).closed(111))
        }
        Fate::ResetByNetfilter => {
            let s = server(s, |s| s.netfilter_reset().netfilter());
            client(s.at(t(1)), |s| s.reset_received().closed(111))
        }
        Fate::Dropped => {
            let s = server(server(s, Script::netfilter).at(t(1001)), Script::netfilter);
            client(client(s.at(t(1000)), Script::retransmit).at(t(1700)), |s| s.closed(0))
        }
        Fate::DroppedThenLetIn => {
            let s = client(server(s, Script::netfilter).at(t(1000)), Script::retransmit);
            client(server(s.at(t(1001)), Script::accepted), Script::connected)
        }
        Fate::OwnDropped => client(s, |s| s.unsent_syns().own_netfilter()),
        Fate::Silent => {
            let s = client(s.at(t(1000)), Script::retransmit).at(t(3000));
            let s = client(s, Script::retransmit).at(t(3010));
            client(s, |s| s.path(|path| path.neighbour = Neighbour::Resolved))
        }
        Fate::GivenUpEarly => client(s.at(t(300)), |s| s.closed(0)),
        Fate::AnsweredAfterAll => client(client(s.at(t(1000)), Script::retransmit).at(t(1010)), Script::connected),
        Fate::DeadHost => client(s.at(t(3000)), |s| s.neighbour_failed(true).closed(113)),
        Fate::Unsent => client(client(s, |s| s.unsent(0)).at(t(4)), |s| s.path(|path| path.route_error = 101)),
        Fate::RouterSaysNo => client(s.in_ns(ROUTER).at(t(2)), |s| s.icmp_received_from("10.9.1.1", 3, 1)),
        _ => return exchange(number, life),
    };
    s.records
}

/// The records of a connection: what one end tells, and what the other does.
fn exchange(number: u16, life: &Life) -> Vec<Record> {
    let t = |ms| life.start_ms + ms;
    let begin = |s: Script| if life.v6 { s.v6() } else { s };
    let inbound = || begin(script()).at(t(0)).inbound(number).at(t(5)).get("/simulated");
    let outbound = || begin(script()).at(t(0)).outbound(number).at(t(5)).get("/simulated");
    let (server, client) = match life.fate {
        Fate::Relayed => {
            let upstream =
                script().at(t(6)).chained(20_000 + number, 900, 9090).get("/simulated").at(t(7)).answers(502);
            let mut proxy = inbound().owned_by(900, "nginx").at(t(8)).answers(502);
            proxy.records.extend(upstream.records);
            (proxy, outbound().at(t(9)).answers(502))
        }
        Fate::UpstreamDown => {
            let down = script().at(t(6)).connects(20_000 + number, 900, 9090).at(t(7)).reset_received().closed(111);
            let mut proxy = inbound().owned_by(900, "nginx").at(t(8)).answers(502);
            proxy.records.extend(down.records);
            (proxy, outbound().at(t(9)).answers(502))
        }
        Fate::ClosedEarly => {
            (inbound().at(t(8)).tells(event::FIN_SENT), outbound().at(t(9)).tells(event::FIN_RECEIVED))
        }
        Fate::Crashed => {
            let server = inbound().at(t(8)).flags(flow_flag::TASK_EXITING).tells(event::RESET_SENT).at(t(9));
            (server.killed(APP, 9), outbound().at(t(9)).tells(event::RESET_RECEIVED))
        }
        Fate::LeftEarly => {
            let server = inbound().at(t(300)).tells(event::FIN_RECEIVED).at(t(310)).tells(event::FIN_SENT);
            (server, outbound().at(t(299)).tells(event::FIN_SENT))
        }
        Fate::HalfClosed => {
            let server = inbound().at(t(6)).tells(event::FIN_RECEIVED).at(t(400)).responds(200, 0).tells(event::CLOSED);
            (server, outbound())
        }
        Fate::Hung => {
            (inbound().at(t(10_100)).tells(event::RESET_RECEIVED), outbound().at(t(10_099)).tells(event::RESET_SENT))
        }
        Fate::Vanished => {
            let server = inbound().at(t(900)).responds(200, 10).tells(event::UNANSWERED).at(t(3000));
            (server.tells(event::TIMED_OUT), outbound().at(t(900)).tells(event::UNANSWERED))
        }
        Fate::Raced => {
            let server = inbound().at(t(8)).responds(200, 0).at(t(500)).tells(event::LATE_DATA);
            let client = outbound().at(t(8)).responds(200, 0).at(t(499)).get("/late").at(t(501));
            (server, client.tells(event::FIN_RECEIVED).at(t(502)).tells(event::RESET_RECEIVED))
        }
        Fate::ResponseDropped => {
            let server = inbound().at(t(10)).payload_dropped(false).at(t(300)).payload_dropped(false).at(t(1500));
            (server.tells(event::UNANSWERED), outbound())
        }
        _ => (inbound().at(t(8)).answers(503), outbound().at(t(9)).answers(503)),
    };
    let begins = |record: &Record| matches!(record, Record::Host(HostRecord { body: HostBody::Start(_), .. }));
    let told = |s: Script, seen: bool| s.records.into_iter().filter(move |record| seen && !begins(record));
    told(server, life.server_seen).chain(told(client, life.client_seen)).collect()
}

/// All lives in one stream, in order of time, every record at a time of its own, with ticks.
fn stream(lives: &[Life]) -> Vec<Record> {
    stream_until(lives, 12_000)
}

/// The same, with ticks up to so many milliseconds.
pub(crate) fn stream_until(lives: &[Life], end_ms: u64) -> Vec<Record> {
    let mut records: Vec<Record> = lives.iter().zip(1..).flat_map(|(life, number)| live(number, life)).collect();
    for ms in (0..end_ms).step_by(250) {
        records.extend(script().at(ms).tick().records.pop());
    }
    records.sort_by_key(Record::time);
    for (nth, record) in (0_u64..).zip(&mut records) {
        set_time(record, record.time().as_ns() + nth);
    }
    let mut whole = script().addresses().records;
    whole.append(&mut records);
    whole
}

fn set_time(record: &mut Record, time_ns: u64) {
    match record {
        Record::Socket(record) => record.header.time_ns = time_ns,
        Record::Packet(record) => record.header.time_ns = time_ns,
        Record::Icmp(record) => record.header.time_ns = time_ns,
        Record::Flow(record) => record.header.time_ns = time_ns,
        Record::Handshake(record) => record.header.time_ns = time_ns,
        Record::Process(record) => record.header.time_ns = time_ns,
        Record::UnixConnect(record) => record.header.time_ns = time_ns,
        Record::Host(record) => record.time = BootTime::from_ns(time_ns),
    }
}

/// The same records as they may arrive: each up to just under 200 ms late.
fn shuffled(records: &[Record], delays_us: &[u64]) -> Vec<Record> {
    let (start, rest) = records.split_at(1);
    let arrival = |(record, delay): (&Record, &u64)| (record.time().as_ns() + delay * 1000, record.clone());
    let mut arriving: Vec<_> = rest.iter().zip(delays_us.iter().cycle()).map(arrival).collect();
    arriving.sort_by_key(|(arrival, _)| *arrival);
    start.iter().cloned().chain(arriving.into_iter().map(|(_, record)| record)).collect()
}

/// At most one verdict for an attempt.
fn at_most_one_each(out: &[Output]) {
    let mut seen = BTreeMap::new();
    for verdict in verdicts(out).into_iter().filter(|verdict| verdict.isn.is_some()) {
        assert_eq!(seen.insert(verdict.isn, verdict.slug), None, "{verdict:?}");
        let causes = std::iter::successors(verdict.cause.as_deref(), |cause| cause.cause.as_deref());
        assert!(causes.count() <= 4, "{verdict:?}");
    }
}

/// Few, where nobody asks for more.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 96 };
    ProptestConfig { failure_persistence: None, cases, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_order_of_arrival_within_the_window_changes_nothing(
        lives in prop::collection::vec(life(), 1..40),
        delays_us in prop::collection::vec(0_u64..199_999, 1..64),
    ) {
        let records = stream(&lives);
        let straight = run(&records);
        prop_assert_eq!(&run(&records), &straight);
        prop_assert_eq!(&run(&shuffled(&records, &delays_us)), &straight);
        invariants(&straight);
        at_most_one_each(&straight);
    }

    #[test]
    fn whatever_comes_there_is_at_most_one_verdict_each(
        lives in prop::collection::vec(life(), 1..40),
        doubled in prop::collection::vec(any::<Index>(), 0..20),
        lost in prop::collection::vec(any::<Index>(), 0..20),
        late in prop::collection::vec((any::<Index>(), any::<Index>()), 0..10),
        (from, to) in (any::<Index>(), any::<Index>()),
    ) {
        let mut records = stream(&lives);
        for index in &doubled {
            let at = index.index(records.len());
            records.insert(at, records[at].clone());
        }
        for index in &lost {
            let at = index.index(records.len());
            let gone = script().lost(1).records.pop().map(|mut record| {
                set_time(&mut record, records[at].time().as_ns());
                record
            });
            records.splice(at..=at, gone);
        }
        for (from, to) in &late {
            let record = records.remove(from.index(records.len()));
            records.insert(to.index(records.len() + 1), record);
        }
        let (from, to) = (from.index(records.len()), to.index(records.len()));
        let cut = &records[from.min(to)..=from.max(to)];
        let out = run(cut);
        prop_assert_eq!(&run(cut), &out);
        invariants(&out);
        at_most_one_each(&out);
    }

    #[test]
    fn records_of_any_content_are_survived(
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 208), 0..40),
        kinds in prop::collection::vec((1_u16..18).prop_filter("of the ring only", |kind| *kind != 12), 40),
        lives in prop::collection::vec(life(), 1..5),
    ) {
        let mut engine = Engine::new();
        let mut out = Vec::new();
        let mut records = stream(&lives);
        for (body, kind) in bytes.iter().zip(kinds) {
            let len = match kind {
                0..=5 => 128,
                6..=8 | 12..=14 => 96,
                9..=10 => 104,
                11 => 208,
                _ => 56,
            };
            let mut bytes = body[..usize::from(len)].to_vec();
            bytes[..2].copy_from_slice(&kind.to_ne_bytes());
            bytes[2..4].copy_from_slice(&u16::to_ne_bytes(len));
            let decoded = Record::decode(&bytes).unwrap().record.unwrap();
            records.insert(usize::from(body[5]) % records.len(), decoded);
        }
        for record in &records {
            engine.push(record.clone(), &mut out);
            prop_assert!(engine.attempts.len() <= ATTEMPTS_MAX && engine.flows.len() <= CONNECTIONS_MAX);
            prop_assert!(engine.flows.pending_count() <= PENDING_MAX);
        }
        engine.finish(&mut out);
        prop_assert!(engine.flows.all_pending().len() <= engine.flows.pending_count());
        invariants(&out);
    }
}
