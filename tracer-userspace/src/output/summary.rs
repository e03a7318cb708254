//! The block that ends every run.

mod http;

use std::fmt::Write;
use std::path::Path;

use super::human::cell;
use super::meaning::meaning;
use super::style::{Styles, paint};
use super::text::plain;
use super::wall::WallClock;
use super::words::{counted, span};
use crate::engine::{PortSummary, Summary};
use crate::shell;
use crate::verdict::Slug;

/// With more ports than this, those without a listener or a SYN share a line.
const PORT_LINES_MAX: usize = 8;
/// Of more files than this, the first and the last are named.
const FILE_LINES_MAX: usize = 5;
/// Width of the words on the left.
const LABEL: usize = 10;

/// The summary as lines for people; `recording` adds the command that replays the files.
pub(super) fn block(summary: &Summary, clock: WallClock, styles: Styles, recording: bool) -> String {
    let mut text = Block { text: String::from("\n"), styles };
    let (from, to) = (clock.timestamp(summary.from), clock.timestamp(summary.to));
    let last_day = if clock.date(summary.from) == clock.date(summary.to) { "" } else { "%Y-%m-%d " };
    text.line(
        "summary",
        &format!(
            "{} to {} UTC ({}), {}",
            from.strftime("%Y-%m-%d %H:%M:%S"),
            to.strftime(&format!("{last_day}%H:%M:%S")),
            span(summary.to.since(summary.from)),
            counted(summary.records, "record"),
        ),
    );
    ports(summary, clock, &mut text);
    verdicts(summary, &mut text);
    text.line(
        "traffic",
        &format!("{}, {}", counted(summary.connections, "connection"), counted(summary.exchanges, "HTTP exchange")),
    );
    for (label, value) in http::lines(summary) {
        text.line(label, &value);
    }
    if !summary.recovered.is_empty() {
        let slugs: Vec<String> = summary.recovered.iter().map(|(slug, count)| format!("{slug} {count}")).collect();
        text.line("recovered", &format!("{}: delayed, then let in", slugs.join(", ")));
    }
    text.line(
        "undecided",
        &format!(
            "{} silent when recording ended, {} given up by the client too early to tell, {} late",
            summary.undecided, summary.abandoned, summary.late
        ),
    );
    losses(summary, &mut text);
    ends(summary, recording, &mut text);
    text.text
}

struct Block {
    text: String,
    styles: Styles,
}

impl Block {
    fn line(&mut self, label: &str, value: &str) {
        let label = cell(self.styles.strong, label, LABEL);
        // writing to a string cannot fail
        writeln!(self.text, "{label} {value}").ok();
    }
}

fn ports(summary: &Summary, clock: WallClock, text: &mut Block) {
    let folds = summary.ports.len() > PORT_LINES_MAX;
    let is_idle = |totals: &PortSummary| folds && totals.syn == 0 && !totals.listener;
    let busy = summary.ports.iter().filter(|(_port, totals)| !is_idle(totals));
    let mut label = "ports";
    for (port, totals) in busy {
        let recency = totals
            .last_syn
            .map_or_else(|| "nothing reached it".to_owned(), |time| format!("last SYN {}", clock.time_of_day(time)));
        let listener = if totals.listener {
            paint(text.styles.good, "listening")
        } else {
            paint(text.styles.certain, "no listener")
        };
        let clients = counted(totals.syn.saturating_sub(totals.health_check_syn), "SYN");
        let checks = counted(totals.health_check_syn, "health check");
        text.line(label, &format!("{port:<5}  {listener}, {clients} + {checks}, {recency}"));
        label = "";
    }
    let idle: Vec<String> = summary
        .ports
        .iter()
        .filter(|(_port, totals)| is_idle(totals))
        .map(|(port, _totals)| port.to_string())
        .collect();
    if !idle.is_empty() {
        text.line(label, &format!("no listener and no SYN: {}", idle.join(", ")));
    }
}

