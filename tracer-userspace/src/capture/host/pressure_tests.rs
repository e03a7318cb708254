use std::net::{TcpListener, TcpStream};

use super::super::lab::LabNamespace;
use super::*;
use crate::capture::clock::boot_time;

#[test]
fn conntrack_s_columns_are_found_by_name_and_summed_over_cpus() {
    let old = "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop\n\
               00000002  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a 00000001\n\
               00000002  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000010 00000000\n";
    assert_eq!(conntrack_drops(old), Some(26));
    assert_eq!(conntrack_drops("entries clashres found\n00000001 00000000 00000000\n"), None);
    assert_eq!(conntrack_drops("entries drop\n00000001\n"), None, "a line cut short");
    assert_eq!(conntrack_drops(""), None);
}

#[test]
fn tcp_s_extensions_are_found_by_name() {
    let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 7 9\nIpExt: InNoRoutes\nIpExt: 0\n";
    assert_eq!(tcp_extension(text, "ListenOverflows"), Some(7));
    assert_eq!(tcp_extension(text, "ListenDrops"), Some(9));
    assert_eq!(tcp_extension(text, "InNoRoutes"), None);
    assert_eq!(tcp_extension("TcpExt: ListenDrops\n", "ListenDrops"), None);
}

#[test]
fn the_time_spent_waiting_for_memory() {
    let text =
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234567\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n";
    assert_eq!(memory_stall(text), Some(1_234_567));
    assert_eq!(memory_stall("full total=99\n"), None);
}

#[test]
fn an_accept_queue_that_overflows_is_told_of_its_namespace_and_told_once() {
    let Some(namespace) = LabNamespace::new("pressure") else { return };
    namespace.ip("link set lo up");
    let mut host = Host::open(std::slice::from_ref(&namespace.name), boot_time()).unwrap();
    let inode = namespace.of(&mut host).inode;
    let mut gauge = PressureGauge::default();
    let mut now = boot_time();
    let mut overflows = |gauge: &mut PressureGauge, host: &Host| {
        now = now.after(LOOK_EVERY);
        let records = gauge.look(host, now);
        let record = records.into_iter().find(|record| record.netns == inode)?;
        let HostBody::Pressure(pressure) = record.body else { panic!("{record:?}") };
        pressure.listen_overflows
    };
    let before = overflows(&mut gauge, &host);
    assert_eq!(before, Some(0));
    assert_eq!(overflows(&mut gauge, &host), None, "nothing changed");
    let held = inside(namespace.of(&mut host), || {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        // a queue of one
        rustix::net::listen(&socket, 0).unwrap();
        let to = socket.local_addr().unwrap();
        let tries = (0..3).map(|_| TcpStream::connect_timeout(&to, Duration::from_millis(300)));
        (tries.collect::<Vec<_>>(), socket)
    });
    drop(held.unwrap());
    assert!(overflows(&mut gauge, &host).unwrap() > 0);
    gauge.forget(inode);
    assert!(gauge.open.keys().all(|open| *open != inode));
}

#[test]
fn looks_are_a_second_apart() {
    let host = Host::open(&[], boot_time()).unwrap();
    let mut gauge = PressureGauge::default();
    let now = boot_time();
    assert!(!gauge.look(&host, now).is_empty());
    assert!(gauge.look(&host, now.after(Duration::from_millis(999))).is_empty());
    assert_eq!(gauge.next_look, now.after(LOOK_EVERY));
}
