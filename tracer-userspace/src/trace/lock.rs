//! One recorder a directory: whoever records there holds a lock on a file in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::WriteError;

/// Name of the lock file.
const NAME: &str = ".wherefore.lock";
/// A lock file that goes away while it is being locked belonged to a recorder that has just ended.
const TRIES: u32 = 10;

/// The lock on a directory; gone, with its file, when dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    path: PathBuf,
    file: File,
}

impl DirectoryLock {
    /// Locks a directory, which must be there.
    ///
    /// # Errors
    /// [`WriteError::Busy`] if another recorder holds it; [`WriteError::CreateFile`] if the lock file
    /// cannot be made.
    pub(super) fn take(directory: &Path) -> Result<Self, WriteError> {
        let path = directory.join(NAME);
        let failed = |source| WriteError::CreateFile { path: path.clone(), source };
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            let mut file =
                options.read(true).write(true).create(true).truncate(false).mode(0o640).open(&path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(busy(directory, &mut file)),
                Err(error) => return Err(failed(error.into())),
            }
            if is_at(&file, &path) {
                // whose it is is only for the reader of an error: the lock holds also on a full disk
                file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).unwrap_or_default();
                return Ok(Self { path, file });
            }
        }
        Err(failed(io::ErrorKind::ResourceBusy.into()))
    }

    /// Whether the lock's file is still where it was made.
    pub(super) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        if self.is_in_place() {
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

/// Says so if another recorder has locked the directory. Changes nothing.
///
/// # Errors
/// [`WriteError::Busy`].
pub fn refuse_if_taken(directory: &Path) -> Result<(), WriteError> {
    let Ok(mut file) = File::open(directory.join(NAME)) else { return Ok(()) };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Err(busy(directory, &mut file)),
        _ => Ok(()),
    }
}

fn busy(directory: &Path, file: &mut File) -> WriteError {
    let mut pid = String::new();
    let read = file.rewind().and_then(|()| file.take(16).read_to_string(&mut pid));
    let pid = read.ok().and_then(|_| pid.trim().parse().ok());
    WriteError::Busy { path: directory.to_owned(), pid }
}

/// Whether `file` is what `path` names.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_is_first() {
        let directory = tempfile::tempdir().unwrap();
        refuse_if_taken(directory.path()).unwrap();
        let lock = DirectoryLock::take(directory.path()).unwrap();
        let own = std::process::id();
        for error in
            [DirectoryLock::take(directory.path()).unwrap_err(), refuse_if_taken(directory.path()).unwrap_err()]
        {
            assert!(matches!(&error, WriteError::Busy { pid: Some(pid), .. } if *pid == own), "{error:?}");
            assert!(error.to_string().contains(&format!("process {own}")), "{error}");
        }
        drop(lock);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        drop(DirectoryLock::take(directory.path()).unwrap());
    }

    #[test]
    fn a_lock_whose_holder_was_killed_holds_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NAME), "99999999").unwrap();
        refuse_if_taken(directory.path()).unwrap();
        DirectoryLock::take(directory.path()).unwrap();
    }

    #[test]
    fn a_lock_that_went_with_its_directory_is_not_in_place() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("traces");
        fs::create_dir(&directory).unwrap();
        let lock = DirectoryLock::take(&directory).unwrap();
        assert!(lock.is_in_place());
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        assert!(!lock.is_in_place());
        let other = DirectoryLock::take(&directory).unwrap();
        drop(lock);
        assert!(other.is_in_place(), "the old lock must not take the new one away");
    }
}
