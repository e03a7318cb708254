use super::*;

fn packet() -> Packet {
    Packet {
        source: "10.9.1.2".parse().unwrap(),
        destination: "10.9.2.2".parse().unwrap(),
        source_port: 40_000,
        destination_port: 8080,
        is_syn: true,
        outgoing: false,
        local: Some(true),
        interface: Some("eth0".to_owned()),
    }
}

fn rule(text: &str, tests: Vec<Test>, action: Action) -> Rule {
    Rule { tests, action, key: text.to_owned(), text: text.to_owned(), packets: None }
}

#[expect(clippy::unnecessary_wraps, reason = "a chain's base is optional")]
fn base(hook: &str, drops: bool) -> Option<Base> {
    Some(Base { hook: hook.to_owned(), priority: 0, drops, policy_packets: None })
}

fn table(chains: Vec<(&str, Option<Base>, Vec<Rule>)>) -> Vec<Table> {
    let chains = chains.into_iter().map(|(name, base, rules)| (name.to_owned(), Chain { base, rules })).collect();
    vec![Table { tool: "nft".to_owned(), name: "inet filter".to_owned(), v4: None, chains }]
}

fn port(port: u16) -> Test {
    Test::DestinationPort(vec![(port, port)])
}

/// The candidates' texts; `?` after those that only may fit.
fn found(tables: &[Table], packet: &Packet) -> Vec<String> {
    let text = |one: Candidate| if one.certain { one.text } else { format!("{}?", one.text) };
    candidates(tables, packet).into_iter().map(text).collect()
}

#[test]
fn the_first_rule_that_certainly_drops_ends_the_walk() {
    let input = |rules| table(vec![("input", base("input", true), rules)]);
    let drop = |text: &str, tests| rule(text, tests, Action::Drop);
    assert_eq!(found(&input(vec![]), &packet()), ["policy drop"]);
    assert_eq!(found(&input(vec![drop("a", vec![port(8080)]), drop("b", vec![])]), &packet()), ["a"]);
    assert_eq!(found(&input(vec![drop("a", vec![port(80)]), drop("b", vec![])]), &packet()), ["b"]);
    let perhaps = input(vec![drop("a", vec![Test::Unknown]), drop("b", vec![port(8080)])]);
    assert_eq!(found(&perhaps, &packet()), ["a?", "b"]);
    let accepted = input(vec![rule("", vec![port(8080)], Action::Accept), drop("b", vec![])]);
    assert_eq!(found(&accepted, &packet()), Vec::<String>::new());
    let perhaps_accepted = input(vec![rule("", vec![Test::Unknown], Action::Accept), drop("b", vec![])]);
    assert_eq!(found(&perhaps_accepted, &packet()), ["b?"]);
}

#[test]
fn conditions() {
    let holds = |test: Test| test.holds(&packet());
    let net = |first: &str, last: &str| vec![(first.parse().unwrap(), last.parse().unwrap())];
    assert_eq!(holds(Test::Source(net("10.9.1.0", "10.9.1.255"))), Holds::Yes);
    assert_eq!(holds(Test::Destination(net("10.9.1.0", "10.9.1.255"))), Holds::No);
    assert_eq!(holds(Test::Source(net("::", "ffff::"))), Holds::No, "another family");
    assert_eq!(holds(Test::Not(Box::new(port(8080)))), Holds::No);
    assert_eq!(holds(Test::Not(Box::new(Test::Unknown))), Holds::Perhaps);
    assert_eq!(holds(Test::SourcePort(vec![(1, 2), (39_999, 40_001)])), Holds::Yes);
    assert_eq!(holds(Test::Interface(vec!["lo".to_owned(), "eth*".to_owned()])), Holds::Yes);
    assert_eq!(holds(Test::Interface(vec!["lo".to_owned()])), Holds::No);
    assert_eq!(Test::Interface(vec![]).holds(&Packet { interface: None, ..packet() }), Holds::Perhaps);
    assert_eq!(
        (holds(Test::New(true)), holds(Test::New(false)), holds(Test::Syn)),
        (Holds::Yes, Holds::No, Holds::Yes)
    );
    let data = Packet { is_syn: false, ..packet() };
    assert_eq!((Test::New(true).holds(&data), Test::Syn.holds(&data)), (Holds::Perhaps, Holds::No));
    assert_eq!(
        (holds(Test::Family(true)), holds(Test::Family(false)), holds(Test::Tcp(false))),
        (Holds::Yes, Holds::No, Holds::No)
    );
}

