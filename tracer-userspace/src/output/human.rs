//! Lines for people: one a verdict, and a summary at the end.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;

use anstyle::Style;

use super::fold::{Fold, Repeats, causes, server_end};
use super::json::address;
use super::style::{Styles, paint};
use super::summary;
use super::text::plain;
use super::wall::WallClock;
use crate::engine::Output;
use crate::record::{BootTime, Start};
use crate::verdict::{Confidence, Process, Role, Slug, Verdict};

/// Width of the longest slug but one.
const SLUG_WIDTH: usize = 19;
/// Width of two IPv4 ends with five-digit ports at their usual length.
const FLOW_WIDTH: usize = 37;
/// Lines stay aligned up to this width; a longer one stands out by itself.
const FLOW_WIDTH_MAX: usize = 60;
/// Characters of a path; JSON lines have all that was kept.
const PATH_MAX: usize = 100;

/// How lines for people look.
#[derive(Clone, Copy, Debug, Default)]
pub struct HumanOptions {
    /// Colours.
    pub color: bool,
    /// Only the summary.
    pub quiet: bool,
    /// The summary ends with the command that replays the files, because they have just been written.
    pub recording: bool,
}

/// The printer's state: what it has said already.
#[derive(Debug)]
pub(super) struct Human {
    options: HumanOptions,
    styles: Styles,
    fold: Fold,
    flow_width: usize,
    /// Date of the last line, said again when it changes.
    date: String,
    titled: bool,
    advised: BTreeSet<(Slug, Role, u16)>,
}

impl Human {
    pub(super) fn new(options: HumanOptions) -> Self {
        Self {
            options,
            styles: Styles::new(options.color),
            fold: Fold::default(),
            flow_width: FLOW_WIDTH,
            date: String::new(),
            titled: false,
            advised: BTreeSet::new(),
        }
    }

    pub(super) fn print(&mut self, output: &Output, clock: WallClock, to: &mut impl Write) -> io::Result<()> {
        match output {
            Output::Start(start) if self.options.quiet => {
                self.date = clock.date(BootTime::from_ns(start.clock.boot_ns));
                Ok(())
            }
            Output::Start(start) => self.start(start, clock, to),
            Output::Verdict(_) if self.options.quiet => Ok(()),
            Output::Verdict(verdict) => self.verdict(verdict, clock, to),
            Output::Counters(_) => Ok(()),
            Output::Summary(summary) => {
                self.finish(clock, to)?;
                to.write_all(summary::block(summary, clock, self.styles, self.options.recording).as_bytes())
            }
        }
    }

    /// Prints the counting lines of seconds that are over at `time`.
    pub(super) fn advance(&mut self, time: BootTime, clock: WallClock, to: &mut impl Write) -> io::Result<()> {
        for repeats in self.fold.advance(clock.timestamp(time).as_second()) {
            self.repeats(&repeats, clock, to)?;
        }
        Ok(())
    }

    fn finish(&mut self, clock: WallClock, to: &mut impl Write) -> io::Result<()> {
        for repeats in self.fold.finish() {
            self.repeats(&repeats, clock, to)?;
        }
        Ok(())
    }

    fn start(&mut self, start: &Start, clock: WallClock, to: &mut impl Write) -> io::Result<()> {
        let ports: Vec<String> = start.ports.iter().map(u16::to_string).collect();
        self.date = clock.date(BootTime::from_ns(start.clock.boot_ns));
        let host = plain(&start.host);
        let kernel = plain(&start.kernel);
        let noun = if ports.len() == 1 { "port" } else { "ports" };
        let line = format!("{} UTC   {host}, Linux {kernel}, {noun} {}", self.date, ports.join(","));
        writeln!(to, "{}", paint(self.styles.dim, line))?;
        if !start.blind.is_empty() {
            let line = format!("cannot be told on this kernel: {}", plain(&start.blind.join(", ")));
            writeln!(to, "{}", paint(self.styles.dim, line))?;
        }
        Ok(())
    }

    fn verdict(&mut self, verdict: &Verdict, clock: WallClock, to: &mut impl Write) -> io::Result<()> {
        self.advance(verdict.time, clock, to)?;
        if !self.fold.is_first(verdict) {
            return Ok(());
        }
        self.headings(verdict.time, clock, to)?;
        let flow = flow(verdict);
        self.flow_width = self.flow_width.max(flow.chars().count().min(FLOW_WIDTH_MAX));
        let expected = verdict.expected_status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        writeln!(
            to,
            "{}  {}  {expected:<6}  {:<3}  {flow:<flow_width$}  {}",
            paint(self.styles.dim, clock.time_of_day(verdict.time)),
            self.slug(verdict),
            role(verdict.role),
            self.why(verdict),
            flow_width = self.flow_width,
        )?;
        self.advice(verdict, to)
    }

    /// The date, when it is another one than before, and what the columns hold, once.
    fn headings(&mut self, time: BootTime, clock: WallClock, to: &mut impl Write) -> io::Result<()> {
        let date = clock.date(time);
        if date > self.date {
            writeln!(to, "{}", paint(self.styles.dim, format!("{date} UTC")))?;
            self.date = date;
        }
        if self.titled {
            return Ok(());
        }
        self.titled = true;
        let line = format!(
            "{:<12}  {:<SLUG_WIDTH$}  {:<6}  {:<3}  {:<width$}  WHY",
            "TIME",
            "VERDICT",
            "EXPECT",
            "",
            "CONNECTION",
            width = self.flow_width,
        );
        writeln!(to, "{}", paint(self.styles.dim, line))
    }

