//! `--peer`: an address or a network.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// Remote ends of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(IpNet);

/// The text is no address or network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("this is no address or network: give one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32")]
pub struct NoPeer;

impl FromStr for Peer {
    type Err = NoPeer;

    fn from_str(text: &str) -> Result<Self, NoPeer> {
        let address: Option<IpAddr> = text.parse().ok();
        let network = address.map(|address| IpNet::from(address.to_canonical()));
        network.or_else(|| text.parse().ok()).map(Self).ok_or(NoPeer)
    }
}

impl Peer {
    /// Whether an address is one of these.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks() {
        let check = |peer: &str, address: &str, expected: bool| {
            let peer: Peer = peer.parse().unwrap();
            assert_eq!(peer.contains(address.parse().unwrap()), expected, "{peer:?} {address}");
        };
        check("10.9.1.2", "10.9.1.2", true);
        check("10.9.1.2", "10.9.1.3", false);
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "::ffff:10.255.0.1", true);
        check("::ffff:10.9.1.2", "10.9.1.2", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("2001:db8::/32", "10.0.0.1", false);
        for text in ["", "10", "10.0.0.0/33", "host", "10.0.0.1:80"] {
            assert_eq!(text.parse::<Peer>(), Err(NoPeer), "{text}");
        }
    }
}
