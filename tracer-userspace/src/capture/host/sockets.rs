//! The netlink sockets of the namespaces that were asked about lately.

use rustix::net::netlink::SOCK_DIAG;
use thiserror::Error;

use super::inside::inside;
use super::namespaces::{NamespaceError, NetNamespace};
use super::netlink::{Netlink, NetlinkError};

/// Namespaces whose sockets are kept open.
const OPEN_MAX: usize = 64;

/// Why a look-up in a namespace failed.
#[derive(Debug, Error)]
pub enum LookupError {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The kernel gave no answer there.
    #[error("looking up {what} in network namespace {inode} failed")]
    Netlink {
        /// What was asked for.
        what: &'static str,
        /// Inode of the namespace.
        inode: u32,
        /// What went wrong.
        source: NetlinkError,
    },
    /// No namespace with this inode is known.
    #[error("no network namespace with inode {0} is known")]
    Unknown(u32),
}

/// Both sockets of one namespace.
#[derive(Debug)]
pub(super) struct Pair {
    /// Addresses, routes, neighbours, links.
    pub(super) route: Netlink,
    /// TCP sockets.
    pub(super) diag: Netlink,
}

/// Sockets by namespace, the last used at the end. An open one keeps its namespace alive, so there are
/// few, and those of a namespace that is gone are dropped.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    open: Vec<(u32, Pair)>,
}

impl Sockets {
    /// Asks `question` in `namespace`.
    pub(super) fn ask<T>(
        &mut self,
        namespace: &NetNamespace,
        what: &'static str,
        question: impl FnOnce(&mut Pair) -> Result<T, NetlinkError>,
    ) -> Result<T, LookupError> {
        let inode = namespace.inode;
        let failed = |source| LookupError::Netlink { what, inode, source };
        let mut pair = match self.open.iter().position(|(open, _pair)| *open == inode) {
            Some(index) => self.open.remove(index).1,
            None => inside(namespace, || {
                // NETLINK_ROUTE is protocol 0, the one that is not named
                Ok::<_, NetlinkError>(Pair { route: Netlink::open(None)?, diag: Netlink::open(Some(SOCK_DIAG))? })
            })?
            .map_err(failed)?,
        };
        let answer = question(&mut pair);
        // after anything but a refusal the rest of an answer may still be in the socket
        if matches!(answer, Ok(_) | Err(NetlinkError::Refused { .. })) {
            if self.open.len() >= OPEN_MAX {
                drop(self.open.remove(0));
            }
            self.open.push((inode, pair));
        }
        answer.map_err(failed)
    }

    /// Closes the sockets of a namespace that is gone.
    pub(super) fn forget(&mut self, inode: u32) {
        self.open.retain(|(open, _pair)| *open != inode);
    }
}
