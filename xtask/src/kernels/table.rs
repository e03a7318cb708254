//! The table scenario x kernel, in Markdown.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::lab::{Scenario, Verdict};

/// A kernel's column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) kernel: String,
    pub(super) release: String,
    pub(super) results: Vec<Scenario>,
    /// Why scenarios are missing: the VM hung or broke, or the lab said something odd.
    pub(super) trouble: Option<String>,
    /// VMs that broke and were run again.
    pub(super) broke: usize,
    pub(super) up_seconds: Option<f64>,
    pub(super) seconds: f64,
    /// Whether anything was run at all.
    pub(super) run: bool,
}

impl Column {
    /// A kernel that has not been run.
    pub(super) fn not_run(kernel: &str) -> Self {
        Self {
            kernel: kernel.to_owned(),
            release: "-".to_owned(),
            results: Vec::new(),
            trouble: None,
            broke: 0,
            up_seconds: None,
            seconds: 0.0,
            run: false,
        }
    }

    pub(super) fn failed(&self) -> bool {
        self.trouble.is_some() || self.results.iter().any(|result| matches!(result.verdict, Verdict::Failed(_)))
    }

    /// One word if a scenario's families agree, else a word for each.
    fn cell(&self, titles: &[&str]) -> String {
        let words: Vec<_> = titles.iter().map(|title| (*title, self.word(title))).collect();
        match words.as_slice() {
            [(_, first), rest @ ..] if rest.iter().all(|(_, word)| word == first) => (*first).to_owned(),
            words => {
                let family = |title: &str| title.split_once('/').map_or("", |(_, family)| family).to_owned();
                words.iter().map(|(title, word)| family(title) + " " + word).collect::<Vec<_>>().join(", ")
            }
        }
    }

    fn word(&self, title: &str) -> &'static str {
        let result = self.results.iter().find(|result| result.name == title);
        match (result.map(|result| &result.verdict), &self.trouble) {
            (Some(Verdict::Passed), _) => "ok",
            (Some(Verdict::Failed(_)), _) => "**FAIL**",
            (Some(Verdict::Skipped(_)), _) => "skipped",
            (None, Some(_)) => "**no result**",
            (None, None) if !self.run => "not run",
            (None, None) => "-",
        }
    }
}

/// The table, then what failed or was skipped, and why. Rows are in the order of `listed`, those of
/// other names last; the address families of a scenario share a row.
pub(super) fn markdown(columns: &[Column], listed: &[String]) -> String {
    let mut titles: Vec<&str> =
        columns.iter().flat_map(|column| &column.results).map(|result| result.name.as_str()).collect();
    titles.sort_by_key(|title| listed.iter().position(|name| name == title).unwrap_or(usize::MAX));
    let mut rows: Vec<(&str, Vec<&str>)> = Vec::new();
    for title in titles {
        let name = title.split_once('/').map_or(title, |(name, _)| name);
        match rows.iter_mut().find(|(other, _)| *other == name) {
            Some((_, titles)) if titles.contains(&title) => {}
            Some((_, titles)) => titles.push(title),
            None => rows.push((name, vec![title])),
        }
    }
    let mut text = String::new();
    let mut row = |first: &str, cell: &dyn Fn(&Column) -> String| {
        let cells: Vec<_> = columns.iter().map(cell).collect();
        text.extend(["| ", first, " | ", &cells.join(" | "), " |\n"]);
    };
    row("scenario", &|column| column.kernel.clone());
    row("---", &|_| "---".to_owned());
    for (name, titles) in &rows {
        row(name, &|column| column.cell(titles));
    }
    row("release", &|column| column.release.clone());
    row("seconds to boot", &|column| column.up_seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1}")));
    let of_run = |column: &Column, text: String| if column.run { text } else { "-".to_owned() };
    row("seconds in all", &|column| of_run(column, format!("{:.0}", column.seconds)));
    row("VMs that broke", &|column| of_run(column, column.broke.to_string()));
    text + &notes(columns)
}

fn notes(columns: &[Column]) -> String {
    let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
    let mut note = |text: String, kernel| match notes.iter_mut().find(|(other, _)| *other == text) {
        Some((_, kernels)) => kernels.push(kernel),
        None => notes.push((text, vec![kernel])),
    };
    for column in columns {
        for result in &column.results {
            match &result.verdict {
                Verdict::Passed => {}
                Verdict::Failed(why) => note(format!("{} failed: {why}", result.name), column.kernel.as_str()),
                Verdict::Skipped(why) => note(format!("{} skipped: {why}", result.name), column.kernel.as_str()),
            }
        }
        if let Some(trouble) = &column.trouble {
            note(trouble.clone(), column.kernel.as_str());
        }
    }
    let mut text = String::new();
    for (note, kernels) in notes {
        text.push_str(if text.is_empty() { "\n" } else { "" });
        text.extend(["- ", &kernels.join(", "), ": ", &note, "\n"]);
    }
    text
}

