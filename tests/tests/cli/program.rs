//! Running the program to its end, and what is asked of its last words.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail, ensure};
use tempfile::TempDir;
use wherefore_tests::process::Running;
use wherefore_tests::recorder::only_trace;
use wherefore_tests::scratch;
use wherefore_tests::tools::Tools;

/// A port that nobody uses.
pub(crate) const QUIET_PORT: &str = "18443";

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<Ending> {
    let mut running = Running::start(command)?;
    let status = running.wait()?;
    Ok(Ending { code: status.code(), stdout: running.stdout.so_far(), stderr: running.stderr.so_far() })
}

/// Runs `wherefore` with these arguments to its end.
pub(crate) fn wherefore(tools: &Tools, arguments: &[&str]) -> Result<Ending> {
    run(Command::new(&tools.wherefore).args(arguments))
}

impl Ending {
    /// It must have ended with this code and one line, in which all these words are.
    pub(crate) fn is_one_line(&self, code: i32, words: &[&str]) -> Result<()> {
        let [line] = self.stderr.as_slice() else { bail!("not one line: {self:?}") };
        ensure!(self.code == Some(code), "not exit code {code}: {self:?}");
        ensure!(line.starts_with("wherefore: "), "it does not say who speaks: {line}");
        for word in words {
            ensure!(line.contains(word), "{word:?} is not in: {line}");
        }
        ensure!(self.stdout.is_empty(), "standard output is for data: {self:?}");
        Ok(())
    }

    /// It must have ended with this code, and all these words must be in its standard error.
    pub(crate) fn says(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "not exit code {code}: {self:?}");
        let stderr = self.stderr.join("\n");
        for word in words {
            ensure!(stderr.contains(word), "{word:?} is not in: {stderr}");
        }
        Ok(())
    }
}

/// A trace of a second in which nothing happened.
pub(crate) fn quiet_trace(tools: &Tools) -> Result<(TempDir, PathBuf)> {
    let directory = scratch::directory()?;
    let out = directory.path().to_string_lossy().into_owned();
    wherefore(tools, &["record", "--port", QUIET_PORT, "--duration", "1s", "--out", &out])?.says(0, &["ready:"])?;
    let trace = only_trace(directory.path())?;
    Ok((directory, trace))
}
