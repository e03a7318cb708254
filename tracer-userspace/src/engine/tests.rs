//! The engine as a whole: order, floods, counters, what is said besides the slug.

use super::attempts::ATTEMPTS_MAX;
use super::reorder::WAITING_MAX;
use super::script::{CLIENT, PORT, SERVER, Script, check, run, script, summary, verdicts};
use super::{Engine, Output};
use crate::record::{BootTime, Neighbour, PortCount, Record};
use crate::verdict::{Event, Slug, Verdict};

/// Verdict, times relative to the script's beginning, ends, process, words and evidence.
fn tell(verdict: &Verdict) -> String {
    let ms = |time: BootTime| time.since(BootTime::from_ns(1_000_000_000)).as_millis();
    let end = |end: Option<std::net::SocketAddr>| end.map_or_else(|| "-".to_owned(), |end| end.to_string());
    let process = verdict.process.as_ref().map(|process| {
        let unit = process.unit.clone().unwrap_or_default();
        format!("{} {} {unit}", process.pid.unwrap_or(0), process.comm.clone().unwrap_or_default())
    });
    let mut lines = vec![
        format!("{} {} -> {}", verdict.slug, ms(verdict.started), ms(verdict.time)),
        format!("{} {} isn {:?} ns {}", end(verdict.local), end(verdict.remote), verdict.isn, verdict.netns),
        format!("process {}", process.unwrap_or_default()).trim_end().to_owned(),
        verdict.summary.clone(),
        verdict.next.clone(),
    ];
    lines.extend(verdict.evidence.iter().map(|item| format!("{} {:?}: {}", ms(item.time), item.event, item.detail)));
    lines.join("\n")
}

#[track_caller]
fn check_words(script: impl Into<Vec<Record>>, expected: &str) {
    let out = run(&script.into());
    let said: Vec<_> = verdicts(&out).into_iter().map(tell).collect();
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(said.join("\n"), expected.join("\n"));
}

#[test]
fn words_of_process_down() {
    let stopped = script().addresses().process(812, "gunicorn", "app.service").listener(4, "0.0.0.0");
    check_words(
        stopped.at(100).stops_listening(4, "0.0.0.0").at(2600).attempt(2).reset_sent().no_socket(),
        "process-down 2600 -> 2600
         10.9.2.2:8080 10.9.1.2:40002 isn Some(5002) ns 1
         process 812 gunicorn app.service
         Nothing listens on port 8080 in namespace server: the kernel refused the SYN from 10.9.1.2:40002 with a RST; gunicorn (pid 812) stopped listening 2.5 s before.
         See why it stopped with `systemctl status app.service` and `journalctl -u app.service -e`, and start it; `ip netns exec server ss -ltnp 'sport = :8080'` must show a listener.
         2600 ResetSent: the kernel answered the SYN with a RST in namespace server
         2600 NoSocket: SYN from 10.9.1.2:40002 to 10.9.2.2:8080 dropped in namespace server: NO_SOCKET in tcp_v4_rcv
         2600 NoListener: nothing listens on port 8080 at any address in namespace server",
    );
}

#[test]
fn words_of_wrong_bind_address() {
    check_words(
        script().v6().listens(4, "::1").at(500).attempt(2).no_socket(),
        "wrong-bind-address 500 -> 500
         [fd00:2::2]:8080 [fd00:1::2]:40002 isn Some(5002) ns 1
         process 812 gunicorn
         gunicorn (pid 812) listens on [::1]:8080 only, so the SYN from [fd00:1::2]:40002 to [fd00:2::2]:8080 found no socket and was refused with a RST.
         Make gunicorn (pid 812) listen on [::]:8080 or [fd00:2::2]:8080, or send clients to [::1]:8080; `ss -ltnp 'sport = :8080'` shows what it is bound to.
         500 NoSocket: SYN from [fd00:1::2]:40002 to [fd00:2::2]:8080 dropped: NO_SOCKET in tcp_v6_rcv
         500 Listener: gunicorn (pid 812) listens on [::1]:8080, which does not take fd00:2::2",
    );
}

