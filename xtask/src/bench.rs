//! `cargo xtask bench`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{build, console, process, setup, weigh, workspace};

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
        return weigh::own(&arguments.rest);
    }
    if arguments.replay {
        return weigh::replay(&arguments.rest);
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
    if arguments.write_docs {
        let path = workspace::root().join("docs/performance.md");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = with_numbers(&text, &numbers).context("docs/performance.md lacks the marks of the numbers")?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
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
