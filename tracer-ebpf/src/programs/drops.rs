//! `skb:kfree_skb`: packets that the kernel freed without delivering them.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::{PacketRecord, kind, loss, packet_flag, tcp_flag, tcp_state};

use super::attempt::{Initiator, Trouble, Window};
use super::chained;
use super::closed;
use super::emit::{emit, header};
use super::flood::{Signature, is_told, refusal_was_left_out, refused_is_told};
use super::flow::FLOWS_MAP;
use super::handshake::was_delivered;
use super::kernel::{DropReason, Kernel, Sock, netns_of_device};
use super::maps::{ATTEMPTS, DROP_REASONS, DROP_WINDOWS, DROP_WINDOWS_OF_ALL, TROUBLED, TROUBLED_LAST, layout};
use super::packet::{self, Ip, SkbBytes, Tcp};
use super::ports::{Slot, boot_ns, lost, watched};

/// How long an inbound attempt with a dropped packet may still succeed, ns: longer than a drop is held.
const TROUBLE_NS: u64 = 10_000_000_000;

/// `skb:kfree_skb (skb, location[, reason[, rx_sk]])`. The reason is there from 5.17 on.
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub(crate) fn kfree_skb(ctx: RawTracePointContext) -> i32 {
    if let Some(skb) = Kernel::new(ctx.arg::<u64>(0)) {
        let location = ctx.arg::<u64>(1);
        let reason = DropReason::of(|| ctx.arg::<u64>(2) as u32);
        if !reason.is_no_socket() || !refusal_was_left_out(skb) {
            let _not_ours = dropped(skb, location, reason);
        }
    }
    0
}

#[inline(always)]
fn dropped(skb: Kernel, location: u64, reason: DropReason) -> Option<()> {
    let (bytes, ip, tcp) = packet::tcp_of_any(skb)?;
    closed::dropped(skb, &bytes, &ip, &tcp);
    let sock = skb.read::<u64>(layout!(skb_sk)).and_then(Sock::new);
    let slot = match watched_handshake(&tcp) {
        Some(slot) => slot,
        None if chained::has_handshake(&tcp, sock) => Slot::NONE,
        None => watched_rest(&bytes, &ip, &tcp, reason, sock)?,
    };
    let place = Place { sock, skb };
    if !place.is_watched(slot)? {
        return None;
    }
    // few of those behind the handshake are told, so that a flood costs little
    if tcp.flags & tcp_flag::SYN == 0 && !few(u32::from(tcp.src_port) << 16 | u32::from(tcp.dst_port)) {
        return None;
    }
    if tcp.flags & tcp_flag::SYN != 0 {
        if tcp.flags & tcp_flag::ACK == 0 {
            if !was_delivered(skb, tcp.seq, tcp.src_port) {
                count(slot, reason);
            }
            // what this host sends itself is no flood
            if sock.is_none() && !syn_is_told(slot, reason, &bytes, &ip, &tcp) {
                return None;
            }
        }
        // a refused SYN is answered, and will not succeed
        if slot != Slot::NONE && !reason.is_no_socket() {
            remember(&bytes, &ip, &tcp, sock);
        }
    }
    emit(header::<PacketRecord>(kind::PACKET_DROP, place.netns()?), |record: &mut PacketRecord| {
        packet::fill_tuple(&mut record.tuple, &bytes, &ip, &tcp);
        record.location = location;
        record.reason = reason.number();
        record.seq = tcp.seq;
        record.ack = tcp.ack;
        record.flags = if sock.is_some() { packet_flag::HAS_SOCKET } else { 0 }
            | if DropReason::is_given() { packet_flag::HAS_REASON } else { 0 };
        record.tcp_flags = tcp.flags;
        record.socket_state = sock.map_or(0, Sock::state);
        record.payload_len = ip.len_from(&bytes, ip.payload + tcp.len);
        record.ifindex = place.device().map_or(0, |device| device.value(layout!(dev_ifindex)));
    });
    Some(())
}

/// Where a packet was.
#[derive(Clone, Copy)]
struct Place {
    sock: Option<Sock>,
    skb: Kernel,
}