fn verdicts(summary: &Summary, text: &mut Block) {
    let mut counts: Vec<(Slug, u64)> = summary.verdicts.iter().map(|(slug, count)| (*slug, *count)).collect();
    counts.retain(|(_, count)| *count > 0);
    counts.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
    if counts.is_empty() {
        text.line("verdicts", &paint(text.styles.good, "none: nothing failed that could be seen from here"));
    }
    let number_width = counts.first().map_or(1, |(_, count)| count.to_string().len());
    let slug_width = counts.iter().map(|(slug, _)| slug.as_str().len()).max().unwrap_or(0);
    for (index, (slug, count)) in counts.iter().enumerate() {
        let label = if index == 0 { "verdicts" } else { "" };
        let slug_cell = cell(text.styles.certain, slug.as_str(), slug_width);
        text.line(label, &format!("{count:>number_width$}  {slug_cell}  {}", meaning(*slug)));
    }
    if let Some(shown) = summary.shown {
        text.line(
            "shown",
            &format!("{} passed the filters; all counts here are of the whole trace", counted(shown, "verdict line")),
        );
    }
}

fn losses(summary: &Summary, text: &mut Block) {
    let total: u64 = summary.lost.values().fold(0, |sum, count| sum.saturating_add(*count));
    let causes: Vec<String> = summary.lost.iter().map(|(cause, count)| format!("{} {count}", plain(cause))).collect();
    let causes = if causes.is_empty() { String::new() } else { format!(" ({})", causes.join(", ")) };
    if total == 0 {
        text.line("lost", &format!("{}{causes}", paint(text.styles.good, "nothing")));
    } else {
        let amount = paint(text.styles.certain, total);
        text.line("lost", &format!("{amount}{causes}: verdicts near these are likely, not certain"));
    }
    if summary.suppressed > 0 {
        text.line(
            "suppressed",
            &format!("{} left out by flood limits; totals stay exact", counted(summary.suppressed, "record")),
        );
    }
    let damage = summary.damage;
    if damage.frames > 0 || damage.bytes > 0 {
        let amount = format!("{}, {}", counted(damage.frames, "frame"), counted(damage.bytes, "byte"));
        text.line("damage", &format!("{} could not be read", paint(text.styles.certain, amount)));
    }
}

fn ends(summary: &Summary, recording: bool, text: &mut Block) {
    let dropped = summary.dropped;
    if dropped.files > 0 {
        let amount = format!("{}, {}", counted(dropped.files, "trace file"), counted(dropped.bytes, "byte"));
        text.line("dropped", &format!("{amount} removed by --keep-size, --keep-age or --min-free"));
    }
    match summary.files.as_slice() {
        [first, .., last] if summary.files.len() > FILE_LINES_MAX => {
            text.line("files", &format!("{} in {}", summary.files.len(), plain(&directory(first))));
            text.line("", &format!("from {}", plain(file_name(first))));
            text.line("", &format!("to   {}", plain(file_name(last))));
        }
        files => {
            for (index, file) in files.iter().enumerate() {
                text.line(if index == 0 { "files" } else { "" }, &plain(file));
            }
        }
    }
    if recording && !summary.files.is_empty() {
        text.line("replay", &replay_command(&summary.files));
    }
}

/// What is typed to replay these files of one directory; the directory itself if they are many.
pub(crate) fn replay_command(files: &[String]) -> String {
    let words: Vec<String> = match files {
        [first, ..] if files.len() > FILE_LINES_MAX => vec![typed(&directory(first))],
        files => files.iter().map(|file| typed(file)).collect(),
    };
    format!("wherefore replay {}", words.join(" "))
}

/// Where a file is.
fn directory(file: &str) -> String {
    let parent = Path::new(file).parent().map(|parent| parent.display().to_string());
    parent.filter(|parent| !parent.is_empty()).unwrap_or_else(|| ".".to_owned())
}

fn file_name(file: &str) -> &str {
    Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or(file)
}

