use super::*;
use crate::record::{Header, Tuple};

fn record(id: u64, isn: u32, event: u8, ms: u64) -> FlowRecord {
    let header = Header { time_ns: ms * 1_000_000, ..Header::default() };
    let tuple = Tuple { src_port: 8080, dst_port: 40_000, ..Tuple::default() };
    FlowRecord { header, tuple, id, isn, event, exchange: 1, flags: flow_flag::INBOUND, ..FlowRecord::default() }
}

fn other_end(record: &FlowRecord, id: u64) -> FlowRecord {
    let Tuple { src, dst, src_port, dst_port, pad } = record.tuple;
    let tuple = Tuple { src: dst, dst: src, src_port: dst_port, dst_port: src_port, pad };
    FlowRecord { id, tuple, flags: 0, ..*record }
}

#[test]
fn both_ends_are_one_connection() {
    let mut flows = Flows::default();
    let inbound = record(1, 7, flow_event::FIN_SENT, 10);
    let (first, _) = flows.learn(&inbound);
    assert_eq!(flows.learn(&other_end(&inbound, 2)).0, first);
    assert_eq!(flows.learn(&other_end(&inbound, 3)).0.map(|id| id == first.unwrap()), Some(false), "a third end");
    let exchange = flows.settle(first.unwrap()).unwrap();
    assert!(exchange.inbound.is_some() && exchange.outbound.is_some());
    assert_eq!(flows.learn(&record(1, 7, flow_event::CLOSED, 20)).0, None, "it is decided");
}

#[test]
fn an_event_is_told_once() {
    let mut flows = Flows::default();
    assert!(flows.learn(&record(1, 7, flow_event::UNANSWERED, 10)).0.is_some());
    assert!(flows.learn(&record(1, 7, flow_event::UNANSWERED, 11)).0.is_none());
    assert!(flows.learn(&record(1, 7, flow_event::TIMED_OUT, 12)).0.is_some());
}

#[test]
fn connections_are_bounded_and_what_was_pending_is_counted() {
    let mut flows = Flows::default();
    let mut evicted = 0;
    let more = 3 * CONNECTIONS_MAX as u64;
    for id in 1..=more {
        let (exchange, lost) = flows.learn(&record(id, u32::try_from(id).unwrap(), flow_event::FIN_SENT, id));
        evicted += u64::from(lost);
        if id > CONNECTIONS_MAX as u64 {
            flows.settle(exchange.unwrap());
        }
    }
    assert_eq!((flows.len(), evicted), (CONNECTIONS_MAX, CONNECTIONS_MAX as u64));
    assert!(flows.forget.len() <= 2 * CONNECTIONS_MAX + 1);
    assert_eq!((flows.by_id.len(), flows.by_isn.len()), (CONNECTIONS_MAX, CONNECTIONS_MAX));
}

#[test]
fn exchanges_are_bounded_and_decided_ones_go_first() {
    let mut flows = Flows::default();
    let told = |exchange: u32| FlowRecord { exchange, ..record(1, 7, flow_event::RESPONSE, u64::from(exchange)) };
    for exchange in 1..100 {
        let (id, evicted) = flows.learn(&told(exchange));
        assert!(!evicted);
        if exchange % 2 == 0 {
            flows.settle(id.unwrap());
        }
    }
    assert_eq!((flows.all_pending().len(), flows.pending_count()), (50, 50));
    assert_eq!(flows.connections.values().map(|connection| connection.exchanges.len()).sum::<usize>(), 50);
    let more = u32::try_from(PENDING_MAX).unwrap();
    let evicted = (100..100 + more).filter(|exchange| flows.learn(&told(*exchange)).1).count();
    assert_eq!((flows.pending_count(), evicted), (PENDING_MAX, 50));
}

#[test]
fn what_is_over_is_forgotten_and_not_said_again() {
    let mut flows = Flows::default();
    let (exchange, _) = flows.learn(&record(1, 7, flow_event::WAITING, 1000));
    flows.settle(exchange.unwrap());
    let at = |ms: u64| BootTime::from_ns(ms * 1_000_000);
    flows.expire(at(130_900));
    assert_eq!(flows.len(), 1);
    flows.expire(at(300_000));
    assert_eq!((flows.len(), flows.by_id.len(), flows.by_isn.len()), (0, 0, 0));
    assert_eq!(flows.learn(&record(1, 7, flow_event::FIN_SENT, 301_000)).0, None);
}

#[test]
fn heads_come_before_their_record_or_after_it() {
    let heads = Heads { id: 1, number: 1, path: Some("/a".to_owned()), ..Heads::default() };
    let path = |flows: &Flows, id| flows.pending(id).unwrap().1.heads.as_ref().and_then(|heads| heads.path.clone());
    let mut flows = Flows::default();
    flows.read(Box::new(heads.clone()));
    let (id, _) = flows.learn(&record(1, 7, flow_event::RESPONSE, 10));
    assert_eq!(path(&flows, id.unwrap()), Some("/a".to_owned()));
    let mut flows = Flows::default();
    let (id, _) = flows.learn(&record(1, 7, flow_event::RESPONSE, 10));
    flows.read(Box::new(heads.clone()));
    assert_eq!(path(&flows, id.unwrap()), Some("/a".to_owned()));
    // a later reading adds to the first
    flows.read(Box::new(Heads { path: None, server: Some("nginx".to_owned()), ..heads }));
    let read = flows.pending(id.unwrap()).unwrap().1.heads.clone().unwrap();
    assert_eq!((read.path.as_deref(), read.server.as_deref()), (Some("/a"), Some("nginx")));
}
