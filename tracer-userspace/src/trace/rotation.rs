//! The files of one recording in their directory: one is written, the others are kept as long as
//! retention lets them. Every file can be read without those before it.
//!
//! Reads no clock: whoever calls says what time it is.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use super::REPEATED;
use super::error::WriteError;
use super::file::{TraceFile, make_directory};
use super::lock::DirectoryLock;
use super::repeat::{Repeat, flagged};
use super::retention::{Keep, Sweep, room};
use super::seal::{Sealed, seal_torn};
use crate::engine::Dropped;
use crate::record::{BootTime, ClockPair, HostBody, HostRecord, Record, Start, record_flag};

/// How often age and size of what is kept are looked at.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// A next file that cannot be made is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Sooner where the disk was full: once there is room, the current file grows, and must not take all of it.
const RETRY_AFTER_FULL: Duration = Duration::from_secs(1);

/// When a new file is begun, and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A file of this many bytes is followed by a new one.
    pub rotate_bytes: u64,
    /// So is one this old.
    pub rotate_age: Duration,
    /// What is kept.
    pub keep: Keep,
}

/// Where a recording is written to.
pub struct TraceDirectory {
    directory: PathBuf,
    group: Option<u32>,
    policy: Policy,
    /// That of the current file.
    start: Start,
    lock: DirectoryLock,
    file: TraceFile,
    repeat: Repeat,
    /// Finished files of this recording, oldest first, and when they were finished.
    finished: Vec<(PathBuf, BootTime)>,
    /// Files on their way to the disk.
    finishing: Vec<JoinHandle<Result<PathBuf, WriteError>>>,
    next_sweep: BootTime,
    /// Bytes of the current file's head.
    head_bytes: u64,
    /// Not before then: the last time it failed.
    next_rotation: BootTime,
    /// When the current file last lost a record.
    lost_at: Option<BootTime>,
    /// Records that finished files have not got.
    lost: u64,
    /// Bytes of finished files.
    finished_bytes: u64,
    dropped: Dropped,
    bytes: Vec<u8>,
}

impl TraceDirectory {
    /// Makes and locks the directory, seals what a killed recorder has left torn, makes room and
    /// begins the first file.
    ///
    /// # Errors
    /// [`WriteError`] if the directory or the file cannot be made, or another recorder is there.
    pub fn create(
        directory: &Path,
        start: &Start,
        group: Option<u32>,
        policy: Policy,
    ) -> Result<(Self, Vec<Sealed>), WriteError> {
        let start = Start { recording: start.clock.boot_ns.max(1), sequence: 0, begun: start.clock, ..start.clone() };
        make_directory(directory, group)?;
        let lock = DirectoryLock::take(directory)?;
        // what cannot be looked through now is told when the first file cannot be made
        let sealed = seal_torn(directory).unwrap_or_default();
        let file = TraceFile::create(directory, &start, group)?;
        let now = start.clock;
        let mut traces = Self {
            directory: directory.to_owned(),
            group,
            policy,
            start,
            lock,
            file,
            repeat: Repeat::default(),
            finished: Vec::new(),
            finishing: Vec::new(),
            next_sweep: BootTime::default(),
            head_bytes: 0,
            next_rotation: BootTime::default(),
            lost_at: None,
            lost: 0,
            finished_bytes: 0,
            dropped: Dropped::default(),
            bytes: Vec::with_capacity(1024),
        };
        // the directory may be full of what earlier recordings left
        traces.sweep(now, false).unwrap_or_default();
        Ok((traces, sealed))
    }

    /// Adds the next record of the stream.
    ///
    /// # Errors
    /// As of [`TraceFile::append`], or if the record cannot be encoded.
    pub fn append(&mut self, record: &Record) -> Result<(), WriteError> {
        self.repeat.follow(record);
        // the next file begins with the ports of its own time
        if let Record::Host(HostRecord { body: HostBody::Watched(watched), .. }) = record {
            self.start.ports.clone_from(&watched.ports);
        }
        self.bytes.clear();
        record.encode(&mut self.bytes).map_err(WriteError::Start)?;
        let appended = self.file.append(&self.bytes);
        self.note_loss(appended)
    }

    /// Writes what waits, begins a new file if that is due, and keeps the directory within its limits.
    /// To be called at least once a second.
    ///
    /// # Errors
    /// [`WriteError`] of the first thing that failed; all is tried again at the next call.
    pub fn flush(&mut self, now: ClockPair) -> Result<(), WriteError> {
        let finished = self.reap();
        if !(self.file.is_in_place() && self.lock.is_in_place()) {
            self.move_in_again(now)?;
        }
        let room = room(&self.directory);
        let is_low = room.is_some_and(|room| !self.policy.keep.min_free.is_met(room));
        let boot = BootTime::from_ns(now.boot_ns);
        let swept = if is_low || boot >= self.next_sweep { self.sweep(now, false) } else { Ok(()) };
        let flushed = self.file.flush();
        if let Err(error) = self.note_loss(flushed) {
            if is_full(&error) {
                self.sweep(now, true).unwrap_or_default();
            }
            return Err(error);
        }
        if self.is_due(boot) {
            if let Err(error) = self.rotate(now) {
                if is_full(&error) {
                    self.next_rotation = boot.after(RETRY_AFTER_FULL);
                    self.sweep(now, true).unwrap_or_default();
                }
                return Err(error);
            }
            self.sweep(now, false).unwrap_or_default();
        }
        finished.and(swept.map_err(|source| WriteError::Drop { path: self.directory.clone(), source }))
    }