/// Puts the table into a document between its two marks; a document without them gets it at its end.
pub(super) fn write_into(document: &Path, mark: &str, table: &str) -> Result<()> {
    let old = match fs::read_to_string(document) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Kernels\n".to_owned(),
        other => other.with_context(|| format!("cannot read {}", document.display()))?,
    };
    let new = placed(&old, mark, table);
    fs::write(document, new).with_context(|| format!("cannot write {}", document.display()))
}

fn placed(old: &str, mark: &str, table: &str) -> String {
    let begin = format!("<!-- {mark}: begin (made by `cargo xtask kernels --write-docs`) -->\n");
    let end = format!("<!-- {mark}: end -->\n");
    let around = old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let mut text = String::new();
    match around {
        Some((before, after)) => text.extend([before, &begin, table, &end, after]),
        None => text.extend([old, "\n", &begin, table, &end]),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kernel: &str, results: &[(&str, Verdict)], trouble: Option<&str>) -> Column {
        let scenario =
            |(name, verdict): &(&str, Verdict)| Scenario { name: (*name).to_owned(), verdict: verdict.clone() };
        Column {
            kernel: kernel.to_owned(),
            release: format!("{kernel}.0"),
            results: results.iter().map(scenario).collect(),
            trouble: trouble.map(str::to_owned),
            broke: 0,
            up_seconds: Some(2.54),
            seconds: 9.6,
            run: true,
        }
    }

    #[test]
    fn each_scenario_has_a_row_and_each_kernel_a_column() {
        let failed = Verdict::Failed("no verdict".to_owned());
        let columns = [
            column(
                "5.10",
                &[("b/ipv4", failed.clone()), ("a/ipv4", Verdict::Passed), ("b/ipv6", Verdict::Passed)],
                None,
            ),
            column("6.1", &[("b/ipv4", failed)], Some("the VM hung")),
            column("7.x", &[("a/ipv4", Verdict::Skipped("no netem".to_owned())), ("b/ipv4", Verdict::Passed)], None),
        ];
        let expected = "| scenario | 5.10 | 6.1 | 7.x |\n\
                        | --- | --- | --- | --- |\n\
                        | a | ok | **no result** | skipped |\n\
                        | b | ipv4 **FAIL**, ipv6 ok | ipv4 **FAIL**, ipv6 **no result** | ipv4 ok, ipv6 - |\n\
                        | release | 5.10.0 | 6.1.0 | 7.x.0 |\n\
                        | seconds to boot | 2.5 | 2.5 | 2.5 |\n\
                        | seconds in all | 10 | 10 | 10 |\n\
                        | VMs that broke | 0 | 0 | 0 |\n\
                        \n\
                        - 5.10, 6.1: b/ipv4 failed: no verdict\n\
                        - 6.1: the VM hung\n\
                        - 7.x: a/ipv4 skipped: no netem\n";
        let listed = ["a/ipv4", "b/ipv4", "b/ipv6"].map(str::to_owned);
        assert_eq!(markdown(&columns, &listed), expected);
        assert_eq!(columns.each_ref().map(Column::failed), [true, true, false]);
    }

    #[test]
    fn a_kernel_that_was_not_run_says_so() {
        let columns = [column("6.1", &[("a/ipv4", Verdict::Passed)], None), Column::not_run("7.x")];
        let table = markdown(&columns, &[]);
        assert!(table.contains("| a | ok | not run |\n") && table.contains("| seconds in all | 10 | - |"), "{table}");
        assert!(!Column::not_run("7.x").failed());
    }

    #[test]
    fn the_document_keeps_what_is_around_the_table() {
        let first = placed("# Kernels\n", "x86_64", "one\n");
        assert!(first.contains("one\n"));
        let second = placed(&(first.clone() + "after\n"), "x86_64", "two\n");
        assert_eq!(second, first.replace("one\n", "two\n") + "after\n");
        let other = placed(&second, "arm64", "three\n");
        assert!(other.contains("two\n") && other.contains("three\n"));
    }
}
