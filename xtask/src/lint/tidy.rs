//! What neither the compiler nor clippy knows: words that mark unfinished work, and long files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{console, process, workspace::root};

/// A source file longer than this says why, in a line that begins with [`REASON`].
const LINES_MAX: usize = 400;

const REASON: &str = "//! long: ";

/// Marks of unfinished work, in two pieces lest this file be found.
const WORDS: [(&str, &str); 7] = [
    ("to", "do!("),
    ("unimple", "mented!("),
    ("db", "g!("),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("<<<<", "<<< "),
    (">>>>", ">>> "),
];

pub(super) fn check() -> Result<()> {
    let files = tracked()?;
    if !files.iter().any(|file| is_rust(file)) {
        bail!("found no source file to check");
    }
    let mut problems = 0;
    for file in &files {
        // a fixture in bytes has no words
        let Ok(text) = fs::read_to_string(root().join(file)) else { continue };
        for problem in problems_in(file, &text) {
            console::note(problem);
            problems += 1;
        }
    }
    if problems > 0 {
        bail!("{problems} found");
    }
    Ok(())
}

/// Every file that is part of the project, relative to its root: what git tracks or would add.
pub(super) fn tracked() -> Result<Vec<PathBuf>> {
    // in a continuous-integration job the checkout may belong to another user
    let mut git = std::process::Command::new("git");
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = process::read(git.current_dir(root())).context("cannot list the project's files")?;
    let names = list.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // a file that was deleted is tracked until the deletion is committed
    Ok(names.filter(|name| root().join(name).is_file()).collect())
}

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "rs")
}

fn problems_in(file: &Path, text: &str) -> Vec<String> {
    let name = file.display();
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (first, second) in WORDS {
            let word = format!("{first}{second}");
            if line.contains(&word) {
                problems.push(format!("{name}:{number}: `{}` marks unfinished work", word.trim_end()));
            }
        }
    }
    let lines = text.lines().count();
    if is_rust(file) && lines > LINES_MAX && !text.lines().any(|line| line.starts_with(REASON)) {
        problems.push(format!(
            "{name}: {lines} lines, above {LINES_MAX}: split it, or give the reason in a line `{REASON}...`"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, text: &str, expected: &[&str]) {
        assert_eq!(problems_in(Path::new(file), text), expected);
    }

    #[test]
    fn finished_code_passes() {
        check("a.rs", "fn a() {}\n// in XXXL the todo list is dbg\n", &[]);
    }

    #[test]
    fn marks_are_found_with_their_line() {
        let text = format!("fn a() {{\n    {}{});\n}}\n// {}{}\n", "to", "do!(", "FIX", "ME");
        let expected = [
            format!("a.rs:2: `{}{}` marks unfinished work", "to", "do!("),
            format!("a.rs:4: `{}{}` marks unfinished work", "FIX", "ME"),
        ];
        check("a.rs", &text, &expected.each_ref().map(String::as_str));
    }

    #[test]
    fn conflicts_are_found_in_any_file() {
        check("notes.md", &format!("{}<<< HEAD\n", "<<<<"), &["notes.md:1: `<<<<<<<` marks unfinished work"]);
    }

    #[test]
    fn long_source_files_say_why() {
        let at_limit = "\n".repeat(LINES_MAX);
        check("a.rs", &at_limit, &[]);
        let long = format!("{at_limit}\n");
        check("a.rs", &long, &["a.rs: 401 lines, above 400: split it, or give the reason in a line `//! long: ...`"]);
        check("a.rs", &format!("//! long: one table\n{long}"), &[]);
        check("a.json", &long, &[]);
    }
}
