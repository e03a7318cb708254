//! `cargo xtask soak`.

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::Result;

use crate::{build, console, process, setup};

/// Lets connections, listeners and namespaces come and go while the release program records, and fails
/// if its memory, descriptors, maps or processor time grow. Prints a table for docs/performance.md.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long.
    #[arg(long, default_value = "20")]
    minutes: NonZero<u64>,
    /// Soak this program instead of building one.
    #[arg(long, value_name = "FILE")]
    wherefore: Option<PathBuf>,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Scope::Test, setup::Consent::Ask)?;
    let program = build::release(arguments.wherefore.as_deref())?;
    let lab = build::lab(false)?;
    console::note(format_args!("{} minutes, in network namespaces of its own", arguments.minutes));
    let mut command = process::as_root(lab);
    process::run(command.args(["soak", "--minutes", &arguments.minutes.to_string(), "--wherefore"]).arg(&program))
}
