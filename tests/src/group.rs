//! Control groups that scenarios make, for one process each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::wait::{Deadline, PATIENCE, wait_until};

/// A control group; it is removed when dropped, after its processes have ended.
#[derive(Debug)]
pub struct Group(PathBuf);

/// Where control groups are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The tree of v2.
    Unified(PathBuf),
    /// The tree of v1's memory controller.
    Memory(PathBuf),
}

/// Places of this kind among what is mounted.
fn places() -> Vec<Place> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let place = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [_, path, "cgroup2", ..] => Some(Place::Unified((*path).into())),
            [_, path, "cgroup", options, ..] if options.split(',').any(|word| word == "memory") => {
                Some(Place::Memory((*path).into()))
            }
            _ => None,
        }
    };
    text.lines().filter_map(place).collect()
}

/// Where the groups of v2 are.
fn unified() -> Option<PathBuf> {
    places().into_iter().find_map(|place| if let Place::Unified(path) = place { Some(path) } else { None })
}

/// Where a group with little memory can be made, and the file that says how little.
fn memory() -> Option<(PathBuf, &'static str)> {
    places().into_iter().find_map(|place| match place {
        Place::Memory(path) => Some((path, "memory.limit_in_bytes")),
        Place::Unified(path) => {
            let controllers = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
            controllers.split_whitespace().any(|name| name == "memory").then_some((path, "memory.max"))
        }
    })
}

impl Group {
    /// Why none can be made in the tree of v2; `None` if one can.
    pub fn missing() -> Option<String> {
        unified().is_none().then(|| "a mounted cgroup v2 is needed".to_owned())
    }

    /// Why none can be given little memory; `None` if one can.
    pub fn missing_memory() -> Option<String> {
        memory().is_none().then(|| "a memory controller of cgroup is needed".to_owned())
    }

    /// One in the tree of v2.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> Result<Self> {
        Self::within(&unified().context("cgroup v2 is not mounted")?)
    }

    /// One whose processes have so much memory together.
    ///
    /// # Errors
    /// When none can be made.
    pub fn with_memory(bytes: u64) -> Result<Self> {
        let (place, file) = memory().context("there is no memory controller")?;
        let group = Self::within(&place)?;
        let limit = group.0.join(file);
        fs::write(&limit, bytes.to_string()).with_context(|| format!("writing {}", limit.display()))?;
        Ok(group)
    }

    fn within(place: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("wherefore-lab-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = place.join(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a process into it.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn take(&self, pid: u32) -> Result<()> {
        let file = self.0.join("cgroup.procs");
        fs::write(&file, pid.to_string()).with_context(|| format!("putting {pid} into {}", file.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let gone = || Ok(fs::remove_dir(&self.0).is_ok());
        drop(wait_until(Deadline::after(PATIENCE), "the end of a control group", gone));
    }
}
