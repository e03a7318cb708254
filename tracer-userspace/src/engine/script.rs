//! A small language for tests: records of made-up attempts, and what the engine says of them.
//!
//! long: it has a word for each thing a kernel or a look-up can say, and words of one language
//! belong together.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::evidence::address_bytes;
use super::{Engine, Output, Summary};
use crate::record::{
    BootTime, Exchange, FlowRecord, HandshakeRecord, Header, HostBody, HostRecord, IcmpRecord, Listener, ListenerEvent,
    Loss, Namespace, PacketRecord, PathReport, PortCount, PortCounts, Pressure, ProcessInfo, ProcessRecord, Record,
    Rule, SocketRecord, Start, Symbol, Tick, Tuple, Watched, kind, packet_flag, socket_flag, tcp_flag, tcp_state,
};
use crate::verdict::Verdict;

pub(super) const SERVER: u32 = 1;
pub(super) const CLIENT: u32 = 2;
pub(super) const ROUTER: u32 = 3;
pub(super) const PORT: u16 = 8080;

pub(super) const NETFILTER_DROP: u32 = 11;
const NO_SOCKET: u32 = 3;
const NEIGH_FAILED: u32 = 58;
pub(super) const OTHER: u32 = 70;
const NOT_SPECIFIED: u32 = 2;
const OTHERHOST: u32 = 20;

/// Where drops happen; a symbol's number is its place here, from 1.
const SYMBOLS: [&str; 6] =
    ["tcp_v4_rcv", "tcp_v6_rcv", "nf_hook_slow", "neigh_invalidate", "ip_rcv_finish_core", "ip_rcv_core"];

/// Records in the making. Times are milliseconds; what is not said stays as it was.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) records: Vec<Record>,
    pub(super) now_us: u64,
    pub(super) isn: u32,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) netns: u32,
    /// When the current attempt's first SYN was sent.
    started_us: u64,
    retransmits: u32,
    pub(super) syns_sent: u32,
    pub(super) pid: u32,
    with_reasons: bool,
    /// The port is not watched: who connects serves one that is.
    pub(super) chained: bool,
    /// The connection that what follows is about, as its next record has it.
    pub(super) flow: FlowRecord,
    /// What was read of its exchange's heads.
    pub(super) heads: Option<Exchange>,
}

/// Watching port 8080 on a kernel that gives reasons, with a server's and a client's namespace whose
/// addresses are not known.
pub(super) fn script() -> Script {
    let reasons = [
        (NO_SOCKET, "NO_SOCKET"),
        (NETFILTER_DROP, "NETFILTER_DROP"),
        (NEIGH_FAILED, "NEIGH_FAILED"),
        (OTHER, "IP_RPFILTER"),
        (NOT_SPECIFIED, "NOT_SPECIFIED"),
        (OTHERHOST, "OTHERHOST"),
    ];
    let start = Start {
        ports: vec![PORT],
        drop_reasons: reasons.iter().map(|(number, name)| (*number, (*name).to_owned())).collect(),
        ..Start::default()
    };
    let mut script = Script {
        records: Vec::new(),
        now_us: 1_000_000,
        isn: 0,
        client: "10.9.1.2:40000".parse().unwrap(),
        server: "10.9.2.2:8080".parse().unwrap(),
        netns: SERVER,
        started_us: 0,
        retransmits: 0,
        syns_sent: 1,
        pid: 77,
        with_reasons: true,
        chained: false,
        flow: FlowRecord::default(),
        heads: None,
    };
    script.host(0, HostBody::Start(Box::new(start)));
    script.attempt(1)
}

impl Script {
    pub(super) fn host(&mut self, netns: u32, body: HostBody) {
        self.records.push(Record::Host(HostRecord { time: BootTime::from_ns(self.now_us * 1000), netns, body }));
    }

    pub(super) fn with(mut self, netns: u32, body: HostBody) -> Self {
        self.host(netns, body);
        self
    }

    /// What follows happens `ms` after the script's beginning.
    pub(super) fn at(mut self, ms: u64) -> Self {
        self.now_us = 1_000_000 + ms * 1000;
        self
    }

