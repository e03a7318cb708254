//! Each rule's hits, and the near misses that must not match.
//!
//! long: hits and near misses of every rule, in one language

use crate::engine::script::{CLIENT, ROUTER, SERVER, check, script, verdicts};
use crate::record::{Neighbour, PathReport};
use crate::verdict::Event;

const SILENCE: &str =
    "security-group-drop outbound likely 504 or firewall-drop firewall-reject remote-down return-path-drop";

fn own() -> crate::engine::script::Script {
    script().in_ns(CLIENT)
}

#[test]
fn process_down_inbound() {
    let down = "process-down inbound certain 502";
    check(script().no_socket(), &[down]);
    check(script().v6().no_socket(), &[down]);
    check(script().reset_sent().no_socket(), &[down]);
    check(script().without_reasons().no_socket(), &[down]);
    check(script().without_reasons().v6().no_socket(), &[down]);
    check(script().addresses().no_socket(), &[down]);
    // a virtual address that no interface has: the SYN was delivered here all the same
    check(script().addresses().to("10.99.0.1:8080").no_socket(), &[down]);
    // a listener of another namespace, and one that went
    check(script().in_ns(CLIENT).listener(4, "0.0.0.0").in_ns(SERVER).no_socket(), &[down]);
    check(script().listener(4, "0.0.0.0").stops_listening(4, "0.0.0.0").at(5).attempt(1).no_socket(), &[down]);
    // it was just being started
    check(script().no_socket().at(20).listens(4, "0.0.0.0"), &[down]);
    check(script().listens(4, "0.0.0.0").no_socket(), &[down]);
    // a listener that should have had it: bound to one interface
    let bound = "process-down inbound likely 502 or wrong-bind-address";
    check(script().listener(4, "0.0.0.0").no_socket(), &[bound]);
}

#[test]
fn process_down_inbound_near_misses() {
    // before 5.17: the place says nothing while a listener covers it
    check(script().without_reasons().listener(4, "0.0.0.0").no_socket(), &[]);
    // a RST alone is no verdict
    check(script().reset_sent(), &[]);
    // nobody watches that port
    check(script().to("10.9.2.2:9090").no_socket(), &[]);
    let mut from_watched = script().to("10.9.2.2:9090");
    from_watched.client.set_port(8080);
    check(from_watched.no_socket(), &[]);
}

#[test]
fn why_the_process_is_down() {
    let check = |script: crate::engine::script::Script, exit: Option<&str>, past: &str, event: Option<Event>| {
        let out = check(script, &["process-down inbound certain 502"]);
        let verdict = verdicts(&out)[0];
        assert_eq!(verdict.process.as_ref().and_then(|process| process.exit.as_deref()), exit);
        assert!(verdict.summary.ends_with(past), "{}", verdict.summary);
        let of_exits = [Event::ProcessExited, Event::OomKill];
        let told = verdict.evidence.iter().map(|item| item.event).find(|event| of_exits.contains(event));
        assert_eq!(told, event, "{:?}", verdict.evidence);
    };
    let app = || script().process(812, "gunicorn", "app.service").listener(4, "0.0.0.0").at(1000);
    let stops = |script: crate::engine::script::Script| script.stops_listening(4, "0.0.0.0");
    let down = |script: crate::engine::script::Script| script.at(3000).attempt(1).no_socket();
    check(script().no_socket(), None, "; nothing has listened there while recording.", None);
    check(down(stops(app())), None, "; gunicorn (pid 812) stopped listening 2.0 s before.", None);
    // the end comes before the listener goes, after it, or after the SYN
    let code = "; gunicorn (pid 812) stopped listening 2.0 s before, and ended with exit code 3.";
    let exited = Some(Event::ProcessExited);
    check(down(stops(app().exits(812, 3 << 8))), Some("code 3"), code, exited);
    check(down(stops(app()).at(1500).exits(812, 3 << 8)), Some("code 3"), code, exited);
    check(down(stops(app())).at(3050).exits(812, 3 << 8), Some("code 3"), code, exited);
    let killed = "stopped listening 2.0 s before, and was ended by signal 9 (SIGKILL).";
    check(down(stops(app().exits(812, 9))), Some("signal 9"), killed, exited);
    let oom = "stopped listening 2.0 s before, and was killed by the OOM killer.";
    let chosen = app().oom_victim(812).exits(812, 9);
    check(down(stops(chosen)), Some("signal 9 (oom-kill)"), oom, Some(Event::OomKill));
    // another process, and one of before that had the same number
    let alive = "; gunicorn (pid 812) stopped listening 2.0 s before.";
    check(down(stops(app().exits(813, 9))), None, alive, None);
    let reused = script().exits(812, 9).at(500).listens(4, "0.0.0.0").at(1000);
    check(down(stops(reused)), None, alive, None);
}

