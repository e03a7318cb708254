//! Published ports among NAT rules: those whose connections are sent on to another socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ruleset::{Action, Table, Test};
use crate::record::Publication;

/// Jumps followed at most.
const DEPTH_MAX: usize = 8;
/// Published ports told, at most.
const FOUND_MAX: usize = 256;

/// The sockets that connections to these ports are sent on to, ascending, each once. A target of the
/// namespace itself has the unspecified address.
pub(super) fn publications(tables: &[Table], ports: &[u16]) -> Vec<Publication> {
    let mut found = Vec::new();
    for table in tables {
        // connections that come in; those of the namespace's own meet `output`, by the same rules
        let bases = table
            .chains
            .values()
            .filter(|chain| chain.base.as_ref().is_some_and(|base| base.hook == "prerouting" && base.priority < 0));
        for chain in bases {
            for port in ports {
                let walk = Walk { table, port: *port };
                walk.chain(&chain.rules, &Matched { port: false, address: None }, 0, &mut found);
            }
        }
    }
    found.sort_by_key(|one: &Publication| (one.port, one.target, one.address));
    found.dedup();
    found.truncate(FOUND_MAX);
    found
}

/// What the rules on the way to a translation have asked for.
#[derive(Clone)]
struct Matched {
    port: bool,
    address: Option<IpAddr>,
}

struct Walk<'a> {
    table: &'a Table,
    port: u16,
}

impl Walk<'_> {
    fn chain(&self, rules: &[super::ruleset::Rule], before: &Matched, depth: usize, found: &mut Vec<Publication>) {
        if depth > DEPTH_MAX || found.len() > FOUND_MAX {
            return;
        }
        for rule in rules {
            let Some(matched) = self.matched(&rule.tests, before) else { continue };
            match &rule.action {
                Action::Jump(name) | Action::Goto(name) => {
                    if let Some(chain) = self.table.chains.get(name) {
                        self.chain(&chain.rules, &matched, depth.saturating_add(1), found);
                    }
                }
                Action::Translate(address, port) if matched.port => {
                    let v4 = self.table.v4.unwrap_or(rule.tests.iter().all(|test| *test != Test::Family(false)));
                    let itself: IpAddr = if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                    let target = SocketAddr::new(address.unwrap_or(itself), port.unwrap_or(self.port));
                    found.push(Publication { port: self.port, address: matched.address, target });
                }
                _ => {}
            }
        }
    }

    /// What is known of connections to the port that pass these tests; `None` if none do.
    fn matched(&self, tests: &[Test], before: &Matched) -> Option<Matched> {
        let mut matched = before.clone();
        for test in tests {
            match test {
                Test::DestinationPort(ranges) => {
                    if !ranges.iter().any(|(first, last)| (first..=last).contains(&&self.port)) {
                        return None;
                    }
                    matched.port = true;
                }
                Test::Tcp(false) => return None,
                Test::Destination(ranges) => {
                    if let [(first, last)] = ranges.as_slice()
                        && first == last
                    {
                        matched.address = Some(*first);
                    }
                }
                // of a connection from elsewhere all else may hold
                _ => {}
            }
        }
        Some(matched)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{iptables, nft};
    use super::*;

    fn text(tables: &[Table], ports: &[u16]) -> String {
        let one = |one: &Publication| {
            let address = one.address.map(|address| format!("{address}:")).unwrap_or_default();
            format!("{address}{} -> {}", one.port, one.target)
        };
        publications(tables, ports).iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn as_docker_publishes() {
        const SAVED: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n:OUTPUT ACCEPT [0:0]\n\
            -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
            -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n\
            -A DOCKER -i docker0 -j RETURN\n\
            -A DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:8080\n\
            -A DOCKER -d 192.0.2.1/32 ! -i docker0 -p tcp -m tcp --dport 81 -j DNAT --to-destination 172.17.0.3:81\n\
            -A DOCKER ! -i docker0 -p udp -m udp --dport 80 -j DNAT --to-destination 172.17.0.9:53\nCOMMIT\n";
        let tables = iptables::parse(SAVED, "iptables", true);
        assert_eq!(text(&tables, &[80, 81]), "80 -> 172.17.0.2:8080, 192.0.2.1:81 -> 172.17.0.3:81");
        assert_eq!(text(&tables, &[8080]), "");
        let redirect = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8088\n\
            -A PREROUTING -p tcp -m tcp --dport 81 -j DNAT --to-destination [fd00::2]:8081\n";
        assert_eq!(
            text(&iptables::parse(redirect, "ip6tables", false), &[80, 81]),
            "80 -> [::]:8088, 81 -> [fd00::2]:8081"
        );
    }

    #[test]
    fn as_a_cluster_s_services_do() {
        const SAVED: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:SVC - [0:0]\n:SEP1 - [0:0]\n:SEP2 - [0:0]\n\
            -A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j SVC\n\
            -A SVC -m statistic --mode random --probability 0.5 -j SEP1\n-A SVC -j SEP2\n\
            -A SEP1 -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:6443\n\
            -A SEP2 -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:6443\n";
        let tables = iptables::parse(SAVED, "iptables", true);
        assert_eq!(text(&tables, &[443]), "10.96.0.1:443 -> 10.0.0.1:6443, 10.96.0.1:443 -> 10.0.0.2:6443");
        assert_eq!(text(&tables, &[80]), "");
    }

    #[test]
    fn as_nft_prints_them() {
        const RULESET: &str = r#"{"nftables": [
            {"chain": {"family": "inet", "table": "t", "name": "pre", "type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"}},
            {"rule": {"family": "inet", "table": "t", "chain": "pre", "handle": 1, "expr": [
              {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 80}},
              {"dnat": {"addr": "10.0.0.2", "port": 8080, "family": "ip"}}]}},
            {"rule": {"family": "inet", "table": "t", "chain": "pre", "handle": 2, "expr": [
              {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [81, 82]}}},
              {"redirect": {"port": 8081}}]}}]}"#;
        let tables = nft::parse(RULESET).unwrap().tables;
        assert_eq!(text(&tables, &[80, 82]), "80 -> 10.0.0.2:8080, 82 -> 0.0.0.0:8081");
    }
}
