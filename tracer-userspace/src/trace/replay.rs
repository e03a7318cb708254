//! The records of several trace files, one file after the other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::{Damage, TraceError};
use super::reader::{Reading, Step, TraceReader, TraceView};
use crate::record::{Record, RecordView, Start};

/// Suffix of trace files.
const SUFFIX: &str = "wft";

/// What the files of one recording have in common, the wall-clock time of its start first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Recording {
    begun_ns: i64,
    /// 0: the file is a recording of its own.
    id: u64,
    boot_id: String,
    host: String,
}

impl Recording {
    fn of(start: &Start) -> Self {
        Self {
            begun_ns: start.clock.unix_ns,
            id: start.recording,
            boot_id: start.boot_id.clone(),
            host: start.host.clone(),
        }
    }
}

/// A file that is still to be read.
struct Waiting {
    recording: Recording,
    sequence: u32,
    path: PathBuf,
    /// What can be read only once, a pipe, is open already.
    reader: Option<TraceReader<File>>,
}

impl Waiting {
    fn order(&self) -> (&Recording, u32, &Path) {
        (&self.recording, self.sequence, &self.path)
    }
}

/// One element of a replay.
#[derive(Debug)]
pub enum ReplayItem<'a> {
    /// A file begins.
    Start {
        /// The file.
        path: PathBuf,
        /// What it is.
        start: Box<Start>,
        /// Whether it is of the same recording as the file before.
        place: Place,
    },
    /// A record of the file, and the time of its header, nanoseconds.
    Record(u64, RecordView<'a>),
    /// A record that the file repeats, so that it can be read without the file before it. Handed out
    /// only where that file is missing or does not end in order.
    Repeated(Box<Record>),
    /// A part of the file could not be read.
    Damage(Damage),
    /// The file could not be read any further. `End` follows, if `Start` came before.
    Failed(Unusable),
    /// The file ends.
    End(Reading),
}

/// Where a file is in its recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first one that is there.
    First {
        /// The last one that is there.
        last: PathBuf,
    },
    /// It goes on where the file before ended.
    Next,
    /// Something is missing between the file before and this one.
    AfterGap,
}

/// A path that cannot be replayed, or not any further.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct Unusable {
    /// The path.
    pub path: PathBuf,
    /// Why.
    pub source: TraceError,
}

/// The records of several files, in the order of the files' start: [`Replay::next`]. One file is open at a time,
/// pipes apart.
pub struct Replay {
    /// The last one comes first.
    waiting: Vec<Waiting>,
    current: Option<(PathBuf, TraceReader<File>)>,
    /// Of which recording the file before was, which number it had, and whether it ended in order.
    before: Option<(Recording, u32, bool)>,
    /// Whether what the current file repeats was read in the file before.
    knows_repeated: bool,
    /// Bytes of the files that are done with.
    finished_bytes: u64,
}