#[test]
fn the_rule_behind_a_drop() {
    let named = |out: &[crate::engine::Output]| {
        let verdict = verdicts(out)[0];
        let rule = verdict.evidence.iter().find(|item| item.event == Event::FirewallRule);
        (rule.map(|item| item.detail.clone()), verdict.next.clone())
    };
    let dropped = "firewall-drop inbound certain 504";
    let text = "tcp dport 8080 drop";
    let (rule, next) = named(&check(script().netfilter().at(40).rule(text, false), &[dropped]));
    assert_eq!(rule.as_deref(), Some("nft table inet filter, chain input: tcp dport 8080 drop (its counter rose)"));
    assert!(next.contains("before `tcp dport 8080 drop`"), "{next}");
    // of another packet, of another namespace, of long ago
    for other in [
        script().at(40).from("10.9.1.3").rule(text, false).from("10.9.1.2").netfilter(),
        script().at(40).in_ns(ROUTER).rule(text, false).in_ns(SERVER).netfilter(),
        script().rule(text, false).at(20_000).attempt(1).netfilter(),
    ] {
        assert_eq!(named(&check(other, &[dropped])).0, None);
    }
    // another attempt of the same client
    assert!(named(&check(script().rule(text, false).at(2000).attempt(2).netfilter(), &[dropped])).0.is_some());
    // a client that gives up soon does not keep the rule from being found
    let given_up = own().unsent_syns().own_netfilter().at(1500).closed(0).tick().at(2800).rule(text, false);
    assert!(named(&check(given_up, &["firewall-drop outbound certain 504"])).0.is_some());
    // it would have answered
    let rejected = "firewall-reject inbound likely 504 or firewall-drop";
    check(script().netfilter().at(40).rule("tcp dport 8080 reject", true), &[rejected]);
    let changed = check(script().netfilter().at(40).rule("reject with tcp reset", true), &[dropped]);
    assert_eq!(named(&changed).0, None, "it does not do what was seen");
}

#[test]
fn process_down_outbound() {
    let down = "process-down outbound likely 502 or firewall-reject";
    check(own().at(1).reset_received().socket_error(111).closed(111), &[down]);
    check(own().at(1).closed(111), &[down]);
    // both ends seen: one verdict, by the end that decided
    let both = || script().no_socket().in_ns(CLIENT).at(1).reset_received().closed(111);
    check(both(), &["process-down inbound certain 502"]);
    check(
        script().in_ns(CLIENT).at(1).reset_received().closed(111).in_ns(SERVER).at(0).no_socket(),
        &["process-down inbound certain 502"],
    );
    // an OUTPUT drop that was lifted before the SYN was sent again
    check(own().own_netfilter().at(1000).retransmit().reset_received().closed(111), &[down]);
}

