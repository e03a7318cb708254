//! What is kept of a trace directory: the oldest files go when there is too much, when they are too
//! old, or when the filesystem has too little room left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::engine::Dropped;
use crate::record::{BootTime, ClockPair};

/// How files of this program begin; others are left alone.
const PREFIX: &str = "wherefore-";
/// How they end.
const SUFFIX: &str = ".wft";

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Most bytes of all trace files in the directory.
    pub bytes: u64,
    /// Longest time since a file was finished.
    pub age: Duration,
    /// Room that the filesystem shall have left.
    pub min_free: MinFree,
}

/// Room on a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFree {
    /// Hundredths of all of it.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

impl MinFree {
    pub(super) fn is_met(self, room: Room) -> bool {
        match self {
            Self::Percent(percent) => {
                u128::from(room.free).saturating_mul(100) >= u128::from(room.all).saturating_mul(percent.into())
            }
            Self::Bytes(bytes) => room.free >= bytes,
        }
    }
}

/// Room on a filesystem, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) free: u64,
    pub(super) all: u64,
}

/// The room on the filesystem of a directory; `None` if it cannot be told.
pub(super) fn room(directory: &Path) -> Option<Room> {
    let found = rustix::fs::statvfs(directory).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Room { free: bytes(found.f_bavail), all: bytes(found.f_blocks) })
}

/// A directory at one moment.
pub(super) struct Sweep<'a> {
    pub(super) directory: &'a Path,
    /// The file that is being written: it stays.
    pub(super) current: &'a Path,
    /// Files of this recording, oldest first, with the time at which they were finished. Others are
    /// older, and their time is that of the file.
    pub(super) own: &'a [(PathBuf, BootTime)],
    pub(super) now: ClockPair,
    /// A write has just found the disk full: at least the oldest file goes.
    pub(super) is_full: bool,
}

struct Found {
    path: PathBuf,
    bytes: u64,
    age: Duration,
    /// Place in the order in which they go.
    order: (usize, u128),
}

