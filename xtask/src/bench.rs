//! `cargo xtask bench`.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::{build, console, process, setup, workspace};

/// Between these marks of docs/performance.md the numbers stand.
const MARKS: (&str, &str) = ("<!-- bench: begin -->", "<!-- bench: end -->");

/// Measures what watching costs: a real nginx under wrk, without the program, with it, and with what
/// people use today, in interleaved rounds; prints Markdown. Takes about twenty minutes.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Arguments {
    /// Put the numbers into docs/performance.md
    #[arg(long)]
    write_docs: bool,
    /// A short run, to see that it works: its numbers say little
    #[arg(long)]
    quick: bool,
    /// Measure instead what the program itself takes: idle, under a steady load, with 100,000 open
    /// connections. Three minutes; passed on: as in `-- --connections 20000`
    #[arg(long, conflicts_with_all = ["write_docs", "quick", "replay"])]
    own: bool,
    /// Measure instead how large traces are and how fast they are written, read and replayed; passed on: the
    /// records of a short and of a long trace, as in `-- 2000000 8000000`
    #[arg(long, conflicts_with_all = ["write_docs", "quick"])]
    replay: bool,
    /// Passed on, as in `-- --pairs 60`
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn command(arguments: &Arguments) -> Result<()> {
    if arguments.own {
        return measured("weigh", &[], &arguments.rest).map(drop);
    }
    if arguments.replay {
        return traces(&arguments.rest);
    }
    let size = ["--pairs", "3", "--others", "1", "--timed", "1", "--seconds", "1"];
    let size = if arguments.quick { &size[..] } else { &[] };
    let numbers = measured("bench", size, &arguments.rest)?;
    if arguments.write_docs {
        let path = workspace::root().join("docs/performance.md");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = with_numbers(&text, &numbers).context("docs/performance.md lacks the marks of the numbers")?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Has the lab measure, and prints what it says.
fn measured(what: &str, size: &[&str], rest: &[String]) -> Result<String> {
    setup::ensure(setup::Scope::Bench, setup::Consent::Ask)?;
    let program = build::release(None)?;
    let mut command = process::as_root(build::lab(true)?);
    command.arg(what).arg("--wherefore").arg(program).args(size).args(rest).stderr(Stdio::inherit());
    console::note(format_args!("$ {}", process::shown(&command)));
    let numbers = process::read(&mut command)?;
    console::result(numbers.trim());
    Ok(numbers)
}

/// Size and speed of traces. Needs no privileges and no eBPF. Prints Markdown.
fn traces(rest: &[String]) -> Result<()> {
    let mut command = process::cargo();
    command.args(["bench", "--package", "tracer-userspace", "--no-default-features", "--bench", "trace", "--"]);
    process::run(command.args(rest))
}

/// The text with other numbers between its marks.
fn with_numbers(text: &str, numbers: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    Some(format!("{before}{}\n\n{}\n\n{}{after}", MARKS.0, numbers.trim(), MARKS.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_replace_numbers() {
        let text = format!("head\n{}\nold\n{}\ntail\n", MARKS.0, MARKS.1);
        let expected = format!("head\n{}\n\nnew\n\n{}\ntail\n", MARKS.0, MARKS.1);
        assert_eq!(with_numbers(&text, "\nnew\n").unwrap(), expected);
        assert_eq!(with_numbers(&expected, "new").unwrap(), expected);
        assert_eq!(with_numbers("no marks", "new"), None);
    }
}