#[test]
fn wrong_bind_address() {
    let wrong = "wrong-bind-address inbound certain 502";
    check(script().listener(4, "127.0.0.1").no_socket(), &[wrong]);
    check(script().listens(4, "127.0.0.1").no_socket(), &[wrong]);
    check(script().listener(4, "10.9.2.3").no_socket(), &[wrong]);
    check(script().listener(4, "::!").no_socket(), &[wrong]);
    check(script().v6().listener(4, "::1").no_socket(), &[wrong]);
    check(script().v6().listener(4, "0.0.0.0").no_socket(), &[wrong]);
    check(script().without_reasons().listener(4, "127.0.0.1").no_socket(), &[wrong]);
    // both ends
    check(script().listener(4, "127.0.0.1").no_socket().in_ns(CLIENT).at(1).closed(111), &[wrong]);
    // it began later: when the SYN came, nothing was there
    check(script().no_socket().at(5).listens(4, "127.0.0.1"), &["process-down inbound certain 502"]);
    // it went before
    let went = script().listener(4, "127.0.0.1").stops_listening(4, "127.0.0.1").at(1).no_socket();
    check(went, &["process-down inbound certain 502"]);
}

#[test]
fn firewall_reject_inbound() {
    let reject = "firewall-reject inbound certain 502";
    for code in [0, 1, 2, 3, 9, 10, 13] {
        check(script().icmp_sent(3, code).netfilter(), &[reject]);
    }
    for code in [0, 1, 3, 4, 5, 6] {
        check(script().v6().icmp_sent(1, code).netfilter(), &[reject]);
    }
    check(script().netfilter_reset().netfilter(), &[reject]);
    check(script().netfilter().netfilter_reset(), &[reject]);
    check(script().v6().netfilter().netfilter_reset(), &[reject]);
    check(script().without_reasons().icmp_sent(3, 3).netfilter(), &[reject]);
    // both ends, with each sort of answer
    check(script().icmp_sent(3, 3).netfilter().in_ns(CLIENT).at(1).icmp_received(3, 3).at(5).closed(111), &[reject]);
    check(script().netfilter().netfilter_reset().in_ns(CLIENT).at(1).reset_received().closed(111), &[reject]);
    // the answer was seen only where it arrived
    check(script().netfilter().in_ns(CLIENT).at(1).icmp_received(3, 3).closed(111), &[reject]);
    check(script().netfilter().in_ns(CLIENT).at(1).reset_received().closed(111), &[reject]);
    // the answer came at a later SYN only
    check(script().netfilter().at(1000).icmp_sent(3, 3).netfilter(), &[reject]);
    // the rule is in the router of this host, towards a namespace of this host
    check(script().addresses().in_ns(ROUTER).icmp_sent(3, 3).netfilter(), &[reject]);
    // a published port: the RST has the address that the client had asked for
    let published = script().to("10.9.2.9:80").netfilter_reset().to("10.9.2.2:8080").netfilter();
    let out = check(published, &[reject]);
    assert_eq!(verdicts(&out)[0].local.unwrap().to_string(), "10.9.2.2:8080");
}

#[test]
fn firewall_reject_near_misses() {
    // an error that is no answer
    check(script().icmp_sent(3, 4).netfilter(), &["firewall-drop inbound certain 504"]);
    // another attempt's answer
    check(script().icmp_sent(3, 3).attempt(2).in_ns(ROUTER).netfilter(), &["firewall-drop inbound certain 504"]);
    // an answer without a drop is not enough to say where it was made
    check(script().icmp_sent(3, 1), &[]);
    check(script().netfilter_reset(), &[]);
    // TCP's own RST for IPv6 belongs to no socket, and the device's queue shows it like netfilter's
    let down = "process-down inbound certain 502";
    check(script().v6().netfilter_reset().no_socket(), &[down]);
    check(script().v6().no_socket().netfilter_reset(), &[down]);
}