#[test]
fn words_of_firewall_reject() {
    check_words(
        script().listens(4, "0.0.0.0").icmp_sent(3, 3).netfilter().in_ns(CLIENT).at(1).icmp_received(3, 3).closed(111),
        "firewall-reject 0 -> 1
         10.9.2.2:8080 10.9.1.2:40001 isn Some(5001) ns 1
         process 812 gunicorn
         The host firewall rejected the SYN from 10.9.1.2:40001 to 10.9.2.2:8080 and answered with ICMP port unreachable (type 3, code 3).
         Find the rule with `nft -a list ruleset` or `iptables-save -c` (its counter rises with each attempt) and allow port 8080 from 10.9.1.2.
         0 SynSent: SYN from 10.9.1.2:40001 to 10.9.2.2:8080
         0 IcmpSent: ICMP port unreachable (type 3, code 3) from 10.9.2.2 to 10.9.1.2
         0 NetfilterDrop: SYN from 10.9.1.2:40001 to 10.9.2.2:8080 dropped: NETFILTER_DROP in nf_hook_slow
         1 IcmpReceived: ICMP port unreachable (type 3, code 3) from 10.9.2.2 to 10.9.1.2
         1 GaveUp: ECONNREFUSED, connection refused
         1 Listener: gunicorn (pid 812) listens on 0.0.0.0:8080 all the while",
    );
}

#[test]
fn words_of_security_group_drop() {
    let silent = script().in_ns(CLIENT).at(1000).retransmit().at(1500).closed(0).at(1505);
    check_words(
        silent.path(|path| (path.neighbour, path.progressing_flows) = (Neighbour::Resolved, 2)),
        "security-group-drop 0 -> 1500
         10.9.1.2:40001 10.9.2.2:8080 isn Some(5001) ns 2
         process 77 curl
         Nothing answered the SYN, sent twice, of curl (pid 77) to 10.9.2.2:8080 within 1.5 s: something on the way drops it; connections made earlier still work, which speaks for a stateful filter.
         Look at the security groups and network ACLs between 10.9.1.2 and 10.9.2.2:8080 (inbound TCP 8080 there, outbound here); run wherefore on 10.9.2.2 to see whether the SYN arrives.
         0 SynSent: SYN from 10.9.1.2:40001 to 10.9.2.2:8080
         1000 SynRetransmitted: SYN sent again, retransmission 1
         1500 GaveUp: the socket was closed before anything answered
         1505 NeighbourResolved: link address of next hop 10.9.2.2 is known
         1505 OtherFlowsProgress: 2 established connections to 10.9.2.2:8080 still progress",
    );
}

#[test]
fn words_of_no_route() {
    check_words(
        script().in_ns(CLIENT).unsent(0).at(3).path(|path| path.route_error = 101).at(2000).tick(),
        "no-route 0 -> 0
         10.9.1.2:0 10.9.2.2:8080 isn None ns 2
         process 77 curl
         The host has no route to 10.9.2.2, so the attempt of curl (pid 77) to connect to 10.9.2.2:8080 failed.
         Look at `ip route get 10.9.2.2` and `ip route show table all`, and add the route.
         0 NoRoute: connect() returned before a SYN was sent
         3 NoRoute: route look-up for 10.9.2.2: ENETUNREACH, network is unreachable",
    );
}

#[test]
fn long_attempts_keep_their_first_and_last_evidence() {
    let mut long = script().in_ns(CLIENT);
    for n in 1..=40 {
        long = long.at(n * 10).retransmit();
    }
    let out = check(long.at(2000).reset_received(), &["process-down outbound likely 502 or firewall-reject"]);
    let evidence = &verdicts(&out)[0].evidence;
    assert_eq!(evidence.len(), 16);
    assert_eq!(evidence[0].event, Event::SynSent);
    assert_eq!(evidence[1].detail, "SYN sent again, retransmission 1");
    assert_eq!(evidence[15].event, Event::ResetReceived);
}

/// `count` refused SYNs within one second of decision.
fn flood(count: u16, peers: u8) -> Script {
    let mut flood = script().at(200);
    for n in 1..=count {
        let peer = format!("10.9.1.{}", 2 + n % u16::from(peers));
        flood = flood.attempt(n).from(&peer).no_socket();
    }
    flood.at(2000).tick()
}

#[test]
fn floods_are_folded() {
    let folded = |count, peers| {
        let out = run(&flood(count, peers).records);
        let said: Vec<Verdict> = verdicts(&out).into_iter().cloned().collect();
        assert_eq!(summary(&out).verdicts[&Slug::ProcessDown], u64::from(count));
        said
    };
    assert_eq!(folded(100, 1).len(), 100);
    let one_more = folded(101, 1);
    assert_eq!((one_more.len(), one_more[100].count, one_more[100].isn), (101, 1, Some(5101)));
    let same_peer = folded(350, 1);
    let line = &same_peer[100];
    assert_eq!((same_peer.len(), line.count, line.isn), (101, 250, None));
    assert_eq!(line.remote.map(|end| end.to_string()).as_deref(), Some("10.9.1.2:0"));
    assert_eq!(line.local.map(|end| end.to_string()).as_deref(), Some("10.9.2.2:8080"));
    assert_eq!(folded(350, 2)[100].remote, None);
}

