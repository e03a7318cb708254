//! The root of the cgroup v2 hierarchy: the programs see every socket of the host only from there.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, fstat, open, openat, statfs};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use serde::{Deserialize, Serialize};

/// Inode of the root control group, whatever it is mounted on (`linux/kernfs.h`: ids start at 1).
const ROOT_INODE: u64 = 1;

/// `linux/magic.h`, a stable interface.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// How the control group is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// A mount that this process sees.
    Mount,
    /// A mount that process 1 sees.
    Init,
    /// A mount of our own that is nowhere in the file tree.
    Private,
}

/// The control group that programs attach to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFacts {
    /// Directory; empty for a private mount.
    pub path: String,
    /// How it is reached.
    pub via: Via,
    /// Whether it is the host's root. If not, only what runs below it is seen.
    pub root: bool,
}

/// The control group could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Its directory is not to be had.
    #[error("cannot open the control group {path}: {source}")]
    Open {
        /// Directory.
        path: String,
        /// The kernel's words.
        source: io::Error,
    },
    /// A mount of our own was refused.
    #[error("cannot mount cgroup v2 privately: {0}")]
    Mount(io::Error),
}

impl CgroupFacts {
    /// Looks for the root; without one takes the best part that can be reached.
    pub(super) fn find() -> Option<Self> {
        let own = mounts("/proc/self/mountinfo").into_iter().map(|path| (Via::Mount, path));
        let of_init = mounts("/proc/1/mountinfo")
            .into_iter()
            .map(|path| (Via::Init, Path::new("/proc/1/root").join(path.strip_prefix("/").unwrap_or(&path))));
        let reached: Vec<Self> = own.chain(of_init).filter_map(|(via, path)| Self::at(via, &path)).collect();
        if let Some(root) = reached.iter().find(|group| group.root) {
            return Some(root.clone());
        }
        let private = private_mount().ok().and_then(|directory| fstat(&directory).ok()).map(|status| Self {
            path: String::new(),
            via: Via::Private,
            root: status.st_ino == ROOT_INODE,
        });
        match private {
            Some(private) if private.root || reached.is_empty() => Some(private),
            _ => reached.into_iter().next(),
        }
    }

    fn at(via: Via, path: &Path) -> Option<Self> {
        // something else may have been mounted over it since
        let magic = statfs(path).ok()?.f_type;
        let inode = fs::metadata(path).ok()?.ino();
        let path = path.to_str()?.to_owned();
        (magic == CGROUP2_MAGIC).then_some(Self { path, via, root: inode == ROOT_INODE })
    }

    /// Opens it for attaching.
    ///
    /// # Errors
    /// The directory cannot be opened, or the private mount is refused.
    pub fn open(&self) -> Result<File, CgroupError> {
        let directory = match self.via {
            Via::Private => private_mount().map_err(CgroupError::Mount)?,
            Via::Mount | Via::Init => open(&self.path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|source| CgroupError::Open { path: self.path.clone(), source: source.into() })?,
        };
        Ok(directory.into())
    }
}

/// Mounts cgroup v2 without a place in the file tree: it goes away with its descriptor.
fn private_mount() -> io::Result<OwnedFd> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    Ok(openat(&mount, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn mounts(mountinfo: &str) -> Vec<PathBuf> {
    parse_mounts(&fs::read_to_string(mountinfo).unwrap_or_default())
}

/// Mount points of cgroup v2: `proc_pid_mountinfo(5)`.
fn parse_mounts(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let kind = back.split(' ').next()?;
            let point = front.split(' ').nth(4)?;
            (kind == "cgroup2").then(|| PathBuf::from(unescape(point)))
        })
        .collect()
}

/// Space, tab, newline and backslash are written in octal.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cgroup_v2_mounts_are_taken() {
        let text = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:5 master:2 - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
42 31 0:38 /../.. /mnt/a\\040b rw - cgroup2 none rw
torn line
";
        assert_eq!(parse_mounts(text), [Path::new("/sys/fs/cgroup/unified"), Path::new("/mnt/a b")]);
    }

    #[test]
    fn what_is_found_can_be_opened() {
        let Some(found) = CgroupFacts::find() else { return };
        let directory = found.open().unwrap();
        assert_eq!(directory.metadata().unwrap().ino() == ROOT_INODE, found.root);
    }

    #[test]
    fn a_directory_that_is_gone_is_named() {
        let gone = CgroupFacts { path: "/nowhere/at/all".to_owned(), via: Via::Mount, root: true };
        let error = gone.open().unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
