//! A ruleset as far as it matters for one packet, and which of its rules can have dropped it.
//!
//! What is not understood is neither taken for a match nor for none: a rule that may match is a
//! candidate beside those that do.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Jumps followed at most (the kernel's own limit is 16).
const DEPTH_MAX: usize = 16;

/// A dropped TCP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    /// A SYN without ACK: its connection is a new one.
    pub(super) is_syn: bool,
    /// A socket of this namespace sent it.
    pub(super) outgoing: bool,
    /// Whether it was for this namespace itself, if known.
    pub(super) local: Option<bool>,
    /// Interface it came in on, if known.
    pub(super) interface: Option<String>,
}

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    No,
    Perhaps,
    Yes,
}

impl Holds {
    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Perhaps => Self::Perhaps,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// IPv4 (true) or IPv6.
    Family(bool),
    /// Transport protocol; ours is TCP.
    Tcp(bool),
    /// Source address within one of these ranges, both ends included.
    Source(Vec<(IpAddr, IpAddr)>),
    /// Destination address.
    Destination(Vec<(IpAddr, IpAddr)>),
    /// Source port.
    SourcePort(Vec<(u16, u16)>),
    /// Destination port.
    DestinationPort(Vec<(u16, u16)>),
    /// Interface that it came in on; a `*` at the end stands for anything.
    Interface(Vec<String>),
    /// Whether the state of a new connection is among those asked for.
    New(bool),
    /// SYN without ACK.
    Syn,
    /// Anything else.
    Unknown,
    /// The contrary.
    Not(Box<Self>),
}

impl Test {
    pub(super) fn holds(&self, packet: &Packet) -> Holds {
        match self {
            Self::Family(v4) => (packet.source.is_ipv4() == *v4).into(),
            Self::Tcp(tcp) => (*tcp).into(),
            Self::Source(ranges) => within(ranges, &packet.source).into(),
            Self::Destination(ranges) => within(ranges, &packet.destination).into(),
            Self::SourcePort(ranges) => within(ranges, &packet.source_port).into(),
            Self::DestinationPort(ranges) => within(ranges, &packet.destination_port).into(),
            Self::Interface(names) => match &packet.interface {
                Some(own) => names.iter().any(|name| is_interface(name, own)).into(),
                None => Holds::Perhaps,
            },
            // later packets may be of any state, and netfilter may never have seen their connection
            Self::New(new) => {
                if packet.is_syn {
                    (*new).into()
                } else {
                    Holds::Perhaps
                }
            }
            Self::Syn => packet.is_syn.into(),
            Self::Unknown => Holds::Perhaps,
            Self::Not(test) => test.holds(packet).not(),
        }
    }
}

fn within<T: PartialOrd>(ranges: &[(T, T)], value: &T) -> bool {
    ranges.iter().any(|(first, last)| first <= value && value <= last)
}

fn is_interface(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Accept,
    Drop,
    Reject,
    Return,
    Jump(String),
    Goto(String),
    /// Sent to another address or port; `None`: as it was. Ends the walk like `Accept`.
    Translate(Option<IpAddr>, Option<u16>),
    /// Goes on with the next rule, or with something that is not known here.
    Continue,
    /// By a map of verdicts: the first whose key holds; else goes on.
    Map(Vec<(Test, Self)>),
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) tests: Vec<Test>,
    pub(super) action: Action,
    /// Names the rule among those of its ruleset.
    pub(super) key: String,
    /// As the tool lists it.
    pub(super) text: String,
    /// Packets that it matched, if it counts.
    pub(super) packets: Option<u64>,
}

/// A chain that the kernel calls.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Base {
    /// `prerouting`, `input`, `forward`, `output`, `postrouting`, `ingress`, in small letters.
    pub(super) hook: String,
    pub(super) priority: i64,
    pub(super) drops: bool,
    /// Packets that reached its policy, if that is counted.
    pub(super) policy_packets: Option<u64>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chain {
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// A table of one tool.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    /// `nft`, `iptables`, `ip6tables-legacy`, ...
    pub(super) tool: String,
    /// Family and name, as in `inet filter`.
    pub(super) name: String,
    /// `Some(true)`: IPv4 only; `Some(false)`: IPv6 only.
    pub(super) v4: Option<bool>,
    pub(super) chains: BTreeMap<String, Chain>,
}

