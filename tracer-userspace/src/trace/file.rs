//! The file that a recording writes: its name, its modes, its group.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use super::error::WriteError;
use super::lock::is_at;
use super::writer::TraceWriter;
use crate::record::{ClockPair, Start};

const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;
/// Most bytes of the host name in the file's name.
const HOST_MAX: usize = 64;
/// Most files of one process and second.
const TRIES: u32 = 100;

/// A trace file under its path.
pub struct TraceFile {
    path: PathBuf,
    writer: TraceWriter<File>,
    group_error: Option<io::Error>,
}

/// Group of the user who called sudo; `None` without sudo.
#[must_use]
pub fn sudo_group() -> Option<u32> {
    std::env::var("SUDO_GID").ok()?.parse().ok()
}

impl TraceFile {
    /// Makes a new file in `directory`, which is made if it is missing. The file and the directories that were made
    /// take `group`, if one is given.
    ///
    /// # Errors
    /// [`WriteError`] if a directory or the file cannot be made, or the header cannot be written.
    pub fn create(directory: &Path, start: &Start, group: Option<u32>) -> Result<Self, WriteError> {
        let directory_error = make_directory(directory, group)?;
        let (file, path) = create_file(directory, start)?;
        let file_error = group.and_then(|group| fchown(&file, None, Some(group)).err());
        let group_error = directory_error.or(file_error);
        match TraceWriter::create(file, start) {
            Ok(writer) => Ok(Self { path, writer, group_error }),
            Err(error) => {
                // a file without a header is of no use to anybody; if it stays, replay says that it is empty
                fs::remove_file(&path).ok();
                Err(match error {
                    WriteError::Write { source, .. } => WriteError::CreateFile { path, source },
                    other => other,
                })
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why the file did not take the group that was asked for. The recording does not depend on it.
    pub fn group_error(&self) -> Option<&io::Error> {
        self.group_error.as_ref()
    }

    /// See [`TraceWriter::append`].
    ///
    /// # Errors
    /// As there.
    pub fn append(&mut self, record: &[u8]) -> Result<(), WriteError> {
        self.writer.append(record)
    }

    /// See [`TraceWriter::flush`].
    ///
    /// # Errors
    /// As there.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.writer.flush()
    }

    /// Bytes of it on disk.
    pub fn bytes_written(&self) -> u64 {
        self.writer.bytes_written()
    }

    /// Whether it is still what its path names.
    pub(super) fn is_in_place(&self) -> bool {
        is_at(self.writer.sink(), &self.path)
    }

    /// Makes every write fail, or ends that.
    #[cfg(test)]
    pub(super) fn fail(&mut self, fails: bool) {
        let mut options = OpenOptions::new();
        let options = if fails { options.read(true) } else { options.append(true) };
        self.writer.out = options.open(&self.path).unwrap();
    }

    /// Records that could not be written.
    pub fn lost(&self) -> u64 {
        self.writer.lost()
    }

    /// Writes what waits, makes file and directory entry outlast a crash, and returns the path.
    ///
    /// # Errors
    /// As of [`TraceWriter::finish`].
    pub fn finish(self) -> Result<PathBuf, WriteError> {
        let lost = self.writer.lost();
        let file = self.writer.finish()?;
        drop(file);
        if let Some(directory) = self.path.parent() {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(|source| WriteError::Write { lost, source })?;
        }
        Ok(self.path)
    }
}

/// Makes `directory` and what is missing above it; what was made takes `group`, or why it did not is returned.
pub(super) fn make_directory(directory: &Path, group: Option<u32>) -> Result<Option<io::Error>, WriteError> {
    let made = create_directory(directory)?;
    Ok(group.and_then(|group| made.iter().try_for_each(|made| lchown(made, None, Some(group))).err()))
}

/// Makes `directory` and what is missing above it; returns what was made.
fn create_directory(directory: &Path) -> Result<Vec<&Path>, WriteError> {
    let failed = |source| WriteError::CreateDirectory { path: directory.to_owned(), source };
    let missing: Vec<&Path> = directory
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .take_while(|path| matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound))
        .collect();
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(failed)?;
    for path in &missing {
        fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE)).map_err(failed)?;
    }
    Ok(missing)
}

/// A new file under the first free name.
fn create_file(directory: &Path, start: &Start) -> Result<(File, PathBuf), WriteError> {
    let stem = stem(start);
    let mut number = 1;
    loop {
        let mut name = OsString::from(&stem);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        name.push(".wft");
        let path = directory.join(name);
        let opened = OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(&path).and_then(|file| {
            // whatever the umask
            file.set_permissions(Permissions::from_mode(FILE_MODE))?;
            Ok(file)
        });
        match opened {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < TRIES => number += 1,
            Err(source) => return Err(WriteError::CreateFile { path, source }),
        }
    }
}

/// `wherefore-HOST-START-PID`
fn stem(start: &Start) -> String {
    let host: String = start.host.chars().map(|c| if is_plain(c) { c } else { '-' }).take(HOST_MAX).collect();
    let host = if host.is_empty() { "unknown" } else { &host };
    let begun = if start.begun == ClockPair::default() { start.clock } else { start.begun };
    let begun = jiff::Timestamp::from_nanosecond(i128::from(begun.unix_ns)).unwrap_or_default();
    format!("wherefore-{host}-{}-{}", begun.strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}
