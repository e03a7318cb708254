//! A plausible mix of records, from a seed: for tests and for measuring.

use crate::record::{
    BootTime, ClockPair, Header, HostBody, HostRecord, IcmpRecord, Listener, PacketRecord, PortCount, PortCounts,
    Record, SocketRecord, Start, Tick, Tuple, kind, packet_flag, socket_flag, tcp_flag, tcp_state,
};

/// A sequence of numbers from a seed (splitmix64).
pub(crate) struct Sample {
    state: u64,
    time_ns: u64,
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
        Self { state: seed, time_ns: 5_000_000_000 }
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
        self.time_ns += u64::from(self.below(40_000)) + 500;
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

    /// At least `count` records.
    pub(crate) fn records(&mut self, count: usize) -> Vec<Record> {
        let mut records = Vec::with_capacity(count + 4);
        while records.len() < count {
            self.attempt(&mut records);
        }
        records
    }
}

fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    std::net::Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().octets()
}