    /// What follows is about attempt `n`, whose first SYN is sent now.
    pub(super) fn attempt(mut self, n: u16) -> Self {
        self.isn = 5000 + u32::from(n);
        self.client.set_port(40_000 + n);
        self.started_us = self.now_us;
        self.retransmits = 0;
        self.syns_sent = 1;
        self
    }

    /// What follows is over IPv6.
    pub(super) fn v6(mut self) -> Self {
        self.client.set_ip("fd00:1::2".parse().unwrap());
        self.server.set_ip("fd00:2::2".parse().unwrap());
        self
    }

    pub(super) fn from(mut self, client: &str) -> Self {
        self.client.set_ip(client.parse().unwrap());
        self
    }

    pub(super) fn to(mut self, server: &str) -> Self {
        self.server = server.parse().unwrap();
        self
    }

    /// Where what follows is seen.
    pub(super) fn in_ns(mut self, netns: u32) -> Self {
        self.netns = netns;
        self
    }

    pub(super) fn unsent_syns(mut self) -> Self {
        self.syns_sent = 0;
        self
    }

    /// A kernel before 5.17: drops have a place only.
    pub(super) fn without_reasons(mut self) -> Self {
        self.with_reasons = false;
        self
    }

    /// Addresses of the client's, the server's and a router's namespace are known.
    pub(super) fn addresses(self) -> Self {
        self.namespace(SERVER, "server", &["10.9.2.2", "fd00:2::2"])
            .namespace(CLIENT, "client", &["10.9.1.2", "fd00:1::2"])
            .namespace(ROUTER, "router", &["10.9.1.1", "10.9.2.1", "fd00:1::1", "fd00:2::1"])
    }

    pub(super) fn namespace(self, netns: u32, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.with(netns, HostBody::Namespace(Namespace { name: name.to_owned(), addresses, watched: true }))
    }

    pub(super) fn tick(self) -> Self {
        self.with(0, HostBody::Tick(Tick::default()))
    }

    pub(super) fn watch(self, ports: &[u16]) -> Self {
        self.with(0, HostBody::Watched(Watched { ports: ports.to_vec() }))
    }

    pub(super) fn lost(self, count: u64) -> Self {
        self.with(0, HostBody::Loss(Loss::now("ring-full", count)))
    }

    pub(super) fn process(self, pid: u32, comm: &str, unit: &str) -> Self {
        let unit = Some(unit.to_owned());
        self.with(0, HostBody::Process(ProcessInfo { pid, comm: comm.to_owned(), unit, container: None }))
    }

    /// The rule behind the drop of the attempt's SYN was found.
    pub(super) fn rule(self, rule: &str, rejects: bool) -> Self {
        let (source, destination, netns) = (self.client, self.server, self.netns);
        let (tool, table, chain) = ("nft".to_owned(), "inet filter".to_owned(), "input".to_owned());
        let rule = Rule { source, destination, tool, table, chain, rule: rule.to_owned(), counted: true, rejects };
        self.with(netns, HostBody::Rule(Box::new(rule)))
    }

    /// A process ended, as wait(2) says it.
    pub(super) fn exits(mut self, pid: u32, exit_code: u32) -> Self {
        let header = Header { kind: kind::PROCESS_EXIT, time_ns: self.now_us * 1000, ..Header::default() };
        self.records.push(Record::Process(ProcessRecord { header, pid, exit_code, ..ProcessRecord::default() }));
        self
    }

    pub(super) fn counts(self, count: PortCount) -> Self {
        self.with(0, HostBody::Ports(PortCounts { ports: vec![PortCount { port: PORT, ..count }] }))
    }

    /// The look at the way to the server.
    pub(super) fn path(self, set: impl FnOnce(&mut PathReport)) -> Self {
        let mut report = PathReport {
            destination: self.server.ip(),
            route_error: 0,
            gateway: None,
            neighbour: crate::record::Neighbour::Unknown,
            local: false,
            port: self.server.port(),
            progressing_flows: 0,
        };
        set(&mut report);
        let netns = self.netns;
        self.with(netns, HostBody::Path(report))
    }

