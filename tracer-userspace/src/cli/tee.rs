//! The tee: one stream of records into the trace file and into the analysis, in the same order.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;

use super::analysis::Analysis;
use crate::engine::Output;
use crate::record::{Record, Start};
use crate::trace::{TraceFile, start_record};
use crate::verdict::{Role, Slug, Verdict};

/// Cause under which the summary counts records that the file has not got.
const FILE_LOSS: &str = "trace-write";

/// Where a live stream goes.
pub(super) struct Tee {
    file: Option<TraceFile>,
    analysis: Analysis,
    bytes: Vec<u8>,
    file_fails: bool,
    /// Verdicts given since the last look: for the status line and the metrics.
    pub(super) told: Vec<Told>,
}

/// A verdict in short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) slug: Slug,
    pub(super) role: Role,
    pub(super) port: u16,
    pub(super) count: u64,
}

impl Tee {
    /// A tee into this file (none for `watch`) and this analysis.
    pub(super) fn new(file: Option<TraceFile>, analysis: Analysis) -> Self {
        Self { file, analysis, bytes: Vec::with_capacity(1024), file_fails: false, told: Vec::new() }
    }

    /// Begins the stream. The file's writer has put the same record at its head by itself.
    ///
    /// # Errors
    /// What writing to `out` says.
    pub(super) fn begin(&mut self, start: &Start, out: &mut impl Write) -> io::Result<()> {
        self.analysis.push(&start_record(start), out, &mut |_output| true)
    }

    /// Passes the records on, and takes them out of `records`. A record that the file cannot take is
    /// counted there and still analysed.
    ///
    /// # Errors
    /// What writing to `out` says.
    pub(super) fn pass(&mut self, records: &mut Vec<Record>, out: &mut impl Write) -> io::Result<()> {
        for record in records.drain(..) {
            self.write(&record);
            let told = &mut self.told;
            self.analysis.push(&record, out, &mut |output| {
                if let Output::Verdict(verdict) = output {
                    let Verdict { slug, role, port, count, .. } = **verdict;
                    told.push(Told { slug, role, port, count });
                }
                true
            })?;
        }
        Ok(())
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

    /// Says once that the file fails, until it no longer does.
    fn note(&mut self, written: anyhow::Result<()>) {
        match (written, self.file_fails) {
            (Err(error), false) => {
                self.file_fails = true;
                super::console::error_line(&format!(
                    "wherefore: verdicts go on, but the trace file misses records: {}",
                    super::failure::chain(&error)
                ));
            }
            (Err(_), true) => {}
            (Ok(()), _) => self.file_fails = false,
        }
    }

    /// Records that the file has not got.
    pub(super) fn lost(&self) -> u64 {
        self.file.as_ref().map_or(0, TraceFile::lost)
    }

    /// Bytes in the file so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.file.as_ref().map_or(0, TraceFile::bytes_written)
    }

    /// Ends the stream: the engine's last words, the file complete on disk. The summary names the file
    /// and what it lacks.
    ///
    /// # Errors
    /// What writing to `out` says, or the disk.
    pub(super) fn finish(mut self, out: &mut impl Write) -> Result<(), super::Failure> {
        self.flush();
        let lost = self.lost();
        let path: Option<PathBuf> = self.file.as_ref().map(|file| file.path().to_owned());
        let complete = |output: &mut Output| {
            if let Output::Summary(summary) = output {
                summary.files.extend(path.iter().map(|path| path.display().to_string()));
                let count = summary.lost.entry(FILE_LOSS.to_owned()).or_default();
                *count = count.saturating_add(lost);
            }
            true
        };
        let mut complete = complete;
        self.analysis.finish(out, &mut complete).map_err(super::Failure::output)?;
        out.flush().map_err(super::Failure::output)?;
        if let Some(file) = self.file {
            let shown = file.path().display().to_string();
            file.finish().map(drop).with_context(|| format!("{shown} is not complete on disk"))?;
        }
        Ok(())
    }
}
