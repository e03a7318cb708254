//! Sockets of watched ports: listeners, attempts, errors.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::{debug, warn};
use tracer_ebpf::{SocketRecord, kind, loss, socket_flag, tcp_state};

use super::again;
use super::attempt::{Attempt, Initiator};
use super::chained;
use super::connect::{failed, failed_lately, syn_follows};
use super::drops::trouble_is_recent;
use super::emit::{emit, header};
use super::kernel::{AF_INET6, Ends, Sock};
use super::maps::{ATTEMPTS, TROUBLED, layout};
use super::owner::comm_of_process;
use super::ports::{Slot, boot_ns, lost, watched};
use super::{flow, flow_end};

/// `sock:inet_sock_set_state (sk, oldstate, newstate)`: every change of state.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
#[inline(always)]
pub(crate) fn inet_sock_set_state(ctx: RawTracePointContext) -> i32 {
    again::runs(true);
    changes(&ctx);
    again::runs(false);
    0
}

/// A socket changes its state. Does not return where a health check's connection is over.
#[inline(always)]
pub(super) fn changes(ctx: &RawTracePointContext) {
    if let Some(sock) = Sock::new(ctx.arg::<u64>(0)) {
        let (old, new) = (ctx.arg::<u32>(1) as u8, ctx.arg::<u32>(2) as u8);
        state_changed(ctx, sock, old, new);
        flow_end::state_changed(ctx, sock, old, new);
    }
}

#[inline(always)]
fn state_changed(ctx: &RawTracePointContext, sock: Sock, old: u8, new: u8) {
    match (old, new) {
        (_, tcp_state::SYN_SENT) => attempt_begins(ctx, sock),
        // the SYNs of both ends crossed (RFC 9293, 3.5): the attempt goes on
        (tcp_state::SYN_SENT, tcp_state::SYN_RECV) => {}
        (tcp_state::SYN_SENT, _) => attempt_ends(sock, old, new),
        (_, tcp_state::LISTEN) | (tcp_state::LISTEN, tcp_state::CLOSE) => listener_changes(sock, old, new),
        (tcp_state::SYN_RECV, tcp_state::ESTABLISHED) => accepted(sock, old, new),
        (tcp_state::SYN_RECV, tcp_state::CLOSE) => crossed_attempt_ends(sock, new),
        _ => {}
    }
}

#[inline(always)]
fn attempt_begins(ctx: &RawTracePointContext, sock: Sock) {
    let task = bpf_get_current_pid_tgid();
    let server = chained::distance_from((task >> 32) as u32);
    let ends = Ends::of(sock);
    let (slot, distance) = match watched(ends.remote_port()) {
        Some(slot) => (slot, 0),
        None if server != 0 => (Slot::NONE, server),
        None => return,
    };
    if !sock.is_tcp() || !slot.has(sock) {
        return;
    }
    syn_follows(task);
    flow_end::begins(sock, &ends, slot, server != 0);
    let Some(attempt) = new_attempt(sock.0.0) else {
        if layout!(verbose) != 0 {
            warn!(ctx, "the map of attempts is full");
        }
        return;
    };
    attempt.started_ns = boot_ns();
    attempt.pid = (task >> 32) as u32;
    attempt.comm = comm_of_process();
    attempt.distance = distance;
    if layout!(verbose) != 0 {
        debug!(ctx, "pid {} connects to port {}", attempt.pid, ends.remote_port());
    }
}

/// A new element of [`ATTEMPTS`]; counts what is lost.
#[inline(always)]
fn new_attempt(key: u64) -> Option<&'static mut Attempt> {
    let inserted = ATTEMPTS.insert(key, Attempt::UNKNOWN, 0);
    if inserted.is_err() {
        lost(loss::ATTEMPTS_FULL);
        return None;
    }
    // SAFETY: the element stays where it is while its socket is in SYN_SENT; the socket is locked
    ATTEMPTS.get_ptr_mut(key).map(|attempt| unsafe { &mut *attempt })
}