    /// A listener that was there before recording began.
    pub(super) fn listener(self, inode: u64, address: &str) -> Self {
        let netns = self.netns;
        let (address, v6_only) = bound(address);
        let event = ListenerEvent::Present;
        let listener = Listener { inode, address, port: PORT, v6_only, pid: 812, backlog: (0, 128), event };
        self.with(netns, HostBody::Listener(listener))
    }

    pub(super) fn listens(self, inode: u64, address: &str) -> Self {
        self.listen_state(inode, address, tcp_state::CLOSE, tcp_state::LISTEN)
    }

    pub(super) fn stops_listening(self, inode: u64, address: &str) -> Self {
        self.listen_state(inode, address, tcp_state::LISTEN, tcp_state::CLOSE)
    }

    fn listen_state(mut self, inode: u64, address: &str, old_state: u8, new_state: u8) -> Self {
        let (address, v6_only) = bound(address);
        let tuple = Tuple { src: address_bytes(address), src_port: PORT, ..Tuple::default() };
        let flags = socket_flag::HAS_TASK | if v6_only { socket_flag::V6_ONLY } else { 0 };
        let header = self.header(kind::SOCKET_STATE);
        let (pid, comm) = (812, comm("gunicorn"));
        let record =
            SocketRecord { header, tuple, inode, flags, pid, comm, old_state, new_state, ..Default::default() };
        self.records.push(Record::Socket(record));
        self
    }

    pub(super) fn header(&self, kind: u16) -> Header {
        Header { kind, time_ns: self.now_us * 1000, netns: self.netns, ..Header::default() }
    }

    /// The packet from client to server.
    pub(super) fn there(&self) -> Tuple {
        Tuple {
            src: address_bytes(self.client.ip()),
            dst: address_bytes(self.server.ip()),
            src_port: self.client.port(),
            dst_port: self.server.port(),
            pad: 0,
        }
    }

    /// The packet from server to client.
    pub(super) fn back(&self) -> Tuple {
        let Tuple { src, dst, src_port, dst_port, pad } = self.there();
        Tuple { src: dst, dst: src, src_port: dst_port, dst_port: src_port, pad }
    }

    pub(super) fn drop_of(mut self, reason: u32, symbol: &str, flags: u16, syn_ack: bool) -> Self {
        let location = u64::try_from(SYMBOLS.iter().position(|known| *known == symbol).unwrap() + 1).unwrap();
        self.host(0, HostBody::Symbol(Symbol { id: location, name: symbol.to_owned() }));
        let (tuple, seq, ack, tcp_flags) = if syn_ack {
            (self.back(), 99, self.isn + 1, tcp_flag::SYN | tcp_flag::ACK)
        } else {
            (self.there(), self.isn, 0, tcp_flag::SYN)
        };
        let (reason, flags) = if self.with_reasons { (reason, flags | packet_flag::HAS_REASON) } else { (0, flags) };
        let header = self.header(kind::PACKET_DROP);
        let socket_state = match (flags & packet_flag::HAS_SOCKET != 0, syn_ack) {
            (false, _) => 0,
            (true, false) => tcp_state::SYN_SENT,
            (true, true) => 12, // TCP_NEW_SYN_RECV
        };
        let record = PacketRecord {
            header,
            tuple,
            location,
            reason,
            seq,
            ack,
            flags,
            tcp_flags,
            socket_state,
            ..PacketRecord::default()
        };
        self.records.push(Record::Packet(record));
        self
    }

    /// The last packet differs from the usual.
    pub(super) fn but(mut self, set: impl FnOnce(&mut PacketRecord)) -> Self {
        if let Some(Record::Packet(record)) = self.records.last_mut() {
            set(record);
        }
        self
    }

    pub(super) fn no_socket(self) -> Self {
        let symbol = if self.server.is_ipv4() { "tcp_v4_rcv" } else { "tcp_v6_rcv" };
        self.drop_of(NO_SOCKET, symbol, 0, false)
    }

