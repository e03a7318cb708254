//! `cargo xtask ci`.

use anyhow::Result;

use crate::{lint, test};

/// What the checks on a change run: the lints, then the tests.
pub(crate) fn command() -> Result<()> {
    lint::command(&lint::Arguments { no_setup: false })?;
    test::command(&test::Arguments { no_setup: false })
}
