//! The way from a namespace to a remote end: route, next hop, and whether other flows get there.

use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{DecodeError, Parseable as _};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourHeader, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType, RouteVia};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::listeners::progressing_flows;
use super::netlink::{Netlink, NetlinkError};
use super::sockets::Pair;
use crate::record::{Neighbour, PathReport};

/// What the kernel's route look-up says.
#[derive(Debug, PartialEq, Eq)]
struct Route {
    /// Positive errno; 0 if packets leave.
    error: u32,
    local: bool,
    gateway: Option<IpAddr>,
    /// Outgoing interface.
    interface: Option<u32>,
}

/// Looks up the path to `remote` in the namespace of these sockets.
pub(super) fn path(sockets: &mut Pair, remote: SocketAddr) -> Result<PathReport, NetlinkError> {
    // the kernel routes a mapped address as the IPv4 address it holds
    let destination = remote.ip().to_canonical();
    let route = route_to(&mut sockets.route, destination, remote.port())?;
    let neighbour = match route.interface {
        Some(interface) if route.error == 0 && !route.local => {
            neighbour(&mut sockets.route, interface, route.gateway.unwrap_or(destination))?
        }
        _ => Neighbour::Unknown,
    };
    let progressing_flows = progressing_flows(&mut sockets.diag, SocketAddr::new(destination, remote.port()))?;
    Ok(PathReport {
        destination,
        route_error: route.error,
        gateway: route.gateway,
        neighbour,
        local: route.local,
        port: remote.port(),
        progressing_flows,
    })
}

fn route_to(netlink: &mut Netlink, destination: IpAddr, port: u16) -> Result<Route, NetlinkError> {
    let mut request = RouteMessage::default();
    request.header.address_family = family_of(destination);
    request.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
    request.attributes = vec![
        RouteAttribute::Destination(destination.into()),
        // policy rules may go by protocol and port
        RouteAttribute::IpProto(libc::IPPROTO_TCP.try_into().unwrap_or_default()),
        RouteAttribute::Dport(port),
    ];
    match netlink.get(RouteNetlinkMessage::GetRoute(request)) {
        Ok((_kind, payload)) => RouteMessage::parse(&payload).map(|message| read_route(&message)).map_err(unreadable),
        Err(NetlinkError::Refused { errno }) => {
            Ok(Route { error: errno.unsigned_abs(), local: false, gateway: None, interface: None })
        }
        Err(error) => Err(error),
    }
}

fn read_route(message: &RouteMessage) -> Route {
    let mut route = Route {
        // IPv6 answers with the rejecting route where IPv4 answers with its error
        error: match message.header.kind {
            RouteType::Unreachable => Errno::HOSTUNREACH.raw_os_error().unsigned_abs(),
            RouteType::Prohibit => Errno::ACCESS.raw_os_error().unsigned_abs(),
            RouteType::BlackHole => Errno::INVAL.raw_os_error().unsigned_abs(),
            RouteType::Throw => Errno::NETUNREACH.raw_os_error().unsigned_abs(),
            _ => 0,
        },
        local: message.header.kind == RouteType::Local,
        gateway: None,
        interface: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.interface = Some(*index),
            RouteAttribute::Gateway(address) => route.gateway = ip_of_route(address).or(route.gateway),
            RouteAttribute::Via(RouteVia::Inet(address)) => route.gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::Via(RouteVia::Inet6(address)) => route.gateway = Some(IpAddr::V6(*address)),
            _ => {}
        }
    }
    route
}

fn ip_of_route(address: &netlink_packet_route::route::RouteAddress) -> Option<IpAddr> {
    use netlink_packet_route::route::RouteAddress;
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// State of the entry of `next_hop` at `interface`.
fn neighbour(netlink: &mut Netlink, interface: u32, next_hop: IpAddr) -> Result<Neighbour, NetlinkError> {
    let address = match next_hop {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    let mut request = NeighbourMessage::default();
    request.header.family = family_of(next_hop);
    request.header.ifindex = interface;
    request.attributes = vec![NeighbourAttribute::Destination(address)];
    match netlink.get(RouteNetlinkMessage::GetNeighbour(request)) {
        Ok((_kind, payload)) => {
            NeighbourHeader::parse(&payload).map(|header| neighbour_of(header.state)).map_err(unreadable)
        }
        // no entry: on a link that resolves nothing (a tunnel, wireguard) none is needed
        Err(NetlinkError::Refused { .. }) => Ok(match link_resolves(netlink, interface)? {
            Some(false) => Neighbour::Resolved,
            _ => Neighbour::Unknown,
        }),
        Err(error) => Err(error),
    }
}

/// `NUD_*` of include/uapi/linux/neighbour.h.
fn neighbour_of(state: NeighbourState) -> Neighbour {
    match state {
        NeighbourState::Reachable
        | NeighbourState::Stale
        | NeighbourState::Delay
        | NeighbourState::Probe
        | NeighbourState::Noarp
        | NeighbourState::Permanent => Neighbour::Resolved,
        NeighbourState::Incomplete => Neighbour::Incomplete,
        NeighbourState::Failed => Neighbour::Failed,
        _ => Neighbour::Unknown,
    }
}

/// Whether the link resolves addresses at all; `None` if the link is gone.
fn link_resolves(netlink: &mut Netlink, interface: u32) -> Result<Option<bool>, NetlinkError> {
    let mut request = LinkMessage::default();
    request.header.index = interface;
    match netlink.get(RouteNetlinkMessage::GetLink(request)) {
        Ok((_kind, payload)) => {
            let header = LinkHeader::parse(&payload).map_err(unreadable)?;
            Ok(Some(!header.flags.intersects(LinkFlags::Noarp | LinkFlags::Pointopoint | LinkFlags::Loopback)))
        }
        Err(NetlinkError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn family_of(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function for map_err")]
fn unreadable(error: DecodeError) -> NetlinkError {
    NetlinkError::Unreadable(error.to_string())
}

#[cfg(test)]
#[path = "paths_tests.rs"]
mod tests;
