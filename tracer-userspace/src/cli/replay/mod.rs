//! `replay`: trace files in, the same lines out as when they were recorded.

mod filter;
mod progress;
mod stream;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::args::ReplayArgs;
use super::console;
use super::failure::{Failure, chain};
use crate::output::{WallClock, plain};
use crate::record::{BootTime, Start};
use crate::trace::{Place, Replay, ReplayItem, TraceItem, TraceReader, Unusable};
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
    let mut session = Session { args, stream: None, records: 0, progress: Progress::new(&files) };
    let result = session.read(replay, &mut console::stdout());
    session.progress.finish();
    result?;
    if session.records == 0 {
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
    progress: Progress,
}

impl Session<'_> {
    fn read(&mut self, mut replay: Replay, out: &mut impl Write) -> Result<(), Failure> {
        while let Some(item) = replay.next() {
            self.item(item, out)?;
            self.progress.at(&replay, out).map_err(Failure::output)?;
        }
        self.end(out)
    }

    fn item(&mut self, item: ReplayItem<'_>, out: &mut impl Write) -> Result<(), Failure> {
        match item {
            ReplayItem::Start { path, start, place } => return self.begin(&path, &start, &place, out),
            ReplayItem::Record(time_ns, record) => {
                if let Some(stream) = &mut self.stream {
                    stream.record(time_ns, record, out).map_err(Failure::output)?;
                }
            }
            ReplayItem::Repeated(record) => {
                if let Some(stream) = &mut self.stream {
                    stream.repeated(*record);
                }
            }
            ReplayItem::Damage(damage) => {
                if let Some(stream) = &mut self.stream {
                    self.progress.aside(&stream.damage_line(damage));
                    stream.damage(damage, out).map_err(Failure::output)?;
                }
            }
            ReplayItem::Failed(unusable) => {
                self.progress.aside(&format!("wherefore: {}", chain(&unusable.into())));
            }
            ReplayItem::End(reading) => {
                self.records = self.records.saturating_add(reading.records);
                if let Some(stream) = &mut self.stream {
                    for line in stream.remarks(reading) {
                        self.progress.aside(&line);
                    }
                    stream.end_file(reading);
                }
            }
        }
        Ok(())
    }

    /// A file begins: a recording of its own, or the next part of the one before.
    fn begin(&mut self, path: &Path, start: &Start, place: &Place, out: &mut impl Write) -> Result<(), Failure> {
        match (place, &mut self.stream) {
            (Place::Next, Some(stream)) => stream.next_file(path),
            (Place::AfterGap, Some(stream)) => {
                let line = format!(
                    "wherefore: {}: what was recorded just before it is missing: it goes on with what it repeats",
                    plain(&path.display().to_string())
                );
                self.progress.aside(&line);
                stream.next_file_after_gap(path, start, out).map_err(Failure::output)?;
            }
            _ => {
                self.end(out)?;
                let last = if let Place::First { last } = place { last } else { path };
                let filter = self.filter(last, WallClock::new(start.clock))?;
                let mut stream = Stream::new(self.args.json, path, start, filter);
                stream.begin(start, out).map_err(Failure::output)?;
                self.stream = Some(stream);
            }
        }
        Ok(())
    }

    /// The recording that is being read is over.
    fn end(&mut self, out: &mut impl Write) -> Result<(), Failure> {
        if let Some(stream) = self.stream.take() {
            stream.finish(out).map_err(Failure::output)?;
            self.progress.flush(out).map_err(Failure::output)?;
        }
        Ok(())
    }

    /// The filters for one recording; its last file is read once more if they are told from its end.
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
        TraceItem::Record(record) | TraceItem::Repeated(record) => Some(record.time()),
        TraceItem::Damage(_) => None,
    });
    times.max().unwrap_or_default()
}

/// What a replay of these files and directories prints as JSON lines, for tests of what was recorded.
#[cfg(feature = "capture")]
#[cfg(test)]
pub(super) fn json_lines(paths: &[PathBuf]) -> Vec<String> {
    use clap::Parser;
    let words = ["wherefore".into(), "replay".into(), "--json".into()].into_iter();
    let line = words.chain(paths.iter().map(|path| path.as_os_str().to_owned()));
    let super::args::Command::Replay(args) = super::args::Cli::try_parse_from(line).unwrap().command else {
        panic!("not replay")
    };
    let (replay, unusable) = Replay::open(&args.paths);
    assert!(unusable.is_empty(), "{unusable:?}");
    let mut session = Session { args: &args, stream: None, records: 0, progress: Progress::new(&[]) };
    let mut out = Vec::new();
    session.read(replay, &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
