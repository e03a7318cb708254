//! The tee: one stream of records into the trace file and into the engine, in the same order.

use anyhow::Context;

use crate::engine::{Engine, Output};
use crate::record::{Record, Start};
use crate::trace::{TraceFile, start_record};

/// Where a live stream goes.
pub(super) struct Tee {
    file: Option<TraceFile>,
    engine: Engine,
    bytes: Vec<u8>,
    file_fails: bool,
}

impl Tee {
    /// A tee into this file (none for `watch`) and a fresh engine.
    pub(super) fn new(file: Option<TraceFile>) -> Self {
        Self { file, engine: Engine::new(), bytes: Vec::with_capacity(1024), file_fails: false }
    }

    /// Begins the stream. The file's writer has put the same record at its head by itself.
    pub(super) fn begin(&mut self, start: &Start, said: &mut Vec<Output>) {
        self.engine.push(&start_record(start), said);
    }

    /// Passes the records on and takes them out of `records`; what the engine says goes to `said`.
    /// A record that the file cannot take is counted there and still reaches the engine.
    pub(super) fn pass(&mut self, records: &mut Vec<Record>, said: &mut Vec<Output>) {
        for record in records.drain(..) {
            self.write(&record);
            self.engine.push(&record, said);
        }
    }

    fn write(&mut self, record: &Record) {
        let Some(file) = &mut self.file else { return };
        self.bytes.clear();
        let written = match record.encode(&mut self.bytes) {
            Ok(()) => file.append(&self.bytes).map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        self.note(written);
    }

    /// Writes out what waits for the file; at least once a second.
    pub(super) fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            let flushed = file.flush().map_err(anyhow::Error::from);
            self.note(flushed);
        }
    }

    /// Says once that the file fails, and once that it no longer does.
    fn note(&mut self, written: anyhow::Result<()>) {
        match (written, self.file_fails) {
            (Err(error), false) => {
                self.file_fails = true;
                super::console::error_line(&format!(
                    "wherefore: verdicts go on, but the trace file misses records: {}",
                    super::failure::chain(&error)
                ));
            }
            (Err(_), true) | (Ok(()), false) => {}
            (Ok(()), true) => self.file_fails = false,
        }
    }

    /// Records that the file has not got.
    pub(super) fn lost(&self) -> u64 {
        self.file.as_ref().map_or(0, TraceFile::lost)
    }

    /// Ends the stream: the engine's last words, the file complete on disk. The summary names the file
    /// and what it lost.
    pub(super) fn finish(mut self, said: &mut Vec<Output>) -> anyhow::Result<()> {
        self.engine.finish(said);
        let lost = self.lost();
        let Some(file) = self.file else { return Ok(()) };
        let path = file.path().to_owned();
        for output in said.iter_mut() {
            if let Output::Summary(summary) = output {
                summary.files = vec![path.display().to_string()];
                let count = summary.lost.entry("trace-write".to_owned()).or_default();
                *count = count.saturating_add(lost);
            }
        }
        file.finish().map(|_path| ()).with_context(|| format!("{} is not complete on disk", path.display()))
    }
}
