//! One trace file on its way through the engine to the printer.

use std::io::{self, Write};
use std::path::Path;

use super::filter::Filter;
use crate::cli::analysis::Analysis;
use crate::cli::console;
use crate::engine::Output;
use crate::output::{HumanOptions, Printer, WallClock, plain};
use crate::record::{BootTime, HostBody, HostRecord, Loss, Record, Start};
use crate::trace::{Damage, Reading, start_record};

/// Cause under which unreadable frames stand in the summary's `lost`.
const DAMAGE_CAUSE: &str = "trace-damage";

/// A file being replayed.
pub(super) struct Stream {
    analysis: Analysis,
    pass: Pass,
    /// Time of the latest record.
    time: BootTime,
}

/// What is done to each output on its way to the printer.
struct Pass {
    file: String,
    clock: WallClock,
    filter: Option<Filter>,
    shown: u64,
    reading: Reading,
}

impl Pass {
    fn check(&mut self, output: &mut Output) -> bool {
        match output {
            Output::Verdict(verdict) => {
                let shows = self.filter.as_ref().is_none_or(|filter| filter.shows(verdict, self.clock));
                self.shown = self.shown.saturating_add(u64::from(shows));
                shows
            }
            Output::Summary(summary) => {
                summary.damage.frames = self.reading.damaged_frames;
                summary.damage.bytes = self.reading.damaged_bytes;
                summary.files = vec![self.file.clone()];
                summary.shown = self.filter.as_ref().map(|_| self.shown);
                true
            }
            Output::Start(_) | Output::Counters(_) => true,
        }
    }
}

impl Stream {
    pub(super) fn new(json: bool, path: &Path, start: &Start, filter: Option<Filter>) -> Self {
        let options = HumanOptions { color: console::stdout_takes_color(), ..HumanOptions::default() };
        let printer = if json { Printer::json() } else { Printer::human(options) };
        let pass = Pass {
            file: path.display().to_string(),
            clock: WallClock::new(start.clock),
            filter,
            shown: 0,
            reading: Reading::default(),
        };
        Self { analysis: Analysis::new(printer), pass, time: BootTime::from_ns(start.clock.boot_ns) }
    }

    pub(super) fn begin(&mut self, start: &Start, to: &mut impl Write) -> io::Result<()> {
        self.record(&start_record(start), to)
    }

    pub(super) fn record(&mut self, record: &Record, to: &mut impl Write) -> io::Result<()> {
        self.time = self.time.max(record.time());
        let pass = &mut self.pass;
        self.analysis.push(record, to, &mut |output| pass.check(output))
    }

    /// Tells the engine that records are missing, so that no verdict around here is certain.
    pub(super) fn damage(&mut self, damage: Damage, to: &mut impl Write) -> io::Result<()> {
        if damage.frames == 0 {
            return Ok(());
        }
        let loss = Loss { cause: DAMAGE_CAUSE.to_owned(), count: damage.frames };
        self.record(&Record::Host(HostRecord { time: self.time, netns: 0, body: HostBody::Loss(loss) }), to)
    }

    /// One line on a damage.
    pub(super) fn damage_line(&self, damage: Damage) -> String {
        format!("wherefore: {}: damaged {damage}", plain(&self.pass.file))
    }

    /// Lines on what else is not as it should be.
    pub(super) fn remarks(&self, reading: Reading) -> Vec<String> {
        let file = plain(&self.pass.file);
        let mut lines = Vec::new();
        if reading.unknown > 0 {
            lines.push(format!(
                "wherefore: {file}: {} records are of kinds that this version does not know: they were skipped",
                reading.unknown
            ));
        }
        if reading.undecodable > 0 {
            lines.push(format!(
                "wherefore: {file}: {} host records could not be decoded: they were skipped",
                reading.undecodable
            ));
        }
        if !reading.ended {
            lines.push(format!("wherefore: {file}: the recording did not end in order: what came last may be missing"));
        }
        lines
    }

    pub(super) fn finish(mut self, reading: Reading, to: &mut impl Write) -> io::Result<()> {
        self.pass.reading = reading;
        let Self { analysis, mut pass, .. } = self;
        analysis.finish(to, &mut |output| pass.check(output))?;
        to.flush()
    }
}
