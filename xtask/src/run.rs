//! `cargo xtask run`.

use std::ffi::OsString;

use anyhow::Result;

use crate::{build, process, setup, workspace};

/// Sets up, builds the release program and runs it as root.
///
/// Its exit status becomes this command's, and Ctrl-C reaches it: `cargo xtask run -- record --port 8080`
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program's own arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Scope::Build, setup::Consent::Ask)?;
    build::build(true)?;
    process::become_program(process::as_root(workspace::program(true)).args(&arguments.arguments))
}
