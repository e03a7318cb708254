//! The summary's lines on HTTP: what was answered, how fast, and what failing exchanges have in common.

use std::collections::BTreeMap;

use crate::engine::{Frequent, HttpSummary, Latency, Summary, TopOfStatus};
use crate::output::text::plain;
use crate::output::words::counted;

/// Ports that get a line, the busiest.
const PORTS_MAX: usize = 8;
/// Statuses of a port that are named; failing ones before others.
const STATUSES_MAX: usize = 8;
/// Statuses whose failing exchanges are told of, those with the most.
const FAILING_MAX: usize = 4;
/// Values of each of their lists.
const VALUES_MAX: usize = 3;
/// Characters of such a value.
const VALUE_CHARACTERS: usize = 60;

/// Label and text of each line; none where no HTTP was seen.
pub(super) fn lines(summary: &Summary) -> Vec<(&'static str, String)> {
    let mut ports: Vec<(u16, &HttpSummary)> =
        summary.ports.iter().map(|(port, totals)| (*port, &totals.http)).filter(|(_, http)| !http.is_empty()).collect();
    ports.sort_by_key(|(port, http)| (std::cmp::Reverse(http.exchanges), *port));
    let left = ports.len().saturating_sub(PORTS_MAX);
    let mut texts: Vec<String> = ports.iter().take(PORTS_MAX).map(|(port, http)| line(*port, http)).collect();
    if left > 0 {
        texts.push(format!("and {} with fewer exchanges", counted(left as u64, "port")));
    }
    let mut lines = labelled("http", texts);
    lines.extend(labelled("failing", failing(summary)));
    lines
}

fn labelled(label: &'static str, texts: Vec<String>) -> Vec<(&'static str, String)> {
    texts.into_iter().enumerate().map(|(index, text)| (if index == 0 { label } else { "" }, text)).collect()
}

fn line(port: u16, http: &HttpSummary) -> String {
    let mut parts = Vec::new();
    if http.exchanges > 0 {
        parts.push(statuses(&http.status));
        parts.extend(latency(http.latency.quantiles()));
    }
    if http.slow > 0 {
        parts.push(format!("{} later than --slow", http.slow));
    }
    let unread = [(http.tls, "TLS connection"), (http.http2, "HTTP/2 connection")];
    for (count, noun) in unread.into_iter().filter(|(count, _noun)| *count > 0) {
        parts.push(format!("{}: no statuses", counted(count, noun)));
    }
    if http.not_http > 0 {
        parts.push(format!("{} that spoke no HTTP", counted(http.not_http, "connection")));
    }
    if http.lost_step > 0 {
        parts.push(format!("lost track of heads {}", times(http.lost_step)));
    }
    format!("{port:<5}  {}", parts.join("; "))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { counted(count, "time") }
}

/// `200 1290, 404 8, 502 2, without 3`: by code, and if there are too many the failing ones first.
fn statuses(status: &BTreeMap<Option<u16>, u64>) -> String {
    let mut codes: Vec<(u16, u64)> = status.iter().filter_map(|(code, count)| Some(((*code)?, *count))).collect();
    codes.retain(|(_code, count)| *count > 0);
    let mut rest = 0_u64;
    if codes.len() > STATUSES_MAX {
        codes.sort_by_key(|(code, count)| (std::cmp::Reverse((*code >= 400, *count)), *code));
        rest = codes.drain(STATUSES_MAX..).fold(0, |sum, (_code, count)| sum.saturating_add(count));
        codes.sort_unstable();
    }
    let mut parts: Vec<String> = codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
    if rest > 0 {
        parts.push(format!("other {rest}"));
    }
    if let Some(none) = status.get(&None).filter(|count| **count > 0) {
        parts.push(format!("none seen {none}"));
    }
    parts.join(", ")
}

fn latency(latency: Latency) -> Option<String> {
    let Latency { p50, p90, p99, max } = latency;
    let told = [("p50", p50), ("p90", p90), ("p99", p99), ("max", max)];
    let told = told.map(|(name, us)| format!("{name} {}", milliseconds(us)));
    (max > 0).then(|| told.join(", "))
}

/// `0.8ms`, `12ms`, `3.2s`.
fn milliseconds(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{}ms", us / 1000, us / 100 % 10),
        10_000..1_000_000 => format!("{}ms", us / 1000),
        _ => format!("{}.{}s", us / 1_000_000, us / 100_000 % 10),
    }
}

