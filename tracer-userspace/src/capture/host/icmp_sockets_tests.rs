use std::net::UdpSocket;

use rustix::net::{RecvFlags, recv};

use super::*;
use crate::capture::clock::boot_time;
use crate::capture::host::Host;
use crate::capture::host::lab::LabNamespace;

fn lab(test: &str) -> Option<(LabNamespace, Host)> {
    let lab = LabNamespace::new(test)?;
    lab.ip("link set lo up");
    Some((lab, Host::open(&[], boot_time()).unwrap()))
}

/// Has the kernel send a port-unreachable error to ourselves; true once it has arrived.
fn provoke_error(address: &str) -> bool {
    let closed = UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap();
    let sender = UdpSocket::bind((address, 0)).unwrap();
    sender.connect(closed).unwrap();
    sender.send(b"x").unwrap();
    sender.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    // the ICMP error reached this host's stack, raw sockets first, then this socket
    sender.recv(&mut [0; 1]).unwrap_err().kind() == io::ErrorKind::ConnectionRefused
}

fn queued(socket: &OwnedFd) -> Option<u8> {
    let mut packet = [0_u8; 256];
    let (_, len) = recv(socket, &mut packet[..], RecvFlags::DONTWAIT).ok()?;
    // IPv4 raw sockets see the IP header, ICMPv6 ones do not
    packet[..len].get(if packet[0] == 0x45 { 20 } else { 0 }).copied()
}

#[test]
fn they_open_in_a_namespace_and_close() {
    let Some((lab, mut host)) = lab("they_open_in_a_namespace_and_close") else { return };
    let raw_sockets = |host: &mut Host| {
        let tables = || ["raw", "raw6"].map(|table| std::fs::read_to_string(format!("/proc/thread-self/net/{table}")));
        inside(lab.of(host), tables).unwrap().map(|table| table.unwrap().lines().count() - 1)
    };
    assert_eq!(raw_sockets(&mut host), [0, 0]);
    let mut sockets = IcmpSockets::default();
    let inode = lab.of(&mut host).inode;
    assert_eq!(sockets.open(lab.of(&mut host)).unwrap(), IcmpCover::Both);
    assert_eq!(sockets.open(lab.of(&mut host)).unwrap(), IcmpCover::Both);
    assert_eq!((sockets.len(), raw_sockets(&mut host)), (1, [1, 1]));
    sockets.close(inode);
    assert_eq!((sockets.is_empty(), raw_sockets(&mut host)), (true, [0, 0]));
}

#[test]
fn only_errors_pass_the_type_filter() {
    let Some((lab, mut host)) = lab("only_errors_pass_the_type_filter") else { return };
    inside(lab.of(&mut host), || {
        // each control sees the error, so a filter that blocks it is seen to block
        let (seeing, blind) = (raw(AddressFamily::INET, ipproto::ICMP).unwrap(), icmp_with_types(&[11, 12]));
        let errors = icmp_with_types(&ICMP_ERRORS);
        assert!(provoke_error("127.0.0.1"));
        assert_eq!([&seeing, &errors, &blind].map(queued), [Some(3), Some(3), None]);

        let v6 = |types: &[u8]| {
            let socket = raw(AddressFamily::INET6, ipproto::ICMPV6).unwrap();
            pass_icmpv6_types(&socket, types).unwrap();
            socket
        };
        let (errors, blind) = (v6(&ICMPV6_ERRORS), v6(&[2, 3, 4]));
        assert!(provoke_error("::1"));
        assert_eq!([&errors, &blind].map(queued), [Some(1), None]);
    })
    .unwrap();
}

fn icmp_with_types(types: &[u8]) -> OwnedFd {
    let socket = raw(AddressFamily::INET, ipproto::ICMP).unwrap();
    pass_icmp_types(&socket, types).unwrap();
    socket
}

#[test]
fn nothing_is_queued() {
    let Some((lab, mut host)) = lab("nothing_is_queued") else { return };
    inside(lab.of(&mut host), || {
        let (control, control_v6) =
            (icmp_with_types(&ICMP_ERRORS), raw(AddressFamily::INET6, ipproto::ICMPV6).unwrap());
        let (v4, v6) = (icmp_socket().unwrap(), icmpv6_socket().unwrap().unwrap());
        assert!(provoke_error("127.0.0.1") && provoke_error("::1"));
        assert_eq!([&control, &control_v6].map(queued), [Some(3), Some(1)]);
        assert_eq!([&v4, &v6].map(queued), [None, None]);
    })
    .unwrap();
}
