//! The records of several trace files, one file after the other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::{Damage, TraceError};
use super::reader::{Reading, TraceItem, TraceReader};
use crate::record::{Record, Start};

/// Suffix of trace files.
const SUFFIX: &str = "wft";

/// One element of a replay.
#[derive(Debug)]
pub enum ReplayItem {
    /// A file begins: a stream of its own.
    Start {
        /// The file.
        path: PathBuf,
        /// What it is.
        start: Box<Start>,
    },
    /// A record of the file.
    Record(Record),
    /// A part of the file could not be read.
    Damage(Damage),
    /// The file could not be read any further. `End` follows, if `Start` came before.
    Failed(Unusable),
    /// The file ends.
    End(Reading),
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

/// The records of several files, in the order of the files' start: an iterator of [`ReplayItem`]. One file is open at
/// a time.
pub struct Replay {
    /// The last one comes first.
    waiting: Vec<PathBuf>,
    current: Option<(PathBuf, TraceReader<File>)>,
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
                Ok(reader) => ordered.push((reader.start().clock.unix_ns, path)),
                Err(source) => unusable.push(Unusable { path, source }),
            }
        }
        ordered.sort_unstable();
        let waiting = ordered.into_iter().rev().map(|(_start, path)| path).collect();
        (Self { waiting, current: None }, unusable)
    }

    /// The files that are still to be read, in order; all of them before the first item.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.waiting.iter().rev().map(PathBuf::as_path)
    }

    fn begin(&mut self) -> Option<ReplayItem> {
        let path = self.waiting.pop()?;
        match TraceReader::open(&path) {
            Ok(reader) => {
                let start = Box::new(reader.start().clone());
                self.current = Some((path.clone(), reader));
                Some(ReplayItem::Start { path, start })
            }
            Err(source) => Some(ReplayItem::Failed(Unusable { path, source })),
        }
    }
}

impl Iterator for Replay {
    type Item = ReplayItem;

    fn next(&mut self) -> Option<ReplayItem> {
        let Some((path, reader)) = &mut self.current else { return self.begin() };
        Some(match reader.next() {
            Some(Ok(TraceItem::Record(record))) => ReplayItem::Record(record),
            Some(Ok(TraceItem::Damage(damage))) => ReplayItem::Damage(damage),
            Some(Err(source)) => ReplayItem::Failed(Unusable { path: path.clone(), source }),
            None => {
                let reading = reader.reading();
                self.current = None;
                ReplayItem::End(reading)
            }
        })
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
