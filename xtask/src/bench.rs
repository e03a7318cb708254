//! `cargo xtask bench`.

mod flood;

use std::fs;

use anyhow::{Context as _, Result};

use crate::{build, console, process, setup, weigh, workspace};

/// Between these marks of docs/performance.md the numbers stand.
const MARKS: Marks = ("<!-- bench: begin -->", "<!-- bench: end -->");

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
    /// Measure instead what a flood of refused SYNs costs. A minute; passed on: as in `-- --syns 500000`
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
        return weigh::own(&arguments.rest);
    }
    if arguments.replay {
        return weigh::replay(&arguments.rest);
    }
    if arguments.flood {
        return flood::command(arguments);
    }
    setup::ensure(setup::Scope::Bench, setup::Consent::Ask)?;
    build::build(true)?;
    process::run(process::cargo().args([
        "build",
        "--release",
        "--package",
        "wherefore-tests",
        "--bin",
        "wherefore-lab",
    ]))?;
    let lab = workspace::target().join("release").join("wherefore-lab");
    let mut command = process::as_root(lab);
    command.arg("bench").arg("--wherefore").arg(workspace::program(true));
    if arguments.quick {
        command.args(["--pairs", "3", "--others", "1", "--timed", "1", "--seconds", "1"]);
    }
    command.args(&arguments.rest).stderr(std::process::Stdio::inherit());
    console::note(format_args!("$ {}", process::shown(&command)));
    let numbers = process::read(&mut command)?;
    console::result(numbers.trim());
    if arguments.write_docs { write_docs(MARKS, &numbers) } else { Ok(()) }
}

/// Puts numbers into docs/performance.md, between these marks.
fn write_docs(marks: Marks, numbers: &str) -> Result<()> {
    let path = workspace::root().join("docs/performance.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = with_numbers(&text, marks, numbers).context("docs/performance.md lacks the marks of the numbers")?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
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
}
