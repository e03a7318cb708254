//! The addresses of a namespace.

use std::net::IpAddr;

use netlink_packet_core::Parseable as _;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

use super::netlink::{Netlink, NetlinkError};

/// Addresses kept of one namespace: a host record must stay below 64 KiB.
const ADDRESSES_MAX: usize = 2048;

/// All addresses, loopback included, each once, ascending.
pub(super) fn addresses(route: &mut Netlink) -> Result<Vec<IpAddr>, NetlinkError> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut found = route.dump(&request, |_kind, payload| Ok(local_address(&AddressMessage::parse(payload)?)))?;
    found.sort_unstable();
    found.dedup();
    found.truncate(ADDRESSES_MAX);
    Ok(found)
}

/// `IFA_LOCAL` where there is one: on point-to-point links `IFA_ADDRESS` is the peer's.
fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_to_point_link_gives_its_own_end() {
        let mut message = AddressMessage::default();
        assert_eq!(local_address(&message), None);
        let (own, peer): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        message.attributes = vec![AddressAttribute::Address(peer)];
        assert_eq!(local_address(&message), Some(peer));
        message.attributes.push(AddressAttribute::Local(own));
        assert_eq!(local_address(&message), Some(own));
    }
}
