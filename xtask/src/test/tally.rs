//! Counts tests by what libtest prints with `--show-output`, its machine-readable output being
//! unstable.
//!
//! A test that cannot run on a machine prints `skipped: NAME: REASON` on its standard output and
//! returns. libtest counts it as passed; here it is skipped.

use std::fmt;

use anyhow::{Result, bail};

/// What has been counted so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    ignored: usize,
    failures: Vec<String>,
    skips: Vec<String>,
    /// Tests among the passed that were skipped.
    skipped: usize,
    part: Part,
    /// The failures named since the last result line.
    named: usize,
}

/// The part of a test program's output that a line is in.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// The list of tests as they end, and whatever stands between two programs' tests.
    #[default]
    List,
    /// What passed tests printed. The flag says whether the present one was skipped.
    Passed { skipped: bool },
    /// What failed tests printed.
    Failed,
}

impl Tally {
    /// Takes the next line, and returns whether it is worth showing.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        let line = line.trim_end();
        if let Some(result) = line.strip_prefix("test result: ") {
            self.end(result);
            return true;
        }
        match line {
            "successes:" => {
                self.part = Part::Passed { skipped: false };
                return false;
            }
            "failures:" => {
                self.part = Part::Failed;
                return true;
            }
            _ => {}
        }
        match &mut self.part {
            Part::Passed { skipped } => {
                if line.starts_with("---- ") && line.ends_with(" stdout ----") {
                    *skipped = false;
                } else if line.starts_with("skipped: ") {
                    self.skips.push(line.to_owned());
                    // one test may say of several things that it cannot do them
                    self.skipped += usize::from(!*skipped);
                    *skipped = true;
                }
                false
            }
            Part::Failed => true,
            Part::List => {
                if let Some(name) = line.strip_prefix("test ").and_then(|test| test.strip_suffix(" ... FAILED")) {
                    self.failures.push(name.to_owned());
                    self.named += 1;
                } else if let Some((name, reason)) = ignored(line) {
                    self.skips.push(format!("skipped: {name}: {reason}"));
                }
                true
            }
        }
    }

    /// A result line: `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
    fn end(&mut self, result: &str) {
        self.part = Part::List;
        let numbers = result.split_once(". ").map_or(result, |(_, numbers)| numbers);
        let number = |what: &str| {
            let mut parts = numbers.split(';').map(str::trim);
            parts.find_map(|part| part.strip_suffix(what)?.trim_end().parse::<usize>().ok())
        };
        match (number("passed"), number("failed"), number("ignored")) {
            (Some(passed), Some(failed), Some(ignored)) => {
                self.passed += passed;
                self.ignored += ignored;
                // a harness of another make may not list its tests
                let unnamed = failed.saturating_sub(self.named);
                self.failures.extend((0..unnamed).map(|_| "a test that was not named".to_owned()));
            }
            _ => self.fail(format!("a result that cannot be read: {result}")),
        }
        self.named = 0;
    }

    /// Counts a test that passed elsewhere.
    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// Counts a test that was skipped elsewhere; `line` says which and why.
    pub(crate) fn skip(&mut self, line: String) {
        self.passed += 1;
        self.skipped += 1;
        self.skips.push(line);
    }

    /// Counts a failure of something around the tests.
    pub(crate) fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    /// What failed.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The lines that say what was skipped and why.
    pub(crate) fn skips(&self) -> &[String] {
        &self.skips
    }

    fn really_passed(&self) -> usize {
        self.passed.saturating_sub(self.skipped)
    }

    /// # Errors
    /// If a test failed, or none passed.
    pub(crate) fn verdict(&self) -> Result<()> {
        match (self.failures.len(), self.really_passed()) {
            (0, 0) => bail!("no test ran"),
            (0, _) => Ok(()),
            (failed, _) => bail!("{failed} failed"),
        }
    }
}