#[test]
fn firewall_reject_held_back_by_the_rate_limit() {
    let held_back = "firewall-reject inbound likely 504 or firewall-drop";
    let reject = "firewall-reject inbound certain 502";
    check(script().icmp_sent(3, 3).netfilter().attempt(2).netfilter(), &[reject, held_back]);
    // also when the answered one came later, until the other is decided
    check(script().netfilter().at(2000).attempt(2).icmp_sent(3, 3).netfilter().at(9000).tick(), &[reject, held_back]);
    // 60 s later nobody knows the rule any more
    let later = |ms| script().icmp_sent(3, 3).netfilter().at(ms).attempt(2).netfilter();
    check(later(59_000), &[reject, held_back]);
    check(later(61_000), &[reject, "firewall-drop inbound certain 504"]);
    // another family, another namespace; and RSTs are not rate limited
    check(
        script().icmp_sent(3, 3).netfilter().v6().attempt(2).netfilter(),
        &[reject, "firewall-drop inbound certain 504"],
    );
    check(
        script().icmp_sent(3, 3).netfilter().in_ns(ROUTER).attempt(2).netfilter(),
        &[reject, "firewall-drop inbound certain 504"],
    );
    check(
        script().netfilter_reset().netfilter().attempt(2).netfilter(),
        &[reject, "firewall-drop inbound certain 504"],
    );
}

#[test]
fn sixty_quick_connects_into_one_reject_rule() {
    let mut burst = script();
    for n in 1..=60 {
        burst = burst.at(u64::from(n)).attempt(n);
        burst = if n <= 6 { burst.icmp_sent(3, 3).netfilter() } else { burst.netfilter() };
    }
    let held_back = ["firewall-reject inbound likely 504 or firewall-drop"; 54];
    let expected = [["firewall-reject inbound certain 502"; 6].as_slice(), held_back.as_slice()].concat();
    check(burst, &expected);
}

#[test]
fn firewall_reject_outbound() {
    let certain = "firewall-reject outbound certain 502";
    let prohibited = "firewall-reject outbound likely 502 or no-route";
    for (code, expected) in [(2, certain), (3, certain), (9, prohibited), (10, prohibited), (13, prohibited)] {
        check(own().at(1).icmp_received_from("10.9.1.1", 3, code).closed(111), &[expected]);
    }
    for (code, expected) in [(4, certain), (1, prohibited), (5, prohibited), (6, prohibited)] {
        check(own().v6().at(1).icmp_received_from("fd00:1::1", 1, code).closed(111), &[expected]);
    }
    // a host that says of itself that it cannot be reached
    check(own().at(1).icmp_received(3, 1).closed(113), &["firewall-reject outbound likely 502 or host-unreachable"]);
    check(own().at(1).icmp_received(3, 0).closed(101), &["firewall-reject outbound likely 502 or no-route"]);
    check(
        own().v6().at(1).icmp_received(1, 3).closed(113),
        &["firewall-reject outbound likely 502 or host-unreachable"],
    );
    // a soft error: the socket goes on, and is rejected again and again
    let again = own().at(1).icmp_received(3, 3).at(1000).retransmit().icmp_received(3, 3).at(3000).closed(111);
    check(again, &[certain]);
    // the error was not seen, but what it left
    check(own().v6().at(1).socket_error(13).closed(13), &["firewall-reject outbound likely 502 or no-route"]);
    // its own OUTPUT chain
    check(own().unsent_syns().icmp_sent(3, 3).own_netfilter().icmp_received(3, 3).at(1).closed(111), &[certain]);
    check(own().unsent_syns().own_netfilter().netfilter_reset().reset_received().closed(111), &[certain]);
}

#[test]
fn firewall_reject_outbound_by_what_others_were_answered() {
    let silent = |script: crate::engine::script::Script| script.at(950).closed(0);
    let likely = "firewall-reject outbound likely 504 or firewall-drop security-group-drop";
    let rejected = || own().at(1).icmp_received(3, 3).closed(111);
    check(silent(rejected().at(2).attempt(2)), &["firewall-reject outbound certain 502", likely]);
    check(silent(rejected().at(2).attempt(2).to("10.9.2.3:8080")), &["firewall-reject outbound certain 502", SILENCE]);
    let later = rejected().at(70_000).attempt(2).at(71_000).closed(0);
    check(later, &["firewall-reject outbound certain 502", SILENCE]);
}