impl Replay {
    /// Looks at `paths`: files, and directories whose `*.wft` files are meant. A file that is named twice is read
    /// once. Returns beside the replay what cannot be used.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> (Self, Vec<Unusable>) {
        let mut unusable = Vec::new();
        let mut files = Vec::new();
        for path in paths {
            let path = path.as_ref();
            match traces_at(path) {
                Ok(found) => files.extend(found),
                Err(source) => unusable.push(Unusable { path: path.to_owned(), source }),
            }
        }
        let mut known = Vec::new();
        let mut ordered = Vec::new();
        for path in files {
            let identity = fs::canonicalize(&path).unwrap_or_else(|_gone| path.clone());
            if known.contains(&identity) {
                continue;
            }
            known.push(identity);
            match TraceReader::open(&path) {
                Ok(reader) => {
                    let recording = Recording::of(reader.start());
                    let sequence = reader.start().sequence;
                    let only_once = fs::metadata(&path).is_ok_and(|found| !found.is_file());
                    ordered.push(Waiting { recording, sequence, path, reader: only_once.then_some(reader) });
                }
                Err(source) => unusable.push(Unusable { path, source }),
            }
        }
        ordered.sort_unstable_by(|one, other| other.order().cmp(&one.order()));
        (Self { waiting: ordered, current: None, before: None, knows_repeated: false, finished_bytes: 0 }, unusable)
    }

    /// The files that are still to be read, in order; all of them before the first item.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.waiting.iter().rev().map(|waiting| waiting.path.as_path())
    }

    /// Bytes of all files that are read and done with.
    pub fn bytes_read(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |(_path, reader)| reader.bytes_read());
        self.finished_bytes.saturating_add(current)
    }

    fn begin(&mut self) -> Option<ReplayItem<'static>> {
        let Waiting { recording, path, reader, .. } = self.waiting.pop()?;
        match reader.map_or_else(|| TraceReader::open(&path), Ok) {
            Ok(reader) => {
                let start = Box::new(reader.start().clone());
                let place = match &self.before {
                    Some((before, sequence, in_order)) if *before == recording && recording.id != 0 => {
                        let follows = sequence.checked_add(1) == Some(start.sequence);
                        if follows && *in_order { Place::Next } else { Place::AfterGap }
                    }
                    _ => Place::First { last: self.last_of(&recording).unwrap_or_else(|| path.clone()) },
                };
                self.knows_repeated = place == Place::Next;
                self.before = Some((recording, start.sequence, false));
                self.current = Some((path.clone(), reader));
                Some(ReplayItem::Start { path, start, place })
            }
            Err(source) => Some(ReplayItem::Failed(Unusable { path, source })),
        }
    }

    /// The last file of a recording that is still to be read.
    fn last_of(&self, recording: &Recording) -> Option<PathBuf> {
        let last = self.waiting.iter().find(|waiting| waiting.recording == *recording && recording.id != 0);
        last.map(|waiting| waiting.path.clone())
    }

    /// What comes next; records are borrowed until then.
    #[expect(clippy::should_implement_trait, reason = "an iterator's items cannot be borrowed from it")]
    pub fn next(&mut self) -> Option<ReplayItem<'_>> {
        let step = match self.advance()? {
            Ok(step) => step,
            Err(item) => return Some(item),
        };
        let (_path, reader) = self.current.as_ref()?;
        Some(match reader.view(step)? {
            TraceView::Record(time_ns, record) => ReplayItem::Record(time_ns, record),
            TraceView::Repeated(record) => ReplayItem::Repeated(record),
            TraceView::Damage(damage) => ReplayItem::Damage(damage),
        })
    }

    /// Goes to what comes next in the current file, or else says what comes.
    fn advance(&mut self) -> Option<Result<Step, ReplayItem<'static>>> {
        let Some((path, reader)) = &mut self.current else { return self.begin().map(Err) };
        loop {
            return match reader.advance() {
                Ok(Some(Step::Repeated(_))) if self.knows_repeated => continue,
                Ok(Some(step)) => Some(Ok(step)),
                Ok(None) => self.end().map(Err),
                Err(source) => Some(Err(ReplayItem::Failed(Unusable { path: path.clone(), source }))),
            };
        }
    }

    /// The current file is over.
    fn end(&mut self) -> Option<ReplayItem<'static>> {
        let (_path, reader) = self.current.take()?;
        let reading = reader.reading();
        if let Some((_recording, _sequence, in_order)) = &mut self.before {
            *in_order = reading.continued;
        }
        self.finished_bytes = self.finished_bytes.saturating_add(reader.bytes_read());
        Some(ReplayItem::End(reading))
    }
}

/// The trace files that `path` means.
fn traces_at(path: &Path) -> Result<Vec<PathBuf>, TraceError> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|suffix| suffix == SUFFIX) && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() { Err(TraceError::NoTraces) } else { Ok(files) }
}
