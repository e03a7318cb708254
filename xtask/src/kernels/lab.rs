//! What the lab runner prints in a guest: `ok NAME`, `FAIL NAME: why`, `skipped: NAME: why`, and
//! last `N passed, N failed, N skipped`.

use anyhow::{Context as _, Result, bail};

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

/// A scenario's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) verdict: Verdict,
}

/// The results in a runner's output, as far as it came; other lines are passed over.
pub(super) fn results(output: &str) -> Vec<Scenario> {
    output.lines().filter_map(result).collect()
}

fn result(line: &str) -> Option<Scenario> {
    let named = |text: &str, verdict: fn(String) -> Verdict| {
        let (name, why) = text.split_once(": ")?;
        Some(Scenario { name: name.trim().to_owned(), verdict: verdict(why.trim().to_owned()) })
    };
    if let Some(name) = line.strip_prefix("ok ") {
        return Some(Scenario { name: name.trim().to_owned(), verdict: Verdict::Passed });
    }
    match line.strip_prefix("FAIL ") {
        Some(failed) => named(failed, Verdict::Failed),
        None => named(line.strip_prefix("skipped: ")?, Verdict::Skipped),
    }
}

/// The results of a runner that ended with `status`, and what is wrong beside failed scenarios.
pub(super) fn judge(output: &str, status: u8) -> (Vec<Scenario>, Option<String>) {
    match complete(output) {
        Err(error) => (results(output), Some(format!("{error} (exit status {status})"))),
        Ok(results) => {
            let failed = results.iter().any(|result| matches!(result.verdict, Verdict::Failed(_)));
            let trouble =
                (failed != (status != 0)).then(|| format!("the lab's exit status {status} contradicts its results"));
            (results, trouble)
        }
    }
}

/// The results of a runner that has ended, checked against its own counts. A run without any result
/// is an error.
fn complete(output: &str) -> Result<Vec<Scenario>> {
    let results = results(output);
    let counts = output.lines().rev().find_map(counts).context("the lab ended without its counts")?;
    let number = |kind: fn(&Verdict) -> bool| results.iter().filter(|result| kind(&result.verdict)).count();
    let seen = [
        number(|verdict| *verdict == Verdict::Passed),
        number(|verdict| matches!(verdict, Verdict::Failed(_))),
        number(|verdict| matches!(verdict, Verdict::Skipped(_))),
    ];
    if seen != counts {
        bail!("the lab counted {counts:?} passed, failed and skipped, but printed {seen:?}");
    }
    if results.is_empty() {
        bail!("the lab ran no scenario");
    }
    Ok(results)
}

fn counts(line: &str) -> Option<[usize; 3]> {
    let mut parts = line.split(", ");
    let mut count = |kind: &str| parts.next()?.strip_suffix(kind)?.trim().parse().ok();
    Some([count("passed")?, count("failed")?, count("skipped")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_the_lab_is_read() {
        let output = "starting\nok process-down (IPv4)\nFAIL firewall-drop: no verdict: nothing seen\n\
                      skipped: netem: not in this kernel\n1 passed, 1 failed, 1 skipped\n";
        let expected = [
            ("process-down (IPv4)", Verdict::Passed),
            ("firewall-drop", Verdict::Failed("no verdict: nothing seen".to_owned())),
            ("netem", Verdict::Skipped("not in this kernel".to_owned())),
        ]
        .map(|(name, verdict)| Scenario { name: name.to_owned(), verdict });
        assert_eq!(complete(output).unwrap(), expected);
    }

    #[test]
    fn a_cut_or_empty_output_is_an_error() {
        for (output, why) in [
            ("ok a\n", "without its counts"),
            ("0 passed, 0 failed, 0 skipped\n", "no scenario"),
            ("ok a\n2 passed, 0 failed, 0 skipped\n", "counted [2, 0, 0]"),
        ] {
            let error = complete(output).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(results("ok a\nok b").len(), 2);
    }

    #[test]
    fn the_exit_status_must_fit() {
        let passed = "ok a\n1 passed, 0 failed, 0 skipped\n";
        let failed = "FAIL a: why\n0 passed, 1 failed, 0 skipped\n";
        for (output, status, trouble) in
            [(passed, 0, false), (passed, 1, true), (failed, 1, false), (failed, 0, true), ("ok a\n", 0, true)]
        {
            let (results, seen) = judge(output, status);
            assert_eq!((results.len(), seen.is_some()), (1, trouble), "{output} {status}: {seen:?}");
        }
    }
}
