//! `explain`: what verdicts and statuses mean, what shows them, what to do.

mod attempts;
mod exchanges;
mod statuses;

use std::io::Write;

use super::args::ExplainArgs;
use super::console;
use super::failure::{Failure, quoted};
use crate::output::{Styles, meaning};
use crate::verdict::Slug;

/// Lines longer than this are hard to read, however wide the terminal.
const WIDTH_MAX: usize = 100;
const WIDTH_MIN: usize = 40;

/// What there is to say of one verdict.
struct SlugText {
    slug: Slug,
    /// What will have been answered by a balancer or proxy in front, in words.
    answered: &'static str,
    /// What happened, and why that looks as it does.
    story: &'static str,
    /// What the kernel shows.
    evidence: &'static [&'static str],
    /// What to do, most likely help first.
    advice: &'static [&'static str],
}

/// What there is to say of one HTTP status.
struct StatusText {
    status: u16,
    name: &'static str,
    /// Who answers so, and when.
    story: &'static str,
    /// Verdicts that lead to it.
    verdicts: &'static [Slug],
    /// What to do, most likely help first.
    advice: &'static [&'static str],
}

/// A heading of the list, and what stands below it.
struct Group {
    title: &'static str,
    texts: &'static [SlugText],
}

const GROUPS: [&Group; 6] = [
    &attempts::HERE,
    &attempts::FIREWALLS,
    &attempts::NETWORK,
    &attempts::UPSTREAMS,
    &exchanges::APP,
    &exchanges::CONNECTIONS,
];

/// The verdicts that this version tells; the rest of the catalogue is explained all the same, since
/// it is what else can have happened.
const TOLD: [Slug; 29] = [
    Slug::UpstreamSocketMissing,
    Slug::InboundSilence,
    Slug::AcceptQueueFull,
    Slug::ReturnPathDrop,
    Slug::HandshakeAbandoned,
    Slug::ConntrackFull,
    Slug::KernelDrop,
    Slug::Hairpin,
    Slug::PortExhausted,
    Slug::ProcessDown,
    Slug::WrongBindAddress,
    Slug::FirewallReject,
    Slug::FirewallDrop,
    Slug::SecurityGroupDrop,
    Slug::HostUnreachable,
    Slug::NoRoute,
    Slug::ProcessCrashed,
    Slug::AppReset,
    Slug::PrematureClose,
    Slug::IncompleteResponse,
    Slug::KeepaliveRace,
    Slug::IdleFlowExpired,
    Slug::AppTimeout,
    Slug::ClientAbort,
    Slug::PeerVanished,
    Slug::MalformedResponse,
    Slug::ProtocolMismatch,
    Slug::HealthCheckFailed,
    Slug::AppStatus,
];

const NOT_TOLD: &str = "This version of wherefore does not give this verdict yet.";

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for a topic that is not known; a failed write.
pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let page = Page {
        styles: Styles::new(console::stdout_takes_color()),
        width: console::stdout_width().clamp(WIDTH_MIN, WIDTH_MAX),
    };
    let text = match &args.topic {
        None => page.list(),
        Some(topic) => page.topic(topic.trim())?,
    };
    let mut out = console::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::output)
}

fn texts() -> impl Iterator<Item = &'static SlugText> {
    GROUPS.iter().flat_map(|group| group.texts)
}

/// How texts are laid out.
struct Page {
    styles: Styles,
    width: usize,
}

impl Page {
    fn topic(&self, topic: &str) -> Result<String, Failure> {
        let lower = topic.to_ascii_lowercase();
        if let Some(text) = texts().find(|text| text.slug.as_str() == lower) {
            return Ok(self.slug(text));
        }
        if lower == Slug::RemoteDown.as_str() {
            return Ok(self.remote_down());
        }
        let status = statuses::ALL.iter().find(|text| text.status.to_string() == lower);
        status.map(|text| self.status(text)).ok_or_else(|| Failure::usage(unknown(topic, &lower)))
    }

