//! A plausible mix of records, from a seed: for tests and for measuring.

use crate::record::{
    BootTime, ClockPair, Exchange, FlowRecord, Header, HostBody, HostRecord, IcmpRecord, Listener, PacketRecord,
    PortCount, PortCounts, Record, SocketRecord, Start, Tick, Tuple, flow_event, flow_flag, kind, packet_flag,
    socket_flag, stage, tcp_flag, tcp_state,
};

/// A sequence of numbers from a seed (splitmix64).
pub(crate) struct Sample {
    state: u64,
    time_ns: u64,
    /// Longest time between two records.
    gap_ns: u32,
}

/// What a small trace begins with.
pub(crate) fn start() -> Start {
    Start {
        version: "0.1.0".to_owned(),
        host: "web-1".to_owned(),
        boot_id: "00000000-1111-2222-3333-444444444444".to_owned(),
        kernel: "6.12.0".to_owned(),
        machine: "x86_64".to_owned(),
        ports: vec![8080, 8443],
        slow_ns: 10_000_000_000,
        clock: ClockPair { boot_ns: 5_000_000_000, unix_ns: 1_767_225_599_000_000_000 },
        drop_reasons: (0..90).map(|number| (number, format!("REASON_{number}"))).collect(),
        ..Start::default()
    }
}