#[inline(always)]
fn attempt_ends(sock: Sock, old: u8, new: u8) {
    let ends = Ends::of(sock);
    let remembered = ATTEMPTS.get_ptr(sock.0.0);
    let slot = match watched(ends.remote_port()) {
        Some(slot) => slot,
        // SAFETY: the map's element: one load
        None if remembered.is_some_and(|attempt| unsafe { (*attempt).distance } != 0) => Slot::NONE,
        None => return,
    };
    // what is remembered was found to be TCP's, in a namespace that is watched
    if remembered.is_none() && (!sock.is_tcp() || !slot.has(sock)) {
        return;
    }
    if new == tcp_state::ESTABLISHED {
        // on one host the accepting end stands for both
        if !ends.peer_is_own() {
            slot.count(|totals| totals.connected += 1);
        }
        if !remembered.is_some_and(is_told) {
            let _absent = ATTEMPTS.remove(sock.0.0);
            return;
        }
    }
    emit(header::<SocketRecord>(kind::SOCKET_STATE, sock.netns()), |record: &mut SocketRecord| {
        outgoing(record, sock, (old, new));
    });
    if new != tcp_state::ESTABLISHED
        && let Some(attempt) = remembered
    {
        // SAFETY: the map's element: two loads
        let (pid, distance) = unsafe { ((*attempt).pid, (*attempt).distance) };
        chained::refused(pid);
        if distance == 0 {
            failed(pid);
        }
    }
    let _absent = ATTEMPTS.remove(sock.0.0);
}

/// Slot of the port that a socket connects to.
#[inline(always)]
fn slot_of_attempt(sock: Sock, remote_port: u16) -> Option<Slot> {
    match watched(remote_port) {
        Some(slot) => Some(slot),
        None if chained::has_attempt(sock) => Some(Slot::NONE),
        None => None,
    }
}

/// An attempt ends whose SYN crossed the other end's, if it was one.
#[inline(always)]
fn crossed_attempt_ends(sock: Sock, new: u8) {
    if ATTEMPTS.get_ptr(sock.0.0).is_none() {
        return;
    }
    attempt_ends(sock, tcp_state::SYN_SENT, new);
    if new == tcp_state::ESTABLISHED {
        flow::connected(sock);
    }
}

/// Whether an attempt's success must be told.
#[inline(always)]
fn is_told(attempt: *const Attempt) -> bool {
    // SAFETY: the map's element, whose socket is locked; two loads of integers
    let (reported, pid) = unsafe { ((*attempt).reported, (*attempt).pid) };
    reported != 0 || failed_lately(pid) || chained::was_refused(pid)
}

#[inline(always)]
fn listener_changes(sock: Sock, old: u8, new: u8) {
    let Some(slot) = watched(sock.local_port()) else { return };
    let netns = sock.netns();
    if !sock.is_tcp() || !slot.in_namespace(netns) {
        return;
    }
    let comm = comm_of_process();
    emit(header::<SocketRecord>(kind::SOCKET_STATE, netns), |record: &mut SocketRecord| {
        identify(record, sock, (old, new));
        record.pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        record.comm = comm;
        record.flags |= socket_flag::HAS_TASK;
    });
}

/// How far the far end is of a connection that a server of a watched port made, where this is that end; else 0.
#[inline(always)]
fn chained_distance(sock: Sock) -> u32 {
    if chained::any() { chained::distance_of(sock.isn_of_peer()) } else { 0 }
}

#[inline(always)]
fn accepted(sock: Sock, old: u8, new: u8) {
    let (slot, distance) = match watched(Ends::of(sock).local_port()) {
        Some(slot) => (slot, 0),
        None => match chained_distance(sock) {
            0 => return crossed_attempt_ends(sock, new),
            distance => (Slot::NONE, distance),
        },
    };
    if !sock.is_tcp() || !slot.has(sock) {
        return;
    }
    slot.count(|totals| totals.accepted += 1);
    flow::accepted(sock, slot, distance);
    if !trouble_is_recent() {
        return;
    }
    let tuple = sock.tuple();
    let isn = sock.isn_of_peer();
    let initiator = Initiator { address: tuple.dst, isn, port: tuple.dst_port, pad: 0 };
    if TROUBLED.get_ptr(initiator).is_none() {
        return;
    }
    let _absent = TROUBLED.remove(initiator);
    emit(header::<SocketRecord>(kind::SOCKET_STATE, sock.netns()), |record: &mut SocketRecord| {
        identify(record, sock, (old, new));
        record.isn = isn;
    });
}

/// A connection is over that is not followed.
#[inline(always)]
pub(super) fn closed(sock: Sock) {
    let slot = if let Some(slot) = watched(sock.local_port()) {
        slot
    } else {
        let ends = Ends::of(sock);
        match watched(ends.remote_port()) {
            Some(slot) if !ends.peer_is_own() => slot,
            _ => return,
        }
    };
    if sock.is_tcp() && slot.has(sock) {
        slot.count(|totals| totals.closed += 1);
    }
}

