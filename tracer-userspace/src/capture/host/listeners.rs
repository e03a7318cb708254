//! TCP sockets of a namespace, from the kernel's socket diagnosis (`sock_diag`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::Parseable as _;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, Timer};

use super::netlink::{Netlink, NetlinkError};

/// A flow counts as progressing if its last ACK came less than this long ago, milliseconds.
const PROGRESSING_WITHIN_MS: u32 = 1000;
/// `tcpi_last_ack_recv` in `struct tcp_info` (include/uapi/linux/tcp.h): eight bytes, then the 13th u32.
const LAST_ACK_RECV_OFFSET: usize = 56;

/// A socket in LISTEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListeningSocket {
    /// Bound address.
    pub address: IpAddr,
    /// Bound port.
    pub port: u16,
    /// Socket inode; 0 if the kernel tells none.
    pub inode: u64,
    /// An IPv6 socket that takes no IPv4.
    pub v6_only: bool,
    /// Accept queue: length now and limit.
    pub backlog: (u32, u32),
    /// The kernel's socket cookie.
    pub cookie: u64,
}

/// Listening sockets on `ports`, or on any port if `None`; ascending by port, address, inode.
pub(super) fn listeners(diag: &mut Netlink, ports: Option<&[u16]>) -> Result<Vec<ListeningSocket>, NetlinkError> {
    let one_port = match ports {
        Some([port]) => *port,
        _ => 0,
    };
    let mut found = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let request = request(family, StateFlags::LISTEN, ExtensionFlags::empty(), (one_port, 0));
        let sockets = diag.dump(&request, |_kind, payload| {
            let socket = listening_socket(&InetResponse::parse(payload)?);
            Ok(Some(socket).filter(|socket| ports.is_none_or(|ports| ports.contains(&socket.port))))
        });
        found.extend(sockets.map_err(without_tcp_diag)?);
    }
    found.sort_unstable_by_key(|socket| (socket.port, socket.address, socket.inode));
    Ok(found)
}

/// Connections that are there, by the watched port that they are at: the own one, else the remote one.
pub(super) fn connections(diag: &mut Netlink, ports: &[u16]) -> Result<BTreeMap<u16, u64>, NetlinkError> {
    let states = [
        StateFlags::ESTABLISHED,
        StateFlags::FIN_WAIT1,
        StateFlags::FIN_WAIT2,
        StateFlags::CLOSE_WAIT,
        StateFlags::LAST_ACK,
        StateFlags::CLOSING,
    ];
    let open = states.into_iter().fold(StateFlags::empty(), |all, state| all | state);
    // one port is looked for by the kernel, several here
    let filters: &[(u16, u16)] = match ports {
        [port] => &[(*port, 0), (0, *port)],
        _ => &[(0, 0)],
    };
    let mut count = BTreeMap::new();
    for (family, filter) in [AF_INET, AF_INET6].into_iter().flat_map(|family| filters.iter().map(move |f| (family, f)))
    {
        let request = request(family, open.clone(), ExtensionFlags::empty(), *filter);
        let found =
            diag.dump(&request, |_kind, payload| Ok(watched_port(&InetResponse::parse(payload)?, ports, *filter)));
        for port in found.map_err(without_tcp_diag)? {
            let connections: &mut u64 = count.entry(port).or_default();
            *connections = connections.saturating_add(1);
        }
    }
    Ok(count)
}

/// The watched port of a connection, if it has one, and was not found by its own port already. What is left of
/// one in `TIME_WAIT` is none.
fn watched_port(response: &InetResponse, ports: &[u16], (source, destination): (u16, u16)) -> Option<u16> {
    let id = &response.header.socket_id;
    if matches!(response.header.timer, Some(Timer::TimeWait)) || (source == 0 && id.source_port == destination) {
        return None;
    }
    [id.source_port, id.destination_port].into_iter().find(|port| ports.contains(port))
}

/// How many established flows to `remote` got an ACK within the last second.
pub(super) fn progressing_flows(diag: &mut Netlink, remote: SocketAddr) -> Result<u32, NetlinkError> {
    // a dual-stack socket keeps IPv4 peers as mapped IPv6 addresses, in the IPv6 table
    let families: &[u8] = if remote.is_ipv4() { &[AF_INET, AF_INET6] } else { &[AF_INET6] };
    let mut count = 0_u32;
    for family in families {
        let request = request(*family, StateFlags::ESTABLISHED, ExtensionFlags::INFO, (0, remote.port()));
        let flows =
            diag.dump(&request, |_kind, payload| Ok(progressing(&InetResponse::parse(payload)?, remote).then_some(())));
        let flows = flows.map_err(without_tcp_diag)?;
        count = count.saturating_add(u32::try_from(flows.len()).unwrap_or(u32::MAX));
    }
    Ok(count)
}

fn progressing(response: &InetResponse, remote: SocketAddr) -> bool {
    let id = &response.header.socket_id;
    if id.destination_port != remote.port() || id.destination_address.to_canonical() != remote.ip().to_canonical() {
        return false;
    }
    let info = response.nlas.iter().find_map(|nla| match nla {
        Nla::TcpInfo(bytes) => bytes.get(LAST_ACK_RECV_OFFSET..)?.first_chunk(),
        _ => None,
    });
    info.is_some_and(|bytes| u32::from_ne_bytes(*bytes) < PROGRESSING_WITHIN_MS)
}

/// The kernel loads its module at the first request, and says ENOENT where it cannot.
fn without_tcp_diag(error: NetlinkError) -> NetlinkError {
    match error {
        NetlinkError::Refused { errno: libc::ENOENT } => NetlinkError::NoTcpDiag,
        other => other,
    }
}

/// A dump of TCP sockets; the kernel leaves out those of other ports where one is not 0.
fn request(
    family: u8,
    states: StateFlags,
    extensions: ExtensionFlags,
    (source_port, destination_port): (u16, u16),
) -> SockDiagMessage {
    let any = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
    let socket_id = SocketId { source_port, destination_port, ..any };
    SockDiagMessage::InetRequest(InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id })
}

fn listening_socket(response: &InetResponse) -> ListeningSocket {
    let id = &response.header.socket_id;
    // two u32 in host order, the low one first (sock_diag_save_cookie)
    let half = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u64::from(u32::from_ne_bytes(*bytes)));
    let cookie = half(id.cookie.first_chunk()) | (half(id.cookie.last_chunk()) << 32);
    ListeningSocket {
        address: id.source_address,
        port: id.source_port,
        inode: u64::from(response.header.inode),
        v6_only: response.nlas.iter().any(|nla| matches!(nla, Nla::SkV6Only(true))),
        backlog: (response.header.recv_queue, response.header.send_queue),
        cookie,
    }
}
