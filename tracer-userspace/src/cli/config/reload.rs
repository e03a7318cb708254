//! SIGHUP: the file is read again. What can change while recording goes on does, the rest is named.

use crate::cli::args::RecordArgs;
use crate::cli::failure::Failure;
use crate::cli::watched_ports::watched_ports;
use crate::trace::Policy;

/// What a reload needs.
#[derive(Debug)]
pub(in crate::cli) struct Reload {
    /// What was typed.
    flags: RecordArgs,
    /// What the recording began with: flags and file.
    begun: RecordArgs,
}

/// What the file says now.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Reloaded {
    /// Ports to watch, ascending.
    pub(in crate::cli) ports: Vec<u16>,
    /// When a new trace file is begun, and how much is kept.
    pub(in crate::cli) policy: Policy,
    /// Keys that have changed and take effect only when recording begins anew.
    pub(in crate::cli) later: Vec<&'static str>,
}

impl Reload {
    /// `None` without `--config`.
    pub(in crate::cli) fn new(flags: &RecordArgs, begun: &RecordArgs) -> Option<Self> {
        flags.config.as_ref().map(|_| Self { flags: flags.clone(), begun: begun.clone() })
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// As at the start.
    pub(in crate::cli) fn read(&self) -> Result<Reloaded, Failure> {
        let now = self.flags.with_config()?;
        let ports = watched_ports(&now.capture, "record", Vec::new)?;
        Ok(Reloaded { ports, policy: now.rotation.policy(), later: later(&self.begun, &now) })
    }
}

fn later(begun: &RecordArgs, now: &RecordArgs) -> Vec<&'static str> {
    let (before, after) = (&begun.capture, &now.capture);
    let changes = [
        ("netns", before.netns != after.netns),
        ("duration", before.duration != after.duration),
        ("slow", before.slow != after.slow),
        ("status", before.status != after.status),
        ("client-header", before.client_header != after.client_header),
        ("no-http", before.no_http != after.no_http),
        ("verbose", before.verbose != after.verbose),
        ("out", begun.out != now.out),
        ("metrics", begun.metrics != now.metrics),
        ("json", begun.json != now.json),
        ("quiet", begun.quiet != now.quiet),
    ];
    changes.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}