#[test]
fn firewall_drop_inbound() {
    let dropped = "firewall-drop inbound certain 504";
    check(script().netfilter(), &[dropped]);
    check(script().v6().netfilter().at(1000).netfilter().at(3000).netfilter(), &[dropped]);
    check(script().without_reasons().netfilter(), &[dropped]);
    check(script().addresses().netfilter(), &[dropped]);
    check(script().addresses().in_ns(ROUTER).netfilter(), &[dropped]);
    // the server's own OUTPUT chain drops the SYN-ACK
    check(script().netfilter_syn_ack(true), &[dropped]);
    // both ends: also where the client gives up within the first second
    check(script().netfilter().in_ns(CLIENT).at(1000).retransmit().at(2500).closed(110), &[dropped]);
    check(script().netfilter().in_ns(CLIENT).at(400).closed(0), &[dropped]);
    let listening = script().addresses().listener(4, "0.0.0.0").in_ns(ROUTER).netfilter();
    let out = check(listening, &[dropped]);
    let process = verdicts(&out)[0].process.clone().unwrap();
    assert_eq!(process.pid, Some(812), "the listener of the namespace behind");
    // the socket of an incoming SYN: one in TIME_WAIT, found before netfilter saw the SYN
    let reused = script().netfilter().but(|packet| (packet.flags, packet.socket_state) = (packet.flags | 1, 6));
    check(reused, &[dropped]);
    // a SYN-ACK made of a SYN cookie has no socket
    check(script().netfilter_syn_ack(false), &[dropped]);
    check(script().addresses().netfilter_syn_ack(false).but(|packet| packet.ifindex = 2), &[dropped]);
    // what is not on this host
    check(
        script().addresses().in_ns(ROUTER).to("192.0.2.9:8080").netfilter(),
        &["firewall-drop forwarded certain 504"],
    );
}

#[test]
fn firewall_drop_outbound() {
    let dropped = "firewall-drop outbound certain 504";
    check(own().unsent_syns().own_netfilter().at(1000).retransmit().own_netfilter().at(2500).closed(110), &[dropped]);
    check(own().unsent_syns().own_netfilter(), &[dropped]);
    // the client's own INPUT chain drops the SYN-ACK
    check(own().netfilter_syn_ack(false).but(|packet| packet.ifindex = 2), &[dropped]);
    check(own().netfilter_syn_ack(true).but(|packet| packet.socket_state = 2), &[dropped]);
    check(own().netfilter_syn_ack(false).at(1000).retransmit().at(1001).netfilter_syn_ack(false), &[dropped]);
    check(own().addresses().netfilter_syn_ack(false), &[dropped]);
    // a FORWARD chain of this host, on the way out
    let out = own().addresses().to("192.0.2.9:8080").in_ns(ROUTER).netfilter().in_ns(CLIENT).at(2500).closed(0);
    check(out, &[dropped]);
    // some SYNs were let out: the last word is not this host's
    let some = own().own_netfilter().at(1000).retransmit().at(2500).closed(0);
    check(some, &["firewall-drop outbound likely 504 or security-group-drop"]);
}

#[test]
fn firewall_drop_near_misses() {
    check(script().netfilter().at(1000).accepted(), &["recovered firewall-drop 1"]);
    check(own().unsent_syns().own_netfilter().at(1000).connected(), &["recovered firewall-drop 1"]);
    check(script().netfilter().at(3500).tick().at(7000).accepted(), &["firewall-drop inbound certain 504", "late 1"]);
    check(script().other_hosts(), &[]);
    check(script().netfilter().at(1000).no_socket(), &["process-down inbound certain 502"]);
}

