//! Running the ordinary tools (apt, dpkg, depmod, mke2fs, ...), with their last words in the error.

use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// A line on stderr: what is being done, and how long it took.
#[expect(clippy::print_stderr, reason = "the one place of this command that talks")]
pub(super) fn say(message: fmt::Arguments<'_>) {
    eprintln!("{message}");
}

/// A line on stdout: results only.
#[expect(clippy::print_stdout, reason = "the one place of this command that prints results")]
pub(super) fn print(message: fmt::Arguments<'_>) {
    println!("{message}");
}

/// Runs a tool to its end; its output is shown only where it fails.
pub(super) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a tool and gives its stdout.
pub(super) fn read(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    String::from_utf8(output.stdout).with_context(|| format!("the output of {} is not UTF-8", name(command)))
}

/// Is the tool on PATH?
pub(super) fn exists(tool: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn output(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", name(command)))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let said = [&output.stdout[..], &output.stderr[..]].map(|bytes| tail(&String::from_utf8_lossy(bytes), 15));
        bail!("{} {} failed, {}:\n{}", name(command), arguments.join(" "), output.status, said.concat());
    }
    Ok(output)
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// The last `lines` lines of a text, each ended by a newline.
pub(super) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).flat_map(|line| [*line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_tool_is_quoted() {
        let error = run(Command::new("sh").args(["-c", "echo some reason >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("some reason") && error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_missing_tool_is_named() {
        assert!(run(&mut Command::new("no-such-tool")).unwrap_err().to_string().contains("no-such-tool"));
        assert!(!exists("no-such-tool") && exists("sh"));
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc\n");
        assert_eq!(tail("a", 2), "a\n");
    }
}