    /// Rotates and keeps by this from now on; what is over the limits goes at the next flush.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
        self.next_sweep = BootTime::default();
    }

    /// Records that no file has got.
    pub fn lost(&self) -> u64 {
        self.lost.saturating_add(self.file.lost())
    }

    /// Bytes written so far, all files together.
    pub fn bytes_written(&self) -> u64 {
        self.finished_bytes.saturating_add(self.file.bytes_written())
    }

    /// Files begun so far.
    pub fn begun(&self) -> u64 {
        u64::from(self.start.sequence).saturating_add(1)
    }

    /// What retention has removed so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// The files of this recording that are still there, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let finished = self.finished.iter().map(|(path, _time)| path.clone()).filter(|path| path.exists());
        finished.chain([self.file.path().to_owned()]).collect()
    }

    /// Why files did not take the group that was asked for.
    pub fn group_error(&self) -> Option<&io::Error> {
        self.file.group_error()
    }

    /// Writes what waits and makes all files outlast a crash. The caller has appended `End`.
    ///
    /// # Errors
    /// [`WriteError`] as of [`TraceFile::finish`].
    pub fn finish(mut self) -> Result<(), WriteError> {
        let earlier = self.finishing.drain(..).map(outcome).fold(Ok(()), Result::and);
        self.file.finish()?;
        earlier
    }

    fn is_due(&self, now: BootTime) -> bool {
        let begun = BootTime::from_ns(self.start.begun.boot_ns);
        // what a file repeats must not bring on the next one
        let bytes = self.file.bytes_written().saturating_sub(self.head_bytes);
        let age = now.since(begun);
        now >= self.next_rotation && (bytes >= self.policy.rotate_bytes || age >= self.policy.rotate_age)
    }

    /// Seals the current file and begins the next one. If that cannot be made, the current one goes on:
    /// a seal that is not the last record is none.
    fn rotate(&mut self, now: ClockPair) -> Result<(), WriteError> {
        self.next_rotation = BootTime::from_ns(now.boot_ns).after(RETRY_AFTER);
        let newest = self.repeat.newest();
        // what the file lacks and the next one repeats is read from there: no seal, so that it is
        if self.lost_at.is_none_or(|lost| lost < newest.before(REPEATED)) {
            let end = HostRecord { time: newest, netns: 0, body: HostBody::End };
            if flagged(&Record::Host(end), record_flag::CONTINUED, &mut self.bytes).is_ok() {
                let appended = self.file.append(&self.bytes);
                self.note_loss(appended)?;
            }
        }
        // before the next one is there: a kill in between must not leave both without an end
        let flushed = self.file.flush();
        self.note_loss(flushed)?;
        let old = self.begin_next(now)?;
        self.next_rotation = BootTime::default();
        self.finished.push((old.path().to_owned(), BootTime::from_ns(now.boot_ns)));
        // a slow disk may take seconds to have it all
        self.finishing.push(std::thread::spawn(move || old.finish()));
        Ok(())
    }

    /// Remembers that the current file has just lost records.
    fn note_loss(&mut self, written: Result<(), WriteError>) -> Result<(), WriteError> {
        if written.is_err() {
            self.lost_at = Some(self.repeat.newest());
        }
        written
    }

    /// The directory or the file is gone: everything once more, in its old place.
    fn move_in_again(&mut self, now: ClockPair) -> Result<(), WriteError> {
        make_directory(&self.directory, self.group)?;
        if !self.lock.is_in_place() {
            self.lock = DirectoryLock::take(&self.directory)?;
        }
        if !self.file.is_in_place() {
            drop(self.begin_next(now)?);
        }
        self.finished.retain(|(path, _time)| path.exists());
        Ok(())
    }

    /// Makes the next file, with its head on disk, the current one; returns the one before.
    fn begin_next(&mut self, now: ClockPair) -> Result<TraceFile, WriteError> {
        let start = Start { sequence: self.start.sequence.saturating_add(1), begun: now, ..self.start.clone() };
        let mut next = TraceFile::create(&self.directory, &start, self.group)?;
        let written = self.repeat.head(|record| next.append(record)).and_then(|()| next.flush());
        if let Err(error) = written {
            std::fs::remove_file(next.path()).unwrap_or_default();
            return Err(error);
        }
        self.start = start;
        self.head_bytes = next.bytes_written();
        self.lost_at = None;
        let old = std::mem::replace(&mut self.file, next);
        self.lost = self.lost.saturating_add(old.lost());
        self.finished_bytes = self.finished_bytes.saturating_add(old.bytes_written());
        Ok(old)
    }

    fn sweep(&mut self, now: ClockPair, is_full: bool) -> io::Result<()> {
        self.next_sweep = BootTime::from_ns(now.boot_ns).after(SWEEP_EVERY);
        let sweep = Sweep { directory: &self.directory, current: self.file.path(), own: &self.finished, now, is_full };
        let swept = sweep.enforce(&self.policy.keep, || room(&self.directory), &mut self.dropped);
        self.finished.retain(|(path, _time)| path.exists());
        swept
    }

    /// Makes every write fail, or ends that.
    #[cfg(test)]
    pub(crate) fn fail(&mut self, fails: bool) {
        self.file.fail(fails);
    }

    /// What became of files on their way to the disk.
    fn reap(&mut self) -> Result<(), WriteError> {
        let (done, waiting) = self.finishing.drain(..).partition::<Vec<_>, _>(JoinHandle::is_finished);
        self.finishing = waiting;
        done.into_iter().map(outcome).fold(Ok(()), Result::and)
    }
}

fn outcome(finishing: JoinHandle<Result<PathBuf, WriteError>>) -> Result<(), WriteError> {
    // a panic there would be a bug of the writer's; the file is as far as it came
    finishing.join().map_or(Ok(()), |finished| finished.map(drop))
}

fn is_full(error: &WriteError) -> bool {
    matches!(error, WriteError::Write { source, .. } | WriteError::CreateFile { source, .. }
        if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
}