impl Place {
    #[inline(always)]
    fn device(self) -> Option<Kernel> {
        self.skb.follow(layout!(skb_dev))
    }

    #[inline(always)]
    fn netns(self) -> Option<u32> {
        match self.sock {
            Some(sock) => Some(sock.netns()),
            None => Some(netns_of_device(self.device()?)),
        }
    }

    /// Whether the namespace is watched; it is not even read where all are. `None` if the packet was in none.
    #[inline(always)]
    fn is_watched(self, slot: Slot) -> Option<bool> {
        if layout!(netns_filter) == 0 {
            return if self.sock.is_none() && self.device().is_none() { None } else { Some(true) };
        }
        Some(slot.in_namespace(self.netns()?))
    }
}

/// Whether a record of a dropped SYN is told.
#[inline(always)]
fn syn_is_told(slot: Slot, reason: DropReason, bytes: &SkbBytes, ip: &Ip, tcp: &Tcp) -> bool {
    let initiator = || (ip.source_end(bytes), tcp.src_port, tcp.seq);
    match Signature::of_drop(reason) {
        Signature::REFUSED => refused_is_told(slot, 0, initiator()),
        other => is_told(slot, other, initiator),
    }
}

/// Slot of the port, if one of both ends is watched or the socket is followed, of a packet whose loss a connection
/// may suffer from: with payload, FIN or RST, and dropped for a reason that user space has named as such.
#[inline(always)]
fn watched_rest(bytes: &SkbBytes, ip: &Ip, tcp: &Tcp, reason: DropReason, sock: Option<Sock>) -> Option<Slot> {
    if tcp.flags & tcp_flag::SYN != 0 {
        return None;
    }
    let slot = match watched(tcp.dst_port).or_else(|| watched(tcp.src_port)) {
        Some(slot) => slot,
        None if chained::any() && sock.is_some_and(|sock| FLOWS_MAP.get_ptr(sock.0.0).is_some()) => Slot::NONE,
        None => return None,
    };
    if DropReason::is_given() && DROP_REASONS.get(reason.number()).is_none_or(|told| *told == 0) {
        return None;
    }
    let closes = tcp.flags & (tcp_flag::FIN | tcp_flag::RST) != 0;
    if !closes && ip.len_from(bytes, ip.payload + tcp.len) == 0 {
        return None;
    }
    Some(slot)
}

/// Whether this is one of the first drops of a pair of ports in this second, on this CPU; those of many
/// pairs have a limit in common.
#[inline(always)]
fn few(ports: u32) -> bool {
    /// Drops told of one pair of ports in a second.
    const OF_PAIR: u32 = 4;
    /// Of all.
    const OF_ALL: u32 = 256;
    let second = (boot_ns() >> 30) as u32;
    let place = ports.wrapping_mul(0x9e37_79b9) >> 24;
    within(place, second, OF_PAIR) && within(DROP_WINDOWS_OF_ALL, second, OF_ALL)
}

#[inline(always)]
fn within(place: u32, second: u32, limit: u32) -> bool {
    let Some(window) = DROP_WINDOWS.get_ptr_mut(place) else { return false };
    // SAFETY: the map's values are Windows, of this CPU alone
    let window = unsafe { &mut *window };
    if window.second != second {
        *window = Window { second, count: 0 };
    }
    window.count += 1;
    window.count <= limit
}

/// Slot of the port that a handshake packet is about: a SYN's destination, a SYN-ACK's source. A flow
/// whose SYN came from the port's number is another flow.
#[inline(always)]
fn watched_handshake(tcp: &Tcp) -> Option<Slot> {
    match tcp.flags & (tcp_flag::SYN | tcp_flag::ACK) {
        tcp_flag::SYN => watched(tcp.dst_port),
        both if both == tcp_flag::SYN | tcp_flag::ACK => watched(tcp.src_port),
        _ => None,
    }
}

#[inline(always)]
fn count(slot: Slot, reason: DropReason) {
    slot.count_syn();
    if reason.is_no_socket() {
        slot.count(|totals| totals.refused += 1);
    } else if reason.is_netfilter_drop() {
        slot.count(|totals| totals.filtered += 1);
    }
}

