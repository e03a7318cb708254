//! `cargo xtask bench`.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::{build, console, process, setup, workspace};

/// Between these marks of docs/performance.md the numbers stand.
const MARKS: Marks = ("<!-- bench: begin -->", "<!-- bench: end -->");

/// The same of floods.
const FLOOD_MARKS: Marks = ("<!-- flood: begin -->", "<!-- flood: end -->");

/// Where numbers begin and end.
type Marks = (&'static str, &'static str);

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
    /// Measure instead what a flood of refused SYNs costs. Three minutes; passed on: as in `-- --syns 500000`
    #[arg(long, conflicts_with_all = ["quick", "own", "replay"])]
    flood: bool,
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
    let (what, size, marks) = match (arguments.flood, arguments.quick) {
        (true, _) => ("flood", &[][..], FLOOD_MARKS),
        (false, true) => ("bench", &size[..], MARKS),
        (false, false) => ("bench", &[][..], MARKS),
    };
    let numbers = measured(what, size, &arguments.rest)?;
    if arguments.write_docs {
        let path = workspace::root().join("docs/performance.md");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text =
            with_numbers(&text, marks, &numbers).context("docs/performance.md lacks the marks of the numbers")?;
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
fn with_numbers(text: &str, marks: Marks, numbers: &str) -> Option<String> {
    let (before, rest) = text.split_once(marks.0)?;
    let (_, after) = rest.split_once(marks.1)?;
    Some(format!("{before}{}\n\n{}\n\n{}{after}", marks.0, numbers.trim(), marks.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_replace_numbers() {
        let text = format!("head\n{}\nold\n{}\ntail\n", MARKS.0, MARKS.1);
        let expected = format!("head\n{}\n\nnew\n\n{}\ntail\n", MARKS.0, MARKS.1);
        assert_eq!(with_numbers(&text, MARKS, "\nnew\n").unwrap(), expected);
        assert_eq!(with_numbers(&expected, MARKS, "new").unwrap(), expected);
        assert_eq!(with_numbers("no marks", MARKS, "new"), None);
    }

    #[test]
    fn the_document_has_a_place_for_all_numbers() {
        let text = include_str!("../../docs/performance.md");
        for marks in [MARKS, FLOOD_MARKS] {
            assert!(with_numbers(text, marks, "these").is_some(), "{marks:?}");
        }
    }
}
