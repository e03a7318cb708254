//! Which network namespaces there are, what they are called, and how to get into them.
//!
//! A namespace is known by the inode number of its file in nsfs. None is held open: an open file
//! would keep the namespace of a stopped container, and its interfaces, alive. What is kept is a path
//! to it, whose inode is checked again at each use.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::proc_files;
use crate::record::BootTime;

/// Namespaces followed at most; what lies beyond is counted.
pub const NAMESPACES_MAX: usize = 4096;

/// Where namespaces are mounted by name: iproute2 and the container network plugins.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];
/// Where container engines mount them under ids that mean little to people.
const MOUNTED: [&str; 1] = ["/run/docker/netns"];
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
    ways: Vec<PathBuf>,
    /// The lowest pid seen in it, of which the name may be made.
    lowest_pid: Option<u32>,
}

impl NetNamespace {
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
}

impl Namespaces {
    /// Finds all namespaces: our own, those mounted by name, those of all processes.
    ///
    /// # Errors
    /// [`NamespaceError::Proc`] if /proc cannot be read.
    pub fn discover(now: BootTime) -> Result<Self, NamespaceError> {
        let mut namespaces =
            Self { by_inode: BTreeMap::new(), own: 0, given: Vec::new(), scanned: now, beyond_limit: 0 };
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
        let path = if !argument.is_empty() && argument.bytes().all(|byte| byte.is_ascii_digit()) {
            PathBuf::from(format!("/proc/{argument}/ns/net"))
        } else if argument.contains('/') {
            PathBuf::from(argument)
        } else {
            named_path(argument)?
        };
        let found = path.metadata().map_err(|source| NamespaceError::Unreadable { path: path.clone(), source })?;
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
    let known: Vec<String> = mounted(&NAMED).into_iter().map(|(name, _path)| name).collect();
    let path = NAMED.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.exists());
    path.filter(|_found| !name.is_empty() && name != "." && name != "..").ok_or_else(|| NamespaceError::NoSuchName {
        name: name.to_owned(),
        known: if known.is_empty() {
            "there are no names in /run/netns (give a pid or a path instead)".to_owned()
        } else {
            format!("there are: {} (or give a pid or a path)", known.join(", "))
        },
    })
}

/// Names and paths in `directories`, sorted, each name once.
fn mounted(directories: &[&str]) -> Vec<(String, PathBuf)> {
    let mut found = BTreeMap::new();
    for directory in directories {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries.flatten().take(NAMESPACES_MAX) {
            found.entry(entry.file_name().to_string_lossy().into_owned()).or_insert_with(|| entry.path());
        }
    }
    found.into_iter().collect()
}

/// The device all namespace files are on.
fn nsfs_device() -> Result<u64, NamespaceError> {
    std::fs::metadata("/proc/self/ns/net").map(|own| own.dev()).map_err(NamespaceError::Proc)
}

/// Inode number of a namespace file; `None` if it is on another file system (a name whose mount is
/// gone) or is none that `struct ns_common` can hold (`unsigned int inum`).
fn net_inode(found: &Metadata, nsfs: u64) -> Option<u32> {
    (found.dev() == nsfs).then(|| u32::try_from(found.ino()).ok()).flatten()
}

/// One pass over mounts and processes.
struct Scan<'a> {
    found: BTreeMap<u32, NetNamespace>,
    before: &'a BTreeMap<u32, NetNamespace>,
    own: u32,
    host: u32,
    nsfs: u64,
    beyond_limit: usize,
}

impl<'a> Scan<'a> {
    fn run(given: &[PathBuf], before: &'a BTreeMap<u32, NetNamespace>) -> Result<Self, NamespaceError> {
        let own_path = Path::new("/proc/self/ns/net");
        let own_file = own_path.metadata().map_err(NamespaceError::Proc)?;
        let own = u32::try_from(own_file.ino()).unwrap_or_default();
        let host = std::fs::metadata("/proc/1/ns/net").ok().and_then(|file| net_inode(&file, own_file.dev()));
        let mut scan = Self {
            found: BTreeMap::new(),
            before,
            own,
            // hidden where PID 1 is shielded from us: then ours is the host's for all we can tell
            host: host.unwrap_or(own),
            nsfs: own_file.dev(),
            beyond_limit: 0,
        };
        scan.add(own_path, |_scan| String::new());
        for (name, path) in mounted(&NAMED) {
            scan.add(&path, |_scan| name);
        }
        for path in given {
            scan.add(path, |_scan| path.display().to_string());
        }
        for pid in proc_files::pids().map_err(NamespaceError::Proc)? {
            scan.add_process(pid);
        }
        for (_id, path) in mounted(&MOUNTED) {
            scan.add(&path, |_scan| path.display().to_string());
        }
        Ok(scan)
    }

    fn add_process(&mut self, pid: u32) {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let Some(inode) = self.add(&path, |scan| scan.name_by_process(pid, &path)) else { return };
        if let Some(entry) = self.found.get_mut(&inode) {
            entry.lowest_pid.get_or_insert(pid);
        }
    }

    /// `pid N (comm)`, read again only if it was another process before.
    fn name_by_process(&self, pid: u32, path: &Path) -> String {
        let known = path.metadata().ok().and_then(|file| net_inode(&file, self.nsfs));
        match known.and_then(|inode| self.before.get(&inode)) {
            Some(before) if before.lowest_pid == Some(pid) && before.name.starts_with("pid ") => before.name.clone(),
            _ => format!("pid {pid} ({})", proc_files::comm(pid).unwrap_or_default()),
        }
    }

    /// Notes the namespace at `path`, if there is one; the first to find it names it.
    fn add(&mut self, path: &Path, name: impl FnOnce(&Self) -> String) -> Option<u32> {
        let inode = net_inode(&path.metadata().ok()?, self.nsfs)?;
        if let Some(entry) = self.found.get_mut(&inode) {
            // two ways are enough: a mount, and a process
            if entry.ways.len() < 2 {
                entry.ways.push(path.to_owned());
            }
            if entry.name.is_empty() && inode != self.host {
                let name = name(self);
                self.found.entry(inode).and_modify(|entry| entry.name = name);
            }
            return Some(inode);
        }
        if self.found.len() >= NAMESPACES_MAX {
            self.beyond_limit = self.beyond_limit.saturating_add(1);
            return None;
        }
        let name = if inode == self.host { String::new() } else { name(self) };
        let entry = NetNamespace { inode, name, own: inode == self.own, ways: vec![path.to_owned()], lowest_pid: None };
        self.found.insert(inode, entry);
        Some(inode)
    }
}

#[cfg(test)]
#[path = "namespaces_tests.rs"]
mod tests;