impl Sweep<'_> {
    /// Removes what is over the limits, oldest files first, and counts it into `dropped`.
    ///
    /// # Errors
    /// What the system said where a file could not be removed; younger ones are tried all the same.
    pub(super) fn enforce(
        &self,
        keep: &Keep,
        room: impl Fn() -> Option<Room>,
        dropped: &mut Dropped,
    ) -> io::Result<()> {
        let mut found = self.found()?;
        let mut bytes: u64 = found.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
        found.retain(|file| file.path != self.current);
        found.sort_by(|one, other| (one.order, &one.path).cmp(&(other.order, &other.path)));
        let mut is_full = self.is_full;
        let mut failed = Ok(());
        for file in found {
            let too_much = bytes > keep.bytes || file.age > keep.age;
            if !too_much && !is_full && room().is_none_or(|room| keep.min_free.is_met(room)) {
                break;
            }
            match fs::remove_file(&file.path) {
                Ok(()) => {
                    dropped.files = dropped.files.saturating_add(1);
                    dropped.bytes = dropped.bytes.saturating_add(file.bytes);
                    bytes = bytes.saturating_sub(file.bytes);
                    is_full = false;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    fn found(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for path in traces(self.directory)? {
            // one that has just gone is no concern
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            let own = self.own.iter().position(|(own, _finished)| *own == path);
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            let modified = modified.unwrap_or_default();
            let age = match own.and_then(|place| self.own.get(place)) {
                // however the wall clock was set meanwhile
                Some((_path, finished)) => BootTime::from_ns(self.now.boot_ns).since(*finished),
                None => Duration::from_nanos(self.now.unix_ns.try_into().unwrap_or(0)).saturating_sub(modified),
            };
            let order = (own.map_or(0, |place| place.saturating_add(1)), modified.as_nanos());
            found.push(Found { path, bytes: metadata.len(), age, order });
        }
        Ok(found)
    }
}

/// Files in a directory that are called like this program's traces.
pub(super) fn traces(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::time::SystemTime;

    use super::*;

    const NOW: ClockPair = ClockPair { boot_ns: 5_000_000_000_000, unix_ns: 1_800_000_000_000_000_000 };
    const EMPTY_DISK: Room = Room { free: 1_000, all: 1_000 };

    fn keep() -> Keep {
        Keep { bytes: 1_000, age: Duration::from_secs(1_000), min_free: MinFree::Percent(5) }
    }

    /// A file of 100 bytes, last written so long ago.
    fn file(directory: &Path, name: &str, age: u64) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, [0; 100]).unwrap();
        let modified: SystemTime = UNIX_EPOCH + Duration::from_secs(1_800_000_000 - age);
        File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(modified)).unwrap();
        path
    }

    struct Directory {
        root: tempfile::TempDir,
        current: PathBuf,
    }

    /// Five old files, the current one, and what is none of ours.
    fn directory() -> Directory {
        let root = tempfile::tempdir().unwrap();
        for (name, age) in [("e", 100), ("d", 200), ("c", 300), ("b", 400), ("a", 500)] {
            file(root.path(), &format!("wherefore-{name}.wft"), age);
        }
        for foreign in ["web-1.wft", "wherefore-notes.txt", "notes.wft"] {
            file(root.path(), foreign, 1_000_000);
        }
        fs::create_dir(root.path().join("wherefore-directory.wft")).unwrap();
        let current = file(root.path(), "wherefore-current.wft", 2_000);
        Directory { root, current }
    }

    fn left(directory: &Directory) -> String {
        let mut names: Vec<String> = traces(directory.root.path())
            .unwrap()
            .iter()
            .map(|path| path.file_stem().unwrap().to_string_lossy().replace("wherefore-", ""))
            .filter(|name| name.len() == 1)
            .collect();
        names.sort_unstable();
        assert!(directory.current.exists());
        for foreign in ["web-1.wft", "wherefore-notes.txt", "notes.wft", "wherefore-directory.wft"] {
            assert!(directory.root.path().join(foreign).exists(), "{foreign}");
        }
        names.concat()
    }

    /// What is left, and that what went was counted.
    fn swept(keep: Keep, is_full: bool, room: impl Fn(u64) -> Room) -> String {
        let directory = directory();
        let sweep =
            Sweep { directory: directory.root.path(), current: &directory.current, own: &[], now: NOW, is_full };
        let mut dropped = Dropped::default();
        let count = || u64::try_from(fs::read_dir(directory.root.path()).unwrap().count()).unwrap();
        let before = count();
        sweep.enforce(&keep, || Some(room(before - count())), &mut dropped).unwrap();
        let names = left(&directory);
        assert_eq!(dropped.files, 5 - u64::try_from(names.len()).unwrap());
        assert_eq!(dropped.bytes, dropped.files * 100);
        names
    }

    #[test]
    fn the_oldest_go_first_and_the_current_one_never() {
        let check = |keep, expected: &str| assert_eq!(swept(keep, false, |_| EMPTY_DISK), expected, "{keep:?}");
        check(keep(), "abcde");
        check(Keep { bytes: 600, ..keep() }, "abcde");
        check(Keep { bytes: 599, ..keep() }, "bcde");
        check(Keep { bytes: 350, ..keep() }, "de");
        check(Keep { bytes: 1, ..keep() }, "");
        check(Keep { age: Duration::from_secs(350), ..keep() }, "cde");
        check(Keep { age: Duration::from_secs(1), ..keep() }, "");
    }

    #[test]
    fn room_is_made_until_there_is_enough() {
        let room = |gone: u64| Room { free: 10 + gone * 100, all: 10_000 };
        let check = |min_free, is_full, expected: &str| {
            assert_eq!(swept(Keep { min_free, ..keep() }, is_full, room), expected, "{min_free:?} {is_full}");
        };
        check(MinFree::Percent(0), false, "abcde");
        check(MinFree::Percent(2), false, "cde");
        check(MinFree::Percent(100), false, "");
        check(MinFree::Bytes(10), false, "abcde");
        check(MinFree::Bytes(11), false, "bcde");
        check(MinFree::Bytes(310), false, "de");
        check(MinFree::Bytes(10), true, "bcde");
    }

    #[test]
    fn a_clock_that_was_set_does_not_age_this_recordings_files() {
        let directory = directory();
        let path = |name: &str| directory.root.path().join(format!("wherefore-{name}.wft"));
        // by the wall clock e is the youngest
        let at = |seconds: u64| BootTime::from_ns(NOW.boot_ns - seconds * 1_000_000_000);
        let own = [(path("e"), at(900)), (path("c"), at(30))];
        let now = ClockPair { unix_ns: NOW.unix_ns + 400_000_000_000_000, ..NOW };
        let sweep =
            Sweep { directory: directory.root.path(), current: &directory.current, own: &own, now, is_full: false };
        let mut dropped = Dropped::default();
        sweep.enforce(&keep(), || Some(EMPTY_DISK), &mut dropped).unwrap();
        assert_eq!(left(&directory), "ce");
        let tight = Keep { bytes: 200, ..keep() };
        sweep.enforce(&tight, || Some(EMPTY_DISK), &mut dropped).unwrap();
        assert_eq!((left(&directory).as_str(), dropped.files), ("c", 4));
    }

    #[test]
    fn the_room_of_a_real_directory_is_known() {
        let room = room(Path::new("/")).unwrap();
        assert!(room.all > 0 && room.free <= room.all);
    }
}
