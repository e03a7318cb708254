//! upstream-socket-missing: a process that serves a watched port could not connect to a unix socket. One record
//! says it all, so that it is decided at once.

use super::Engine;
use super::causes::{Failure, Span};
use super::fold::Brief;
use super::output::Output;
use super::text;
use super::world::World;
use crate::record::{BootTime, UNIX_CONNECT_FAILURES, UnixConnectRecord};
use crate::shell;
use crate::verdict::{Confidence, Event, Evidence, Http, Role, Slug, Verdict};

/// In the order of [`UNIX_CONNECT_FAILURES`]: what each says of the socket, and what to do.
const FAILURES: [(&str, &str, &str); UNIX_CONNECT_FAILURES.len()] = [
    ("ENOENT", "there is no such file", "start the app that makes it, or correct the path on either side"),
    (
        "EAGAIN",
        "the queue of the listener is full",
        "see why the app accepts too slowly; a larger backlog in listen() and net.core.somaxconn only helps against bursts",
    ),
    ("EACCES", "the process may not write to it", "give the process's user access to the file and its directories"),
    (
        "ECONNREFUSED",
        "nothing listens on it",
        "start the app that listens on it: the file is left from one that has ended",
    ),
];

/// As it is printed: `unix:/path`, or `unix:@name` for an abstract one.
fn place(record: &UnixConnectRecord) -> String {
    let length = usize::try_from(record.path_len).unwrap_or(0);
    let bytes = record.path.get(..length).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match bytes.strip_prefix(&[0]) {
        Some(name) => format!("unix:@{}", text(name)),
        None => format!("unix:{}", text(bytes.split(|byte| *byte == 0).next().unwrap_or_default())),
    }
}

impl Engine {
    /// connect() on a unix socket failed.
    pub(super) fn unix_connect(&mut self, record: &UnixConnectRecord, out: &mut Vec<Output>) {
        let mut known = UNIX_CONNECT_FAILURES.iter().zip(&FAILURES);
        let Some((_, failure)) = known.find(|(error, _)| **error == record.error) else { return };
        if record.path_len == 0 {
            // the path could not be read
            return;
        }
        let time = BootTime::from_ns(record.header.time_ns);
        let mut told = verdict(&self.world, record, *failure, time);
        if !told.evidence.iter().all(|item| item.event != Event::RecordsLost) {
            told.confidence = Confidence::Likely;
        }
        self.totals.verdict(Slug::UpstreamSocketMissing);
        let nowhere = ([0, 0, 0, 0], 0).into();
        let brief = Brief {
            local: nowhere,
            remote: nowhere,
            time,
            confidence: told.confidence,
            alternatives: &[],
            comm: Some(record.comm),
        };
        let key = (Slug::UpstreamSocketMissing, Role::Outbound, record.header.netns, 0);
        self.fold.add(key, brief, || told.clone(), out);
        let span = Span { from: time, to: time };
        self.causes.failed(record.pid, span, None, Failure::Exchange(Box::new(told)), false);
    }
}

fn verdict(
    world: &World,
    record: &UnixConnectRecord,
    (errno, what, advice): (&str, &str, &str),
    time: BootTime,
) -> Verdict {
    let process = text::process(world, Some(record.pid), Some(record.comm));
    let (who, place) = (text::name(process.as_ref()), place(record));
    let path = place.strip_prefix("unix:").unwrap_or_default();
    // an abstract name is no file
    let list = if path.starts_with('@') { String::new() } else { format!("`ls -l {}` and ", shell::word(path)) };
    let detail = format!("connect() of {who} to {place} failed: {errno}, {what}");
    let evidence = vec![Evidence { time, event: Event::ConnectFailed, detail }];
    Verdict {
        slug: Slug::UpstreamSocketMissing,
        confidence: Confidence::Certain,
        alternatives: Vec::new(),
        time,
        started: time,
        role: Role::Outbound,
        netns: record.header.netns,
        local: None,
        remote: None,
        unix: Some(place.clone()),
        port: 0,
        isn: None,
        count: 1,
        stage: None,
        health_check: false,
        expected_status: Some(502),
        http: Http::default(),
        cause: None,
        evidence: super::decide::with_losses(evidence, Vec::new(), world, time, time),
        summary: format!("{who} could not connect to its upstream at {place}: {what} ({errno})."),
        next: format!("See with {list}`ss -xlp {}`, and {advice}.", shell::word(&format!("src {path}"))),
        process,
    }
}

#[cfg(test)]
#[path = "upstream_socket_tests.rs"]
mod tests;