#[test]
fn a_folded_line_names_a_process_only_if_all_are_of_one_name() {
    let folded = |comms: [&[u8; 4]; 2]| {
        let mut flood = script().in_ns(CLIENT);
        for n in 1..=102 {
            flood = flood.attempt(n).closed(111);
            if let (Some(Record::Socket(socket)), Some(comm)) = (flood.records.last_mut(), n.checked_sub(101)) {
                socket.comm[..4].copy_from_slice(comms[usize::from(comm)]);
            }
        }
        let out = run(&flood.records);
        let line = verdicts(&out)[100];
        assert_eq!(line.count, 2);
        line.process.as_ref().map(|process| (process.pid, process.comm.clone().unwrap()))
    };
    assert_eq!(folded([b"curl", b"curl"]), Some((None, "curl".to_owned())));
    assert_eq!(folded([b"curl", b"wget"]), None);
}

#[test]
fn folding_goes_by_the_second_and_by_kind() {
    let mut both = flood(120, 1).at(1300);
    for n in 201..=320 {
        both = both.attempt(n).no_socket();
    }
    both = both.in_ns(CLIENT);
    for n in 401..=500 {
        both = both.attempt(n).no_socket();
    }
    // put in order of time: the flood ends with a later tick
    both.records.sort_by_key(Record::time);
    let out = run(&both.at(4000).tick().records);
    let counts: Vec<_> =
        verdicts(&out).into_iter().filter(|verdict| verdict.count > 1).map(|verdict| verdict.count).collect();
    assert_eq!(counts, [20, 20]);
    assert_eq!(verdicts(&out).len(), 100 + 1 + 100 + 1 + 100);
}

#[test]
fn verdicts_come_when_they_are_due_and_not_before() {
    let mut engine = Engine::new();
    let mut out = Vec::new();
    let mut push = |script: Script| {
        for record in &script.records[1..] {
            engine.push(record.clone(), &mut out);
        }
        verdicts(&out).len()
    };
    assert_eq!(push(script().no_socket()), 0);
    assert_eq!(push(script().at(300).tick()), 0, "the watermark is at 100 ms: more of that moment may come");
    assert_eq!(push(script().at(301).tick()), 1);
}

#[test]
fn late_records_are_counted_and_change_nothing_that_is_decided() {
    let late = script().no_socket().at(5000).tick().at(10).netfilter().icmp_sent(3, 3);
    check(late, &["process-down inbound certain 502", "late 2"]);
    // but they may still decide what is not
    let late = script().at(4000).tick().at(5000).tick().at(10).no_socket().at(5400).tick();
    check(late, &["process-down inbound certain 502", "late 1"]);
}

#[test]
fn a_socket_that_tries_again_is_another_attempt() {
    let twice = script().in_ns(CLIENT).at(1).closed(111).at(50);
    let mut again = twice.attempt(2);
    again.client.set_port(40_001);
    check(again.at(51).closed(111), &["process-down outbound likely 502 or firewall-reject"; 2]);
}

#[test]
fn address_translation_does_not_split_an_attempt() {
    let verdict = ["process-down inbound certain 502"];
    let seen = || script().in_ns(CLIENT).to("10.9.2.9:8080").at(1).closed(111).in_ns(SERVER);
    // destination, then source, then both addresses
    check(seen().to("10.9.2.2:8080").at(0).no_socket(), &verdict);
    check(seen().from("10.9.1.77").at(0).no_socket(), &verdict);
    check(seen().from("10.9.1.77").to("10.9.2.2:8080").at(0).no_socket(), &verdict);
    // the same ISN by chance
    let mut chance = seen().from("10.9.1.77").to("10.9.2.2:8080").at(0);
    chance.client.set_port(50_000);
    check(
        chance.no_socket(),
        &["process-down inbound certain 502", "process-down outbound likely 502 or firewall-reject"],
    );
}

#[test]
fn a_scanner_with_one_isn_makes_many_attempts() {
    let mut scan = script();
    for n in 1..=5 {
        scan = scan.attempt(n);
        scan.isn = 99;
        scan = scan.no_socket();
    }
    check(scan, &["process-down inbound certain 502"; 5]);
}