/// A path as it is typed.
fn typed(path: &str) -> String {
    shell::word(&plain(path))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::Damage;
    use crate::output::samples;

    fn printed(summary: &Summary, recording: bool) -> String {
        block(summary, WallClock::new(samples::start().clock), Styles::default(), recording).trim_start().to_owned()
    }

    #[test]
    fn a_recording() {
        insta::assert_snapshot!(printed(&samples::summary(), true), @r"
summary    2026-11-21 12:03:41 to 12:07:33 UTC (3m 52s), 1204 records
ports      8080   listening, 240 SYNs + 12 health checks, last SYN 12:07:31.120
           8443   no listener, 0 SYNs + 0 health checks, nothing reached it
verdicts   18  process-down         nothing listens on the port
            1  security-group-drop  the SYN left this host and nothing ever came back
traffic    1201 connections, 0 HTTP exchanges
recovered  firewall-drop 2: delayed, then let in
undecided  1 silent when recording ended, 0 given up by the client too early to tell, 0 late
lost       nothing (attempts-full 0, ring-full 0)
files      /var/lib/wherefore/web-1.wft
replay     wherefore replay /var/lib/wherefore/web-1.wft
");
    }

    #[test]
    fn nothing_happened() {
        let summary = Summary { from: samples::at_ms(0), to: samples::at_ms(410), ..Summary::default() };
        insta::assert_snapshot!(printed(&summary, false), @r"
summary    2026-11-21 12:03:41 to 12:03:41 UTC (410ms), 0 records
verdicts   none: nothing failed that could be seen from here
traffic    0 connections, 0 HTTP exchanges
undecided  0 silent when recording ended, 0 given up by the client too early to tell, 0 late
lost       nothing
");
    }

    #[test]
    fn a_damaged_filtered_trace_with_losses() {
        let summary = Summary {
            to: samples::at_ms(100_000_000),
            lost: BTreeMap::from([("ring-full".to_owned(), 31), ("late\x1b[m".to_owned(), 0)]),
            suppressed: 1,
            damage: Damage { frames: 1, bytes: 8_192 },
            dropped: crate::engine::Dropped { files: 2, bytes: 134_217_728 },
            shown: Some(3),
            files: vec!["a b.wft".to_owned(), "c.wft".to_owned()],
            ..samples::summary()
        };
        insta::assert_snapshot!(printed(&summary, true), @r"
summary    2026-11-21 12:03:41 to 2026-11-22 15:50:21 UTC (1d 3h), 1204 records
ports      8080   listening, 240 SYNs + 12 health checks, last SYN 12:07:31.120
           8443   no listener, 0 SYNs + 0 health checks, nothing reached it
verdicts   18  process-down         nothing listens on the port
            1  security-group-drop  the SYN left this host and nothing ever came back
shown      3 verdict lines passed the filters; all counts here are of the whole trace
traffic    1201 connections, 0 HTTP exchanges
recovered  firewall-drop 2: delayed, then let in
undecided  1 silent when recording ended, 0 given up by the client too early to tell, 0 late
lost       31 (late\u{1b}[m 0, ring-full 31): verdicts near these are likely, not certain
suppressed 1 record left out by flood limits; totals stay exact
damage     1 frame, 8192 bytes could not be read
dropped    2 trace files, 134217728 bytes removed by --keep-size, --keep-age or --min-free
files      a b.wft
           c.wft
replay     wherefore replay 'a b.wft' c.wft
");
    }

    #[test]
    fn many_idle_ports_share_a_line() {
        let mut summary = samples::summary();
        summary.ports.extend((9_000..9_010).map(|port| (port, PortSummary::default())));
        let text = printed(&summary, false);
        let lines: Vec<&str> = text.lines().skip(1).take(2).collect();
        assert!(lines[0].contains("8080   listening"), "{text}");
        assert!(lines[1].contains("no listener and no SYN: 8443, 9000, 9001,"), "{text}");
    }

    #[test]
    fn many_files_are_counted() {
        let name = |number: u32| format!("/var/log/where fore/web-{number}.wft");
        let of = |count| Summary { files: (1..=count).map(name).collect(), ..samples::summary() };
        let last = |text: &str, count: usize| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len() - count..].join("\n")
        };
        insta::assert_snapshot!(last(&printed(&of(200), true), 4), @r"
files      200 in /var/log/where fore
           from web-1.wft
           to   web-200.wft
replay     wherefore replay '/var/log/where fore'
");
        assert_eq!(printed(&of(5), true).matches("web-3.wft").count(), 2);
        assert_eq!(replay_command(&vec!["a.wft".to_owned(); 6]), "wherefore replay .");
    }
}
