use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::net::sockopt::set_ipv6_v6only;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect as connect_socket, listen, socket_with};

use super::lab::{LabNamespace, connect};
use super::*;
use crate::capture::clock::boot_time;
use crate::record::{Listener, ListenerEvent, Neighbour, PathReport};

fn host() -> Host {
    Host::open(&[], boot_time()).unwrap()
}

fn path(host: &mut Host, lab: &LabNamespace, remote: &str) -> PathReport {
    let inode = lab.of(host).inode;
    let record = host.path(inode, remote.parse().unwrap(), boot_time()).unwrap();
    assert_eq!(record.netns, inode);
    match record.body {
        HostBody::Path(report) => report,
        other => panic!("{other:?}"),
    }
}

/// Begins a connect that will not be answered.
fn begin_connect(remote: &str) -> std::os::fd::OwnedFd {
    let remote: SocketAddr = remote.parse().unwrap();
    let family = if remote.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    assert_eq!(connect_socket(&socket, &remote).unwrap_err(), rustix::io::Errno::INPROGRESS);
    socket
}

#[test]
fn listeners_are_found_with_their_process() {
    let Some(lab) = LabNamespace::new("listeners_are_found_with_their_process") else { return };
    lab.ip("link set lo up");
    let mut host = host();
    let (v4, v6, v6_only) = inside(lab.of(&mut host), || {
        let v4 = TcpListener::bind("127.0.0.1:8080").unwrap();
        let v6 = TcpListener::bind("[::]:8443").unwrap();
        let v6_only = socket_with(AddressFamily::INET6, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        set_ipv6_v6only(&v6_only, true).unwrap();
        bind(&v6_only, &"[::1]:8080".parse::<SocketAddr>().unwrap()).unwrap();
        listen(&v6_only, 7).unwrap();
        (v4, v6, v6_only)
    })
    .unwrap();
    let netns = lab.of(&mut host).inode;

    let found = host.listening_sockets(netns, None).unwrap();
    let told = |found: &[ListeningSocket]| -> Vec<(String, bool)> {
        found.iter().map(|s| (SocketAddr::new(s.address, s.port).to_string(), s.v6_only)).collect()
    };
    let all = [("127.0.0.1:8080", false), ("[::1]:8080", true), ("[::]:8443", false)];
    assert_eq!(told(&found), all.map(|(address, v6_only)| (address.to_owned(), v6_only)));
    assert_eq!(found[1].backlog, (0, 7));
    assert!(found.iter().all(|socket| socket.inode != 0));
    assert_eq!(found[0].cookie, rustix::net::sockopt::socket_cookie(&v4).unwrap());
    assert_eq!(told(&host.listening_sockets(netns, Some(&[8443])).unwrap()), [("[::]:8443".to_owned(), false)]);
    assert_eq!(told(&host.listening_sockets(netns, Some(&[8443, 9])).unwrap()), [("[::]:8443".to_owned(), false)]);
    assert_eq!(host.listening_sockets(netns, Some(&[80])).unwrap(), []);

    let time = BootTime::from_ns(77);
    let snapshot = host.listeners(netns, &[8080], time);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    let own_pid = std::process::id();
    let expected = |index: usize| HostRecord {
        time,
        netns,
        body: HostBody::Listener(Listener {
            inode: found[index].inode,
            address: found[index].address,
            port: 8080,
            v6_only: found[index].v6_only,
            pid: own_pid,
            backlog: found[index].backlog,
            event: ListenerEvent::Present,
        }),
    };
    let process = HostRecord { time, netns: 0, body: HostBody::Process(process(own_pid).unwrap()) };
    assert_eq!(snapshot.records, [process, expected(0), expected(1)]);
    drop((v4, v6, v6_only));
    assert_eq!(host.listening_sockets(netns, None).unwrap(), []);
}

#[test]
fn a_connection_waiting_in_the_accept_queue_is_counted() {
    let Some(lab) = LabNamespace::new("a_connection_waiting_in_the_accept_queue_is_counted") else { return };
    lab.ip("link set lo up");
    let mut host = host();
    let open = inside(lab.of(&mut host), || {
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        (TcpStream::connect("127.0.0.1:8080").unwrap(), listener)
    });
    let netns = lab.of(&mut host).inode;
    assert_eq!(host.listening_sockets(netns, Some(&[8080])).unwrap()[0].backlog.0, 1);
    drop(open.unwrap());
}

#[test]
fn a_snapshot_tells_namespaces_and_watched_listeners() {
    let Some(lab) = LabNamespace::new("a_snapshot_tells_namespaces_and_watched_listeners") else { return };
    let Some(other) = LabNamespace::new("a_snapshot_tells_namespaces_and_watched_listeners") else { return };
    connect(&lab, &other);
    let mut host = Host::open(std::slice::from_ref(&lab.name), boot_time()).unwrap();
    let bind = || TcpListener::bind("0.0.0.0:8080").unwrap();
    let open = [inside(lab.of(&mut host), bind).unwrap(), inside(other.of(&mut host), bind).unwrap()];
    let (netns, other_netns) = (lab.of(&mut host).inode, other.of(&mut host).inode);
    assert_eq!(host.watched_namespaces(), [netns]);

    let snapshot = host.snapshot(&[8080], boot_time());
    let namespace = |inode: u32| {
        let record = snapshot.records.iter().find(|record| record.netns == inode).unwrap();
        match &record.body {
            HostBody::Namespace(namespace) => namespace.clone(),
            body => panic!("{body:?}"),
        }
    };
    let (ours, others) = (namespace(netns), namespace(other_netns));
    assert_eq!((&ours.name, ours.watched, &others.name, others.watched), (&lab.name, true, &other.name, false));
    for address in ["127.0.0.1", "::1", "10.77.0.1", "fd77::1"] {
        assert!(ours.addresses.contains(&address.parse().unwrap()), "{address}: {:?}", ours.addresses);
    }
    assert!(!ours.addresses.contains(&"10.77.0.2".parse().unwrap()));
    let listening = |record: &&HostRecord| matches!(record.body, HostBody::Listener(_));
    let watched: Vec<u32> = snapshot.records.iter().filter(listening).map(|record| record.netns).collect();
    assert_eq!(watched, [netns], "only the watched one's listener");

    let (rows, _problems) = host.table_of_all_listeners();
    let process = process(std::process::id()).unwrap();
    for name in [&lab.name, &other.name] {
        let row = rows.iter().find(|row| row.namespace == *name).unwrap();
        assert_eq!((row.port, row.address.to_string().as_str()), (8080, "0.0.0.0"));
        assert_eq!(row.process, Some((process.pid, process.comm.clone())));
    }
    drop(open);
}

#[test]
fn a_namespace_without_routes_has_no_path() {
    let Some(lab) = LabNamespace::new("a_namespace_without_routes_has_no_path") else { return };
    let mut host = host();
    for remote in ["192.0.2.1:80", "[2001:db8::1]:80"] {
        let report = path(&mut host, &lab, remote);
        assert_eq!((report.route_error, report.gateway, report.local, report.port), (101, None, false, 80), "{remote}");
        assert_eq!(report.neighbour, Neighbour::Unknown);
    }
}

#[test]
fn routes_that_reject_are_told_by_their_error() {
    let Some(lab) = LabNamespace::new("routes_that_reject_are_told_by_their_error") else { return };
    lab.ip("link set lo up");
    let mut host = host();
    let check = |host: &mut Host, kind: &str, v4: u32, v6: u32| {
        lab.ip(&format!("route add {kind} 192.0.2.0/24"));
        lab.ip(&format!("-6 route add {kind} 2001:db8::/32"));
        let found = ["192.0.2.1:80", "[2001:db8::1]:80"].map(|remote| path(host, &lab, remote).route_error);
        assert_eq!(found, [v4, v6], "{kind}");
        lab.ip(&format!("route del {kind} 192.0.2.0/24"));
        lab.ip(&format!("-6 route del {kind} 2001:db8::/32"));
    };
    check(&mut host, "unreachable", 113, 113);
    check(&mut host, "prohibit", 13, 13);
    check(&mut host, "blackhole", 22, 22);
}

#[test]
fn a_policy_rule_of_the_port_is_heeded() {
    let Some(lab) = LabNamespace::new("a_policy_rule_of_the_port_is_heeded") else { return };
    lab.ip("link set lo up");
    lab.ip("route add default dev lo");
    lab.ip("rule add ipproto tcp dport 81 prohibit");
    let mut host = host();
    let found = ["192.0.2.1:80", "192.0.2.1:81"].map(|remote| path(&mut host, &lab, remote).route_error);
    assert_eq!(found, [0, 13]);
}

#[test]
fn an_address_of_the_namespace_is_local() {
    let Some(lab) = LabNamespace::new("an_address_of_the_namespace_is_local") else { return };
    lab.ip("link set lo up");
    let mut host = host();
    for remote in ["127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        let report = path(&mut host, &lab, remote);
        assert_eq!((report.route_error, report.local), (0, true), "{remote}");
    }
}

#[test]
fn a_dead_neighbour_is_unresolved_and_a_live_one_resolved() {
    let test = "a_dead_neighbour_is_unresolved_and_a_live_one_resolved";
    let (Some(lab), Some(peer)) = (LabNamespace::new(test), LabNamespace::new(test)) else { return };
    connect(&lab, &peer);
    lab.ip("route add 198.51.100.0/24 via 10.77.0.2");
    let mut host = host();
    for dead in ["10.77.0.9:80", "[fd77::9]:80"] {
        let attempt = inside(lab.of(&mut host), || begin_connect(dead)).unwrap();
        let report = path(&mut host, &lab, dead);
        assert!(matches!(report.neighbour, Neighbour::Incomplete | Neighbour::Failed), "{report:?}");
        assert_eq!((report.route_error, report.local, report.gateway), (0, false, None));
        drop(attempt);
    }
    for live in ["10.77.0.2:80", "[fd77::2]:80"] {
        let refused = inside(lab.of(&mut host), || TcpStream::connect(live)).unwrap().unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(path(&mut host, &lab, live).neighbour, Neighbour::Resolved, "{live}");
    }
    let behind = path(&mut host, &lab, "198.51.100.7:443");
    assert_eq!((behind.gateway, behind.neighbour), (Some("10.77.0.2".parse().unwrap()), Neighbour::Resolved));
}

#[test]
fn a_link_that_resolves_nothing_counts_as_resolved() {
    let Some(lab) = LabNamespace::new("a_link_that_resolves_nothing_counts_as_resolved") else { return };
    lab.ip("tuntap add tun0 mode tun");
    lab.ip("addr add 10.78.0.1/24 dev tun0");
    lab.ip("link set tun0 up");
    // without a reader a tun link has no carrier, and its routes are told all the same
    assert_eq!(path(&mut host(), &lab, "10.78.0.9:80").neighbour, Neighbour::Resolved);
}

#[test]
fn flows_that_get_acks_are_counted() {
    let test = "flows_that_get_acks_are_counted";
    let (Some(lab), Some(peer)) = (LabNamespace::new(test), LabNamespace::new(test)) else { return };
    connect(&lab, &peer);
    let mut host = host();
    let server = inside(peer.of(&mut host), || TcpListener::bind("[::]:8080").unwrap()).unwrap();
    for remote in ["10.77.0.2:8080", "[fd77::2]:8080", "[::ffff:10.77.0.2]:8080"] {
        let mut client = inside(lab.of(&mut host), || TcpStream::connect(remote).unwrap()).unwrap();
        let (mut accepted, _peer) = server.accept().unwrap();
        // an ACK within the last second, however slow this machine is
        let progressing = (0..50).any(|_attempt| {
            client.write_all(b"x").unwrap();
            accepted.read_exact(&mut [0]).unwrap();
            accepted.write_all(b"y").unwrap();
            client.read_exact(&mut [0]).unwrap();
            path(&mut host, &lab, remote).progressing_flows == 1
        });
        assert!(progressing, "{remote}");
        let other_port = remote.replace("8080", "8081");
        assert_eq!(path(&mut host, &lab, &other_port).progressing_flows, 0);
    }
    assert_eq!(path(&mut host, &lab, "10.77.0.1:8080").progressing_flows, 0, "another address");
}

#[test]
fn a_namespace_that_is_gone_is_an_error_and_then_unknown() {
    let Some(lab) = LabNamespace::new("a_namespace_that_is_gone_is_an_error_and_then_unknown") else { return };
    let mut host = host();
    let inode = lab.of(&mut host).inode;
    drop(lab);
    let gone = host.addresses(inode).unwrap_err();
    assert!(matches!(gone, LookupError::Namespace(NamespaceError::Gone { .. })), "{gone:?}");
    assert!(host.rescan(boot_time()).unwrap().gone.contains(&inode));
    assert!(matches!(host.addresses(inode), Err(LookupError::Unknown(unknown)) if unknown == inode));
}