#[test]
fn counters_and_summary() {
    let counts =
        |accepted, syns| PortCount { accepted, syns, closed: 1, last_syn_ns: 1_500_000_000, ..PortCount::default() };
    let stream =
        script().listener(4, "0.0.0.0").counts(counts(5, 6)).at(250).tick().at(500).counts(counts(2, 2)).no_socket();
    let stream = stream.at(1500).tick();
    let out = run(&stream.lost(3).records);
    let lines: Vec<_> = out
        .iter()
        .filter_map(|output| match output {
            Output::Counters(line) => Some((line.port, line.connections, line.open)),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [(PORT, 5, 4), (PORT, 2, 5)]);
    let total = summary(&out);
    assert_eq!((total.connections, total.records), (7, 1));
    assert_eq!((total.from.as_ns(), total.to.as_ns()), (1_000_000_000, 2_500_000_000));
    let port = &total.ports[&PORT];
    assert_eq!((port.syn, port.last_syn, port.listener), (8, Some(BootTime::from_ns(1_500_000_000)), true));
    let lost: Vec<_> = total.lost.iter().map(|(cause, count)| (cause.as_str(), *count)).collect();
    let zero = [
        "attempts-evicted",
        "attempts-full",
        "closed-full",
        "connects-full",
        "exchanges-evicted",
        "flows-full",
        "heads-full",
    ]
    .map(|cause| (cause, 0));
    assert_eq!(
        lost,
        [zero.as_slice(), &[("ring-full", 3), ("servers-full", 0), ("trace-write", 0), ("troubled-full", 0)]].concat()
    );
}

#[test]
fn ports_come_and_go_while_recording() {
    let down = |script: Script| script.listener(4, "0.0.0.0").at(100).stops_listening(4, "0.0.0.0").at(200).no_socket();
    let refused = "process-down inbound certain 502";
    check(down(script()), &[refused]);
    // a port that is not watched any more, not yet, and again
    check(down(script().watch(&[9])), &[]);
    check(down(script().watch(&[9])).at(300).watch(&[9, PORT]).at(400).attempt(2).no_socket(), &[refused]);
    // nothing more is seen of an attempt at a port that is left: silence says nothing
    let silent = |script: Script| script.at(3000).retransmit().at(4000).tick();
    let own = || script().in_ns(CLIENT).attempt(2).at(1000).retransmit();
    assert_eq!(verdicts(&run(&silent(own()).records)).len(), 1);
    let left = run(&own().at(1500).watch(&[9]).at(4000).tick().at(5000).tick().records);
    assert_eq!((verdicts(&left).len(), summary(&left).undecided), (0, 1));
    let ports: Vec<u16> = summary(&left).ports.keys().copied().collect();
    assert_eq!(ports, [9, PORT]);
}

#[test]
fn records_of_one_moment_are_held_within_bounds() {
    let mut engine = Engine::new();
    let mut out = Vec::new();
    let one = script().retransmit();
    let record = one.records.last().unwrap();
    let mut count = 0;
    while engine.reorder.overfull().is_none() && count < WAITING_MAX + 10 {
        engine.push(record.clone(), &mut out);
        count += 1;
    }
    // all are of one time, so all go at once
    assert_eq!(count, WAITING_MAX + 10);
    engine.finish(&mut out);
    assert_eq!((summary(&out).records, summary(&out).undecided), (u64::try_from(count).unwrap(), 1));
}

#[test]
fn an_empty_stream_has_a_summary_and_only_one() {
    let mut engine = Engine::new();
    let mut out = Vec::new();
    engine.finish(&mut out);
    engine.finish(&mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(summary(&out).records, 0);
}

#[test]
fn a_flood_is_held_within_bounds_and_said() {
    let mut engine = Engine::new();
    let mut out = Vec::new();
    let one = script().netfilter();
    let Some(Record::Packet(packet)) = one.records.last() else { panic!("{:?}", one.records) };
    for isn in 1..=u32::try_from(ATTEMPTS_MAX * 2).unwrap() {
        let mut packet = *packet;
        packet.seq = isn;
        packet.header.time_ns += u64::from(isn) * 1000;
        engine.push(Record::Packet(packet), &mut out);
        assert!(engine.attempts.len() <= ATTEMPTS_MAX);
    }
    engine.finish(&mut out);
    assert!(summary(&out).lost["attempts-evicted"] > 0);
    assert!(verdicts(&out).iter().all(|verdict| verdict.confidence == crate::verdict::Confidence::Likely));
}
