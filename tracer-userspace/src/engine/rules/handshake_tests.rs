//! Rules about handshakes and the kernel's own drops: hits, and the near misses that must not match.

use tracer_ebpf::handshake_flag::{ABORT_ON_OVERFLOW, LAST_ACK, SYN_COOKIES, SYN_QUEUE_FULL};

use crate::engine::script::{CLIENT, SERVER, Script, check, script, verdicts};

const FULL: &str = "accept-queue-full inbound certain 504";
const RETURN_PATH: &str = "return-path-drop inbound certain 504";
const ABANDONED: &str = "handshake-abandoned inbound certain 0";
const DROPPED: &str = "kernel-drop inbound certain 504";

fn own() -> Script {
    script().in_ns(CLIENT)
}

#[test]
fn accept_queue_full() {
    check(script().full(0), &[FULL]);
    check(script().v6().full(0).at(1000).full(0).at(3000).full(0), &[FULL]);
    check(script().full(LAST_ACK), &[FULL]);
    check(script().full(LAST_ACK | ABORT_ON_OVERFLOW), &["accept-queue-full inbound certain 502"]);
    // the SYN-ACK of a last ACK that found no room is sent again
    check(script().full(LAST_ACK).at(1000).syn_ack_again(1, 0).at(3000).syn_ack_again(2, 0), &[FULL]);
    // both ends
    let both = script().full(0).in_ns(CLIENT).at(1000).retransmit().in_ns(SERVER).full(0).in_ns(CLIENT).at(2500);
    check(both.closed(0), &[FULL]);
    // the SYN queue, without cookies
    let out = check(script().listener(4, "0.0.0.0").full(SYN_QUEUE_FULL), &[FULL]);
    assert!(verdicts(&out)[0].summary.contains("129 connections wait"), "{}", verdicts(&out)[0].summary);
}

#[test]
fn accept_queue_full_words() {
    let full = script().listener(4, "0.0.0.0").full(SYN_COOKIES);
    let out = check(full, &[FULL]);
    let verdict = verdicts(&out)[0];
    insta::assert_snapshot!(verdict.summary, @"129 connections wait for pid 812 to accept them at 10.9.2.2:8080 and the limit is 128, so the SYN from 10.9.1.2:40001 was dropped.");
    let detail =
        &verdict.evidence.iter().find(|item| item.event == crate::verdict::Event::AcceptQueueFull).unwrap().detail;
    insta::assert_snapshot!(detail, @"SYN from 10.9.1.2:40001 to 10.9.2.2:8080 dropped: 129 connections wait to be accepted, the limit is 128");
}

#[test]
fn accept_queue_full_near_misses() {
    check(script().full(0).at(1030).accepted(), &["recovered accept-queue-full 1"]);
    check(script().full(LAST_ACK).at(210).accepted(), &["recovered accept-queue-full 1"]);
    check(script().full(0).at(3500).tick().at(7000).accepted(), &[FULL, "late 1"]);
    // the listener went, and the next SYN found none
    check(script().full(0).at(1000).no_socket(), &["process-down inbound certain 502"]);
    check(script().to("10.9.2.2:9090").full(0), &[]);
}

#[test]
fn return_path_drop() {
    let repeated = || script().at(1000).syn_ack_again(1, 1).at(2000).syn_ack_again(2, 1);
    check(repeated().at(4000).tick(), &[RETURN_PATH]);
    check(repeated().v6().at(4000).tick(), &[RETURN_PATH]);
    // the SYN that repeats another is dropped once its SYN-ACK is on its way
    let dropped = script().listener(4, "0.0.0.0").at(1000).syn_ack_again(1, 1).repeated_syn();
    check(dropped.at(2000).syn_ack_again(2, 1).at(4000).tick(), &[RETURN_PATH]);
    // both ends: the client gave up before the second SYN-ACK
    let both = script().in_ns(CLIENT).at(1000).retransmit().in_ns(SERVER).syn_ack_again(1, 1);
    check(both.in_ns(CLIENT).at(1500).closed(0), &[RETURN_PATH]);
}

#[test]
fn handshake_abandoned() {
    check(script().at(1000).syn_ack_again(1, 0).at(3000).syn_ack_again(2, 0).at(4000).tick(), &[ABANDONED]);
}

#[test]
fn return_path_drop_near_misses() {
    // one SYN-ACK sent again is a lost packet
    check(script().at(1000).syn_ack_again(1, 1).at(9000).tick(), &[]);
    check(script().at(1000).syn_ack_again(1, 1).at(2000).syn_ack_again(2, 1), &[]);
    let answered = script().at(1000).syn_ack_again(1, 1).at(2000).syn_ack_again(2, 2).at(2010).accepted();
    check(answered, &["recovered return-path-drop 1"]);
    // this host's own firewall holds the SYN-ACK back
    let held = script().netfilter_syn_ack(true).at(1000).syn_ack_again(1, 1).netfilter_syn_ack(true);
    check(held.at(2000).syn_ack_again(2, 1), &["firewall-drop inbound certain 504"]);
    // its own client went after 500 ms
    let gone = script().in_ns(CLIENT).at(500).closed(0).in_ns(SERVER).at(1000).syn_ack_again(1, 0);
    check(gone.at(3000).syn_ack_again(2, 0).at(5000).tick(), &["abandoned 1"]);
}

