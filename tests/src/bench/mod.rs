//! What watching costs: rounds with and without it, interleaved in one run, against a real nginx.

pub mod flood;
pub mod load;
pub mod machine;
pub mod report;
pub mod rounds;
pub mod statistics;
pub mod watcher;

use std::io::Write;

use anyhow::{Result, bail};

use crate::tools::Tools;
use load::{Load, Stage};
use rounds::Size;
use watcher::Watcher;

/// Measures, and writes a Markdown section.
///
/// # Errors
/// When something is missing or fails.
pub fn run(tools: &Tools, size: Size, out: &mut impl Write, progress: &mut impl FnMut(&str)) -> Result<()> {
    if let Some(reason) = load::missing() {
        bail!(reason);
    }
    for other in [Watcher::Tcpdump, Watcher::Tcpstates, Watcher::Tcplife] {
        if let Some(reason) = other.missing() {
            progress(&format!("left out: {reason}"));
        }
    }
    let machine = machine::said();
    let mut measured = Vec::new();
    for load in Load::ALL {
        // a new nginx for each load: connections of one leave nothing behind for the next
        let stage = Stage::new()?;
        measured.push(rounds::measure(tools, &stage, load, size, progress)?);
        stage.end()?;
    }
    write!(out, "{machine}")?;
    write!(out, "{}", report::throughput(&measured, size))?;
    write!(out, "{}", report::cost(&measured))?;
    writeln!(out, "\n### Budgets\n")?;
    for one in &measured {
        let at_least = if one.load == Load::Connections { 0.97 } else { 0.99 };
        writeln!(out, "- {}", report::verdict(one, at_least))?;
    }
    Ok(())
}
