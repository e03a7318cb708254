//! Holds docs/verdicts.md against the tables: the document names only what is there, and all that is there.

use std::collections::BTreeMap;
use std::path::Path;

use wherefore::verdict::Slug;

use super::all;
use crate::scenario::Scenario;

const DOCUMENT: &str = include_str!("../../../docs/verdicts.md");
/// Where a test of the rule is, if no scenario can prove a verdict on every machine.
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tracer-userspace/src/engine/");

/// A row of one of the tables.
struct Row {
    slug: Slug,
    proved_by: Vec<&'static str>,
    near_misses: Vec<&'static str>,
}

/// What stands between backticks.
fn quoted(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn rows() -> Vec<Row> {
    let cells = |line: &'static str| -> Vec<&'static str> { line.trim_matches('|').split('|').collect() };
    let lines = DOCUMENT.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| match cells(line).as_slice() {
            [slug, proofs, misses] => Row {
                slug: slug.trim().trim_matches('`').parse().unwrap_or_else(|error| panic!("{error}: {line}")),
                proved_by: quoted(proofs),
                near_misses: quoted(misses),
            },
            other => panic!("{} cells: {line}", other.len()),
        })
        .collect()
}

/// Whether a word is meant to be the name of scenarios. What is not: `tcp_abort_on_overflow`, paths.
fn is_name(word: &str) -> bool {
    word.contains('-')
        && !word.starts_with('-')
        && word.chars().all(|letter| letter.is_ascii_lowercase() || "0123456789-*".contains(letter))
        || Slug::ALL.iter().any(|slug| slug.as_str() == word)
}

/// Whether a name, with stars for whatever, stands for this one.
fn stands_for(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn expects(scenario: &Scenario, slug: Slug) -> bool {
    let views = scenario.expect.views();
    views.iter().flat_map(|(_, view)| &view.verdicts).any(|want| want.slug == slug.as_str())
}

/// Scenarios of a name, or an error.
fn named<'a>(every: &'a [Scenario], word: &str) -> Vec<&'a Scenario> {
    let found: Vec<&Scenario> = every.iter().filter(|scenario| stands_for(word, &scenario.name)).collect();
    assert!(!found.is_empty(), "docs/verdicts.md names a scenario that is not there: {word}");
    found
}

#[test]
fn every_verdict_has_one_row_with_a_proof() {
    let mut rows_of = BTreeMap::new();
    for row in rows() {
        *rows_of.entry(row.slug).or_insert(0) += 1;
        assert!(!row.proved_by.is_empty(), "nothing proves {}", row.slug);
    }
    let wanted = Slug::ALL.iter().filter(|slug| **slug != Slug::RemoteDown).map(|slug| (*slug, 1));
    assert_eq!(rows_of, wanted.collect(), "docs/verdicts.md: a row for each verdict");
}

#[test]
fn proofs_expect_the_verdict() {
    let every = all();
    for row in rows() {
        for word in row.proved_by.into_iter().filter(|word| is_name(word)) {
            for scenario in named(&every, word) {
                assert!(expects(scenario, row.slug), "{} does not expect {}", scenario.title(), row.slug);
            }
        }
    }
}

#[test]
fn near_misses_do_not_expect_it_where_all_is_seen() {
    let every = all();
    for row in rows() {
        for word in row.near_misses.into_iter().filter(|word| is_name(word)) {
            for scenario in named(&every, word) {
                let widest = &scenario.expect.widest().verdicts;
                assert!(
                    widest.iter().all(|want| want.slug != row.slug.as_str()),
                    "{} is no near miss of {}: it expects it",
                    scenario.title(),
                    row.slug
                );
            }
        }
    }
}

#[test]
fn other_words_are_scenarios_and_files_that_are_there() {
    let every = all();
    for word in DOCUMENT.lines().filter(|line| !line.starts_with('#')).flat_map(quoted) {
        if let Some(file) = word.strip_suffix(".rs") {
            let path = Path::new(RULES).join(format!("{file}.rs"));
            assert!(path.is_file(), "docs/verdicts.md names a file that is not there: {word}");
        } else if is_name(word) && word.parse::<Slug>().is_err() {
            named(&every, word);
        }
    }
}

#[test]
fn stars_stand_for_anything() {
    for (pattern, name, expected) in [
        ("app-*", "app-reset", true),
        ("app-*", "benign-app", false),
        ("dnat-*-drop", "dnat-at-router-nft-drop", true),
        ("dnat-*-drop", "dnat-nft-dropped", false),
        ("dnat-*-reject*", "dnat-nft-reject-tcp-reset", true),
        ("app-reset", "app-reset", true),
        ("app-reset", "app-reset-unread-body", false),
    ] {
        assert_eq!(stands_for(pattern, name), expected, "{pattern} {name}");
    }
}
