//! Network namespaces of this host: names and addresses.

use std::collections::BTreeMap;

use super::evidence::address_bytes;
use crate::record::Namespace;
use crate::shell;
use crate::verdict::address;

/// Most namespaces kept; beyond them the lowest inode goes.
const NAMESPACES_MAX: usize = 8192;

/// Where an address is, seen from a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this namespace.
    Here,
    /// In another namespace of this host.
    Sibling,
    /// Not on this host, as far as is known.
    Elsewhere,
    /// The namespace's addresses are not known.
    Unknown,
}

#[derive(Debug)]
struct Known {
    name: String,
    addresses: Vec<[u8; 16]>,
}

/// All that are known.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    by_inode: BTreeMap<u32, Known>,
    /// How many namespaces have an address.
    owners: BTreeMap<[u8; 16], u32>,
}

impl Namespaces {
    /// Takes over a host record.
    pub(super) fn learn(&mut self, inode: u32, namespace: &Namespace) {
        self.remove(inode);
        if self.by_inode.len() >= NAMESPACES_MAX
            && let Some(lowest) = self.by_inode.keys().next().copied()
        {
            self.remove(lowest);
        }
        let mut addresses: Vec<_> = namespace.addresses.iter().copied().map(address_bytes).collect();
        addresses.sort_unstable();
        addresses.dedup();
        for address in &addresses {
            let owners = self.owners.entry(*address).or_default();
            *owners = owners.saturating_add(1);
        }
        self.by_inode.insert(inode, Known { name: namespace.name.clone(), addresses });
    }

    /// Where `wanted` is, seen from the namespace `inode`.
    pub(super) fn place(&self, inode: u32, wanted: [u8; 16]) -> Place {
        if address(wanted).is_loopback() {
            return Place::Here;
        }
        match self.by_inode.get(&inode) {
            Some(known) if known.addresses.binary_search(&wanted).is_ok() => Place::Here,
            Some(known) if known.addresses.iter().all(|own| address(*own).is_loopback()) => Place::Unknown,
            None => Place::Unknown,
            Some(_) if self.owners.contains_key(&wanted) => Place::Sibling,
            Some(_) => Place::Elsewhere,
        }
    }

    /// The namespace that an address belongs to, if it is exactly one.
    pub(super) fn owner(&self, wanted: [u8; 16]) -> Option<u32> {
        let owns = |known: &Known| known.addresses.binary_search(&wanted).is_ok();
        let mut owners = self.by_inode.iter().filter(|(_, known)| owns(known)).map(|(inode, _)| *inode);
        owners.next().filter(|_| owners.next().is_none())
    }

    /// Its name; empty for the host's own, or if it is not known.
    pub(super) fn name(&self, inode: u32) -> &str {
        self.by_inode.get(&inode).map_or("", |known| known.name.as_str())
    }

    /// What to put before a command so that it looks into this namespace.
    pub(super) fn enter(&self, inode: u32) -> String {
        let name = self.name(inode);
        match name.strip_prefix("pid ") {
            _ if name.is_empty() => String::new(),
            Some(pid) => format!("nsenter -t {pid} -n "),
            None if name.contains('/') => format!("nsenter --net={} ", shell::word(name)),
            None => format!("ip netns exec {} ", shell::word(name)),
        }
    }

    fn remove(&mut self, inode: u32) {
        let Some(known) = self.by_inode.remove(&inode) else { return };
        for address in known.addresses {
            if let Some(owners) = self.owners.get_mut(&address) {
                *owners = owners.saturating_sub(1);
                if *owners == 0 {
                    self.owners.remove(&address);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str, addresses: &[&str]) -> Namespace {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Namespace { name: name.to_owned(), addresses, watched: true }
    }

    #[test]
    fn places() {
        let mut namespaces = Namespaces::default();
        namespaces.learn(1, &namespace("", &["127.0.0.1", "192.0.2.1", "fd00::1"]));
        namespaces.learn(2, &namespace("app", &["192.0.2.2"]));
        namespaces.learn(3, &namespace("new", &["127.0.0.1", "::1"]));
        let check = |inode, text: &str, expected| {
            assert_eq!(namespaces.place(inode, address_bytes(text.parse().unwrap())), expected, "{inode} {text}");
        };
        check(1, "192.0.2.1", Place::Here);
        check(1, "fd00::1", Place::Here);
        check(1, "127.0.0.8", Place::Here);
        check(1, "192.0.2.2", Place::Sibling);
        check(1, "198.51.100.1", Place::Elsewhere);
        check(9, "198.51.100.1", Place::Unknown);
        check(3, "198.51.100.1", Place::Unknown);
    }

    #[test]
    fn addresses_that_went_belong_to_nobody() {
        let mut namespaces = Namespaces::default();
        namespaces.learn(1, &namespace("", &["192.0.2.1"]));
        namespaces.learn(2, &namespace("app", &["192.0.2.2"]));
        namespaces.learn(2, &namespace("app", &["192.0.2.3"]));
        assert_eq!(namespaces.place(1, address_bytes("192.0.2.2".parse().unwrap())), Place::Elsewhere);
        let moved = address_bytes("192.0.2.3".parse().unwrap());
        assert_eq!((namespaces.place(1, moved), namespaces.owner(moved)), (Place::Sibling, Some(2)));
        namespaces.learn(1, &namespace("", &["192.0.2.1", "192.0.2.3"]));
        assert_eq!(namespaces.owner(moved), None, "two have it");
    }

    #[test]
    fn how_to_enter() {
        let mut namespaces = Namespaces::default();
        for (inode, name) in [(1, ""), (2, "app"), (3, "/proc/7/ns/net"), (4, "pid 812")] {
            namespaces.learn(inode, &namespace(name, &[]));
        }
        assert_eq!(namespaces.enter(1), "");
        assert_eq!(namespaces.enter(2), "ip netns exec app ");
        assert_eq!(namespaces.enter(3), "nsenter --net=/proc/7/ns/net ");
        assert_eq!(namespaces.enter(4), "nsenter -t 812 -n ");
        assert_eq!(namespaces.enter(5), "");
    }
}
