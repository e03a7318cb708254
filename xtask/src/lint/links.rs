//! Links in the documents: files and headings that they name must exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::tidy::tracked;
use crate::{console, workspace::root};

pub(super) fn check() -> Result<()> {
    let documents: Vec<PathBuf> =
        tracked()?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "md")).collect();
    if documents.is_empty() {
        bail!("found no document to check");
    }
    let mut broken = 0;
    for document in &documents {
        let path = root().join(document);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (line, target) in links(&text) {
            if let Err(reason) = resolve(&path, &target) {
                console::note(format_args!("{}:{line}: `{target}` {reason}", document.display()));
                broken += 1;
            }
        }
    }
    if broken > 0 {
        bail!("{broken} broken");
    }
    Ok(())
}

/// The targets of a document's links with the lines they stand in: `[text](target)` and
/// `[name]: target`. Code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for (_, after) in line.match_indices("](").filter_map(|(at, _)| line.split_at_checked(at + 2)) {
            if let Some((target, _)) = after.split_once(')') {
                found.push((number, target.split_whitespace().next().unwrap_or_default().to_owned()));
            }
        }
        let definition = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, target)) = definition {
            found.push((number, target.trim().to_owned()));
        }
    }
    found
}

/// The lines outside code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The line with `code` taken out.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

fn resolve(document: &Path, target: &str) -> Result<(), String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let path = match file {
        "" => document.to_owned(),
        _ => document.parent().unwrap_or(document).join(file),
    };
    if !path.exists() {
        return Err("does not exist".to_owned());
    }
    let Some(heading) = heading.filter(|_| path.extension().is_some_and(|end| end == "md")) else { return Ok(()) };
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot be read: {error}"))?;
    if anchors(&text).any(|anchor| anchor == heading) { Ok(()) } else { Err("names no heading there".to_owned()) }
}

/// The anchors that a document's headings get where it is shown: lower case, blanks to hyphens,
/// punctuation gone.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter_map(|(_, line)| {
        let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
        let kept = title.trim().to_lowercase().replace(' ', "-");
        Some(kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_links_outside_code() {
        let text = "See [a](a.md) and [b](b.md#c \"title\").\n```\n[not](this)\n```\n`[nor](that)` ![image](i.png)\n[ref]: r.md\n";
        let expected = [(1, "a.md"), (1, "b.md#c"), (5, "i.png"), (6, "r.md")];
        assert_eq!(links(text), expected.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn headings_become_anchors() {
        let text = "# The `record` command\nprose # not one\n```\n# nor this\n```\n### 4. Trace files, v2\n#nor-this\n";
        assert_eq!(anchors(text).collect::<Vec<_>>(), ["the-record-command", "4-trace-files-v2"]);
    }

    #[test]
    fn resolves_files_and_headings_from_the_documents_folder() {
        let folder = tempfile::tempdir().unwrap();
        let document = folder.path().join("docs/a.md");
        fs::create_dir(folder.path().join("docs")).unwrap();
        fs::write(&document, "# Own heading\n").unwrap();
        fs::write(folder.path().join("README.md"), "## Use\n").unwrap();
        for good in ["../README.md", "../README.md#use", "#own-heading", "https://example.org/x#y", "."] {
            assert_eq!(resolve(&document, good), Ok(()), "{good}");
        }
        let broken = [
            ("README.md", "does not exist"),
            ("../README.md#usage", "names no heading there"),
            ("#use", "names no heading there"),
        ];
        for (target, reason) in broken {
            assert_eq!(resolve(&document, target), Err(reason.to_owned()), "{target}");
        }
    }
}
