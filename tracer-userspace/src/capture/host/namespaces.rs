//! Which network namespaces there are, what they are called, and how to get into them.
//!
//! A namespace is known by the inode number of its file in nsfs. None is held open: an open file
//! would keep the namespace of a stopped container, and its interfaces, alive. What is kept is a path
//! to it, whose inode is checked again at each use.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::namespace_scan::{Scan, named, net_inode, nsfs_device};
use crate::record::BootTime;

/// Namespaces followed at most; what lies beyond is counted.
pub const NAMESPACES_MAX: usize = 4096;

/// Names listed in an error, at most.
const NAMES_SHOWN: usize = 20;
/// Between two scans made because an unknown inode was asked for.
const RESCAN_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Why a namespace cannot be had.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// Not even our own can be read.
    #[error("cannot read /proc/self/ns/net, is /proc mounted?")]
    Proc(#[source] io::Error),
    /// `--netns NAME`, and there is no such name.
    #[error("no network namespace is called {name:?}; {known}")]
    NoSuchName {
        /// The name asked for.
        name: String,
        /// The names there are, as a clause.
        known: String,
    },
    /// `--netns PID`, and there is no such process.
    #[error("there is no process {pid} (a namespace whose name is all digits is given as /run/netns/{pid})")]
    NoSuchProcess {
        /// The pid asked for.
        pid: String,
    },
    /// `--netns PID` or a path: it cannot be read.
    #[error("cannot read the network namespace at {}", path.display())]
    Unreadable {
        /// File asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A path to something else.
    #[error("{} is no network namespace (expected a file such as /run/netns/NAME or /proc/PID/ns/net)", path.display())]
    NotANamespace {
        /// File asked for.
        path: PathBuf,
    },
    /// It was there, and is no more.
    #[error("network namespace {inode} ({name:?}) is gone")]
    Gone {
        /// Its inode.
        inode: u32,
        /// Its name.
        name: String,
    },
    /// setns, or the thread for it, was refused.
    #[error("cannot enter the network namespace {name:?} (needs CAP_SYS_ADMIN)")]
    Enter {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetNamespace {
    /// Inode number in nsfs.
    pub inode: u32,
    /// Name in /run/netns, a path, or `pid N (comm)`; empty for the host's own.
    pub name: String,
    /// The one that this process runs in.
    pub own: bool,
    /// Files to reach it by, the most lasting first.
    pub(super) ways: Vec<PathBuf>,
    /// The lowest pid seen in it, of which the name may be made.
    pub(super) lowest_pid: Option<u32>,
}

impl NetNamespace {
    /// One that nothing leads to.
    #[cfg(test)]
    pub(in crate::capture) fn unreachable(inode: u32) -> Self {
        Self { inode, name: String::new(), own: false, ways: Vec::new(), lowest_pid: None }
    }

    /// Opens its file, for setns.
    ///
    /// # Errors
    /// [`NamespaceError::Gone`] if no known way leads to it any more.
    pub(super) fn open(&self) -> Result<File, NamespaceError> {
        let leads_here = |file: &File| file.metadata().is_ok_and(|found| found.ino() == u64::from(self.inode));
        self.ways
            .iter()
            .filter_map(|way| File::open(way).ok())
            .find(leads_here)
            .ok_or_else(|| NamespaceError::Gone { inode: self.inode, name: self.name.clone() })
    }
}

/// What a scan found changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Inodes that were not known before.
    pub new: Vec<u32>,
    /// Inodes of namespaces that no process and no mount holds any more.
    pub gone: Vec<u32>,
}

/// The network namespaces of this host.
#[derive(Debug)]
pub struct Namespaces {
    by_inode: BTreeMap<u32, NetNamespace>,
    own: u32,
    /// Paths given by the user, looked at in every scan.
    given: Vec<PathBuf>,
    scanned: BootTime,
    /// Namespaces beyond [`NAMESPACES_MAX`] in the last scan.
    pub beyond_limit: usize,
    /// Processes whose namespace the last scan was not allowed to see: of other users without
    /// CAP_SYS_PTRACE, or shielded otherwise.
    pub hidden_processes: usize,
}

impl Namespaces {
    /// Finds all namespaces: our own, those mounted by name, those of all processes.
    ///
    /// # Errors
    /// [`NamespaceError::Proc`] if /proc cannot be read.
    pub fn discover(now: BootTime) -> Result<Self, NamespaceError> {
        let mut namespaces = Self {
            by_inode: BTreeMap::new(),
            own: 0,
            given: Vec::new(),
            scanned: now,
            beyond_limit: 0,
            hidden_processes: 0,
        };
        namespaces.rescan(now)?;
        Ok(namespaces)
    }

    /// Scans again. Costs one stat for each process.
    ///
    /// # Errors
    /// [`NamespaceError::Proc`] if /proc cannot be read; what was known stays known.
    pub fn rescan(&mut self, now: BootTime) -> Result<Changes, NamespaceError> {
        self.scanned = now;
        let scan = Scan::run(&self.given, &self.by_inode)?;
        let changes = Changes {
            new: scan.found.keys().filter(|inode| !self.by_inode.contains_key(inode)).copied().collect(),
            gone: self.by_inode.keys().filter(|inode| !scan.found.contains_key(inode)).copied().collect(),
        };
        self.own = scan.own;
        self.beyond_limit = scan.beyond_limit;
        self.hidden_processes = scan.hidden_processes;
        self.by_inode = scan.found;
        Ok(changes)
    }

    /// Scans again if `inode` is not known, at most once a second.
    ///
    /// # Errors
    /// As [`Self::rescan`].
    pub fn rescan_for(&mut self, inode: u32, now: BootTime) -> Result<Changes, NamespaceError> {
        if self.by_inode.contains_key(&inode) || now.since(self.scanned) < RESCAN_AT_MOST_EVERY {
            return Ok(Changes::default());
        }
        self.rescan(now)
    }

    /// The namespace with this inode, as of the last scan.
    #[must_use]
    pub fn get(&self, inode: u32) -> Option<&NetNamespace> {
        self.by_inode.get(&inode)
    }

    /// All, by inode.
    pub fn iter(&self) -> impl Iterator<Item = &NetNamespace> {
        self.by_inode.values()
    }

    /// Inode of the namespace this process runs in.
    #[must_use]
    pub fn own(&self) -> u32 {
        self.own
    }

    /// Finds what `--netns` names: all digits are a pid, with a `/` it is a path, else a name in
    /// /run/netns.
    ///
    /// # Errors
    /// One clear line: which namespace, why not, and for a name the names there are.
    pub fn resolve(&mut self, argument: &str, now: BootTime) -> Result<u32, NamespaceError> {
        let is_pid = !argument.is_empty() && argument.bytes().all(|byte| byte.is_ascii_digit());
        let path = if is_pid {
            PathBuf::from(format!("/proc/{argument}/ns/net"))
        } else if argument.contains('/') {
            PathBuf::from(argument)
        } else {
            named_path(argument)?
        };
        let found = path.metadata().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if is_pid => NamespaceError::NoSuchProcess { pid: argument.to_owned() },
            _ => NamespaceError::Unreadable { path: path.clone(), source },
        })?;
        let device = nsfs_device()?;
        let inode = net_inode(&found, device).ok_or_else(|| NamespaceError::NotANamespace { path: path.clone() })?;
        if !self.by_inode.contains_key(&inode) {
            self.given.push(path.clone());
            self.rescan(now)?;
        }
        let namespace = self.get(inode).ok_or(NamespaceError::NotANamespace { path: path.clone() })?;
        match super::inside::inside(namespace, || ()) {
            Ok(()) => Ok(inode),
            // nsfs holds namespaces of every type; setns tells a wrong one by EINVAL
            Err(NamespaceError::Enter { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
                Err(NamespaceError::NotANamespace { path })
            }
            Err(error) => Err(error),
        }
    }
}

/// Path of a mounted name.
fn named_path(name: &str) -> Result<PathBuf, NamespaceError> {
    let known = named();
    let names: Vec<&str> = known.iter().map(|(name, _path)| name.as_str()).collect();
    let path = known.iter().find(|(known, _path)| known == name).map(|(_name, path)| path.clone());
    path.ok_or_else(|| NamespaceError::NoSuchName { name: name.to_owned(), known: known_clause(&names) })
}

/// The names there are, as a clause of an error.
fn known_clause(names: &[&str]) -> String {
    if names.is_empty() {
        return "there are no names in /run/netns (give a pid or a path instead)".to_owned();
    }
    let shown = names.get(..NAMES_SHOWN).unwrap_or(names);
    let more = match names.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("there are: {}{more} (or give a pid or a path)", shown.join(", "))
}

#[cfg(test)]
#[path = "namespaces_tests.rs"]
mod tests;