/// A rule, or a chain's policy, that can have dropped the packet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) tool: String,
    pub(super) table: String,
    pub(super) chain: String,
    pub(super) text: String,
    /// Names it across listings.
    pub(super) key: String,
    pub(super) packets: Option<u64>,
    pub(super) rejects: bool,
    /// All its conditions are known to hold.
    pub(super) certain: bool,
}

/// Every rule and policy of these tables that can have dropped the packet, in the order it meets them.
/// Where one certainly has, what lies behind it is left out.
pub(super) fn candidates(tables: &[Table], packet: &Packet) -> Vec<Candidate> {
    let mut chains: Vec<(u8, i64, &Table, &String, &Chain, &Base)> = tables
        .iter()
        .filter(|table| table.v4.is_none_or(|v4| v4 == packet.source.is_ipv4()))
        .flat_map(|table| table.chains.iter().map(move |(name, chain)| (table, name, chain)))
        .filter_map(|(table, name, chain)| {
            let base = chain.base.as_ref()?;
            Some((stage(&base.hook, packet)?, base.priority, table, name, chain, base))
        })
        .collect();
    chains.sort_by_key(|(stage, priority, ..)| (*stage, *priority));
    let mut walk = Walk { packet, found: Vec::new() };
    let mut over: Option<u8> = None;
    for (stage, _, table, name, chain, base) in chains {
        // a packet meets input or forward: what ended in the one may as well have ended in the other
        if over.is_some_and(|ended| ended <= stage && !(ended == INPUT && stage == FORWARD)) {
            continue;
        }
        let ended = match walk.chain(table, name, chain, true, 0) {
            End::Dropped => true,
            End::Through(certain) if base.drops => {
                walk.policy(table, name, base, certain);
                certain
            }
            End::Accepted | End::Unsure | End::Through(_) => false,
        };
        if ended {
            over = Some(over.map_or(stage, |before| before.min(stage)));
        }
    }
    walk.found
}

const INPUT: u8 = 2;
const FORWARD: u8 = 3;

/// When a packet meets a hook; `None` if never.
fn stage(hook: &str, packet: &Packet) -> Option<u8> {
    match (hook, packet.outgoing) {
        ("ingress", false) => Some(0),
        ("prerouting", false) => Some(1),
        ("input", false) if packet.local != Some(false) => Some(INPUT),
        ("forward", false) if packet.local != Some(true) => Some(FORWARD),
        ("output", true) => Some(4),
        ("postrouting", outgoing) if outgoing || packet.local != Some(true) => Some(5),
        ("egress", outgoing) if outgoing || packet.local != Some(true) => Some(6),
        _ => None,
    }
}

/// How a packet leaves a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Dropped,
    Accepted,
    /// In one way or another, but not at its end.
    Unsure,
    /// At its end, or by a return; whether that is certain.
    Through(bool),
}

struct Walk<'a> {
    packet: &'a Packet,
    found: Vec<Candidate>,
}