#[test]
fn security_group_drop() {
    for (ms, retransmits) in [(900, 0), (1500, 1), (2500, 1)] {
        let mut silent = own();
        for n in 0..retransmits {
            silent = silent.at(1000 + n * 1000).retransmit();
        }
        check(silent.at(ms).closed(0), &[SILENCE]);
    }
    // still going on
    check(own().at(1000).retransmit().at(3000).retransmit().at(4000).tick(), &[SILENCE]);
    check(own().at(1000).retransmit().at(2000).retransmit().at(3000).tick().at(4000).tick(), &[SILENCE]);
    check(own().v6().at(900).closed(0), &[SILENCE]);
    // while other connections progress the host is not down
    let alive = |path: &mut PathReport| (path.neighbour, path.progressing_flows) = (Neighbour::Resolved, 3);
    check(
        own().at(900).closed(0).at(910).path(alive),
        &["security-group-drop outbound likely 504 or firewall-drop firewall-reject return-path-drop"],
    );
}

#[test]
fn security_group_drop_near_misses() {
    check(own().at(500).closed(0), &["abandoned 1"]);
    check(own().at(1000).retransmit().at(2000).tick(), &["undecided 1"]);
    check(own().at(1000).retransmit().at(1100).connected(), &["recovered security-group-drop 1"]);
    check(own().at(1000).retransmit().at(2000).retransmit().at(2999).connected(), &["recovered security-group-drop 1"]);
    let late = own().at(1000).retransmit().at(3000).retransmit().at(3500).tick().at(7000).connected();
    check(late, &[SILENCE, "late 1"]);
    check(own().at(900).closed(0).at(1500).syn_ack_unfound(), &[SILENCE, "late 1"]);
    check(own().at(900).closed(0).at(950).syn_ack_unfound(), &["recovered security-group-drop 1"]);
    // the kernel of this host dropped it for another reason
    check(own().other_drop().at(900).closed(0), &["kernel-drop inbound certain 504"]);
    // nothing is between a host and itself
    check(own().at(900).closed(0).path(|path| path.local = true), &["undecided 1"]);
    check(own().addresses().to("127.0.0.1:8080").at(900).closed(0), &["undecided 1"]);
}

#[test]
fn host_unreachable() {
    let certain = "host-unreachable outbound certain 502";
    check(
        own().at(1000).retransmit().at(3000).neighbour_failed(true).at(3001).socket_error(113).closed(113),
        &[certain],
    );
    check(own().without_reasons().at(3000).neighbour_failed(true).at(3001).closed(113), &[certain]);
    check(own().at(3000).icmp_received_from("10.9.1.1", 3, 1).closed(113), &[certain]);
    check(own().v6().at(3000).icmp_received_from("fd00:1::1", 1, 3).closed(113), &[certain]);
    // behind a router namespace of this host
    check(own().in_ns(ROUTER).at(3000).neighbour_failed(false).in_ns(CLIENT).at(3001).closed(113), &[certain]);
    // given up while the kernel is still asking
    let unresolved = |neighbour| own().at(900).closed(0).at(905).path(move |path| path.neighbour = neighbour);
    check(unresolved(Neighbour::Incomplete), &["host-unreachable outbound likely 502 or remote-down"]);
    check(unresolved(Neighbour::Failed), &["host-unreachable outbound likely 502 or remote-down"]);
    check(unresolved(Neighbour::Resolved), &[SILENCE]);
    check(own().at(3000).closed(113).at(3005).path(|path| path.neighbour = Neighbour::Failed), &[certain]);
    check(own().at(3000).closed(113), &["host-unreachable outbound likely 502 or firewall-reject"]);
    check(own().unsent(0).at(5).path(|path| path.route_error = 113).at(2000).tick(), &[certain]);
    // somebody else's
    let forwarded = script().addresses().in_ns(ROUTER).to("192.0.2.9:8080").neighbour_failed(false);
    check(forwarded, &["host-unreachable forwarded certain 502"]);
}