/// `502  from proxy (3); because of process-down 127.0.0.1:9001 (2)`, and below it what was asked for, and by whom.
fn failing(summary: &Summary) -> Vec<String> {
    let mut statuses: Vec<(u16, &TopOfStatus)> = summary.top.statuses().collect();
    let sum = |counts: Vec<(&str, u64)>| counts.into_iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(count));
    let all = |list: &Frequent| sum(list.most(usize::MAX));
    let most = |lists: &TopOfStatus| all(&lists.paths).max(all(&lists.origins));
    statuses.sort_by_key(|(status, lists)| (std::cmp::Reverse(most(lists)), *status));
    statuses.truncate(FAILING_MAX);
    statuses.into_iter().flat_map(|(status, lists)| failing_so(status, lists)).collect()
}

fn failing_so(status: u16, lists: &TopOfStatus) -> Vec<String> {
    let rows = [
        vec![("from", &lists.origins), ("because of", &lists.causes)],
        vec![("paths", &lists.paths), ("user agents", &lists.user_agents), ("clients", &lists.clients)],
    ];
    let rows = rows.into_iter().map(|row| row.into_iter().filter_map(|(name, list)| values(name, list)).collect());
    let rows = rows.filter(|row: &Vec<String>| !row.is_empty()).map(|row| row.join("; "));
    let label = |index: usize| if index == 0 { status.to_string() } else { String::new() };
    rows.enumerate().map(|(index, row)| format!("{:<5}  {row}", label(index))).collect()
}

fn values(name: &str, list: &Frequent) -> Option<String> {
    let most = list.most(VALUES_MAX);
    let values: Vec<String> = most.iter().map(|(value, count)| format!("{} ({count})", shortened(value))).collect();
    (!values.is_empty()).then(|| format!("{name} {}", values.join(", ")))
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}...", plain(value.get(..end).unwrap_or(value))),
        None => plain(value).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Failed;
    use crate::output::samples;
    use crate::record::Exchange;

    fn text(summary: &Summary) -> String {
        let lines: Vec<String> =
            lines(summary).into_iter().map(|(label, text)| format!("{label:<10} {text}")).collect();
        lines.join("\n")
    }

    #[test]
    fn http_and_tls() {
        insta::assert_snapshot!(text(&samples::http_summary()), @r"
http       8080   200 1290, 404 8, 502 2, none seen 3; p50 0.8ms, p90 0.8ms, p99 0.8ms, max 12ms; 1 later than --slow
           8443   812 TLS connections: no statuses; 1 connection that spoke no HTTP; lost track of heads 2 times
failing    502    from proxy (3); because of process-down 127.0.0.1:9001 (3)
                  paths /orders/7 (2), /\u{1b}[m (1); user agents curl/8.5.0 (3); clients 192.0.2.7 (2), 192.0.2.8 (1)
           403    from app (1)
                  paths /hidden (1)
");
    }

    #[test]
    fn nothing_without_http() {
        assert_eq!(text(&samples::summary()), "");
    }

    #[test]
    fn of_many_the_most_telling() {
        let mut summary = samples::http_summary();
        let ports: Vec<u16> = (9000..9012).collect();
        for port in ports {
            let status = (200..260).map(|code| (Some(code * 2), u64::from(code))).collect();
            let http = HttpSummary { exchanges: u64::from(port), status, ..HttpSummary::default() };
            summary.ports.entry(port).or_default().http = http;
        }
        for status in 500..520 {
            let path = Some(format!("/{}", "x".repeat(100)));
            let heads = Exchange { path, ..Exchange::default() };
            summary.top.add(Some(status), &Failed { heads: Some(&heads), ..Failed::default() });
        }
        let text = text(&summary);
        assert_eq!(text.lines().count(), PORTS_MAX + 1 + FAILING_MAX + 1, "{text}");
        assert!(text.contains("\n           and 6 ports with fewer exchanges\n"), "{text}");
        assert!(
            text.contains("9011   504 252, 506 253, 508 254, 510 255, 512 256, 514 257, 516 258, 518 259, other "),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() < 200), "{text}");
    }

    #[test]
    fn spans() {
        let check = |us, expected: &str| assert_eq!(milliseconds(us), expected);
        check(0, "0.0ms");
        check(840, "0.8ms");
        check(12_345, "12ms");
        check(3_210_000, "3.2s");
    }
}
