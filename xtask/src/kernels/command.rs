//! What this command's steps share: running a tool without its chatter, and the end of a log.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::process;

/// Runs a tool to its end; what it prints is shown only where it fails.
pub(super) fn quietly(command: &mut Command) -> Result<()> {
    process::read(command.stdin(Stdio::null())).map(drop)
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
        let error = quietly(Command::new("sh").args(["-c", "echo some reason >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("some reason"), "{error}");
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc\n");
        assert_eq!(tail("a", 2), "a\n");
    }
}
