//! Which firewall rule dropped a packet, as far as a look at the rules tells. Nothing is ever changed,
//! and no kernel module is loaded: what is not in use is not listed.
//!
//! Listing takes tens of milliseconds, so it is done on a thread of its own; what it finds goes into the
//! stream when it is there. A verdict that rests on a drop waits longer than that.

mod command;
mod iptables;
mod nft;
mod publications;
mod ruleset;
mod waiting;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use self::command::{is_installed, output};
use self::ruleset::{Candidate, Counters, Packet, Table, candidates, choose, counters};
use self::waiting::{Dropped, Question, WAITING_MAX, Waiting};
use super::clock::boot_time;
use super::host::{NetNamespace, inside};
use crate::record::{BootTime, HostBody, HostRecord, PacketRecord, Publications, Rule, packet_flag, tcp_flag};
use crate::verdict::address;

/// The same packet, but for its source port, is asked about this often.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The rules of one namespace are listed this often, and rarer where that takes long: at most a tenth
/// of the time goes into it.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// A listing is waited for so long at most: a verdict on a drop is held for three seconds.
const WAIT_AT_MOST: Duration = Duration::from_secs(2);
/// Kinds of packets remembered as asked about.
const ASKED_MAX: usize = 4096;

/// The tools that list rules, and what each is for.
pub const TOOLS: [&str; 5] =
    ["nft", "iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"];

/// Whether any tool is there that lists rules.
pub fn can_list() -> bool {
    TOOLS.iter().any(|tool| is_installed(tool))
}

/// Namespace, source, destination, port at the destination.
type Kind = (u32, IpAddr, IpAddr, u16);

/// Asks, and takes the answers.
#[derive(Debug)]
pub(super) struct RuleFinder {
    questions: Option<SyncSender<Question>>,
    answers: Option<Receiver<HostRecord>>,
    asked: HashMap<Kind, BootTime>,
    /// `nf_tables` is part of the kernel.
    built_in: bool,
    netfilter_drop: Option<u32>,
}

impl RuleFinder {
    /// A finder; its thread starts with the first question. `netfilter_drop`: the number of that drop
    /// reason, where the kernel has reasons.
    pub(super) fn new(built_in: bool, netfilter_drop: Option<u32>) -> Self {
        Self { questions: None, answers: None, asked: HashMap::new(), built_in, netfilter_drop }
    }

    /// Whether netfilter dropped this, by its reason, or before there were reasons by the `function`.
    pub(super) fn is_by_netfilter(&self, packet: &PacketRecord, function: Option<&str>) -> bool {
        match self.netfilter_drop {
            Some(reason) => packet.flags & packet_flag::HAS_REASON != 0 && packet.reason == reason,
            None => matches!(function, Some("nf_hook_slow" | "nft_do_chain" | "ipt_do_table" | "ip6t_do_table")),
        }
    }

    /// Lists the rules of a namespace now, so that a counter that moves later tells.
    pub(super) fn expect(&mut self, namespace: &NetNamespace) {
        self.send(Question::Baseline(namespace.clone()));
    }

    /// Asks which rule dropped this packet. `local`: whether it was for the namespace itself, if known.
    pub(super) fn ask(&mut self, namespace: &NetNamespace, packet: &PacketRecord, local: Option<bool>) {
        let time = BootTime::from_ns(packet.header.time_ns);
        let (source, destination) = (address(packet.tuple.src), address(packet.tuple.dst));
        let kind = (namespace.inode, source, destination, packet.tuple.dst_port);
        if self.asked.get(&kind).is_some_and(|asked| time.since(*asked) < ASK_EVERY) {
            return;
        }
        if self.asked.len() >= ASKED_MAX {
            self.asked.retain(|_kind, asked| time.since(*asked) < ASK_EVERY);
            if self.asked.len() >= ASKED_MAX {
                return;
            }
        }
        self.asked.insert(kind, time);
        let dropped = Dropped { namespace: namespace.clone(), packet: *packet, local };
        self.send(Question::Packet(Box::new(dropped)));
    }