/// `tcp:tcp_retransmit_skb (sk, skb, ...)`: of interest here while in SYN_SENT.
#[raw_tracepoint(tracepoint = "tcp_retransmit_skb")]
pub(crate) fn tcp_retransmit_skb(ctx: RawTracePointContext) -> i32 {
    if let Some((sock, netns)) = sock_in_syn_sent(&ctx) {
        let key = sock.0.0;
        if let Some(attempt) = ATTEMPTS.get_ptr_mut(key) {
            // SAFETY: the socket is locked while it retransmits: nobody else writes the element
            unsafe { (*attempt).retransmits += 1 };
        }
        tell(kind::SYN_RETRANSMIT, sock, netns, 0);
    } else if let Some(sock) = Sock::new(ctx.arg::<u64>(0)) {
        flow_end::retransmits(sock);
    }
    0
}

/// `tcp:tcp_receive_reset (sk)`: of interest here while in SYN_SENT.
#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn tcp_receive_reset(ctx: RawTracePointContext) -> i32 {
    if let Some((sock, netns)) = sock_in_syn_sent(&ctx) {
        tell(kind::RESET_RECEIVED, sock, netns, 0);
    } else if let Some(sock) = Sock::new(ctx.arg::<u64>(0)) {
        flow_end::reset_received(sock);
    }
    0
}

/// `sock:inet_sk_error_report (sk)`: of interest here while in SYN_SENT. Absent in 5.10.
#[raw_tracepoint(tracepoint = "inet_sk_error_report")]
pub(crate) fn inet_sk_error_report(ctx: RawTracePointContext) -> i32 {
    if let Some((sock, netns)) = sock_in_syn_sent(&ctx) {
        tell(kind::SOCKET_ERROR, sock, netns, sock.error());
    }
    0
}

/// The tracepoint's first argument, if it is a TCP socket in SYN_SENT towards a watched port.
#[inline(always)]
fn sock_in_syn_sent(ctx: &RawTracePointContext) -> Option<(Sock, u32)> {
    let sock = Sock::new(ctx.arg::<u64>(0))?;
    if sock.state() != tcp_state::SYN_SENT {
        return None;
    }
    let slot = slot_of_attempt(sock, sock.remote_port())?;
    let netns = sock.netns();
    (sock.is_tcp() && slot.in_namespace(netns)).then_some((sock, netns))
}

/// Sends a record of an attempt that goes on, and notes that its end must be told.
#[inline(always)]
fn tell(kind: u16, sock: Sock, netns: u32, error: u32) {
    if let Some(attempt) = ATTEMPTS.get_ptr_mut(sock.0.0) {
        // SAFETY: the socket is locked; a lost update would only repeat the same 1
        unsafe { (*attempt).reported = 1 };
    }
    let state = sock.state();
    emit(header::<SocketRecord>(kind, netns), |record: &mut SocketRecord| {
        outgoing(record, sock, (state, state));
        if error != 0 {
            record.error = error;
        }
    });
}

/// Fills in what is known of an outgoing attempt.
#[inline(always)]
fn outgoing(record: &mut SocketRecord, sock: Sock, states: (u8, u8)) {
    identify(record, sock, states);
    record.error = sock.error();
    if record.error == 0 {
        record.error = sock.soft_error();
    }
    if record.tuple.src_port != 0 {
        record.isn = sock.own_isn();
    }
    match ATTEMPTS.get_ptr(sock.0.0) {
        Some(attempt) => {
            // SAFETY: the map's element; the socket is locked
            let attempt = unsafe { &*attempt };
            record.started_ns = attempt.started_ns;
            record.syns_sent = attempt.syns_sent;
            record.retransmits = attempt.retransmits;
            record.pid = attempt.pid;
            record.comm = attempt.comm;
            record.flags |= socket_flag::HAS_TASK;
            if attempt.distance != 0 {
                record.flags |= socket_flag::CHAINED;
            }
        }
        None => record.flags |= socket_flag::MID_STREAM,
    }
}

/// Fills in which socket it is.
#[inline(always)]
fn identify(record: &mut SocketRecord, sock: Sock, states: (u8, u8)) {
    sock.write_tuple(&mut record.tuple);
    record.inode = sock.inode();
    if sock.family() == AF_INET6 {
        record.flags |= socket_flag::V6_SOCKET;
    }
    if sock.v6_only() {
        record.flags |= socket_flag::V6_ONLY;
    }
    record.old_state = states.0;
    record.new_state = states.1;
}
