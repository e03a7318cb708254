//! How far a long replay has come, on standard error if that is a terminal.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::console;
use crate::trace::Replay;

/// Shorter ones are over before anybody could read how far they are.
const LONG_BYTES: u64 = 32 * 1024 * 1024;
/// Items between two looks at the position.
const STRIDE: u32 = 16_384;

/// A progress bar, or nothing.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    items: u32,
}

impl Progress {
    /// For a replay of these files.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let sizes = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|metadata| metadata.len());
        let bytes: u64 = sizes.sum();
        let shows = bytes >= LONG_BYTES && console::stderr_is_terminal();
        Self { bar: shows.then(|| bar(bytes)), items: 0 }
    }

    /// Moves the bar now and then. The lines printed so far come out with it, since a bar on the same
    /// terminal must stand aside for them.
    pub(super) fn at(&mut self, replay: &Replay, out: &mut impl Write) -> io::Result<()> {
        let Some(bar) = &self.bar else { return Ok(()) };
        self.items = self.items.wrapping_add(1);
        if !self.items.is_multiple_of(STRIDE) {
            return Ok(());
        }
        bar.set_position(replay.bytes_read());
        bar.suspend(|| out.flush())
    }

    /// Prints a line on standard error.
    pub(super) fn aside(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| console::error_line(line)),
            None => console::error_line(line),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let template = "replaying {wide_bar} {bytes} of {total_bytes}, {eta} left";
    // the template is sound; if not, the bar looks as it does by default
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
