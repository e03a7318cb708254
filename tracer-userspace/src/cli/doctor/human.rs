//! Doctor's report as text.

use std::fmt::Write;

use anstyle::Style;

use super::report::{Attempt, Listener, Port, Report, When};
use crate::capture::facts::{Kallsyms, Lockdown, Via};
use crate::capture::plan::{Outlook, Sight};
use crate::output::{Styles, plain};
use crate::verdict::Role;

/// Columns of the words that begin a line.
const LABEL: usize = 9;

/// Narrower terminals get lines of this width all the same.
const WIDTH_MIN: usize = 60;

/// Wider ones get no longer lines than this: they are sentences.
const WIDTH_MAX: usize = 110;

/// A text that grows by labelled, wrapped lines.
struct Page<'a> {
    text: String,
    styles: &'a Styles,
    width: usize,
}

impl Page<'_> {
    fn heading(&mut self, text: &str) {
        let style = self.styles.strong;
        // writing to a string cannot fail
        writeln!(self.text, "\n{style}{text}{style:#}").ok();
    }

    fn line(&mut self, style: Style, label: &str, text: &str) {
        let text = plain(text);
        let rest = " ".repeat(LABEL + 4);
        let options = textwrap::Options::new(self.width).initial_indent(&rest).subsequent_indent(&rest);
        let wrapped = textwrap::fill(&text, options);
        let body = wrapped.strip_prefix(&rest).unwrap_or(&wrapped);
        writeln!(self.text, "  {style}{label:<LABEL$}{style:#}  {body}").ok();
    }
}

/// The whole report.
pub(super) fn render(report: &Report, styles: &Styles, width: usize) -> String {
    let mut page = Page { text: String::new(), styles, width: width.clamp(WIDTH_MIN, WIDTH_MAX) };
    head(&mut page, report);
    if report.ready {
        hooks(&mut page, report);
        page.heading("Verdicts");
        for outlook in &report.verdicts {
            verdict(&mut page, outlook);
        }
    }
    if let Some(found) = &report.port {
        port(&mut page, found);
    }
    page.text
}

fn head(page: &mut Page<'_>, report: &Report) {
    let place = report.facts.as_ref().map_or("here", |_| "on that kernel");
    let (style, word) = if report.ready { (page.styles.good, "can") } else { (page.styles.certain, "cannot") };
    writeln!(page.text, "wherefore {} {style}{word} record{style:#} {place}.", report.version).ok();
    let dim = page.styles.dim;
    if let Some(file) = &report.facts {
        page.line(dim, "facts", &format!("from {file}"));
    }
    let btf = if report.btf { "with BTF" } else { "without BTF" };
    page.line(dim, "kernel", &format!("{} {}, {btf}", report.kernel, report.machine));
    page.line(dim, "cgroup v2", &cgroup(report));
    page.line(dim, "kprobes", if report.kprobes { "yes" } else { "no" });
    let functions = match report.kallsyms {
        Kallsyms::Readable => "named by /proc/kallsyms",
        Kallsyms::Hidden => "/proc/kallsyms hides their addresses",
        Kallsyms::Missing => "no /proc/kallsyms",
    };
    page.line(dim, "functions", functions);
    let lockdown = match report.lockdown {
        Some(Lockdown::None) => "none",
        Some(Lockdown::Integrity) => "integrity, which recording can live with",
        Some(Lockdown::Confidentiality) => "confidentiality",
        None => "the kernel does not say",
    };
    page.line(dim, "lockdown", lockdown);
    for obstacle in &report.obstacles {
        page.line(page.styles.certain, "problem", obstacle);
    }
    for lack in &report.lacks {
        page.line(page.styles.likely, "lacks", lack);
    }
}

fn cgroup(report: &Report) -> String {
    let Some(group) = &report.cgroup else { return "none that can be reached or mounted".to_owned() };
    let place = match group.via {
        Via::Mount => group.path.clone(),
        Via::Init => format!("{} (of process 1)", group.path),
        Via::Private => "a private mount".to_owned(),
    };
    let part = if group.root { "the host's root" } else { "not the host's root: only what runs below it is seen" };
    format!("{place}, {part}")
}

fn hooks(page: &mut Page<'_>, report: &Report) {
    page.heading(&format!("Hooks: {} of {}", report.hooks_used(), report.hooks.len()));
    let said = report.hooks.iter().filter(|hook| hook.attached != When::Start || hook.note.is_some());
    for hook in said {
        let (style, label) = match hook.attached {
            When::Start => (page.styles.good, "yes"),
            When::Later => (page.styles.good, "later"),
            When::Never => (page.styles.dim, "no"),
        };
        let note = hook.note.as_deref().unwrap_or("not offered by this kernel");
        page.line(style, label, &format!("{}: {note}", hook.name));
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Inbound => "inbound",
        Role::Outbound => "outbound",
        Role::Forwarded => "forwarded",
    }
}

fn verdict(page: &mut Page<'_>, outlook: &Outlook) {
    let (style, label) = match outlook.sight {
        Sight::Certain => (page.styles.good, "certain"),
        Sight::Inferred => (page.styles.likely, "inferred"),
        Sight::Blind => (page.styles.certain, "blind"),
    };
    let mut text = format!("{}, {}", outlook.slug, role(outlook.role));
    if let Some(why) = outlook.why {
        write!(text, ": {why}").ok();
    }
    if let Some(change) = outlook.change {
        write!(text, "; what would help: {change}").ok();
    }
    page.line(style, label, &text);
}

fn port(page: &mut Page<'_>, found: &Port) {
    page.heading(&format!("Port {}", found.number));
    for problem in &found.problems {
        page.line(page.styles.likely, "unknown", problem);
    }
    if found.listeners.is_empty() {
        page.line(page.styles.certain, "listener", "none: nothing listens on this port in any network namespace");
    }
    for listener in &found.listeners {
        page.line(page.styles.good, "listener", &owner(listener));
    }
    for (label, attempt) in tagged("connect", &found.connects).chain(tagged("request", &found.probes)) {
        let style = if attempt.ok { page.styles.good } else { page.styles.certain };
        let text = match (attempt.ok, attempt.verdict) {
            (false, Some(slug)) => format!("{}: {slug}: {}", attempt.to, attempt.detail),
            _ => format!("{}: {}", attempt.to, attempt.detail),
        };
        page.line(style, label, &text);
    }
}

fn tagged<'a>(label: &'static str, attempts: &'a [Attempt]) -> impl Iterator<Item = (&'static str, &'a Attempt)> {
    attempts.iter().map(move |attempt| (label, attempt))
}

fn owner(listener: &Listener) -> String {
    let mut text = listener.address.clone();
    let words = [
        listener.process.clone(),
        listener.unit.clone(),
        listener.container.as_ref().map(|id| format!("container {}", id.chars().take(12).collect::<String>())),
        listener.namespace.as_ref().map(|name| format!("in network namespace {name}")),
    ];
    for word in words.into_iter().flatten() {
        write!(text, ", {word}").ok();
    }
    text
}