    /// Netfilter drops the SYN on its way in, or through.
    pub(super) fn netfilter(self) -> Self {
        self.drop_of(NETFILTER_DROP, "nf_hook_slow", 0, false)
    }

    /// Netfilter drops the SYN on its way out of its own host.
    pub(super) fn own_netfilter(self) -> Self {
        self.drop_of(NETFILTER_DROP, "nf_hook_slow", packet_flag::HAS_SOCKET, false)
    }

    pub(super) fn netfilter_syn_ack(self, has_socket: bool) -> Self {
        let flags = if has_socket { packet_flag::HAS_SOCKET } else { 0 };
        self.drop_of(NETFILTER_DROP, "nf_hook_slow", flags, true)
    }

    /// The SYN-ACK came when the socket that asked was gone.
    pub(super) fn syn_ack_unfound(self) -> Self {
        self.drop_of(NO_SOCKET, "tcp_v4_rcv", 0, true)
    }

    pub(super) fn neighbour_failed(self, has_socket: bool) -> Self {
        let flags = if has_socket { packet_flag::HAS_SOCKET } else { 0 };
        self.drop_of(NEIGH_FAILED, "neigh_invalidate", flags, false)
    }

    pub(super) fn other_drop(self) -> Self {
        self.drop_of(OTHER, "ip_rcv_finish_core", 0, false)
    }

    /// The drop of a packet that means nothing: another host's.
    pub(super) fn other_hosts(self) -> Self {
        self.drop_of(OTHERHOST, "ip_rcv_core", 0, false)
    }

    /// The drop of a SYN that repeats one being answered: only its place is known.
    pub(super) fn repeated_syn(self) -> Self {
        self.drop_of(NOT_SPECIFIED, "tcp_v4_rcv", 0, false)
    }

    fn handshake(mut self, kind: u16, set: impl FnOnce(&mut HandshakeRecord)) -> Self {
        let (header, tuple, isn) = (self.header(kind), self.back(), self.isn);
        let mut record = HandshakeRecord { header, tuple, isn, backlog: 129, backlog_limit: 128, ..Default::default() };
        set(&mut record);
        self.records.push(Record::Handshake(record));
        self
    }

    /// A listener was full.
    pub(super) fn full(self, flags: u32) -> Self {
        self.handshake(kind::LISTENER_FULL, |record| record.flags = flags)
    }

    /// A SYN-ACK was sent again.
    pub(super) fn syn_ack_again(self, retransmits: u32, syns_repeated: u32) -> Self {
        self.handshake(kind::SYN_ACK_RETRANSMIT, |record| {
            (record.backlog, record.retransmits, record.syns_repeated) = (0, retransmits, syns_repeated);
        })
    }

    /// Connection tracking as it was read.
    pub(super) fn conntrack(self, count: u64, drops: u64) -> Self {
        let netns = self.netns;
        self.with(
            netns,
            HostBody::Pressure(Pressure {
                conntrack_count: Some(count),
                conntrack_limit: Some(100),
                conntrack_drops: Some(drops),
                ..Pressure::default()
            }),
        )
    }

    /// connect() found no local port.
    pub(super) fn no_port(mut self, error: u32) -> Self {
        let (isn, port) = (std::mem::take(&mut self.isn), self.client.port());
        self.client.set_port(0);
        self = self.unsent_syns().closed(error);
        self.client.set_port(port);
        self.isn = isn;
        self
    }

    /// Netfilter answers with a RST.
    pub(super) fn netfilter_reset(mut self) -> Self {
        let (header, tuple, ack) = (self.header(kind::NETFILTER_RESET), self.back(), self.isn + 1);
        let tcp_flags = tcp_flag::RST | tcp_flag::ACK;
        self.records.push(Record::Packet(PacketRecord { header, tuple, ack, tcp_flags, ..PacketRecord::default() }));
        self
    }

