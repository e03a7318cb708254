use super::*;
use crate::engine::evidence::Endpoint;

fn flow(host: u8, port: u16) -> Flow {
    let end = |last, port| Endpoint { address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last], port };
    Flow { initiator: end(host, port), responder: end(200, 8080) }
}

const T0: BootTime = BootTime::from_ns(1_000_000_000);

#[test]
fn attempts_with_one_isn_are_told_apart_and_found_after_others_went() {
    let mut attempts = Attempts::default();
    let other = |host: u8| Flow { responder: Endpoint { address: [host; 16], port: 1 }, ..flow(host, u16::from(host)) };
    let ids: Vec<Id> = (1..=3).map(|host| attempts.begin(7, other(host), 0, T0).0).collect();
    assert_eq!(attempts.find(7, &other(2), 0, None), Some(ids[1]));
    attempts.forget(ids[1]);
    assert_eq!(attempts.find(7, &other(2), 0, None), None);
    assert_eq!(attempts.find(7, &other(1), 0, None), Some(ids[0]));
    attempts.forget(ids[2]);
    assert_eq!(attempts.find(7, &other(1), 0, None), Some(ids[0]));
    attempts.forget(ids[0]);
    assert_eq!((attempts.len(), attempts.by_isn.len()), (0, 0));
}

#[test]
fn a_socket_stands_in_until_the_isn_is_known() {
    let mut attempts = Attempts::default();
    let (id, _) = attempts.begin(0, flow(1, 1000), 55, T0);
    assert_eq!(attempts.find(9, &flow(1, 1000), 55, None), Some(id));
    attempts.visit(id, 9, flow(1, 1000), T0);
    assert_eq!(attempts.find(9, &flow(1, 1000), 0, None), Some(id));
    assert_eq!(attempts.find(10, &flow(1, 1000), 55, None), None, "the socket's next attempt");
}

#[test]
fn what_is_over_is_remembered_then_forgotten() {
    let mut attempts = Attempts::default();
    let (id, _) = attempts.begin(9, flow(1, 1000), 0, T0);
    attempts.settle(id, Outcome::Decided { by_reset: false });
    attempts.expire(T0.after(REMEMBERED));
    assert_eq!(attempts.find(9, &flow(1, 1000), 0, None), Some(id));
    attempts.visit(id, 9, flow(1, 1000), T0.after(REMEMBERED));
    attempts.expire(T0.after(REMEMBERED * 2));
    assert_eq!(attempts.find(9, &flow(1, 1000), 0, None), Some(id), "it was seen again");
    attempts.expire(T0.after(REMEMBERED * 3));
    assert_eq!(attempts.find(9, &flow(1, 1000), 0, None), None);
    assert_eq!(attempts.len(), 0);
}

#[test]
fn memory_is_bounded_and_the_oldest_goes_first() {
    let mut attempts = Attempts::default();
    let mut evicted = 0;
    for isn in 1..=u32::try_from(UNDER_WAY_MAX + 10).unwrap() {
        evicted += usize::from(attempts.begin(isn, flow(1, 1000), 0, T0).1 == Some(Evicted::UnderWay));
    }
    assert_eq!((evicted, attempts.under_way_count()), (10, UNDER_WAY_MAX));
    assert_eq!(attempts.find(10, &flow(1, 1000), 0, None), None);
    assert!(attempts.find(11, &flow(1, 1000), 0, None).is_some());
    let mut attempts = Attempts::default();
    for isn in 1..=u32::try_from(ATTEMPTS_MAX + 10).unwrap() {
        let (id, evicted) = attempts.begin(isn, flow(1, 1000), 0, T0);
        assert_eq!(evicted.is_some(), usize::try_from(isn).unwrap() > ATTEMPTS_MAX);
        attempts.settle(id, Outcome::Decided { by_reset: false });
    }
    assert_eq!(attempts.len(), ATTEMPTS_MAX);
    assert!(attempts.may_be_forgotten(T0) && !attempts.may_be_forgotten(T0.after(REMEMBERED)));
}

#[test]
fn a_constant_isn_joins_nobody_and_costs_no_walk() {
    let mut attempts = Attempts::default();
    let mut ids = Vec::new();
    for port in 1..1000 {
        let from = flow(1, port);
        assert_eq!(attempts.find(7, &from, 0, Some(1)), None, "another client's SYN, dropped in the same place");
        let (id, _) = attempts.begin(7, from, 0, T0);
        attempts.dropped_in(id, 1);
        ids.push(id);
    }
    assert_eq!(chain_len(&attempts.entries, attempts.by_isn[&7]), SAME_ISN_MAX);
    assert_eq!(attempts.find(7, &flow(1, 5), 0, Some(1)), Some(ids[4]));
    // from elsewhere it can be the same one, its source translated
    assert!(attempts.find(7, &flow(9, 5), 0, None).is_some());
    for id in ids {
        attempts.forget(id);
    }
    assert_eq!((attempts.len(), attempts.by_isn.len()), (0, 0));
}
