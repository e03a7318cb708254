//! cgroup_skb on the root cgroup: SYNs that reach a listener or leave this host, and ICMP errors.
//!
//! These two run for every packet of every socket, so they leave as early as they can.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use tracer_ebpf::{kind, tcp_flag, tcp_state};

use super::chained;
use super::closed;
use super::early;
use super::flow;
use super::handshake;
use super::heads;
use super::icmp;
use super::kernel::{Sock, number_of};
use super::maps::ATTEMPTS;
use super::packet::{self, ContextBytes, Tcp};
use super::ports::{Slot, watched};
use super::traffic;

/// Always let the packet pass.
pub(super) const PASS: i32 = 1;

/// Packets on their way to a socket.
#[cgroup_skb(ingress)]
#[inline(always)]
pub(crate) fn cgroup_ingress(ctx: SkBuffContext) -> i32 {
    ingress::<true, true>(&ctx)
}

/// The same for a verifier that refuses to follow it: each head is read the long way, which costs more.
#[cgroup_skb(ingress)]
#[inline(always)]
pub(crate) fn cgroup_ingress_long(ctx: SkBuffContext) -> i32 {
    ingress::<true, false>(&ctx)
}

/// The same without HTTP: for who wants it so, and for a verifier that refuses the reader of heads.
#[cgroup_skb(ingress)]
#[inline(always)]
pub(crate) fn cgroup_ingress_plain(ctx: SkBuffContext) -> i32 {
    ingress::<false, false>(&ctx)
}

/// Packets on their way out, behind the OUTPUT and POSTROUTING chains.
#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn cgroup_egress(ctx: SkBuffContext) -> i32 {
    egress::<true, true>(&ctx)
}

/// The same, each head read the long way.
#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn cgroup_egress_long(ctx: SkBuffContext) -> i32 {
    egress::<true, false>(&ctx)
}

/// The same without HTTP.
#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn cgroup_egress_plain(ctx: SkBuffContext) -> i32 {
    egress::<false, false>(&ctx)
}

#[inline(always)]
fn ingress<const HEADS: bool, const QUICK: bool>(ctx: &SkBuffContext) -> i32 {
    if let Some((pointer, state)) = socket_of(ctx) {
        let carries = match state as u8 {
            tcp_state::LISTEN => {
                let _not_ours = at_listener::<HEADS>(ctx, pointer);
                false
            }
            tcp_state::CLOSE => {
                let _not_ours = address(pointer).and_then(|sock| icmp_error(ctx, sock, kind::ICMP_RECEIVED));
                false
            }
            tcp_state::SYN_SENT => false,
            _ => true,
        };
        if HEADS && carries {
            traffic::packet::<QUICK>(ctx, pointer, state_of(pointer), 0);
        }
    }
    PASS
}

#[inline(always)]
fn egress<const HEADS: bool, const QUICK: bool>(ctx: &SkBuffContext) -> i32 {
    if let Some((pointer, state)) = socket_of(ctx) {
        let carries = match state as u8 {
            tcp_state::SYN_SENT => {
                if let Some(sock) = address(pointer) {
                    syn_left(sock);
                }
                true
            }
            tcp_state::SYN_RECV => {
                if let Some(sock) = address(pointer) {
                    flow::fast_opened(sock);
                }
                true
            }
            tcp_state::CLOSE => {
                let _not_ours = address(pointer).and_then(|sock| icmp_error(ctx, sock, kind::ICMP_SENT));
                false
            }
            tcp_state::LISTEN => false,
            _ => true,
        };
        if HEADS && carries {
            traffic::packet::<QUICK>(ctx, pointer, state_of(pointer), 1);
        }
    }
    PASS
}

/// The socket's state, read anew: the verifier shall not follow what comes next for each of them.
#[inline(always)]
fn state_of(pointer: *mut bpf_sock) -> u32 {
    // SAFETY: the verifier checks the load
    unsafe { (&raw const (*pointer).state).read_volatile() }
}

/// The packet's socket and its state.
#[inline(always)]
pub(super) fn socket_of(ctx: &SkBuffContext) -> Option<(*mut bpf_sock, u32)> {
    // SAFETY: the context is this program's own; the verifier checks both loads
    unsafe {
        let pointer = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if pointer.is_null() { None } else { Some((pointer, (*pointer).state)) }
    }
}

/// The socket as a number.
#[inline(always)]
fn address(pointer: *mut bpf_sock) -> Option<Sock> {
    Sock::new(number_of(pointer))
}

#[inline(always)]
fn at_listener<const HEADS: bool>(ctx: &SkBuffContext, pointer: *mut bpf_sock) -> Option<()> {
    // SAFETY: the verifier checks the load
    let watched_slot = watched(unsafe { (*pointer).src_port } as u16);
    if watched_slot.is_none() && !chained::any() {
        return None;
    }
    let sock = address(pointer)?;
    let bytes = ContextBytes(ctx);
    let (ip, tcp) = match packet::usual(ctx.skb.skb) {
        Some(usual) => usual,
        None => packet::unusual(&bytes)?,
    };
    let slot = match watched_slot {
        Some(slot) => slot,
        None => chained_slot(&tcp)?,
    };
    if tcp.flags & tcp_flag::RST != 0 || !slot.has(sock) {
        return None;
    }
    let carries = ctx.len() > ip.payload + tcp.len;
    let isn = match tcp.flags & (tcp_flag::SYN | tcp_flag::ACK) {
        tcp_flag::SYN => {
            slot.count_syn();
            handshake::delivered(ctx, &tcp);
            handshake::syn_at_listener(ctx, &ip, &tcp, sock);
            tcp.seq
        }
        tcp_flag::ACK => {
            if carries && closed::at_listener(&bytes, &ip, &tcp, sock) {
                return None;
            }
            handshake::ack_at_listener(ctx, &ip, &tcp, sock);
            tcp.seq.wrapping_sub(1)
        }
        _ => return None,
    };
    if HEADS && carries && early::begin(isn, tcp.src_port, slot) {
        heads::enter(ctx, 0);
    }
    Some(())
}

/// Of a handshake that a server of a watched port began with a listener of another port.
#[inline(always)]
fn chained_slot(tcp: &Tcp) -> Option<Slot> {
    let isn = if tcp.flags & tcp_flag::SYN != 0 { tcp.seq } else { tcp.seq.wrapping_sub(1) };
    (chained::distance_of(isn) != 0).then_some(Slot::NONE)
}

#[inline(always)]
fn syn_left(sock: Sock) {
    if watched(sock.remote_port()).is_none() && !chained::any() {
        return;
    }
    if let Some(attempt) = ATTEMPTS.get_ptr_mut(sock.0.0) {
        // SAFETY: the socket is locked while it sends a SYN: nobody else writes the element
        let distance = unsafe {
            (*attempt).syns_sent += 1;
            (*attempt).distance
        };
        if distance != 0 {
            chained::syn_left(sock.own_isn(), distance);
        }
    }
}

/// ICMP's own sockets, and the raw ones that user space holds open, are in state CLOSE.
#[inline(always)]
fn icmp_error(ctx: &SkBuffContext, sock: Sock, record_kind: u16) -> Option<()> {
    // answers to packets that found no socket leave by a socket in this state, too
    if packet::usual(ctx.skb.skb).is_some() {
        return None;
    }
    let bytes = ContextBytes(ctx);
    let outer = packet::ip(&bytes, 0)?;
    icmp::error(&bytes, &outer, sock.netns(), record_kind)
}