/// The line `test NAME ... ignored, REASON`.
fn ignored(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ignored")?;
    Some((name, rest.strip_prefix(", ").unwrap_or("ignored")))
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.skipped + self.ignored;
        write!(f, "{} passed, {} failed, {skipped} skipped", self.really_passed(), self.failures.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(output: &str, count: &str) -> (Tally, String) {
        let mut tally = Tally::default();
        let shown: Vec<_> = output.lines().filter(|line| tally.line(line)).collect();
        assert_eq!(tally.to_string(), count);
        (tally, shown.join("\n"))
    }

    const RESULT: &str =
        "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";

    #[test]
    fn counts_several_programs() {
        let output =
            format!("running 2 tests\ntest a ... ok\ntest b ... ok\n\n{RESULT}\n\nrunning 2 tests\n{RESULT}\n");
        let (tally, _) = check(&output, "4 passed, 0 failed, 0 skipped");
        assert!(tally.verdict().is_ok());
    }

    #[test]
    fn skipped_tests_are_not_passed_ones_and_passed_tests_output_is_hidden() {
        let output = format!(
            "test a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\nnoise\nskipped: a: no nft here\n\
             skipped: a: no legacy tables either\n\n---- b stdout ----\nfine\n\n\nsuccesses:\n    a\n    b\n\n{RESULT}"
        );
        let (tally, shown) = check(&output, "1 passed, 0 failed, 1 skipped");
        assert_eq!(tally.skips(), ["skipped: a: no nft here", "skipped: a: no legacy tables either"]);
        assert!(!shown.contains("noise") && !shown.contains("fine") && shown.ends_with(RESULT), "{shown}");
    }

    #[test]
    fn two_skipped_tests_count_twice() {
        let output = format!(
            "successes:\n\n---- a stdout ----\nskipped: a: x\n\n---- b stdout ----\nskipped: b: y\n\nsuccesses:\n{RESULT}"
        );
        let (tally, _) = check(&output, "0 passed, 0 failed, 2 skipped");
        assert_eq!(tally.verdict().unwrap_err().to_string(), "no test ran");
    }

    #[test]
    fn failures_are_named_and_shown() {
        let (tally, shown) = check(
            "test a ... ok\ntest b ... FAILED\n\nsuccesses:\n\n---- a stdout ----\nnoise\n\nsuccesses:\n    a\n\n\
             failures:\n\n---- b stdout ----\nb's own\n\nfailures:\n    b\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
            "1 passed, 1 failed, 0 skipped",
        );
        assert_eq!(tally.failures(), ["b"]);
        assert!(shown.contains("b's own") && !shown.contains("noise"), "{shown}");
        assert!(tally.verdict().is_err());
    }

    #[test]
    fn a_failed_tests_talk_of_results_and_skipping_is_not_counted() {
        let (tally, _) = check(
            "test b ... FAILED\n\nfailures:\n\n---- b stdout ----\nskipped: b: half-way\n  test result: ok. 9 passed\n\
             failures:\n    b\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "0 passed, 1 failed, 0 skipped",
        );
        assert!(tally.skips().is_empty());
    }

    #[test]
    fn ignored_tests_are_skipped_with_their_reason() {
        let (tally, _) = check(
            "test a ... ignored, needs a day\ntest b ... ignored\ntest c ... ok\n\
             test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "1 passed, 0 failed, 2 skipped",
        );
        assert_eq!(tally.skips(), ["skipped: a: needs a day", "skipped: b: ignored"]);
    }

    #[test]
    fn unlisted_failures_and_unreadable_results_are_failures() {
        check("test result: FAILED. 3 passed; 2 failed; 0 ignored", "3 passed, 2 failed, 0 skipped");
        check("test result: something new", "0 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn nothing_run_is_no_success() {
        let (tally, _) = check("", "0 passed, 0 failed, 0 skipped");
        assert_eq!(tally.verdict().unwrap_err().to_string(), "no test ran");
    }
}
