//! `--config`: a TOML file with the same names as the flags of `record`. Flags win.

mod file;
mod reload;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::args::RecordArgs;
use super::failure::Failure;
use file::FileConfig;

pub(super) use reload::{Reload, Reloaded};

/// Where the trace file goes if neither flag nor file says it.
const OUT_DEFAULT: &str = ".";

impl RecordArgs {
    /// These arguments, with what the file of `--config` says where a flag says nothing.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the file cannot be read, [`Failure::Usage`] if it makes no sense.
    pub fn with_config(&self) -> Result<Self, Failure> {
        let mut args = self.clone();
        if let Some(path) = &self.config {
            read(path)?.fill(&mut args);
        }
        Ok(args)
    }

    /// `--out`, or its default.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from(OUT_DEFAULT))
    }
}

fn read(path: &Path) -> Result<FileConfig, Failure> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    file::parse(&text).map_err(|error| Failure::Usage(format!("{}:{error}", path.display())))
}