    fn slug(&self, verdict: &Verdict) -> String {
        let style = match verdict.confidence {
            Confidence::Certain => self.styles.certain,
            Confidence::Likely => self.styles.likely,
        };
        paint(style, format_args!("{:<SLUG_WIDTH$}", verdict.slug))
    }

    /// The exchange, the reason, how sure it is, and whom it is about.
    fn why(&self, verdict: &Verdict) -> String {
        let mut parts = Vec::new();
        if let Some(exchange) = exchange(verdict) {
            parts.push(format!("{}:", paint(self.styles.strong, exchange)));
        }
        let sentence = plain(verdict.summary.trim_end_matches('.'));
        parts.push(sentence.clone().into_owned());
        if let Some(process) = verdict.process.as_ref().and_then(|process| name_unless_said(process, &sentence)) {
            parts.push(format!("[{process}]"));
        }
        if let Some(stage) = &verdict.stage {
            parts.push(format!("[{}]", plain(stage)));
        }
        if let Some(client) = &verdict.http.client {
            parts.push(format!("[client {}]", plain(client)));
        }
        if verdict.health_check {
            parts.push("[health check]".to_owned());
        }
        if verdict.count > 1 {
            parts.push(format!("({} times)", verdict.count));
        }
        for cause in causes(verdict) {
            parts.push(match server_end(cause) {
                // what is between is only named
                Some(end) if cause.cause.is_some() => format!("<- {} {end}", self.named(cause)),
                _ => format!("<- {}: {}", self.named(cause), plain(cause.summary.trim_end_matches('.'))),
            });
        }
        if verdict.confidence == Confidence::Likely {
            parts.push(paint(self.styles.dim, likely(&verdict.alternatives)));
        }
        parts.join(" ")
    }

    fn named(&self, verdict: &Verdict) -> String {
        paint(self.styles.strong, verdict.slug)
    }

    /// What to do, the first time that a port shows a verdict.
    fn advice(&mut self, verdict: &Verdict, to: &mut impl Write) -> io::Result<()> {
        if verdict.next.is_empty() || !self.advised.insert((verdict.slug, verdict.role, verdict.port)) {
            return Ok(());
        }
        writeln!(to, "{:14}{} {}", "", paint(self.styles.strong, "next:"), plain(&verdict.next))
    }

    fn repeats(&self, repeats: &Repeats, clock: WallClock, to: &mut impl Write) -> io::Result<()> {
        let Some(last) = &repeats.last else { return Ok(()) };
        writeln!(
            to,
            "{}  {}  {}",
            paint(self.styles.dim, clock.time_of_day(last.time)),
            self.slug(last),
            paint(
                self.styles.dim,
                format_args!(
                    "{:<6}  {:<3}  ... and {} more like it on port {}",
                    "",
                    role(last.role),
                    repeats.count,
                    last.port
                )
            ),
        )
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Inbound => "in",
        Role::Outbound => "out",
        Role::Forwarded => "fwd",
    }
}

/// Both ends, in the direction of the first SYN.
fn flow(verdict: &Verdict) -> String {
    if let Some(unix) = &verdict.unix {
        return plain(unix).to_string();
    }
    let local = verdict.local.map_or_else(|| "?".to_owned(), end);
    let remote = verdict.remote.map_or_else(|| "many".to_owned(), end);
    match verdict.role {
        Role::Inbound | Role::Forwarded => format!("{remote} -> {local}"),
        Role::Outbound => format!("{local} -> {remote}"),
    }
}

/// An end; without a port if none was ever chosen.
fn end(socket: SocketAddr) -> String {
    if socket.port() == 0 { socket.ip().to_canonical().to_string() } else { address(socket) }
}

/// `GET /orders/7 502`, as far as known.
fn exchange(verdict: &Verdict) -> Option<String> {
    let http = &verdict.http;
    let status = http.status.map(|status| status.to_string());
    let path = http.path.as_deref().map(|path| match path.char_indices().nth(PATH_MAX) {
        Some((end, _)) => format!("{}...", path.get(..end).unwrap_or(path)),
        None => path.to_owned(),
    });
    let words: Vec<&str> = [http.method.as_deref(), path.as_deref(), status.as_deref()].into_iter().flatten().collect();
    (!words.is_empty()).then(|| plain(&words.join(" ")).into_owned())
}

/// `nginx[812] (nginx.service)`, unless the sentence names it already.
fn name_unless_said(process: &Process, sentence: &str) -> Option<String> {
    let comm = plain(process.comm.as_deref()?);
    if sentence.contains(comm.as_ref()) {
        return None;
    }
    let mut name = comm.into_owned();
    if let Some(pid) = process.pid {
        name = format!("{name} pid {pid}");
    }
    if let Some(owner) = process.unit.as_deref().or(process.container.as_deref()) {
        name = format!("{name}, {}", plain(owner));
    }
    if let Some(exit) = &process.exit {
        name = format!("{name}, ended by {}", plain(exit));
    }
    Some(name)
}

fn likely(alternatives: &[Slug]) -> String {
    if alternatives.is_empty() {
        return "(likely)".to_owned();
    }
    let names: Vec<&str> = alternatives.iter().map(|slug| slug.as_str()).collect();
    format!("(likely; or {})", names.join(", "))
}

/// Text in a style, padded to a width.
pub(super) fn cell(style: Style, text: &str, width: usize) -> String {
    paint(style, format_args!("{text:<width$}"))
}

#[cfg(test)]
mod tests;
