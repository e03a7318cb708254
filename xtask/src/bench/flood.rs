//! `cargo xtask bench --flood`.

use std::process::Stdio;

use anyhow::Result;

use super::{Arguments, Marks, write_docs};
use crate::{build, console, process, setup, workspace};

/// Between these marks of docs/performance.md the numbers of floods stand.
const MARKS: Marks = ("<!-- flood: begin -->", "<!-- flood: end -->");

/// What a flood of refused SYNs costs. Prints Markdown.
///
/// # Errors
/// When something is missing or fails, or not every SYN is in the totals.
pub(super) fn command(arguments: &Arguments) -> Result<()> {
    setup::ensure(setup::Scope::Bench, setup::Consent::Ask)?;
    build::build(true)?;
    let lab = ["build", "--release", "--package", "wherefore-tests", "--bin", "wherefore-lab"];
    process::run(process::cargo().args(lab))?;
    let mut command = process::as_root(workspace::target().join("release").join("wherefore-lab"));
    command.arg("flood").arg("--wherefore").arg(workspace::program(true)).args(&arguments.rest);
    console::note(format_args!("$ {}", process::shown(command.stderr(Stdio::inherit()))));
    let numbers = process::read(&mut command)?;
    console::result(numbers.trim());
    if arguments.write_docs { write_docs(MARKS, &numbers) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_a_place_for_the_numbers() {
        let text = include_str!("../../../docs/performance.md");
        let written = super::super::with_numbers(text, MARKS, "these").unwrap();
        assert!(written.contains("<!-- flood: begin -->\n\nthese\n\n<!-- flood: end -->"));
        assert!(super::super::with_numbers(text, super::super::MARKS, "those").is_some());
    }
}
