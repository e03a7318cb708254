//! `cargo xtask soak`.

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::{build, console, process, setup, workspace};

/// The lab's program, which makes the load and measures.
const LAB: &str = "wherefore-lab";

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
    let program = if let Some(program) = &arguments.wherefore {
        program.clone()
    } else {
        build::build(true)?;
        workspace::program(true)
    };
    ensure!(program.is_file(), "there is no program {}", program.display());
    process::run(process::cargo().args(["build", "--package", "wherefore-tests", "--bin", LAB]))?;
    console::note(format_args!("{} minutes, in network namespaces of its own", arguments.minutes));
    let mut lab = process::as_root(workspace::target().join("debug").join(LAB));
    process::run(lab.args(["soak", "--minutes", &arguments.minutes.to_string(), "--wherefore"]).arg(&program))
}
