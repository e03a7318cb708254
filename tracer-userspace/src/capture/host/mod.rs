//! What the host tells beside the hooks: namespaces, addresses, listeners, processes, routes.
//!
//! All look-ups block for a moment (netlink, procfs), so they belong on a thread that may. None reads
//! a clock: the records carry the time they are given.

mod addresses;
mod cgroup;
mod icmp_sockets;
mod inside;
mod listeners;
mod namespace_scan;
mod namespaces;
mod netlink;
mod open_files;
mod paths;
mod pressure;
mod proc_files;
mod processes;
mod snapshot;
mod socket_filters;
mod sockets;
mod statistics;

#[cfg(test)]
mod lab;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

pub use icmp_sockets::{IcmpCover, IcmpSocketError, IcmpSockets};
pub use inside::inside;
pub use listeners::ListeningSocket;
pub use namespaces::{Changes, NAMESPACES_MAX, NamespaceError, Namespaces, NetNamespace};
pub use netlink::NetlinkError;
pub use open_files::raise_open_files;
pub use pressure::PressureGauge;
pub use processes::{Holders, holds_any, process, socket_holders};
pub use snapshot::{ListenerRow, Snapshot};
pub use sockets::LookupError;

use crate::record::{BootTime, HostBody, HostRecord, Namespace};
use sockets::Sockets;

/// Which namespaces are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every one.
    All,
    /// Those with these inodes.
    Only(BTreeSet<u32>),
}

impl Selection {
    /// Whether the namespace with this inode is watched.
    #[must_use]
    pub fn watches(&self, inode: u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(inodes) => inodes.contains(&inode),
        }
    }
}

/// What a rescan found.
#[derive(Debug, Default)]
pub struct Rescan {
    /// One record for each new namespace.
    pub records: Vec<HostRecord>,
    /// Inodes of the new namespaces.
    pub new: Vec<u32>,
    /// Inodes of those that are gone: what is open in them (ICMP sockets) must be closed.
    pub gone: Vec<u32>,
    /// Look-ups that failed.
    pub problems: Vec<LookupError>,
}

/// The look-ups.
#[derive(Debug)]
pub struct Host {
    namespaces: Namespaces,
    sockets: Sockets,
    selection: Selection,
}

impl Host {
    /// Finds the namespaces, and those that `netns` (`--netns`) names; none named: all are watched.
    ///
    /// # Errors
    /// [`NamespaceError`], one clear line.
    pub fn open(netns: &[String], now: BootTime) -> Result<Self, NamespaceError> {
        let mut namespaces = Namespaces::discover(now)?;
        let selection = if netns.is_empty() {
            Selection::All
        } else {
            let inodes = netns.iter().map(|argument| namespaces.resolve(argument, now));
            Selection::Only(inodes.collect::<Result<_, _>>()?)
        };
        Ok(Self { namespaces, sockets: Sockets::default(), selection })
    }

    /// The namespaces known.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Which of them are watched.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Inodes of the namespaces that were named; empty if all are watched.
    #[must_use]
    pub fn selected_inodes(&self) -> Vec<u32> {
        match &self.selection {
            Selection::All => Vec::new(),
            Selection::Only(inodes) => inodes.iter().copied().collect(),
        }
    }

    /// Inodes of the watched namespaces that there are now.
    #[must_use]
    pub fn watched_namespaces(&self) -> Vec<u32> {
        self.namespaces.iter().map(|namespace| namespace.inode).filter(|inode| self.selection.watches(*inode)).collect()
    }

    /// Looks for new namespaces and for those gone; to be called every few seconds.
    ///
    /// # Errors
    /// [`NamespaceError::Proc`] if /proc cannot be read.
    pub fn rescan(&mut self, now: BootTime) -> Result<Rescan, NamespaceError> {
        let changes = self.namespaces.rescan(now)?;
        Ok(self.take_up(changes, now))
    }

    /// The same if `inode`, met in a record, is not known; at most once a second.
    ///
    /// # Errors
    /// As [`Self::rescan`].
    pub fn rescan_for(&mut self, inode: u32, now: BootTime) -> Result<Rescan, NamespaceError> {
        let changes = self.namespaces.rescan_for(inode, now)?;
        Ok(self.take_up(changes, now))
    }

    fn take_up(&mut self, changes: Changes, now: BootTime) -> Rescan {
        let mut rescan = Rescan { new: changes.new, gone: changes.gone, ..Rescan::default() };
        for inode in &rescan.gone {
            self.sockets.forget(*inode);
        }
        for inode in &rescan.new {
            let (record, problem) = self.namespace_record(*inode, now);
            rescan.records.extend(record);
            rescan.problems.extend(problem);
        }
        rescan
    }

    /// A namespace with its addresses; without them if they cannot be looked up, and why.
    pub fn namespace_record(&mut self, inode: u32, now: BootTime) -> (Option<HostRecord>, Option<LookupError>) {
        let Some(namespace) = self.namespaces.get(inode) else { return (None, Some(LookupError::Unknown(inode))) };
        let name = namespace.name.clone();
        let (addresses, problem) = match self.addresses(inode) {
            Ok(addresses) => (addresses, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        let watched = self.selection.watches(inode);
        let body = HostBody::Namespace(Namespace { name, addresses, watched });
        (Some(HostRecord { time: now, netns: inode, body }), problem)
    }

    /// Addresses of a namespace, loopback included.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn addresses(&mut self, netns: u32) -> Result<Vec<IpAddr>, LookupError> {
        let namespace = self.namespaces.get(netns).ok_or(LookupError::Unknown(netns))?;
        self.sockets.ask(namespace, "addresses", |pair| addresses::addresses(&mut pair.route))
    }

    /// Listening sockets of a namespace, on `ports` or on any.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn listening_sockets(
        &mut self,
        netns: u32,
        ports: Option<&[u16]>,
    ) -> Result<Vec<ListeningSocket>, LookupError> {
        let namespace = self.namespaces.get(netns).ok_or(LookupError::Unknown(netns))?;
        self.sockets.ask(namespace, "listeners", |pair| listeners::listeners(&mut pair.diag, ports))
    }

    /// Connections of a namespace at the watched ports, by port.
    ///
    /// # Errors
    /// [`LookupError`]
    pub fn connections(&mut self, netns: u32, ports: &[u16]) -> Result<BTreeMap<u16, u64>, LookupError> {
        let namespace = self.namespaces.get(netns).ok_or(LookupError::Unknown(netns))?;
        self.sockets.ask(namespace, "connections", |pair| listeners::connections(&mut pair.diag, ports))
    }

    /// Route, next hop and progressing flows from a namespace to a remote end.
    ///
    /// # Errors
    /// [`LookupError`]; that there is no route is no error, but the report's `route_error`.
    pub fn path(&mut self, netns: u32, remote: SocketAddr, now: BootTime) -> Result<HostRecord, LookupError> {
        let namespace = self.namespaces.get(netns).ok_or(LookupError::Unknown(netns))?;
        let report = self.sockets.ask(namespace, "the path", |pair| paths::path(pair, remote))?;
        Ok(HostRecord { time: now, netns, body: HostBody::Path(report) })
    }
}
