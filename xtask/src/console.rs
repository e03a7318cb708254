//! What these commands say: progress on stderr, results on stdout. A reader that has gone away is
//! no reason to stop a build.

use std::{
    fmt,
    io::{self, Write as _},
};

/// One line of progress.
pub(crate) fn note(line: impl fmt::Display) {
    writeln!(io::stderr(), "{line}").ok();
}

/// One line of a result.
pub(crate) fn result(line: impl fmt::Display) {
    writeln!(io::stdout(), "{line}").ok();
}
