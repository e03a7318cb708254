//! `replay`: trace files in, the same lines out as when they were recorded.

mod filter;
mod progress;
mod stream;

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::args::ReplayArgs;
use super::console;
use super::failure::{Failure, chain};
use crate::output::WallClock;
use crate::record::BootTime;
use crate::trace::{Replay, ReplayItem, TraceItem, TraceReader, Unusable};
use filter::Filter;
use progress::Progress;
use stream::Stream;

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for moments that exclude each other; one line if no path can be used; a failed
/// write.
pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let (replay, unusable) = Replay::open(&args.paths);
    let files: Vec<PathBuf> = replay.files().map(Path::to_owned).collect();
    let last = complain(unusable, files.is_empty());
    if let Some(failure) = last {
        return Err(failure);
    }
    let mut progress = Progress::new(&files);
    let mut session = Session { args, stream: None, records: 0, progress: &mut progress };
    let result = session.read(replay);
    let records = session.records;
    progress.finish();
    result?;
    if records == 0 {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(anyhow!("{}: not one whole record is in it: nothing can be replayed", names.join(", ")).into());
    }
    Ok(())
}

/// One line for each path that cannot be used. If none is left, the last one is why the run fails.
fn complain(mut unusable: Vec<Unusable>, nothing_left: bool) -> Option<Failure> {
    let last = if nothing_left { unusable.pop() } else { None };
    for path in unusable {
        console::error_line(&format!("wherefore: {}", chain(&path.into())));
    }
    last.map(|path| Failure::Failed(path.into()))
}

/// The state between two items of a replay.
struct Session<'a> {
    args: &'a ReplayArgs,
    stream: Option<Stream>,
    /// Records of all files.
    records: u64,
    progress: &'a mut Progress,
}

impl Session<'_> {
    fn read(&mut self, mut replay: Replay) -> Result<(), Failure> {
        let mut out = console::stdout();
        while let Some(item) = replay.next() {
            match item {
                ReplayItem::Start { path, start } => {
                    let filter = self.filter(&path, WallClock::new(start.clock))?;
                    let mut stream = Stream::new(self.args.json, &path, &start, filter);
                    stream.begin(&start, &mut out).map_err(Failure::output)?;
                    self.stream = Some(stream);
                }
                ReplayItem::Record(record) => {
                    if let Some(stream) = &mut self.stream {
                        stream.record(&record, &mut out).map_err(Failure::output)?;
                    }
                }
                ReplayItem::Damage(damage) => {
                    if let Some(stream) = &mut self.stream {
                        self.progress.aside(&stream.damage_line(damage));
                        stream.damage(damage, &mut out).map_err(Failure::output)?;
                    }
                }
                ReplayItem::Failed(unusable) => {
                    self.progress.aside(&format!("wherefore: {}", chain(&unusable.into())));
                }
                ReplayItem::End(reading) => {
                    self.records = self.records.saturating_add(reading.records);
                    if let Some(stream) = self.stream.take() {
                        for line in stream.remarks(reading) {
                            self.progress.aside(&line);
                        }
                        stream.finish(reading, &mut out).map_err(Failure::output)?;
                    }
                }
            }
            self.progress.at(&replay, &mut out).map_err(Failure::output)?;
        }
        Ok(())
    }

    /// The filters for one file; it is read once more if they are told from its end.
    fn filter(&self, path: &Path, clock: WallClock) -> Result<Option<Filter>, Failure> {
        if !Filter::is_given(self.args) {
            return Ok(None);
        }
        let end = if Filter::needs_end(self.args) { last_time(path) } else { BootTime::default() };
        Filter::new(self.args, clock.timestamp(end)).map(Some)
    }
}

/// The time of a trace's latest record, as far as it can be read.
fn last_time(path: &Path) -> BootTime {
    // what cannot be read is told when the file is replayed
    let items = TraceReader::open(path).into_iter().flatten().flatten();
    let times = items.filter_map(|item| match item {
        TraceItem::Record(record) => Some(record.time()),
        TraceItem::Damage(_) => None,
    });
    times.max().unwrap_or_default()
}
