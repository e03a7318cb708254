use super::super::ruleset::{Packet, candidates};
use super::*;

const RULESET: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
{"table": {"family": "inet", "name": "filter", "handle": 1}},
{"set": {"family": "inet", "name": "bad", "table": "filter", "type": "ipv4_addr", "handle": 1, "flags": ["interval"],
 "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": ["192.168.1.1", "192.168.1.9"]}]}},
{"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 2, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
{"chain": {"family": "inet", "table": "filter", "name": "sub", "handle": 3}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 4, "expr": [
 {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 5, "expr": [
 {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"accept": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 7, "expr": [
 {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [80, 443, {"range": [1000, 2000]}]}}},
 {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@bad"}},
 {"counter": {"packets": 3, "bytes": 180}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 8, "expr": [
 {"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.9.1.2"}},
 {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 7}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 9, "expr": [
 {"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}},
  "data": {"set": [[22, {"accept": null}], [23, {"drop": null}], [8080, {"jump": {"target": "sub"}}]]}}}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "sub", "handle": 10, "comment": "no", "expr": [
 {"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "saddr"}}, "right": {"prefix": {"addr": "fd00::", "len": 8}}}},
 {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}, {"reject": {"type": "tcp reset"}}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "sub", "handle": 11, "expr": [
 {"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]}, "right": "syn"}},
 {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "sub", "handle": 12, "expr": [
 {"limit": {"rate": 5, "burst": 5, "per": "second"}},
 {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.2"}}, {"drop": null}]}},
{"table": {"family": "ip", "name": "filter", "handle": 2}},
{"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}},
{"rule": {"family": "ip", "table": "filter", "chain": "INPUT", "handle": 2, "expr": [{"xt": {"type": "target", "name": "REJECT"}}]}}]}"#;

fn packet(source: &str, destination_port: u16) -> Packet {
    let source: IpAddr = source.parse().unwrap();
    let destination = if source.is_ipv4() { "10.9.2.2" } else { "fd09:2::2" }.parse().unwrap();
    Packet {
        source,
        destination,
        source_port: 40_000,
        destination_port,
        is_syn: true,
        outgoing: false,
        local: Some(true),
        interface: Some("eth0".to_owned()),
    }
}

#[test]
fn a_ruleset_as_nft_prints_it() {
    let listing = parse(RULESET).unwrap();
    assert_eq!(listing.made_by_iptables, ["ip"]);
    assert_eq!(listing.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["inet filter"]);
    let dropped_by = |source: &str, port: u16| {
        let found = candidates(&listing.tables, &packet(source, port));
        let text =
            |one: &super::super::ruleset::Candidate| format!("{}{}", one.key, if one.certain { "" } else { "?" });
        found.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let handle = |number| format!("nft inet filter inet filter handle {number}");
    let policy = "nft inet filter policy input".to_owned();
    assert_eq!(dropped_by("10.9.1.2", 80), handle(7));
    assert_eq!(dropped_by("192.168.1.9", 1500), handle(7));
    assert_eq!(dropped_by("192.168.1.10", 1500), policy);
    assert_eq!(dropped_by("fd00::1", 80), policy, "the set has IPv4 addresses");
    assert_eq!(dropped_by("10.9.1.2", 22), "", "accepted");
    assert_eq!(dropped_by("10.9.1.2", 23), handle(9));
    assert_eq!(dropped_by("fd00::1", 8080), handle(10));
    assert_eq!(dropped_by("192.0.2.1", 8080), handle(11));
    assert_eq!(dropped_by("192.0.2.2", 8080), format!("{}?, {policy}", handle(12)));
    assert_eq!(dropped_by("192.0.2.3", 8080), policy);
    assert_eq!(dropped_by("10.9.1.2", 7), policy);
    assert_eq!(dropped_by("10.9.1.3", 7), handle(8));
    assert_eq!(dropped_by("fd00::1", 7), policy, "it has no IPv4 address that differs");
}

#[test]
fn no_ruleset_is_none_and_an_odd_one_harms_nothing() {
    assert!(parse("").is_none());
    assert!(parse("{}").is_none());
    assert!(parse("[1, 2]").is_none());
    let odd = r#"{"nftables": [{"rule": {}}, {"chain": {"hook": 7}}, {"rule": {"family": "ip", "expr": [{"match": {}}, {"vmap": 3}, 5, {}]}}, 9]}"#;
    assert_eq!(parse(odd).unwrap().tables.len(), 1);
}

#[test]
fn texts_by_handle() {
    let text = "table inet filter { # handle 1\n\tchain input { # handle 2\n\t\ttype filter hook input priority filter; policy drop;\n\t\tct state established,related accept # handle 4\n\t\ttcp dport 1 comment \"a # handle 9\" drop # handle 7\n\t}\n}\ntable ip6 nat { # handle 2\n\tchain a { # handle 1\n\t\taccept # handle 4\n\t}\n}\n";
    let texts = texts(text);
    assert_eq!(texts.get("inet filter handle 4").map(String::as_str), Some("ct state established,related accept"));
    assert_eq!(
        texts.get("inet filter handle 7").map(String::as_str),
        Some("tcp dport 1 comment \"a # handle 9\" drop")
    );
    assert_eq!(texts.get("ip6 nat handle 4").map(String::as_str), Some("accept"));
    assert_eq!(texts.len(), 3);
}
