//! Traces that are none, are too new, or are damaged.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wherefore_tests::scratch;
use wherefore_tests::tools::Tools;

use crate::Test;
use crate::program::{Ending, quiet_trace, wherefore};

pub(crate) const TESTS: &[Test] = &[
    ("a-trace-that-is-not-there", absent),
    ("an-empty-trace", empty),
    ("a-foreign-file", foreign),
    ("a-newer-trace", newer),
    ("a-cut-trace", cut),
    ("a-trace-with-a-flipped-bit", flipped),
];

fn replay(tools: &Tools, trace: &Path) -> Result<Ending> {
    wherefore(tools, &["replay", "--json", &trace.to_string_lossy()])
}

/// One error line that names the file.
fn refused(tools: &Tools, content: &[u8], word: &str) -> Result<()> {
    let directory = scratch::directory()?;
    let trace = directory.path().join("given.wft");
    fs::write(&trace, content)?;
    replay(tools, &trace)?.is_one_line(1, &["given.wft", word])
}

fn absent(tools: &Tools) -> Result<()> {
    replay(tools, Path::new("/no/such/trace.wft"))?.is_one_line(1, &["/no/such/trace.wft"])
}

fn empty(tools: &Tools) -> Result<()> {
    refused(tools, b"", "empty")
}

fn foreign(tools: &Tools) -> Result<()> {
    refused(tools, &b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".repeat(100), "trace")
}

fn newer(tools: &Tools) -> Result<()> {
    let (_directory, trace) = quiet_trace(tools)?;
    let mut content = fs::read(trace)?;
    // the major version, and its check: the same bytes inverted
    for (index, byte) in [(8, 2), (9, 0), (12, !2), (13, !0)] {
        *content.get_mut(index).context("the file header is too short")? = byte;
    }
    refused(tools, &content, "newer")
}

/// Everything whole is still read; what is not is said on standard error and in the summary.
fn damaged(tools: &Tools, content: &[u8]) -> Result<()> {
    let directory = scratch::directory()?;
    let trace = directory.path().join("given.wft");
    fs::write(&trace, content)?;
    let ending = replay(tools, &trace)?;
    ending.says(0, &["given.wft"])?;
    let summary: Value = serde_json::from_str(ending.stdout.last().context("no summary")?)?;
    let bytes = summary.pointer("/damage/bytes").and_then(Value::as_u64);
    ensure!(bytes > Some(0), "the summary knows of no damage: {summary}");
    Ok(())
}

fn cut(tools: &Tools) -> Result<()> {
    let (_directory, trace) = quiet_trace(tools)?;
    let content = fs::read(trace)?;
    damaged(tools, content.get(..content.len() - 5).context("the trace is too short")?)
}

fn flipped(tools: &Tools) -> Result<()> {
    let (_directory, trace) = quiet_trace(tools)?;
    let mut content = fs::read(trace)?;
    // in the last frame's payload
    let index = content.len() - 3;
    *content.get_mut(index).context("the trace is too short")? ^= 1;
    damaged(tools, &content)
}