#[test]
fn chains_call_chains() {
    let jump = |name: &str| rule("", vec![], Action::Jump(name.to_owned()));
    let drop = |text: &str| rule(text, vec![], Action::Drop);
    let tables =
        |sub| table(vec![("input", base("input", false), vec![jump("sub"), drop("after")]), ("sub", None, sub)]);
    assert_eq!(found(&tables(vec![]), &packet()), ["after"]);
    assert_eq!(found(&tables(vec![drop("in")]), &packet()), ["in"]);
    assert_eq!(found(&tables(vec![rule("", vec![], Action::Return), drop("in")]), &packet()), ["after"]);
    assert_eq!(found(&tables(vec![rule("", vec![], Action::Accept)]), &packet()), Vec::<String>::new());
    let map = rule("map", vec![], Action::Map(vec![(port(80), Action::Accept), (port(8080), Action::Reject)]));
    let walked = candidates(&tables(vec![map]), &packet());
    assert_eq!((walked.len(), walked[0].rejects, walked[0].text.as_str()), (1, true, "map"));
    // a chain that calls itself, and one that is not there
    assert_eq!(found(&tables(vec![jump("sub")]), &packet()), ["after?"]);
    assert_eq!(found(&tables(vec![jump("nowhere")]), &packet()), ["after?"]);
}

#[test]
fn a_packet_meets_the_hooks_of_its_way() {
    let tables = table(
        ["prerouting", "input", "forward", "output", "postrouting"]
            .map(|hook| (hook, base(hook, true), vec![]))
            .to_vec(),
    );
    let chains = |packet: &Packet| {
        let one = |hook: &str| {
            let mut only = tables.clone();
            only[0].chains.retain(|name, _| name == hook);
            !candidates(&only, packet).is_empty()
        };
        ["prerouting", "input", "forward", "output", "postrouting"].map(one)
    };
    assert_eq!(chains(&packet()), [true, true, false, false, false]);
    assert_eq!(chains(&Packet { local: Some(false), ..packet() }), [true, false, true, false, true]);
    assert_eq!(chains(&Packet { outgoing: true, ..packet() }), [false, false, false, true, true]);
    assert_eq!(found(&tables, &packet()), ["policy drop"], "the first of them");
    let mut both = tables.clone();
    both[0].chains.retain(|name, _| name != "prerouting");
    assert_eq!(found(&both, &Packet { local: None, ..packet() }), ["policy drop", "policy drop"]);
}

#[test]
fn one_that_fits_is_named_and_a_counter_decides_between_several() {
    let one = |key: &str, packets: Option<u64>, certain: bool| Candidate {
        tool: "nft".to_owned(),
        table: "inet filter".to_owned(),
        chain: "input".to_owned(),
        text: key.to_owned(),
        key: key.to_owned(),
        packets,
        rejects: false,
        certain,
    };
    let before: Counters = [("a".to_owned(), 1), ("b".to_owned(), 1)].into();
    let named =
        |list: &[Candidate], before: Option<&Counters>| choose(list, before).map(|(one, counted)| (one.key, counted));
    let a = |counted| Some(("a".to_owned(), counted));
    assert_eq!(named(&[], None), None);
    assert_eq!(named(&[one("a", None, true)], None), a(false));
    assert_eq!(named(&[one("a", None, false)], None), None);
    assert_eq!(named(&[one("a", Some(2), false)], Some(&before)), a(true));
    assert_eq!(named(&[one("a", Some(1), true)], Some(&before)), None, "its counter stood still");
    assert_eq!(named(&[one("a", None, true), one("b", None, true)], None), None);
    assert_eq!(named(&[one("a", Some(2), false), one("b", Some(1), true)], Some(&before)), a(true));
    assert_eq!(named(&[one("a", Some(2), false), one("b", Some(2), true)], Some(&before)), None);
    assert_eq!(named(&[one("a", Some(2), false), one("b", None, true)], Some(&before)), None);
    assert_eq!(named(&[one("a", Some(2), false), one("b", Some(1), true)], None), None);
}
