//! Record kinds and their `#[repr(C)]` layouts.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Record kinds written by the kernel side: `1..HOST_KIND_FIRST`. Higher ones are host records, made
/// by the capture side in user space.
pub mod kind {
    /// [`super::SocketRecord`]: a listener appeared or went, or an attempt ended.
    pub const SOCKET_STATE: u16 = 1;
    /// [`super::SocketRecord`]: a SYN was sent again (`tcp:tcp_retransmit_skb` in `SYN_SENT`).
    pub const SYN_RETRANSMIT: u16 = 2;
    /// [`super::SocketRecord`]: a RST answered our SYN (`tcp:tcp_receive_reset` in `SYN_SENT`).
    pub const RESET_RECEIVED: u16 = 3;
    /// [`super::SocketRecord`]: `sock:inet_sk_error_report` on a socket in `SYN_SENT`.
    pub const SOCKET_ERROR: u16 = 4;
    /// [`super::SocketRecord`]: `connect()` returned before any SYN was sent: the route look-up, a
    /// cgroup program or a security module refused it. `old_state == new_state == TCP_CLOSE`.
    pub const CONNECT_UNSENT: u16 = 5;
    /// [`super::PacketRecord`]: the kernel freed a packet without delivering it (`skb:kfree_skb`).
    pub const PACKET_DROP: u16 = 6;
    /// [`super::PacketRecord`]: TCP answered a packet with a RST (`tcp:tcp_send_reset`).
    pub const RESET_SENT: u16 = 7;
    /// [`super::PacketRecord`]: netfilter answered with a RST. The tuple is that of the RST: `src` is
    /// this end, and after NAT may be the address and port that the peer had asked for.
    pub const NETFILTER_RESET: u16 = 8;
    /// [`super::IcmpRecord`]: this host sent an ICMP or `ICMPv6` error that quotes a TCP packet.
    pub const ICMP_SENT: u16 = 9;
    /// [`super::IcmpRecord`]: this host received an ICMP or `ICMPv6` error that quotes a TCP packet.
    pub const ICMP_RECEIVED: u16 = 10;
    /// [`FlowRecord`](crate::FlowRecord): something that may explain a failure happened to a connection.
    pub const FLOW: u16 = 11;
    /// A [`FlowRecord`](crate::FlowRecord) and the heads of its exchange as they came. In the ring only: the capture side
    /// makes a host record `Exchange` of the few headers it reads, and a `FLOW`.
    pub const FLOW_WITH_HEADS: u16 = 12;
    /// [`HandshakeRecord`](crate::HandshakeRecord): a SYN-ACK was sent again (`tcp:tcp_retransmit_synack`).
    pub const SYN_ACK_RETRANSMIT: u16 = 13;
    /// [`HandshakeRecord`](crate::HandshakeRecord): a SYN or the last ACK reached a listener whose accept queue was full.
    pub const LISTENER_FULL: u16 = 14;
    /// [`ProcessRecord`](crate::ProcessRecord): a process that serves a watched port ended (`sched:sched_process_exit`).
    pub const PROCESS_EXIT: u16 = 15;
    /// [`ProcessRecord`](crate::ProcessRecord): such a process became another program (`sched:sched_process_exec`).
    pub const PROCESS_EXEC: u16 = 16;
    /// [`ProcessRecord`](crate::ProcessRecord): the OOM killer chose it (`oom:mark_victim`).
    pub const OOM_VICTIM: u16 = 17;
    /// The first kind of the host records.
    pub const HOST_KIND_FIRST: u16 = 0x80;
}

/// Bits of [`Header::reserved`], which only trace files know: zero in the stream.
pub mod record_flag {
    /// The record repeats what an earlier file of the same recording holds, or what the recorder knew
    /// when this file began.
    pub const REPEATED: u32 = 1 << 0;
    /// On the record that ends a file: the recording goes on in another file.
    pub const CONTINUED: u32 = 1 << 1;
}

/// TCP states as the kernel numbers them (include/net/tcp_states.h; a user-space ABI since they are
/// printed in /proc/net/tcp, unchanged in 5.10 to 7.3).
pub mod tcp_state {
    /// ESTABLISHED
    pub const ESTABLISHED: u8 = 1;
    /// `SYN_SENT`
    pub const SYN_SENT: u8 = 2;
    /// `SYN_RECV`
    pub const SYN_RECV: u8 = 3;
    /// `FIN_WAIT1`
    pub const FIN_WAIT1: u8 = 4;
    /// `FIN_WAIT2`
    pub const FIN_WAIT2: u8 = 5;
    /// CLOSE
    pub const CLOSE: u8 = 7;
    /// `CLOSE_WAIT`
    pub const CLOSE_WAIT: u8 = 8;
    /// `LAST_ACK`
    pub const LAST_ACK: u8 = 9;
    /// LISTEN
    pub const LISTEN: u8 = 10;
}

/// TCP header flags (RFC 9293).
pub mod tcp_flag {
    /// FIN
    pub const FIN: u8 = 0x01;
    /// SYN
    pub const SYN: u8 = 0x02;
    /// RST
    pub const RST: u8 = 0x04;
    /// ACK
    pub const ACK: u8 = 0x10;
}

/// Bits of [`SocketRecord::flags`].
pub mod socket_flag {
    /// `pid` and `comm` are those of the task that called `connect()` or `listen()`/`close()`.
    pub const HAS_TASK: u32 = 1 << 0;
    /// The socket accepts or sends IPv6 only (`IPV6_V6ONLY`).
    pub const V6_ONLY: u32 = 1 << 1;
    /// The attempt was already under way when recording began.
    pub const MID_STREAM: u32 = 1 << 2;
    /// The socket itself is `AF_INET6`.
    pub const V6_SOCKET: u32 = 1 << 3;
    /// The port is not watched: the task serves one that is.
    pub const CHAINED: u32 = 1 << 4;
}