    fn list(&self) -> String {
        let mut text = self.paragraph("A verdict says why one connection attempt or one HTTP exchange failed.");
        let width = texts().map(|text| text.slug.as_str().len()).max().unwrap_or(0);
        let indent = " ".repeat(width + 4);
        for group in GROUPS {
            text.push_str(&self.heading(group.title));
            for entry in group.texts {
                let mark = if TOLD.contains(&entry.slug) { " " } else { "*" };
                let name = format!("{mark} {:<width$}  ", entry.slug);
                text.push_str(&self.wrap(&sentence(meaning(entry.slug)), &name, &indent));
            }
        }
        let known: Vec<String> = statuses::ALL.iter().map(|text| text.status.to_string()).collect();
        text.push('\n');
        text.push_str(&self.paragraph("* not told by this version yet"));
        text.push_str(&self.paragraph(&format!("Statuses that are explained too: {}.", known.join(", "))));
        text
    }

    fn slug(&self, text: &SlugText) -> String {
        let mut page = self.title(text.slug.as_str());
        page.push_str(&self.paragraph(&sentence(meaning(text.slug))));
        page.push('\n');
        page.push_str(&self.paragraph(text.story));
        page.push_str(&self.paragraph(&format!("A balancer or proxy in front answers: {}.", text.answered)));
        if !TOLD.contains(&text.slug) {
            page.push_str(&self.paragraph(NOT_TOLD));
        }
        page.push_str(&self.bullets("What the kernel shows", text.evidence));
        page.push_str(&self.bullets("What to do", text.advice));
        page
    }

    fn remote_down(&self) -> String {
        let mut page = self.title(Slug::RemoteDown.as_str());
        page.push_str(&self.paragraph(&sentence(meaning(Slug::RemoteDown))));
        page.push('\n');
        page.push_str(&self.paragraph(
            "From this host a remote host that is switched off looks like one behind a security group: the SYN leaves \
             and nothing comes back. So this name stands only among the alternatives of another verdict. See \
             `wherefore explain security-group-drop`.",
        ));
        page
    }

    fn status(&self, text: &StatusText) -> String {
        let mut page = self.title(&format!("{} {}", text.status, text.name));
        page.push_str(&self.paragraph(text.story));
        if !text.verdicts.is_empty() {
            page.push_str(&self.heading("Verdicts that lead to it"));
            let width = text.verdicts.iter().map(|slug| slug.as_str().len()).max().unwrap_or(0);
            let indent = " ".repeat(width + 4);
            for slug in text.verdicts {
                page.push_str(&self.wrap(meaning(*slug), &format!("  {slug:<width$}  "), &indent));
            }
        }
        page.push_str(&self.bullets("What to do", text.advice));
        page
    }

    fn title(&self, text: &str) -> String {
        format!("{}{text}{:#}\n", self.styles.strong, self.styles.strong)
    }

    fn heading(&self, text: &str) -> String {
        format!("\n{}", self.title(text))
    }

    fn paragraph(&self, text: &str) -> String {
        self.wrap(text, "", "")
    }

    fn bullets(&self, title: &str, items: &[&str]) -> String {
        let mut text = self.heading(title);
        for item in items {
            text.push_str(&self.wrap(item, "- ", "  "));
        }
        text
    }

    fn wrap(&self, text: &str, first: &str, rest: &str) -> String {
        let options = textwrap::Options::new(self.width)
            .initial_indent(first)
            .subsequent_indent(rest)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false);
        let mut filled = textwrap::fill(text, options);
        filled.push('\n');
        filled
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

fn unknown(topic: &str, lower: &str) -> String {
    let statuses: Vec<String> = statuses::ALL.iter().map(|text| text.status.to_string()).collect();
    let names: Vec<&str> = Slug::ALL.iter().map(|slug| slug.as_str()).collect();
    let is_number = !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        return format!("no text for status {lower}: there are texts for {}", statuses.join(", "));
    }
    let what = format!("no verdict is called {}", quoted(topic));
    let part_of: Vec<&str> = names.iter().copied().filter(|name| lower.len() > 2 && name.contains(lower)).collect();
    if !part_of.is_empty() {
        return format!("{what}: did you mean {}?", part_of.join(" or "));
    }
    let likeness = names.iter().map(|name| (strsim::jaro_winkler(name, lower), name));
    let nearest = likeness.max_by(|left, right| left.0.total_cmp(&right.0));
    match nearest {
        Some((likeness, name)) if likeness > 0.7 => format!("{what}: did you mean {name}?"),
        _ => format!("{what}: `wherefore explain` lists all"),
    }
}

#[cfg(test)]
mod tests;