    /// The published ports of a namespace among these; reads its NAT rules now.
    pub(super) fn publications(&self, namespace: &NetNamespace, ports: &[u16]) -> Publications {
        let built_in = self.built_in;
        let tables = inside(namespace, || listing(built_in).0).unwrap_or_default();
        Publications { publications: publications::publications(&tables, ports) }
    }

    /// The rules found since the last call.
    pub(super) fn take_found(&mut self) -> Vec<HostRecord> {
        self.answers.as_ref().map(|answers| answers.try_iter().collect()).unwrap_or_default()
    }

    fn send(&mut self, question: Question) {
        if self.questions.is_none() {
            let (questions, waiting) = sync_channel(WAITING_MAX);
            let (found, answers) = sync_channel(WAITING_MAX);
            let built_in = self.built_in;
            let thread = thread::Builder::new().name("firewall-rules".to_owned());
            match thread.spawn(move || Lister::new(built_in).answer(&waiting, &found)) {
                Ok(_detached) => (self.questions, self.answers) = (Some(questions), Some(answers)),
                Err(error) => log::info!("firewall rules are not looked up: {error}"),
            }
        }
        if let Some(questions) = &self.questions
            && let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = questions.try_send(question)
        {
            log::debug!("a firewall rule is not looked up: too many are");
        }
    }
}

/// A listing.
#[derive(Debug)]
struct Listed {
    at: BootTime,
    /// When it may be made again.
    next: BootTime,
    tables: Vec<Table>,
    /// The counters of the listing before.
    before: Option<Counters>,
    /// Texts of nft's rules.
    texts: BTreeMap<String, String>,
}

/// What the thread knows.
#[derive(Debug)]
struct Lister {
    built_in: bool,
    listed: HashMap<u32, Listed>,
}

impl Lister {
    fn new(built_in: bool) -> Self {
        Self { built_in, listed: HashMap::new() }
    }

    /// Until nobody asks any more.
    fn answer(&mut self, questions: &Receiver<Question>, found: &SyncSender<HostRecord>) {
        let mut waiting = Waiting::default();
        while let Some(question) = waiting.next(questions, |dropped| self.due(dropped), boot_time) {
            match question {
                Question::Baseline(namespace) => self.list(&namespace),
                Question::Packet(dropped) => {
                    let Some(rule) = self.rule(&dropped) else { continue };
                    let (time, netns) = (boot_time(), dropped.namespace.inode);
                    if found.try_send(HostRecord { time, netns, body: HostBody::Rule(Box::new(rule)) }).is_err() {
                        log::debug!("a firewall rule was found too late");
                    }
                }
            }
        }
    }

    /// When the namespace may be listed for this packet: rules change, so only a listing from after the drop says
    /// which one it was. `None` if the verdict would be told by then.
    fn due(&self, dropped: &Dropped) -> Option<BootTime> {
        let known = self.listed.get(&dropped.namespace.inode);
        let Some(known) = known.filter(|known| known.at.as_ns() < dropped.packet.header.time_ns) else {
            return Some(BootTime::default());
        };
        (known.next.since(boot_time()) <= WAIT_AT_MOST).then_some(known.next)
    }

    fn rule(&mut self, dropped: &Dropped) -> Option<Rule> {
        let Dropped { namespace, packet: record, local } = dropped;
        let packet = packet(namespace, record, *local);
        self.list(namespace);
        self.find(namespace, &packet, record.header.time_ns)
    }

    fn find(&self, namespace: &NetNamespace, packet: &Packet, drop_ns: u64) -> Option<Rule> {
        let listed = self.listed.get(&namespace.inode).filter(|listed| listed.at.as_ns() >= drop_ns)?;
        let fitting = candidates(&listed.tables, packet);
        log::debug!(
            "{} rules of {} tables fit a packet dropped in {:?}",
            fitting.len(),
            listed.tables.len(),
            namespace.name
        );
        let (one, counted) = choose(&fitting, listed.before.as_ref())?;
        let Candidate { tool, table, chain, text, key, rejects, .. } = one;
        let key = key.strip_prefix(&format!("nft {table} ")).unwrap_or_default();
        let rule = listed.texts.get(key).cloned().unwrap_or(text);
        (!rule.is_empty()).then(|| Rule {
            source: SocketAddr::new(packet.source, packet.source_port),
            destination: SocketAddr::new(packet.destination, packet.destination_port),
            tool,
            table,
            chain,
            rule,
            counted,
            rejects,
        })
    }