    /// TCP answers the SYN with a RST.
    pub(super) fn reset_sent(mut self) -> Self {
        let (header, tuple, seq) = (self.header(kind::RESET_SENT), self.there(), self.isn);
        let tcp_flags = tcp_flag::SYN;
        self.records.push(Record::Packet(PacketRecord { header, tuple, seq, tcp_flags, ..PacketRecord::default() }));
        self
    }

    fn icmp(mut self, kind: u16, from: IpAddr, icmp_type: u8, icmp_code: u8) -> Self {
        let record = IcmpRecord {
            header: self.header(kind),
            quoted: self.there(),
            icmp_src: address_bytes(from),
            icmp_dst: address_bytes(self.client.ip()),
            seq: self.isn,
            icmp_type,
            icmp_code,
            tcp_flags: 0,
            pad: 0,
        };
        self.records.push(Record::Icmp(record));
        self
    }

    pub(super) fn icmp_sent(self, icmp_type: u8, icmp_code: u8) -> Self {
        let from = self.server.ip();
        self.icmp(kind::ICMP_SENT, from, icmp_type, icmp_code)
    }

    pub(super) fn icmp_received(self, icmp_type: u8, icmp_code: u8) -> Self {
        let from = self.server.ip();
        self.icmp(kind::ICMP_RECEIVED, from, icmp_type, icmp_code)
    }

    pub(super) fn icmp_received_from(self, from: &str, icmp_type: u8, icmp_code: u8) -> Self {
        self.icmp(kind::ICMP_RECEIVED, from.parse().unwrap(), icmp_type, icmp_code)
    }

    fn socket(mut self, kind: u16, error: u32, old_state: u8, new_state: u8) -> Self {
        let inbound = old_state == tcp_state::SYN_RECV;
        let record = SocketRecord {
            header: self.header(kind),
            tuple: if inbound { self.back() } else { self.there() },
            started_ns: self.started_us * 1000,
            inode: if inbound { 0 } else { 900_000 + u64::from(self.client.port()) },
            isn: self.isn,
            error,
            syns_sent: self.syns_sent,
            retransmits: self.retransmits,
            flags: socket_flag::HAS_TASK | if self.chained { socket_flag::CHAINED } else { 0 },
            pid: self.pid,
            comm: comm("curl"),
            old_state,
            new_state,
            pad: [0; 6],
        };
        self.records.push(Record::Socket(record));
        self
    }

    pub(super) fn retransmit(mut self) -> Self {
        self.retransmits += 1;
        self.syns_sent += u32::from(self.syns_sent > 0);
        self.socket(kind::SYN_RETRANSMIT, 0, tcp_state::SYN_SENT, tcp_state::SYN_SENT)
    }

    pub(super) fn reset_received(self) -> Self {
        self.socket(kind::RESET_RECEIVED, 0, tcp_state::SYN_SENT, tcp_state::SYN_SENT)
    }

    pub(super) fn socket_error(self, error: u32) -> Self {
        self.socket(kind::SOCKET_ERROR, error, tcp_state::SYN_SENT, tcp_state::SYN_SENT)
    }

    pub(super) fn closed(self, error: u32) -> Self {
        self.socket(kind::SOCKET_STATE, error, tcp_state::SYN_SENT, tcp_state::CLOSE)
    }

    pub(super) fn connected(self) -> Self {
        self.socket(kind::SOCKET_STATE, 0, tcp_state::SYN_SENT, tcp_state::ESTABLISHED)
    }

    pub(super) fn accepted(self) -> Self {
        self.socket(kind::SOCKET_STATE, 0, tcp_state::SYN_RECV, tcp_state::ESTABLISHED)
    }

    /// connect() came back before a SYN was sent.
    pub(super) fn unsent(mut self, error: u32) -> Self {
        let (isn, port) = (std::mem::take(&mut self.isn), self.client.port());
        self.client.set_port(0);
        self = self.socket(kind::CONNECT_UNSENT, error, tcp_state::CLOSE, tcp_state::CLOSE);
        self.client.set_port(port);
        self.isn = isn;
        self
    }
}

