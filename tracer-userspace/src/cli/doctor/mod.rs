//! `doctor`: whether this host can record, and what it would be blind to.

mod human;
mod local;
mod report;
mod request;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::console;
use super::failure::{Failure, quoted};
use crate::capture::facts::Facts;
use crate::capture::plan::plan;
use crate::output::Styles;
use report::Report;

/// Recorded facts are some kilobytes; nothing longer is read.
const FACTS_BYTES_MAX: u64 = 1 << 20;

/// What `doctor` was asked.
#[derive(Clone, Debug, Default)]
pub struct DoctorOptions {
    /// Look at this port of this host.
    pub port: Option<u16>,
    /// Send one request for this path to it.
    pub probe: Option<String>,
    /// One JSON object instead of text.
    pub json: bool,
    /// Judge the facts in this file if it is there, else write this kernel's facts to it.
    pub facts: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Failed`] if `record` would not start, a file of facts cannot be read or written, or
/// standard output cannot be written; [`Failure::Usage`] for options that do not go together.
pub fn run(options: &DoctorOptions) -> Result<(), Failure> {
    check(options)?;
    let (facts, source) = facts(options.facts.as_deref())?;
    if source.is_some() && options.port.is_some() {
        return Err(Failure::usage("--port looks at this host, the facts are of another: leave out one of them"));
    }
    let plan = plan(&facts);
    let mut report = Report::new(&facts, &plan, source);
    if let Some(port) = options.port {
        report.port = Some(local::look(port, options.probe.as_deref()));
    }
    print(&report, options.json).map_err(Failure::output)?;
    match plan.ready() {
        Ok(_) => Ok(()),
        Err(obstacle) => Err(Failure::Failed(anyhow!(obstacle))),
    }
}

fn check(options: &DoctorOptions) -> Result<(), Failure> {
    let Some(path) = &options.probe else { return Ok(()) };
    if options.port.is_none() {
        return Err(Failure::usage("--probe needs --port: name the port to send the request to"));
    }
    // it goes into a request line as it is
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let path = quoted(path);
        return Err(Failure::usage(format!("--probe {path}: give a path as in /health, spaces written as %20")));
    }
    Ok(())
}

/// This kernel's facts, or those of a file and its name.
fn facts(file: Option<&Path>) -> Result<(Facts, Option<String>), Failure> {
    let Some(path) = file else { return Ok((Facts::gather(), None)) };
    let name = quoted(path.display());
    match fs::File::open(path) {
        Ok(open) => {
            let mut text = String::new();
            open.take(FACTS_BYTES_MAX)
                .read_to_string(&mut text)
                .with_context(|| format!("cannot read the facts in {name}"))?;
            let facts = serde_json::from_str(&text)
                .with_context(|| format!("{name} holds no facts as `wherefore doctor --facts FILE` writes them"))?;
            Ok((facts, Some(name)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let facts = Facts::gather();
            let mut text = serde_json::to_string_pretty(&facts).context("cannot write facts as JSON")?;
            text.push('\n');
            fs::File::create_new(path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .with_context(|| format!("cannot write this kernel's facts to {name}"))?;
            console::error_line(&format!("wherefore: wrote this kernel's facts to {name}"));
            Ok((facts, None))
        }
        Err(error) => Err(anyhow!(error).context(format!("cannot open the facts in {name}")).into()),
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut stdout = console::stdout();
    if json {
        serde_json::to_writer(&mut stdout, report)?;
        writeln!(stdout)?;
    } else {
        let styles = Styles::new(console::stdout_takes_color());
        stdout.write_all(human::render(report, &styles, console::stdout_width()).as_bytes())?;
    }
    stdout.flush()
}
