//! Writes manual pages and shell completions into a directory, from the definitions of the command
//! line: `cargo run --example generate -- DIR`. Packaging calls it; the program itself stays free of it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;
use wherefore::cli::args::Cli;

fn main() -> Result<()> {
    let directory = PathBuf::from(std::env::args_os().nth(1).context("name the directory to write to")?);
    let (pages, completions) = (directory.join("man"), directory.join("completions"));
    for made in [&pages, &completions] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    let failed = || format!("cannot write to {}", directory.display());
    clap_mangen::generate_to(Cli::command(), &pages).with_context(failed)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "wherefore", &completions).with_context(failed)?;
    }
    Ok(())
}
