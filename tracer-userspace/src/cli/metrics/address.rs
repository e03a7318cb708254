//! Where metrics are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// Port if none is given.
const PORT: u16 = 9435;

/// `--metrics`: an address and a port. A port alone is on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsAddress(pub SocketAddr);

/// Why a text is no address to serve metrics on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("this is no address to listen on: give one like 127.0.0.1:9435, [::1]:9435 or 9435 (then on 127.0.0.1)")]
pub struct MetricsAddressError;

impl FromStr for MetricsAddress {
    type Err = MetricsAddressError;

    fn from_str(text: &str) -> Result<Self, MetricsAddressError> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let whole = text.parse::<SocketAddr>().ok();
        let port = || text.parse::<u16>().ok().map(|port| SocketAddr::new(loopback, port));
        let address = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, PORT));
        whole.or_else(port).or_else(address).map(Self).ok_or(MetricsAddressError)
    }
}

impl MetricsAddress {
    /// Whether only this host can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_unless_another_address_is_given() {
        let check = |text: &str, expected: &str, loopback| {
            let address: MetricsAddress = text.parse().unwrap();
            assert_eq!((address.0.to_string().as_str(), address.is_loopback()), (expected, loopback), "{text}");
        };
        check("127.0.0.1:9435", "127.0.0.1:9435", true);
        check("9100", "127.0.0.1:9100", true);
        check("::1", "[::1]:9435", true);
        check("[::1]:80", "[::1]:80", true);
        check("0.0.0.0:9435", "0.0.0.0:9435", false);
        check("10.1.2.3", "10.1.2.3:9435", false);
    }

    #[test]
    fn no_names_and_no_nonsense() {
        for text in ["", "localhost", "localhost:9435", ":9435", "127.0.0.1:99999", "-1", "http://127.0.0.1:1"] {
            assert_eq!(text.parse::<MetricsAddress>(), Err(MetricsAddressError), "{text}");
        }
    }
}
