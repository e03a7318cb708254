//! One recording, of one or several trace files, on its way through the engine to the printer.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use super::filter::Filter;
use crate::cli::analysis::Analysis;
use crate::cli::console;
use crate::engine::{Damage, Output, Summary};
use crate::output::{HumanOptions, Printer, WallClock, plain};
use crate::record::{BootTime, HostBody, HostRecord, Loss, Record, RecordView, Start};
use crate::trace::{self, REPEATED, Reading, start_record};
use crate::verdict::Slug;

/// Cause under which unreadable frames stand in the summary's `lost`.
const DAMAGE_CAUSE: &str = "trace-damage";

/// A recording being replayed.
pub(super) struct Stream {
    analysis: Analysis,
    pass: Pass,
    /// Time of the latest record.
    time: BootTime,
    /// Frames that are missing just before the next record.
    gap: Option<u64>,
    /// The file's head is being read: what it repeats does not count.
    repeating: bool,
}

/// What is done to each output on its way to the printer.
struct Pass {
    /// The files so far; the last one is being read.
    files: Vec<String>,
    clock: WallClock,
    filter: Option<Filter>,
    shown: u64,
    /// Damage of all files.
    damage: Damage,
    /// The start was printed.
    begun: bool,
    /// Totals of what came before a gap.
    before_gap: Option<Box<Summary>>,
    /// A part of the recording ends here, not all of it. What began since then is repeated by the
    /// part to come, which says it if that is due.
    handed_on_since: Option<BootTime>,
    /// Verdicts that are left to the part to come.
    handed_on: BTreeMap<Slug, u64>,
}

impl Pass {
    /// The file that is being read.
    fn file(&self) -> &str {
        self.files.last().map_or("", String::as_str)
    }

    fn check(&mut self, output: &mut Output) -> bool {
        match output {
            Output::Verdict(verdict) if self.handed_on_since.is_some_and(|since| verdict.started >= since) => {
                let count = self.handed_on.entry(verdict.slug).or_default();
                *count = count.saturating_add(verdict.count);
                false
            }
            Output::Verdict(verdict) => {
                let shows = self.filter.as_ref().is_none_or(|filter| filter.shows(verdict, self.clock));
                self.shown = self.shown.saturating_add(u64::from(shows));
                shows
            }
            Output::Summary(summary) => {
                if let Some(before) = self.before_gap.take() {
                    summary.join(&before);
                }
                if self.handed_on_since.is_some() {
                    for (slug, count) in std::mem::take(&mut self.handed_on) {
                        let total = summary.verdicts.entry(slug).or_default();
                        *total = total.saturating_sub(count);
                    }
                    summary.verdicts.retain(|_slug, count| *count > 0);
                    self.before_gap = Some(summary.clone());
                    return false;
                }
                summary.damage = self.damage;
                // the engine was told of each gap at both its ends
                if let Some(lost) = summary.lost.get_mut(DAMAGE_CAUSE) {
                    *lost = self.damage.frames;
                }
                summary.files.clone_from(&self.files);
                summary.shown = self.filter.as_ref().map(|_| self.shown);
                true
            }
            Output::Start(_) => !std::mem::replace(&mut self.begun, true),
            Output::Counters(_) => true,
        }
    }
}

impl Stream {
    pub(super) fn new(json: bool, path: &Path, start: &Start, filter: Option<Filter>) -> Self {
        let options = HumanOptions { color: console::stdout_takes_color(), ..HumanOptions::default() };
        let printer = if json { Printer::json() } else { Printer::human(options) };
        let pass = Pass {
            files: vec![path.display().to_string()],
            clock: WallClock::new(start.clock),
            filter,
            shown: 0,
            damage: Damage::default(),
            begun: false,
            before_gap: None,
            handed_on_since: None,
            handed_on: BTreeMap::new(),
        };
        Self {
            analysis: Analysis::new(printer),
            pass,
            time: BootTime::from_ns(start.clock.boot_ns),
            gap: None,
            repeating: false,
        }
    }

    /// The recording goes on in its next file.
    pub(super) fn next_file(&mut self, path: &Path) {
        self.pass.files.push(path.display().to_string());
    }

    /// The recording goes on in a later file, with a gap before it: what it repeats stands in.
    pub(super) fn next_file_after_gap(&mut self, path: &Path, start: &Start, to: &mut impl Write) -> io::Result<()> {
        self.pass.handed_on_since = Some(BootTime::from_ns(start.begun.boot_ns).before(REPEATED));
        let pass = &mut self.pass;
        self.analysis.begin_again(to, &mut |output| pass.check(output))?;
        self.pass.handed_on_since = None;
        self.gap = None;
        self.next_file(path);
        self.begin(start, to)
    }

    /// A record that the file repeats.
    pub(super) fn repeated(&mut self, record: Record) {
        self.repeating = true;
        self.time = self.time.max(record.time());
        self.analysis.repeat(record);
    }

    /// A file is over.
    pub(super) fn end_file(&mut self, reading: Reading) {
        let damage = &mut self.pass.damage;
        damage.frames = damage.frames.saturating_add(reading.damaged_frames);
        damage.bytes = damage.bytes.saturating_add(reading.damaged_bytes);
    }

    pub(super) fn begin(&mut self, start: &Start, to: &mut impl Write) -> io::Result<()> {
        self.push(start_record(start), to)
    }

    /// A record, and the time of its header.
    pub(super) fn record(&mut self, time_ns: u64, view: RecordView<'_>, to: &mut impl Write) -> io::Result<()> {
        self.time = self.time.max(BootTime::from_ns(time_ns));
        if std::mem::take(&mut self.repeating) {
            self.analysis.count_from_here();
        }
        if let Some(frames) = self.gap.take() {
            self.lost(frames, to)?;
        }
        let pass = &mut self.pass;
        self.analysis.push_view(time_ns, view, to, &mut |output| pass.check(output))
    }

    /// Tells the engine that records are missing between the last record and the next one, so that
    /// no verdict whose time spans the gap is certain.
    pub(super) fn damage(&mut self, damage: trace::Damage, to: &mut impl Write) -> io::Result<()> {
        if damage.frames == 0 {
            return Ok(());
        }
        self.gap = Some(damage.frames);
        self.lost(damage.frames, to)
    }

    fn lost(&mut self, frames: u64, to: &mut impl Write) -> io::Result<()> {
        let loss = Loss::now(DAMAGE_CAUSE, frames);
        self.push(Record::Host(HostRecord { time: self.time, netns: 0, body: HostBody::Loss(loss) }), to)
    }

    fn push(&mut self, record: Record, to: &mut impl Write) -> io::Result<()> {
        let pass = &mut self.pass;
        self.analysis.push(record, to, &mut |output| pass.check(output))
    }

    /// One line on a damage.
    pub(super) fn damage_line(&self, damage: trace::Damage) -> String {
        format!("wherefore: {}: damaged {damage}", plain(self.pass.file()))
    }

    /// Lines on what else is not as it should be.
    pub(super) fn remarks(&self, reading: Reading) -> Vec<String> {
        let file = plain(self.pass.file());
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
        if !reading.ended && !reading.continued {
            lines.push(format!("wherefore: {file}: the recording did not end in order: what came last may be missing"));
        }
        lines
    }

    pub(super) fn finish(self, to: &mut impl Write) -> io::Result<()> {
        let Self { analysis, mut pass, .. } = self;
        analysis.finish(to, &mut |output| pass.check(output))
    }
}
