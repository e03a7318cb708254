//! Why the program ends without having done what was asked.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::console;
use crate::output::plain;

/// Why the program ends without having done what was asked.
#[derive(Debug)]
pub enum Failure {
    /// It was asked for something that cannot be: exit code 2.
    Usage(String),
    /// It could not do it: exit code 1.
    Failed(anyhow::Error),
    /// Whoever read standard output has closed it: nothing more to say, exit code 0.
    OutputClosed,
}

impl Failure {
    /// A usage error with this message.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// What a failed write to standard output means.
    #[must_use]
    pub fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Failed(anyhow::Error::new(error).context("cannot write to standard output"))
    }

    /// The line to print, without its line feed; none if there is nothing to say. A listener table
    /// makes a usage error longer than one line.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        match self {
            Self::Usage(message) => Some(format!("wherefore: {message}")),
            Self::Failed(error) => Some(format!("wherefore: {}", chain(error))),
            Self::OutputClosed => None,
        }
    }

    /// The code to exit with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
            Self::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// The error and its causes in one line, nothing said twice.
pub(super) fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = plain(text.trim());
        if line.contains(text.as_ref()) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// What clap could not make sense of, as one line. Help and version are no failure.
pub(super) fn of_clap(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error.print().map_err(Failure::output),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            console::error_text(&error.render());
            Err(Failure::usage("name a command, as in `wherefore record --port 8080`"))
        }
        _ => Err(Failure::Usage(clap_line(error))),
    }
}

fn clap_line(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    if let (ErrorKind::ValueValidation, Some(argument), Some(value), Some(source)) = (
        error.kind(),
        context(ContextKind::InvalidArg),
        context(ContextKind::InvalidValue),
        std::error::Error::source(error),
    ) {
        let flag = argument.split_whitespace().next().unwrap_or_default();
        return format!("{flag} {}: {}", quoted(&value), plain(&source.to_string()));
    }
    let rendered = error.render().to_string();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = rendered.split("\n\n");
    let what = words(paragraphs.next().unwrap_or_default().trim_start_matches("error: "));
    let tip = paragraphs.map(words).find(|text| text.starts_with("tip: ") && text.contains("similar"));
    let tip = tip.map_or_else(|| see_help(&rendered), |tip| tip.trim_start_matches("tip: ").to_owned());
    plain(&format!("{what}: {tip}")).into_owned()
}

/// Where to read on: the help of the command that the usage line is of.
fn see_help(rendered: &str) -> String {
    let usage = rendered.lines().find_map(|line| line.strip_prefix("Usage: wherefore "));
    let word = usage.and_then(|usage| usage.split(' ').next()).unwrap_or_default();
    if word.is_empty() || !word.chars().all(|letter| letter.is_ascii_lowercase()) {
        return "see `wherefore --help`".to_owned();
    }
    format!("see `wherefore {word} --help`")
}

/// A user's text in a message: as it is if it is one plain word, else in quotes.
pub(super) fn quoted(text: impl Display) -> String {
    let text = text.to_string();
    let is_word = |character: char| character.is_ascii_graphic() && character != '\'';
    if !text.is_empty() && text.chars().all(is_word) { text } else { format!("'{}'", plain(&text)) }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use clap::Parser;

    use super::super::args::Cli;
    use super::*;

    #[test]
    fn causes_are_joined_and_said_once() {
        let check = |error: anyhow::Error, expected: &str| assert_eq!(chain(&error), expected);
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        check(anyhow::Error::new(denied()).context("cannot open a.wft"), "cannot open a.wft: permission denied");
        check(anyhow::Error::new(denied()).context("a.wft: permission denied"), "a.wft: permission denied");
        check(anyhow!("two\nlines\x1b"), "two\\nlines\\u{1b}");
    }

    #[test]
    fn a_closed_pipe_is_silent_and_no_failure() {
        let failure = Failure::output(io::ErrorKind::BrokenPipe.into());
        assert_eq!(failure.line(), None);
        assert_eq!(failure.exit_code(), ExitCode::SUCCESS);
        let full = Failure::output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit_code(), ExitCode::from(1));
    }

    fn said(arguments: &str) -> String {
        let error = Cli::try_parse_from(arguments.split(' ')).unwrap_err();
        let Err(failure) = of_clap(&error) else { return String::new() };
        assert_eq!(failure.exit_code(), ExitCode::from(2));
        failure.line().unwrap()
    }

    #[test]
    fn usage_errors_are_one_line() {
        insta::assert_snapshot!(said("wherefore replay"), @"wherefore: the following required arguments were not provided: <PATH>...: see `wherefore replay --help`");
        insta::assert_snapshot!(said("wherefore replay a.wft --verdict process-dwn"), @r#"wherefore: --verdict process-dwn: no verdict is called "process-dwn"; `wherefore explain` lists them"#);
        insta::assert_snapshot!(said("wherefore replay a.wft --peer 10.0.0.0/33"), @"wherefore: --peer 10.0.0.0/33: this is no address or network: give one like 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32");
        insta::assert_snapshot!(said("wherefore replay a.wft --jsn"), @"wherefore: unexpected argument '--jsn' found: a similar argument exists: '--json'");
        insta::assert_snapshot!(said("wherefore reply"), @"wherefore: unrecognized subcommand 'reply': a similar subcommand exists: 'replay'");
        insta::assert_snapshot!(said("wherefore nothing"), @"wherefore: unrecognized subcommand 'nothing': see `wherefore --help`");
        insta::assert_snapshot!(said("wherefore replay a.wft --since"), @"wherefore: a value is required for '--since <TIME>' but none was supplied: see `wherefore --help`");
    }

    #[cfg(feature = "capture")]
    #[test]
    fn usage_errors_of_recording_are_one_line() {
        insta::assert_snapshot!(said("wherefore record --port 0"), @r#"wherefore: --port 0: "0" is no port: give numbers from 1 to 65535, with commas or as a range, as in 8080,9000-9010"#);
        insta::assert_snapshot!(said("wherefore doctor --port 80,81"), @r#"wherefore: --port 80,81: "80,81" is not one port: give one number from 1 to 65535"#);
        insta::assert_snapshot!(said("wherefore doctor --port 0"), @r#"wherefore: --port 0: "0" is not one port: give one number from 1 to 65535"#);
        insta::assert_snapshot!(said("wherefore record --port 8080 --slow 10"), @"wherefore: --slow 10: this is no span of time: give numbers with units, as in 500ms, 10s, 1m30s or 2h");
    }
}