impl Walk<'_> {
    /// `sure`: the packet certainly gets here.
    fn chain(&mut self, table: &Table, name: &str, chain: &Chain, sure: bool, depth: usize) -> End {
        if depth > DEPTH_MAX {
            return End::Through(false);
        }
        // a packet that gets here certainly gets to the next rule, unless one before it drops it
        let mut certain = true;
        for rule in &chain.rules {
            let holds = rule.tests.iter().map(|test| test.holds(self.packet)).min().unwrap_or(Holds::Yes);
            if holds == Holds::No {
                continue;
            }
            let sure = sure && certain && holds == Holds::Yes;
            match (self.act(table, name, rule, &rule.action, sure, depth), holds) {
                (Step::Ends(End::Through(through)), Holds::Yes) => return End::Through(through && certain),
                (Step::Ends(end), Holds::Yes) => return if certain { end } else { End::Unsure },
                (Step::Ends(End::Dropped), _) => {}
                (Step::Ends(_), _) => certain = false,
                (Step::GoesOn(on), _) => certain = certain && on,
            }
        }
        End::Through(certain)
    }

    fn act(&mut self, table: &Table, chain: &str, rule: &Rule, action: &Action, sure: bool, depth: usize) -> Step {
        match action {
            Action::Accept | Action::Translate(..) => Step::Ends(End::Accepted),
            Action::Return => Step::Ends(End::Through(true)),
            Action::Drop | Action::Reject => {
                self.found.push(Candidate {
                    tool: table.tool.clone(),
                    table: table.name.clone(),
                    chain: chain.to_owned(),
                    text: rule.text.clone(),
                    key: format!("{} {} {}", table.tool, table.name, rule.key),
                    packets: rule.packets,
                    rejects: *action == Action::Reject,
                    certain: sure,
                });
                Step::Ends(End::Dropped)
            }
            Action::Jump(target) | Action::Goto(target) => {
                let Some(next) = table.chains.get(target) else { return Step::GoesOn(false) };
                match (self.chain(table, target, next, sure, depth.saturating_add(1)), action) {
                    (End::Through(certain), Action::Jump(_)) => Step::GoesOn(certain),
                    (end, _) => Step::Ends(end),
                }
            }
            Action::Continue => Step::GoesOn(true),
            Action::Map(entries) => self.map(table, chain, rule, entries, sure, depth),
        }
    }

    fn map(
        &mut self,
        table: &Table,
        chain: &str,
        rule: &Rule,
        entries: &[(Test, Action)],
        sure: bool,
        depth: usize,
    ) -> Step {
        for (test, action) in entries {
            match test.holds(self.packet) {
                Holds::No => {}
                Holds::Yes => return self.act(table, chain, rule, action, sure, depth),
                Holds::Perhaps => {
                    self.act(table, chain, rule, action, false, depth);
                    return Step::GoesOn(false);
                }
            }
        }
        Step::GoesOn(true)
    }

    fn policy(&mut self, table: &Table, name: &str, base: &Base, certain: bool) {
        self.found.push(Candidate {
            tool: table.tool.clone(),
            table: table.name.clone(),
            chain: name.to_owned(),
            text: "policy drop".to_owned(),
            key: format!("{} {} policy {name}", table.tool, table.name),
            packets: base.policy_packets,
            rejects: false,
            certain,
        });
    }
}

/// What comes after a rule that matched.
enum Step {
    Ends(End),
    /// The next rule; whether that is certain.
    GoesOn(bool),
}

/// How many packets each rule had matched at an earlier listing, by [`Candidate::key`].
pub(super) type Counters = BTreeMap<String, u64>;

/// All counters of these tables.
pub(super) fn counters(tables: &[Table]) -> Counters {
    let rules = |table: &Table| {
        let prefix = format!("{} {}", table.tool, table.name);
        let of_chain = |(name, chain): (&String, &Chain)| {
            let policy =
                chain.base.as_ref().and_then(|base| Some((format!("{prefix} policy {name}"), base.policy_packets?)));
            let rules = chain.rules.iter().filter_map(|rule| Some((format!("{prefix} {}", rule.key), rule.packets?)));
            rules.chain(policy).collect::<Vec<_>>()
        };
        table.chains.iter().flat_map(of_chain).collect::<Vec<_>>()
    };
    tables.iter().flat_map(rules).collect()
}

/// The one among the candidates that dropped, and whether its counter says so. `before`: the counters
/// of a listing from before the drop, if there is one, while the candidates' are from after it.
pub(super) fn choose(candidates: &[Candidate], before: Option<&Counters>) -> Option<(Candidate, bool)> {
    let moved = |candidate: &Candidate| Some(candidate.packets? > *before?.get(&candidate.key)?);
    let mut that_moved = candidates.iter().filter(|candidate| moved(candidate) == Some(true));
    let others_stood =
        || candidates.iter().filter(|candidate| moved(candidate) == Some(false)).count() + 1 == candidates.len();
    if let (Some(one), None) = (that_moved.next(), that_moved.next())
        && others_stood()
    {
        return Some((one.clone(), true));
    }
    match candidates {
        // a counter that stood still speaks against its rule
        [one] if one.certain && moved(one).is_none() => Some((one.clone(), false)),
        _ => None,
    }
}

#[cfg(test)]
#[path = "ruleset_tests.rs"]
mod tests;
