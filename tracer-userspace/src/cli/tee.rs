//! The tee: one stream of records into the trace files and into the analysis, in the same order.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;

use super::analysis::Analysis;
use crate::engine::Output;
use crate::record::{BootTime, ClockPair, Record, Start};
use crate::trace::{Policy, TraceDirectory, start_record};
use crate::verdict::{Role, Slug, Verdict};

/// Cause under which the summary counts records that the file has not got.
const FILE_LOSS: &str = "trace-write";
/// The files are said to be written again when nothing has failed for this long: a full disk with a
/// little room now and then must not fill the journal.
const QUIET: Duration = Duration::from_secs(3);

/// Where a live stream goes.
pub(super) struct Tee {
    traces: Option<TraceDirectory>,
    analysis: Analysis,
    writing: Writing,
    /// Verdicts given since the last look: for the status line and the metrics.
    pub(super) told: Vec<Told>,
}

/// How writing the files goes.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Works,
    Fails,
    /// It failed a moment ago.
    WorksSince(BootTime),
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
    /// A tee into these files (none for `watch`) and this analysis.
    pub(super) fn new(traces: Option<TraceDirectory>, analysis: Analysis) -> Self {
        Self { traces, analysis, writing: Writing::Works, told: Vec::new() }
    }

    /// Begins the stream. The file's writer has put the same record at its head by itself.
    ///
    /// # Errors
    /// What writing to `out` says.
    pub(super) fn begin(&mut self, start: &Start, out: &mut impl Write) -> io::Result<()> {
        self.analysis.push(start_record(start), out, &mut |_output| true)
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
            self.analysis.push(record, out, &mut |output| {
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
        if let Some(Err(error)) = self.traces.as_mut().map(|traces| traces.append(record)) {
            self.note_failure(&error.into());
        }
    }

    /// Writes out what waits for the files; at least once a second. May go on in a new file.
    pub(super) fn flush(&mut self, now: ClockPair) {
        let Some(traces) = &mut self.traces else { return };
        match traces.flush(now) {
            Ok(()) => self.note_success(BootTime::from_ns(now.boot_ns)),
            Err(error) => self.note_failure(&error.into()),
        }
    }

    /// Says once that the file fails, until it no longer does.
    fn note_failure(&mut self, error: &anyhow::Error) {
        let before = std::mem::replace(&mut self.writing, Writing::Fails);
        if matches!(before, Writing::Works) {
            super::console::error_line(&format!(
                "wherefore: verdicts go on, but the trace files miss records: {}",
                super::failure::chain(error)
            ));
        }
    }

    /// Says once that the file is written again.
    fn note_success(&mut self, now: BootTime) {
        let since = match self.writing {
            Writing::Works => return,
            Writing::Fails => now,
            Writing::WorksSince(since) => since,
        };
        self.writing = Writing::WorksSince(since);
        if now.since(since) >= QUIET {
            self.writing = Writing::Works;
            super::console::error_line(&format!(
                "wherefore: the trace files are written again; {} records are in none of them",
                self.lost()
            ));
        }
    }

    /// Rotates and keeps the files by this from now on.
    pub(super) fn set_policy(&mut self, policy: Policy) {
        if let Some(traces) = &mut self.traces {
            traces.set_policy(policy);
        }
    }

    /// Records that the file has not got.
    pub(super) fn lost(&self) -> u64 {
        self.traces.as_ref().map_or(0, TraceDirectory::lost)
    }

    /// Files begun so far, and files that retention has removed.
    pub(super) fn file_counts(&self) -> (u64, u64) {
        self.traces.as_ref().map_or((0, 0), |traces| (traces.begun(), traces.dropped().files))
    }

    /// Bytes written so far, all files together.
    pub(super) fn bytes_written(&self) -> u64 {
        self.traces.as_ref().map_or(0, TraceDirectory::bytes_written)
    }

    /// Ends the stream: the engine's last words, the file complete on disk. The summary names the file
    /// and what it lacks. Returns the files.
    ///
    /// # Errors
    /// What writing to `out` says, or the disk.
    pub(super) fn finish(mut self, now: ClockPair, out: &mut impl Write) -> Result<Vec<String>, super::Failure> {
        self.flush(now);
        let Self { traces, analysis, .. } = self;
        let paths = traces.as_ref().map(TraceDirectory::files).unwrap_or_default();
        let files: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let mut complete = |output: &mut Output| {
            if let (Output::Summary(summary), Some(traces)) = (output, &traces) {
                summary.files.extend_from_slice(&files);
                let count = summary.lost.entry(FILE_LOSS.to_owned()).or_default();
                *count = count.saturating_add(traces.lost());
                summary.dropped = traces.dropped();
            }
            true
        };
        analysis.finish(out, &mut complete).map_err(super::Failure::output)?;
        out.flush().map_err(super::Failure::output)?;
        if let Some(traces) = traces {
            traces.finish().context("the traces are not complete on disk")?;
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests;