impl Sample {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_gap(seed, 40_000)
    }

    /// With at most so much time between two records, and about half of it usually.
    pub(crate) fn with_gap(seed: u64, gap_ns: u32) -> Self {
        Self { state: seed, time_ns: 5_000_000_000, gap_ns }
    }

    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.number() % u64::from(limit)).unwrap_or_default()
    }

    fn byte(&mut self, limit: u8) -> u8 {
        u8::try_from(self.below(u32::from(limit))).unwrap_or_default()
    }

    fn header<T>(&mut self, kind: u16) -> Header {
        self.time_ns += u64::from(self.below(self.gap_ns)) + 500;
        let len = u16::try_from(size_of::<T>()).unwrap_or_default();
        Header { kind, len, cpu: self.below(4), time_ns: self.time_ns, netns: 4_026_531_840, reserved: 0 }
    }

    /// A client of a handful, with a new port, towards 10.9.2.2:8080.
    fn tuple(&mut self) -> Tuple {
        let host = self.byte(16);
        let port = u16::try_from(32_768 + self.below(28_232)).unwrap_or_default();
        Tuple { src: mapped([10, 9, 1, host]), dst: mapped([10, 9, 2, 2]), src_port: port, dst_port: 8080, pad: 0 }
    }

    /// The records of one failed attempt, or a tick.
    pub(crate) fn attempt(&mut self, out: &mut Vec<Record>) {
        let tuple = self.tuple();
        let isn = self.below(u32::MAX);
        match self.below(10) {
            0..5 => self.refused(tuple, isn, out),
            5..7 => self.rejected(tuple, isn, out),
            7..9 => self.unanswered(tuple, isn, out),
            _ => self.told(out),
        }
    }

    /// The records of one request that was answered with an error, its text among them.
    pub(crate) fn answer(&mut self, out: &mut Vec<Record>) {
        const PATHS: [&str; 5] = ["/api/v1/orders", "/api/v1/users", "/checkout", "/static/app.js", "/health/ready"];
        const AGENTS: [&str; 3] = [
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
            "okhttp/4.12.0",
        ];
        const STATUSES: [u16; 4] = [500, 502, 503, 504];
        let header = self.header::<FlowRecord>(kind::FLOW);
        let (id, pid) = (self.number() >> 16, 800 + self.below(4));
        let Tuple { src, dst, src_port, dst_port, pad } = self.tuple();
        let (began_ns, took_ns) =
            (header.time_ns.saturating_sub(u64::from(self.below(90_000_000))), self.below(4_000_000));
        let heads = Exchange {
            id,
            number: 1 + self.below(9),
            method: Some(if self.byte(4) == 0 { "POST" } else { "GET" }.to_owned()),
            path: Some(format!("{}/{}", PATHS[usize::from(self.byte(5))], self.below(1_000_000))),
            host: Some("shop.example.com".to_owned()),
            user_agent: Some(AGENTS[usize::from(self.byte(3))].to_owned()),
            trace_id: Some(format!("Root=1-{:08x}-{:016x}{:08x}", began_ns >> 30, self.number(), self.below(u32::MAX))),
            has: vec!["cookie".to_owned(), "referer".to_owned()],
            server: Some("nginx/1.22.1".to_owned()),
            ..Exchange::default()
        };
        let flow = FlowRecord {
            header,
            tuple: Tuple { src: dst, dst: src, src_port: dst_port, dst_port: src_port, pad },
            id,
            established_ns: began_ns.saturating_sub(900_000),
            inode: u64::from(40_000 + self.below(9_000)),
            request_start_ns: began_ns,
            request_end_ns: began_ns,
            response_start_ns: header.time_ns,
            response_end_ns: header.time_ns.saturating_add(u64::from(took_ns)),
            idle_since_ns: began_ns.saturating_sub(u64::from(self.below(900_000_000))),
            received: u64::from(600 + self.below(900)),
            sent: u64::from(self.below(9_000)),
            body_expected: u64::from(150 + self.below(40)),
            isn: self.below(u32::MAX),
            flags: flow_flag::INBOUND | flow_flag::HTTP | flow_flag::REQUEST_COMPLETE,
            pid,
            exchange: heads.number,
            outstanding: 1,
            status: STATUSES[usize::from(self.byte(4))],
            event: flow_event::RESPONSE,
            tcp_state: tcp_state::ESTABLISHED,
            stage: stage::PROCESSING,
            comm: *b"gunicorn\0\0\0\0\0\0\0\0",
            ..FlowRecord::default()
        };
        let body = HostBody::Exchange(Box::new(heads));
        out.push(Record::Host(HostRecord { time: BootTime::from_ns(header.time_ns), netns: header.netns, body }));
        out.push(Record::Flow(flow));
    }

    /// The SYN finds no socket.
    fn refused(&mut self, tuple: Tuple, isn: u32, out: &mut Vec<Record>) {
        let drop = self.packet(kind::PACKET_DROP, tuple, isn, 3);
        out.push(Record::Packet(drop));
        let reset = self.packet(kind::RESET_SENT, tuple, isn, 3);
        out.push(Record::Packet(PacketRecord { location: 0, ..reset }));
    }

    /// Netfilter drops the SYN and answers.
    fn rejected(&mut self, tuple: Tuple, isn: u32, out: &mut Vec<Record>) {
        let drop = self.packet(kind::PACKET_DROP, tuple, isn, 8);
        out.push(Record::Packet(drop));
        out.push(Record::Icmp(IcmpRecord {
            header: self.header::<IcmpRecord>(kind::ICMP_SENT),
            quoted: tuple,
            icmp_src: tuple.dst,
            icmp_dst: tuple.src,
            seq: isn,
            icmp_type: 3,
            icmp_code: 3,
            tcp_flags: tcp_flag::SYN,
            pad: 0,
        }));
    }

    /// Our SYN, sent again, and given up.
    fn unanswered(&mut self, tuple: Tuple, isn: u32, out: &mut Vec<Record>) {
        let (started_ns, pid) = (self.time_ns, 800 + self.below(4));
        let inode = u64::from(40_000 + self.below(9_000));
        for retransmits in 1..4 {
            let last = retransmits == 3;
            let record_kind = if last { kind::SOCKET_STATE } else { kind::SYN_RETRANSMIT };
            out.push(Record::Socket(SocketRecord {
                header: self.header::<SocketRecord>(record_kind),
                tuple,
                started_ns,
                inode,
                isn,
                error: if last { 110 } else { 0 },
                syns_sent: retransmits,
                retransmits,
                flags: socket_flag::HAS_TASK,
                pid,
                comm: *b"gunicorn\0\0\0\0\0\0\0\0",
                old_state: tcp_state::SYN_SENT,
                new_state: if last { tcp_state::CLOSE } else { tcp_state::SYN_SENT },
                pad: [0; 6],
            }));
        }
    }

    /// What the capture side adds.
    fn told(&mut self, out: &mut Vec<Record>) {
        let boot_ns = self.time_ns;
        let bodies = [
            HostBody::Tick(Tick { clock: ClockPair { boot_ns, unix_ns: 1_767_225_599_000_000_000 } }),
            HostBody::Ports(PortCounts { ports: vec![PortCount { port: 8080, syns: 7, ..PortCount::default() }] }),
            HostBody::Listener(Listener {
                inode: 31_337,
                address: [10, 9, 2, 2].into(),
                port: 8080,
                v6_only: false,
                pid: 812,
                backlog: (self.below(9), 128),
                event: crate::record::ListenerEvent::Present,
            }),
        ];
        let time = BootTime::from_ns(boot_ns);
        out.extend(bodies.map(|body| Record::Host(HostRecord { time, netns: 0, body })));
    }

    fn packet(&mut self, record_kind: u16, tuple: Tuple, isn: u32, reason: u32) -> PacketRecord {
        PacketRecord {
            header: self.header::<PacketRecord>(record_kind),
            tuple,
            location: 1,
            reason,
            seq: isn,
            ack: 0,
            flags: packet_flag::HAS_REASON,
            tcp_flags: tcp_flag::SYN,
            socket_state: 0,
            payload_len: 0,
            ifindex: 2,
        }
    }
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    std::net::Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets()
}
