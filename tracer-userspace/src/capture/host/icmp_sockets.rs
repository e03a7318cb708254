//! Raw ICMP sockets, so that received ICMP errors pass cgroup_skb/ingress.
//!
//! The kernel runs that hook where a packet meets a socket, and ICMP errors for TCP meet none. With a
//! raw socket open in a namespace they do. The sockets are never read and never queue anything: only
//! error types pass, and a filter after the hook drops those too.
//!
//! An open socket keeps its namespace alive, so those of a namespace that is gone must be closed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto, socket_with};
use thiserror::Error;

use super::inside::inside;
use super::namespaces::{NamespaceError, NetNamespace};
use super::socket_filters::{pass_icmp_types, pass_icmpv6_types, queue_nothing};

/// Destination unreachable, time exceeded, parameter problem.
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
/// Destination unreachable, packet too big, time exceeded, parameter problem.
const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];

/// Why received ICMP errors stay unseen in a namespace.
#[derive(Debug, Error)]
pub enum IcmpSocketError {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The socket was refused.
    #[error("cannot open a raw {protocol} socket in network namespace {inode} (needs CAP_NET_RAW)")]
    Socket {
        /// `ICMP` or `ICMPv6`.
        protocol: &'static str,
        /// Inode of the namespace.
        inode: u32,
        /// What the system said.
        source: io::Error,
    },
}

/// What an [`IcmpSockets::open`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpCover {
    /// ICMP and ICMPv6.
    Both,
    /// ICMP alone: this host has no IPv6.
    Ipv4Only,
}

/// The raw sockets of the watched namespaces.
#[derive(Debug, Default)]
pub struct IcmpSockets {
    by_namespace: BTreeMap<u32, (OwnedFd, Option<OwnedFd>)>,
}

impl IcmpSockets {
    /// Opens the sockets of a namespace, if they are not open yet.
    ///
    /// # Errors
    /// [`IcmpSocketError`]; none is open then.
    pub fn open(&mut self, namespace: &NetNamespace) -> Result<IcmpCover, IcmpSocketError> {
        let inode = namespace.inode;
        if let std::collections::btree_map::Entry::Vacant(slot) = self.by_namespace.entry(inode) {
            let (v4, v6) = inside(namespace, || (icmp_socket(), icmpv6_socket()))?;
            let refused = |protocol| move |source| IcmpSocketError::Socket { protocol, inode, source };
            slot.insert((v4.map_err(refused("ICMP"))?, v6.map_err(refused("ICMPv6"))?));
        }
        let without_v6 = self.by_namespace.get(&inode).is_some_and(|(_v4, v6)| v6.is_none());
        Ok(if without_v6 { IcmpCover::Ipv4Only } else { IcmpCover::Both })
    }

    /// Closes those of a namespace.
    pub fn close(&mut self, inode: u32) {
        self.by_namespace.remove(&inode);
    }

    /// How many namespaces are covered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_namespace.len()
    }

    /// Whether no namespace is covered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_namespace.is_empty()
    }
}

fn icmp_socket() -> io::Result<OwnedFd> {
    let socket = raw(AddressFamily::INET, ipproto::ICMP)?;
    pass_icmp_types(&socket, &ICMP_ERRORS)?;
    queue_nothing(&socket)?;
    Ok(socket)
}

/// `None` on a host without IPv6.
fn icmpv6_socket() -> io::Result<Option<OwnedFd>> {
    let socket = match raw(AddressFamily::INET6, ipproto::ICMPV6) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => return Ok(None),
        outcome => outcome?,
    };
    pass_icmpv6_types(&socket, &ICMPV6_ERRORS)?;
    queue_nothing(&socket)?;
    Ok(Some(socket))
}

fn raw(family: AddressFamily, protocol: Protocol) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::RAW, flags, Some(protocol))?;
    // the kernel raises it to its minimum, about 2 KiB
    set_socket_recv_buffer_size(&socket, 1)?;
    Ok(socket)
}

#[cfg(test)]
#[path = "icmp_sockets_tests.rs"]
mod tests;
