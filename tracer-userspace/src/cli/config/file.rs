//! The file: its keys, and where in it something is wrong.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::values::{bytes, duration, joined, list, share_or_bytes};
use crate::capture::heads::ClientHeader;
use crate::cli::args::RecordArgs;
use crate::cli::metrics::MetricsAddress;
use crate::cli::ports::PortList;
use crate::cli::statuses::StatusList;
use crate::trace::MinFree;

/// What a file may say: one key for each flag of `record`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct FileConfig {
    #[serde(default, deserialize_with = "list")]
    port: Option<Vec<PortList>>,
    #[serde(default, deserialize_with = "list")]
    netns: Option<Vec<String>>,
    #[serde(default, deserialize_with = "duration")]
    duration: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    slow: Option<Duration>,
    #[serde(default, deserialize_with = "joined")]
    status: Option<StatusList>,
    #[serde(default, deserialize_with = "joined")]
    client_header: Option<ClientHeader>,
    out: Option<PathBuf>,
    #[serde(default, deserialize_with = "bytes")]
    rotate_size: Option<u64>,
    #[serde(default, deserialize_with = "duration")]
    rotate_age: Option<Duration>,
    #[serde(default, deserialize_with = "bytes")]
    keep_size: Option<u64>,
    #[serde(default, deserialize_with = "duration")]
    keep_age: Option<Duration>,
    #[serde(default, deserialize_with = "share_or_bytes")]
    min_free: Option<MinFree>,
    #[serde(default, deserialize_with = "joined")]
    metrics: Option<MetricsAddress>,
    #[serde(default)]
    json: bool,
    #[serde(default)]
    quiet: bool,
    #[serde(default)]
    no_http: bool,
    #[serde(default)]
    verbose: bool,
}

impl FileConfig {
    /// Fills in what no flag says.
    pub(super) fn fill(self, args: &mut RecordArgs) {
        let capture = &mut args.capture;
        if capture.port.is_empty() {
            capture.port = self.port.unwrap_or_default();
        }
        if capture.netns.is_empty() {
            capture.netns = self.netns.unwrap_or_default();
        }
        capture.duration = capture.duration.or(self.duration);
        capture.slow = capture.slow.or(self.slow);
        capture.status = capture.status.take().or(self.status);
        capture.client_header = capture.client_header.take().or(self.client_header);
        capture.no_http |= self.no_http;
        capture.verbose |= self.verbose;
        args.out = args.out.take().or(self.out);
        let rotation = &mut args.rotation;
        rotation.rotate_size = rotation.rotate_size.or(self.rotate_size);
        rotation.rotate_age = rotation.rotate_age.or(self.rotate_age);
        rotation.keep_size = rotation.keep_size.or(self.keep_size);
        rotation.keep_age = rotation.keep_age.or(self.keep_age);
        rotation.min_free = rotation.min_free.or(self.min_free);
        args.metrics = args.metrics.or(self.metrics);
        args.json |= self.json;
        args.quiet |= self.quiet;
    }
}

/// What is wrong with a file, and where. Written behind the file's name and a colon.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{line}: {what}")]
pub(super) struct FileError {
    line: usize,
    what: String,
}

/// Reads a file's text.
///
/// # Errors
/// [`FileError`] for what is no TOML, an unknown key, or a value that the flag would not take.
pub(super) fn parse(text: &str) -> Result<FileConfig, FileError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count();
        FileError { line: line.saturating_add(1), what: what(error.message(), text.lines().nth(line)) }
    })
}

/// The reader's words in ours; a wrong value is said with its key.
fn what(message: &str, line: Option<&str>) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let (key, known) = rest.split_once(", expected ").unwrap_or((rest, ""));
        let key = key.trim_matches('`');
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let near = known.iter().map(|known| (strsim::jaro(key, known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
        return match near {
            Some((likeness, near)) if likeness > 0.75 => format!("unknown key {key}: a similar one exists: {near}"),
            _ => format!("unknown key {key}: the keys are {}", known.join(", ")),
        };
    }
    let key = line.and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
    match key {
        Some(key) => format!("{key}: {message}"),
        None => message,
    }
}