/// Bits of [`PacketRecord::flags`].
pub mod packet_flag {
    /// A socket of this host owned the packet (`skb->sk`): it was on its way out.
    pub const HAS_SOCKET: u16 = 1 << 0;
    /// `reason` holds the kernel's `skb_drop_reason` (or `sk_rst_reason` in a `RESET_SENT`).
    pub const HAS_REASON: u16 = 1 << 1;
}

/// First part of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Header {
    /// One of [`kind`], or a host kind.
    pub kind: u16,
    /// Bytes of the whole record, header included; a multiple of 8.
    pub len: u16,
    /// CPU that wrote the record; `u32::MAX` in host records.
    pub cpu: u32,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
    /// Inode of the network namespace the record speaks of; 0 where it speaks of none.
    pub netns: u32,
    /// Zero in the stream; [`record_flag`] in trace files.
    pub reserved: u32,
}

/// Two endpoints. In a packet record `src` sent the packet; in a socket record `src` is the socket's
/// own end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Tuple {
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub src: [u8; 16],
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub dst: [u8; 16],
    /// Host order; 0 where none was chosen.
    pub src_port: u16,
    /// Host order.
    pub dst_port: u16,
    /// Zero.
    pub pad: u32,
}

/// What a socket of a watched port went through.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct SocketRecord {
    /// Kind is one of `SOCKET_STATE`, `SYN_RETRANSMIT`, `RESET_RECEIVED`, `SOCKET_ERROR`, `CONNECT_UNSENT`.
    pub header: Header,
    /// `src` is the socket's own end.
    pub tuple: Tuple,
    /// When the attempt's first SYN was due (`CLOCK_BOOTTIME`, ns), 0 if not seen.
    pub started_ns: u64,
    /// Inode of the socket in sockfs, as `ss -e` and `/proc/PID/fd` print it; 0 if it has none.
    pub inode: u64,
    /// The initiator's initial sequence number, host order. 0 until chosen, and for a listener.
    pub isn: u32,
    /// `sk_err` (or the reported error), positive errno; 0 if none.
    pub error: u32,
    /// SYNs of this attempt seen at cgroup/egress, i.e. past this host's own OUTPUT chain.
    pub syns_sent: u32,
    /// SYNs sent again so far.
    pub retransmits: u32,
    /// [`socket_flag`].
    pub flags: u32,
    /// Thread group id (what user space calls pid) of the task that called connect() or listen().
    pub pid: u32,
    /// Its comm, zero padded.
    pub comm: [u8; 16],
    /// [`tcp_state`] before.
    pub old_state: u8,
    /// [`tcp_state`] after; equal to `old_state` where nothing changed.
    pub new_state: u8,
    /// Zero.
    pub pad: [u8; 6],
}

/// One TCP packet of a watched port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct PacketRecord {
    /// Kind is one of `PACKET_DROP`, `RESET_SENT`, `NETFILTER_RESET`.
    pub header: Header,
    /// As in the packet's headers at that point of the stack.
    pub tuple: Tuple,
    /// Return address of the drop, replaced by the number of a host record `Symbol` on its way into
    /// the stream, so that no kernel address leaves the process; 0 if none.
    pub location: u64,
    /// `skb_drop_reason` / `sk_rst_reason` number of the running kernel (names: host record `Start`).
    pub reason: u32,
    /// TCP sequence number, host order.
    pub seq: u32,
    /// TCP acknowledgement number, host order.
    pub ack: u32,
    /// [`packet_flag`].
    pub flags: u16,
    /// [`tcp_flag`] of the packet.
    pub tcp_flags: u8,
    /// State of the socket that owned or received it; 0 if none.
    pub socket_state: u8,
    /// TCP payload bytes.
    pub payload_len: u32,
    /// Index of the interface it came in on; 0 if none.
    pub ifindex: u32,
}

/// One ICMP or `ICMPv6` error and the TCP packet it quotes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct IcmpRecord {
    /// Kind is `ICMP_SENT` or `ICMP_RECEIVED`.
    pub header: Header,
    /// The quoted packet's tuple: `src` sent the packet that the error is about.
    pub quoted: Tuple,
    /// Who sent the error; network order, IPv4 as `::ffff:a.b.c.d`.
    pub icmp_src: [u8; 16],
    /// Whom it was sent to.
    pub icmp_dst: [u8; 16],
    /// The quoted packet's sequence number, host order: a SYN's ISN.
    pub seq: u32,
    /// ICMP type (RFC 792) or `ICMPv6` type (RFC 4443), by the addresses' family.
    pub icmp_type: u8,
    /// Its code.
    pub icmp_code: u8,
    /// [`tcp_flag`] of the quoted packet; 0 where the quote is too short to hold them.
    pub tcp_flags: u8,
    /// Zero.
    pub pad: u8,
}

const _: () = {
    assert!(size_of::<Header>() == 24);
    assert!(size_of::<Tuple>() == 40);
    assert!(size_of::<SocketRecord>() == 128);
    assert!(size_of::<PacketRecord>() == 96);
    assert!(size_of::<IcmpRecord>() == 104);
    assert!(size_of::<SocketRecord>().is_multiple_of(8) && size_of::<PacketRecord>().is_multiple_of(8));
};