    /// Lists a namespace's rules, unless that was done a moment ago.
    fn list(&mut self, namespace: &NetNamespace) {
        let now = boot_time();
        let known = self.listed.get(&namespace.inode);
        if known.is_some_and(|known| known.next > now) {
            return;
        }
        let built_in = self.built_in;
        let Ok((tables, texts)) = inside(namespace, || listing(built_in)) else {
            self.listed.remove(&namespace.inode);
            return;
        };
        let before = self.listed.remove(&namespace.inode).map(|listed| counters(&listed.tables));
        // listings of namespaces that are gone
        if self.listed.len() >= WAITING_MAX {
            self.listed.retain(|_inode, listed| now.since(listed.at) < Duration::from_mins(5));
        }
        // what was counted by then had been dropped before it began
        let took = boot_time().since(now);
        // the first is made at the start, before anything is dropped
        let next = if before.is_none() { now } else { now.after(LIST_EVERY.max(took.saturating_mul(10))) };
        self.listed.insert(namespace.inode, Listed { at: now, next, tables, before, texts });
    }
}

/// All that the calling thread's namespace has in use.
fn listing(built_in: bool) -> (Vec<Table>, BTreeMap<String, String>) {
    let mut tables = Vec::new();
    let mut texts = BTreeMap::new();
    // asking a kernel for nftables' rules would load the module
    let has_nft = built_in || std::path::Path::new("/sys/module/nf_tables").exists();
    if has_nft && let Some(listed) = output("nft", &["-j", "list", "ruleset"]).and_then(|text| nft::parse(&text)) {
        if !listed.tables.is_empty() {
            texts = output("nft", &["-a", "list", "ruleset"]).map(|text| nft::texts(&text)).unwrap_or_default();
        }
        tables.extend(listed.tables);
        for family in listed.made_by_iptables {
            let v4 = family == "ip";
            let tool = if v4 { "iptables" } else { "ip6tables" };
            let saved =
                output(&format!("{tool}-nft-save"), &["-c"]).or_else(|| output(&format!("{tool}-save"), &["-c"]));
            tables.extend(saved.map(|text| iptables::parse(&text, tool, v4)).unwrap_or_default());
        }
    }
    for (v4, names, tool) in [(true, "ip_tables_names", "iptables"), (false, "ip6_tables_names", "ip6tables")] {
        let in_use = std::fs::read_to_string(format!("/proc/thread-self/net/{names}")).unwrap_or_default();
        if in_use.trim().is_empty() {
            continue;
        }
        let saved = output(&format!("{tool}-legacy-save"), &["-c"]);
        tables.extend(saved.map(|text| iptables::parse(&text, &format!("{tool}-legacy"), v4)).unwrap_or_default());
    }
    (tables, texts)
}

fn packet(namespace: &NetNamespace, record: &PacketRecord, local: Option<bool>) -> Packet {
    let is_syn = record.tcp_flags & tcp_flag::SYN != 0 && record.tcp_flags & tcp_flag::ACK == 0;
    // on its way in, early demultiplexing may have given a packet its socket already
    let outgoing = record.flags & packet_flag::HAS_SOCKET != 0 && record.ifindex == 0;
    let name = |index: u32| {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").ok()?;
        rustix::net::netdevice::index_to_name(&socket, index).ok()
    };
    let interface = if record.ifindex == 0 { None } else { inside(namespace, || name(record.ifindex)).ok().flatten() };
    Packet {
        source: address(record.tuple.src),
        destination: address(record.tuple.dst),
        source_port: record.tuple.src_port,
        destination_port: record.tuple.dst_port,
        is_syn,
        outgoing,
        local,
        interface,
    }
}
