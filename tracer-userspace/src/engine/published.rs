//! Published ports: which sockets connections to a watched port are sent on to.

use std::collections::BTreeMap;

use super::evidence::Endpoint;
use crate::record::{Publication, Publications};

/// Namespaces kept; beyond them the lowest inode goes.
const NAMESPACES_MAX: usize = 256;

/// All that are known, by the namespace that translates.
#[derive(Debug, Default)]
pub(crate) struct Published {
    by_netns: BTreeMap<u32, Vec<Publication>>,
}

impl Published {
    /// Takes over a host record.
    pub(crate) fn learn(&mut self, netns: u32, publications: &Publications) {
        if self.by_netns.len() >= NAMESPACES_MAX && !self.by_netns.contains_key(&netns) {
            self.by_netns.pop_first();
        }
        self.by_netns.insert(netns, publications.publications.clone());
    }

    /// The ports that published ones are sent on to.
    pub(super) fn target_ports(&self) -> impl Iterator<Item = u16> {
        self.by_netns.values().flatten().map(|one| one.target.port())
    }

    /// Whether some published port is sent on to this port, at whatever address.
    pub(super) fn has_target_port(&self, port: u16) -> bool {
        self.target_ports().any(|target| target == port)
    }

    /// The lowest published port that is sent on to this one.
    pub(crate) fn published_as(&self, target: u16) -> Option<u16> {
        let published = self.by_netns.values().flatten().filter(|one| one.target.port() == target);
        published.map(|one| one.port).min()
    }

    /// The ports that a published one is sent on to.
    pub(super) fn targets_of(&self, port: u16) -> impl Iterator<Item = u16> {
        self.by_netns.values().flatten().filter(move |one| one.port == port).map(|one| one.target.port())
    }

    /// The published port that is sent on to this end, which `netns` has or passes on to.
    pub(super) fn port_of(&self, netns: u32, end: Endpoint) -> Option<&Publication> {
        self.by_netns.iter().find_map(|(translates, publications)| {
            publications.iter().find(|one| {
                let address = one.target.ip();
                let is_itself = address.is_unspecified() && *translates == netns && address.is_ipv4() == end.is_v4();
                one.target.port() == end.port && (is_itself || address == end.ip())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::address_bytes;
    use super::*;

    #[test]
    fn only_what_a_port_is_sent_on_to_belongs_to_it() {
        let mut published = Published::default();
        let one = |port, target: &str| Publication { port, address: None, target: target.parse().unwrap() };
        let publications = vec![one(80, "172.17.0.2:8080"), one(81, "0.0.0.0:8081")];
        published.learn(1, &Publications { publications });
        let port_of = |netns, address: &str, port| {
            let end = Endpoint { address: address_bytes(address.parse().unwrap()), port };
            published.port_of(netns, end).map(|one| one.port)
        };
        assert_eq!(port_of(1, "172.17.0.2", 8080), Some(80));
        assert_eq!(port_of(7, "172.17.0.2", 8080), Some(80), "in the container's own namespace");
        assert_eq!(port_of(7, "172.17.0.3", 8080), None, "another listener on that port");
        assert_eq!(port_of(1, "192.0.2.1", 8081), Some(81));
        assert_eq!(port_of(7, "192.0.2.1", 8081), None);
        assert_eq!(port_of(1, "::1", 8081), None);
        assert!(published.has_target_port(8080) && !published.has_target_port(80));
        assert_eq!((published.published_as(8080), published.published_as(80)), (Some(80), None));
        assert_eq!(published.targets_of(81).collect::<Vec<_>>(), [8081]);
        published.learn(1, &Publications::default());
        assert!(!published.has_target_port(8080), "told anew");
    }
}