#[test]
fn kernel_drop() {
    check(script().other_drop(), &[DROPPED]);
    check(script().v6().other_drop(), &[DROPPED]);
    check(script().without_reasons().other_drop(), &[DROPPED]);
    check(script().other_drop().in_ns(CLIENT).at(1000).retransmit().at(1500).closed(0), &[DROPPED]);
    let refused = own().unsent(1);
    check(refused.at(1100).tick(), &["kernel-drop outbound certain 504"]);
    let out = check(script().other_drop(), &[DROPPED]);
    insta::assert_snapshot!(verdicts(&out)[0].summary, @"The kernel dropped the SYN from 10.9.1.2:40001 to 10.9.2.2:8080: IP_RPFILTER in ip_rcv_finish_core.");
}

#[test]
fn kernel_drop_near_misses() {
    check(script().other_drop().at(1000).accepted(), &["recovered kernel-drop 1"]);
    // copies and other hosts' packets, and what TCP has no use for
    check(script().other_hosts(), &[]);
    check(script().without_reasons().other_hosts(), &[]);
    check(script().listener(4, "0.0.0.0").repeated_syn(), &[]);
    check(script().listener(4, "0.0.0.0").without_reasons().no_socket(), &[]);
    // a program refused one address, another was taken
    let mut elsewhere = own().unsent(1).attempt(2).to("10.9.2.9:8080");
    elsewhere = elsewhere.at(20).connected();
    check(elsewhere.at(2000).tick(), &["abandoned 1"]);
}

#[test]
fn conntrack_full() {
    let certain = "conntrack-full inbound certain 504";
    let reading = || script().at(0).conntrack(99, 5);
    check(reading().at(500).netfilter().at(1000).conntrack(100, 8), &[certain]);
    check(
        reading().at(500).in_ns(CLIENT).own_netfilter().at(1000).conntrack(1, 0).at(2000).conntrack(100, 1),
        &["conntrack-full outbound certain 504"],
    );
    // the client had gone before the table was read again
    let gone = || reading().at(100).netfilter().in_ns(CLIENT).at(1000).closed(0).in_ns(SERVER).at(1200);
    check(gone().conntrack(100, 6).at(2000).tick(), &[certain]);
    check(gone().at(2000).tick(), &["firewall-drop inbound certain 504"]);
    // the next reading, which would tell, never came
    let nearly = script().at(0).conntrack(95, 5).at(500).netfilter();
    check(nearly, &["conntrack-full inbound likely 504 or firewall-drop"]);
}

#[test]
fn conntrack_full_near_misses() {
    let dropped = "firewall-drop inbound certain 504";
    // drops of before, of long after, and of another namespace
    check(script().at(0).conntrack(9, 5).at(500).netfilter().at(1000).conntrack(9, 5), &[dropped]);
    check(script().at(0).conntrack(9, 5).at(500).netfilter().at(9000).conntrack(9, 7), &[dropped]);
    let other = script().in_ns(CLIENT).at(0).conntrack(100, 5).at(1000).conntrack(100, 9);
    check(other.in_ns(SERVER).at(500).netfilter(), &[dropped]);
    check(script().at(500).netfilter().at(1000).conntrack(9, 5), &[dropped]);
    // full, and read too late to say more; but a rule's counter rose
    let late = || script().at(0).conntrack(100, 5).at(4000).netfilter();
    check(late().at(9000).conntrack(100, 6), &["conntrack-full inbound likely 504 or firewall-drop"]);
    check(late().at(4100).rule("tcp dport 8080 drop", false), &[dropped]);
    // nearly full, and it dropped nothing
    check(script().at(0).conntrack(95, 5).at(500).netfilter().at(1000).conntrack(96, 5), &[dropped]);
}

#[test]
fn hairpin() {
    let back = || {
        own().addresses().at(1).other_drop().but(|drop| {
            drop.tuple.dst = drop.tuple.src;
            drop.ifindex = 2;
        })
    };
    check(back().at(1000).retransmit().at(1500).closed(0), &["hairpin outbound certain 504"]);
    // an answer came all the same
    check(back().at(1000).reset_received().closed(111), &["process-down outbound likely 502 or firewall-reject"]);
}

#[test]
fn port_exhausted() {
    check(own().at(1).no_port(0), &["port-exhausted outbound certain 502"]);
    check(own().v6().at(1).no_port(99), &["port-exhausted outbound certain 502"]);
    // there was a port, and the socket was closed at once
    check(own().at(1).closed(0), &["abandoned 1"]);
    // another errno
    check(own().at(1).no_port(22), &["abandoned 1"]);
}
