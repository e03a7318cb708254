//! One pass over all places where network namespaces are to be found.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::namespaces::{NAMESPACES_MAX, NamespaceError, NetNamespace};
use super::proc_files;

/// Where namespaces are mounted by name: iproute2 and the container network plugins.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];
/// Where container engines mount them under ids that mean little to people.
const MOUNTED: [&str; 1] = ["/run/docker/netns"];
/// Ways kept into one namespace: a mount, and processes of which one may end.
const WAYS_MAX: usize = 3;

/// The names of mounted namespaces and their paths, sorted.
pub(super) fn named() -> Vec<(String, PathBuf)> {
    mounted(&NAMED)
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
pub(super) fn nsfs_device() -> Result<u64, NamespaceError> {
    std::fs::metadata("/proc/self/ns/net").map(|own| own.dev()).map_err(NamespaceError::Proc)
}

/// Inode number of a namespace file; `None` if it is on another file system (a name whose mount is
/// gone) or is none that `struct ns_common` can hold (`unsigned int inum`).
pub(super) fn net_inode(found: &Metadata, nsfs: u64) -> Option<u32> {
    (found.dev() == nsfs).then(|| u32::try_from(found.ino()).ok()).flatten()
}

/// One pass over mounts and processes.
pub(super) struct Scan<'a> {
    pub(super) found: BTreeMap<u32, NetNamespace>,
    before: &'a BTreeMap<u32, NetNamespace>,
    pub(super) own: u32,
    host: u32,
    nsfs: u64,
    pub(super) beyond_limit: usize,
    pub(super) hidden_processes: usize,
}

impl<'a> Scan<'a> {
    /// Looks at all of them; `before` saves reading names again.
    pub(super) fn run(given: &[PathBuf], before: &'a BTreeMap<u32, NetNamespace>) -> Result<Self, NamespaceError> {
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
            hidden_processes: 0,
        };
        scan.add(own_path, |_scan| String::new());
        for (name, path) in named() {
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
        let file = path.metadata();
        if file.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            self.hidden_processes = self.hidden_processes.saturating_add(1);
        }
        let inode = net_inode(&file.ok()?, self.nsfs)?;
        if let Some(entry) = self.found.get_mut(&inode) {
            if entry.ways.len() < WAYS_MAX {
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