#[test]
fn no_route() {
    let certain = "no-route outbound certain 502";
    check(own().unsent(0).at(5).path(|path| path.route_error = 101).at(2000).tick(), &[certain]);
    check(own().unsent(101), &[certain]);
    check(own().at(1).icmp_received_from("10.9.1.1", 3, 0).closed(101), &[certain]);
    check(own().v6().at(1).icmp_received_from("fd00:1::1", 1, 0).closed(101), &[certain]);
    check(
        own().at(1).icmp_received_from("10.9.1.1", 11, 0).at(900).closed(0),
        &["no-route outbound likely 502 or host-unreachable"],
    );
    check(
        own().at(900).closed(0).at(905).path(|path| path.route_error = 101),
        &["no-route outbound likely 502 or security-group-drop"],
    );
    check(own().unsent_syns().at(900).closed(0).at(905).path(|path| path.route_error = 101), &[certain]);
}

#[test]
fn no_route_near_misses() {
    // there is a way after all: something else refused the connect
    check(own().unsent(0).at(5).path(|_| ()).at(2000).tick(), &["abandoned 1"]);
    check(own().unsent(0).at(2000).tick(), &["abandoned 1"]);
    // Happy Eyeballs: no way over IPv6, but one over IPv4
    let eyeballs = |ms| {
        own()
            .v6()
            .unsent(0)
            .at(1)
            .path(|path| path.route_error = 101)
            .from("10.9.1.2")
            .to("10.9.2.2:8080")
            .at(ms)
            .attempt(2)
    };
    check(eyeballs(300).connected().at(3000).tick(), &["abandoned 1"]);
    check(eyeballs(1500).connected().at(3000).tick(), &["no-route outbound certain 502"]);
    // too big is no answer
    check(own().at(1).icmp_received_from("10.9.1.1", 3, 4).at(900).closed(0), &[SILENCE]);
}

#[test]
fn the_other_address_of_a_name_answers() {
    let down = "process-down outbound likely 502 or firewall-reject";
    let refused = || own().v6().at(1).reset_received().closed(111).from("10.9.1.2");
    let fell_back = |to: &str, ms| refused().to(to).at(ms).attempt(2).connected().at(3000).tick();
    check(fell_back("10.9.2.2:8080", 3), &["abandoned 1"]);
    check(fell_back("10.9.2.2:8080", 290), &["abandoned 1"]);
    // so late it is another request; at another port, another server
    check(fell_back("10.9.2.2:8080", 400), &[down]);
    check(fell_back("10.9.2.2:9090", 3), &[down]);
    // of the same family it is another host
    let other = own().v6().at(1).reset_received().closed(111).to("[fd00:2::9]:8080");
    check(other.at(3).attempt(2).connected().at(3000).tick(), &[down]);
    // seen from the end that refused, too
    let both = own().v6().in_ns(SERVER).no_socket().in_ns(CLIENT).at(1).reset_received().closed(111);
    let both = both.from("10.9.1.2").to("10.9.2.2:8080").at(3).attempt(2).connected();
    check(both.at(3000).tick(), &["abandoned 1"]);
}

#[test]
fn no_address_was_chosen() {
    let out = check(own().from("::").unsent(101).at(2000).tick(), &["no-route outbound certain 502"]);
    let local = verdicts(&out)[0].local;
    assert_eq!(local, Some("0.0.0.0:0".parse().unwrap()));
}

#[test]
fn what_was_lost_meanwhile_makes_it_likely() {
    check(script().no_socket().at(50).lost(7), &["process-down inbound likely 502"]);
    check(script().at(10).lost(7).at(20).no_socket(), &["process-down inbound certain 502"]);
    check(script().no_socket().at(50).lost(0), &["process-down inbound certain 502"]);
    let out = check(script().netfilter().at(2900).lost(7).at(4000).lost(1), &["firewall-drop inbound likely 504"]);
    let evidence = &verdicts(&out)[0].evidence;
    assert!(evidence.iter().any(|item| item.detail == "7 records lost meanwhile: ring-full"), "{evidence:?}");
}