/// Notes that this attempt's later success must be told.
#[inline(always)]
fn remember(bytes: &SkbBytes, ip: &Ip, tcp: &Tcp, sock: Option<Sock>) {
    if let Some(sock) = sock
        && sock.state() == tcp_state::SYN_SENT
        && let Some(attempt) = ATTEMPTS.get_ptr_mut(sock.0.0)
    {
        // SAFETY: only ever set to 1 here
        unsafe { (*attempt).reported = 1 };
        return;
    }
    let mut initiator = Initiator { address: [0; 16], isn: tcp.seq, port: tcp.src_port, pad: 0 };
    let mut responder = [0; 16];
    if tcp.flags & tcp_flag::ACK == 0 {
        ip.addresses(bytes, &mut initiator.address, &mut responder);
    } else {
        ip.addresses(bytes, &mut responder, &mut initiator.address);
        initiator.isn = tcp.ack.wrapping_sub(1);
        initiator.port = tcp.dst_port;
    }
    let _syns = in_trouble(&initiator);
}

/// Notes that an inbound attempt is in trouble; says how many of its SYNs came again since it was.
#[inline(always)]
pub(super) fn in_trouble(initiator: &Initiator) -> u32 {
    let time_ns = boot_ns();
    let _in_bounds = TROUBLED_LAST.set(0, time_ns, 0);
    if let Some(known) = TROUBLED.get_ptr_mut(initiator) {
        // SAFETY: the map's values are Troubles; a race loses one of two times that are alike
        unsafe {
            (*known).time_ns = time_ns;
            return (*known).syns as u32;
        }
    }
    if TROUBLED.insert(initiator, Trouble { time_ns, syns: 0 }, 0).is_err() {
        lost(loss::TROUBLED_FULL);
    }
    0
}

/// Whether any inbound attempt had a packet dropped lately: what spares a clean one the look-up.
#[inline(always)]
pub(super) fn trouble_is_recent() -> bool {
    match TROUBLED_LAST.get(0) {
        Some(&last) => last != 0 && boot_ns().wrapping_sub(last) < TROUBLE_NS,
        None => false,
    }
}

/// `tcp:tcp_send_reset (sk, skb[, reason])`: of interest here where it answers a SYN.
#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn tcp_send_reset(ctx: RawTracePointContext) -> i32 {
    let reason = if layout!(reset_has_reason) != 0 { Some(ctx.arg::<u64>(2) as u32) } else { None };
    if let Some(skb) = Kernel::new(ctx.arg::<u64>(1)) {
        let _not_ours = reset_sent(skb, ctx.arg::<u64>(0), reason);
    }
    0
}

#[inline(always)]
fn reset_sent(skb: Kernel, sk: u64, reason: Option<u32>) -> Option<()> {
    let (bytes, ip, tcp) = packet::tcp_of(skb)?;
    if tcp.flags & (tcp_flag::SYN | tcp_flag::ACK) != tcp_flag::SYN {
        return None;
    }
    let slot = match watched(tcp.dst_port) {
        Some(slot) => slot,
        None if chained::has_handshake(&tcp, None) => Slot::NONE,
        None => return None,
    };
    let sock = Sock::new(sk);
    let place = Place { sock, skb };
    if layout!(netns_filter) != 0 && !slot.in_namespace(place.netns()?) {
        return None;
    }
    if sock.is_none() && !refused_is_told(slot, skb.0, (ip.source_end(&bytes), tcp.src_port, tcp.seq)) {
        return None;
    }
    emit(header::<PacketRecord>(kind::RESET_SENT, place.netns()?), |record: &mut PacketRecord| {
        packet::fill_tuple(&mut record.tuple, &bytes, &ip, &tcp);
        record.reason = reason.unwrap_or(0);
        record.seq = tcp.seq;
        record.ack = tcp.ack;
        record.flags = if reason.is_some() { packet_flag::HAS_REASON } else { 0 };
        record.tcp_flags = tcp.flags;
        record.socket_state = sock.map_or(0, Sock::state);
    });
    Some(())
}