impl From<Script> for Vec<Record> {
    fn from(script: Script) -> Self {
        script.records
    }
}

pub(super) fn comm(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// `[::]!` is an IPv6-only socket.
fn bound(address: &str) -> (IpAddr, bool) {
    (address.trim_end_matches('!').parse().unwrap(), address.ends_with('!'))
}

/// What the engine says of these records.
pub(super) fn run(records: &[Record]) -> Vec<Output> {
    let mut engine = Engine::new();
    let mut out = Vec::new();
    for record in records {
        engine.push(record, &mut out);
    }
    engine.finish(&mut out);
    out
}

pub(super) fn verdicts(out: &[Output]) -> Vec<&Verdict> {
    out.iter()
        .filter_map(|output| match output {
            Output::Verdict(verdict) => Some(verdict.as_ref()),
            _ => None,
        })
        .collect()
}

pub(super) fn summary(out: &[Output]) -> &Summary {
    match out.last() {
        Some(Output::Summary(summary)) => summary,
        other => panic!("the last line is {other:?}"),
    }
}

/// A verdict in one line: slug, role, confidence, expected status, then what makes it differ: stage,
/// health check, alternatives, count, who answered but the app, cause.
fn line(verdict: &Verdict) -> String {
    let mut line = format!("{} {:?} {:?}", verdict.slug, verdict.role, verdict.confidence).to_lowercase();
    write!(line, " {}", verdict.expected_status.unwrap_or(0)).unwrap();
    if let Some(stage) = &verdict.stage {
        write!(line, " {stage}").unwrap();
    }
    if verdict.health_check {
        line.push_str(" health-check");
    }
    if !verdict.alternatives.is_empty() {
        let names: Vec<_> = verdict.alternatives.iter().map(|slug| slug.as_str()).collect();
        write!(line, " or {}", names.join(" ")).unwrap();
    }
    if verdict.count != 1 {
        write!(line, " x{}", verdict.count).unwrap();
    }
    if let Some(origin) = verdict.http.origin.as_ref().filter(|origin| *origin != "app") {
        write!(line, " by {origin}").unwrap();
    }
    if let Some(cause) = &verdict.cause {
        write!(line, " <- {}", self::line(cause)).unwrap();
    }
    line
}

/// Runs a script; its verdicts, and what was counted instead of a verdict, must be as expected.
#[track_caller]
pub(super) fn check(script: impl Into<Vec<Record>>, expected: &[&str]) -> Vec<Output> {
    let out = run(&script.into());
    let mut said: Vec<String> = verdicts(&out).into_iter().map(line).collect();
    let summary = summary(&out);
    for (name, count) in [("undecided", summary.undecided), ("abandoned", summary.abandoned), ("late", summary.late)] {
        if count > 0 {
            said.push(format!("{name} {count}"));
        }
    }
    said.extend(summary.recovered.iter().map(|(slug, count)| format!("recovered {slug} {count}")));
    assert_eq!(said, expected);
    invariants(&out);
    out
}

/// What holds for every stream.
#[track_caller]
pub(super) fn invariants(out: &[Output]) {
    for verdict in verdicts(out) {
        assert!(verdict.alternatives.is_sorted(), "{verdict:?}");
        assert!(verdict.evidence.is_sorted_by_key(|item| item.time), "{verdict:?}");
        assert!((1..=crate::verdict::MAX_EVIDENCE).contains(&verdict.evidence.len()), "{verdict:?}");
        assert!(verdict.started <= verdict.time, "{verdict:?}");
        assert!(!verdict.summary.is_empty() && !verdict.next.is_empty(), "{verdict:?}");
        assert!(!verdict.alternatives.contains(&verdict.slug), "{verdict:?}");
        let certain = verdict.confidence == crate::verdict::Confidence::Certain;
        assert!(!certain || verdict.alternatives.is_empty(), "{verdict:?}");
    }
    let total: u64 = verdicts(out).iter().map(|verdict| verdict.count).sum();
    assert_eq!(total, summary(out).verdicts.values().sum::<u64>());
}
