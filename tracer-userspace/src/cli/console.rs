//! Standard output and standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstream::{AutoStream, ColorChoice};

/// Standard output, locked and buffered. Flush it after each batch of lines.
pub(super) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// Whether standard output takes colours: a terminal that has them, and no `NO_COLOR`.
pub(super) fn stdout_takes_color() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Columns of the terminal on standard output; 80 if it is none.
pub(super) fn stdout_width() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(80, |(width, _)| usize::from(width.0))
}

/// Whether standard error is a terminal.
pub(super) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Writes one line to standard error. If even that is closed, there is nobody left to tell.
pub(super) fn error_line(line: &str) {
    writeln!(io::stderr().lock(), "{line}").ok();
}

/// Writes a text to standard error as it is.
pub(super) fn error_text(text: &impl Display) {
    write!(io::stderr().lock(), "{text}").ok();
}
