//! The cache of kernels, userland and QEMU: `$XDG_CACHE_HOME/wherefore/vm`, by default
//! `~/.cache/wherefore/vm`.
//!
//! An entry is a folder that is complete or absent: it is built under another name, with the text
//! of its recipe in the file `recipe`, and renamed. An entry whose recipe differs is built anew.
//! One process builds at a time (a lock on the file `lock`); VMs keep their disks open, so an entry
//! may be replaced under a running VM.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::clock::Stopwatch;
use crate::console::note;

/// The cache, locked against other processes that build into it.
#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
    refresh: bool,
    _lock: File,
}

impl Cache {
    /// Opens the user's cache and waits for its lock.
    pub(super) fn open(refresh: bool) -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => std::env::home_dir().context("neither XDG_CACHE_HOME nor HOME is set")?.join(".cache"),
        };
        Self::at(base.join("wherefore/vm"), refresh)
    }

    fn at(root: PathBuf, refresh: bool) -> Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("cannot make the cache {}", root.display()))?;
        let lock = File::create(root.join("lock")).context("cannot make the cache's lock")?;
        if lock.try_lock().is_err() {
            note(format_args!("kernels: waiting for another process that builds into {}", root.display()));
            lock.lock().context("cannot lock the cache")?;
        }
        Ok(Self { root, refresh, _lock: lock })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of entry `name`, built first if it is missing or its recipe has changed.
    pub(super) fn entry(&self, name: &str, recipe: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let entry = self.root.join(name);
        let kept = fs::read_to_string(entry.join("recipe")).is_ok_and(|old| old == recipe);
        if kept && !self.refresh {
            return Ok(entry);
        }
        note(format_args!("kernels: building {name} ..."));
        let stopwatch = Stopwatch::start();
        let fresh = self.root.join(format!("{name}.new"));
        remove(&fresh)?;
        fs::create_dir(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
        build(&fresh).with_context(|| format!("cannot build {name}"))?;
        fs::write(fresh.join("recipe"), recipe)?;
        remove(&entry)?;
        fs::rename(&fresh, &entry).with_context(|| format!("cannot put {} in place", entry.display()))?;
        note(format_args!("kernels: built {name} in {:.1} s", stopwatch.seconds()));
        Ok(entry)
    }
}

/// Removes a folder, if it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_built_once_for_each_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("vm"), false).unwrap();
        let mut built = 0;
        for recipe in ["a", "a", "b"] {
            let entry = cache.entry("thing", recipe, |folder| {
                built += 1;
                Ok(fs::write(folder.join("file"), recipe)?)
            });
            assert_eq!(fs::read_to_string(entry.unwrap().join("file")).unwrap(), recipe);
        }
        assert_eq!(built, 2);
    }

    #[test]
    fn a_failed_build_leaves_the_old_entry() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("vm"), false).unwrap();
        cache.entry("thing", "a", |_| Ok(())).unwrap();
        let error = cache.entry("thing", "b", |_| anyhow::bail!("no disk")).unwrap_err();
        assert_eq!(format!("{error:#}"), "cannot build thing: no disk");
        assert_eq!(fs::read_to_string(cache.root().join("thing/recipe")).unwrap(), "a");
    }
}
