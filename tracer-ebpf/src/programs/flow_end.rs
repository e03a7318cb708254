//! What changes a followed connection's state, and what of that is worth telling.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::{flow_event, flow_flag, tcp_state};

use super::flow::{self, FLOWS_MAP, Flow, seen, told};
use super::flow_record::{Event, task_is_exiting, tell};
use super::kernel::{Ends, Sock};
use super::maps::SERVERS_CONNECT;
use super::ports::Slot;
use super::text;
use super::{checkers, closed, exchanges, owner, proxied, socket};

/// `ETIMEDOUT` (include/uapi/asm-generic/errno.h)
const TIMED_OUT: u32 = 110;
/// `ECONNABORTED`
const ABORTED: u32 = 103;

/// A socket changes its state.
#[inline(always)]
pub(super) fn state_changed(ctx: &RawTracePointContext, sock: Sock, old: u8, new: u8) {
    match (old, new) {
        (tcp_state::SYN_SENT, tcp_state::ESTABLISHED) => flow::connected(sock),
        (tcp_state::ESTABLISHED, tcp_state::FIN_WAIT1) | (tcp_state::CLOSE_WAIT, tcp_state::LAST_ACK) => {
            closes(sock, new);
        }
        (tcp_state::ESTABLISHED, tcp_state::CLOSE_WAIT) => fin_received(sock, new),
        (tcp_state::LISTEN | tcp_state::CLOSE, _) | (_, tcp_state::SYN_SENT) => {}
        (_, tcp_state::CLOSE) => ended(ctx, sock, old),
        _ => {}
    }
}

/// A task connects: to a watched port of another host, or anywhere if it serves a watched port.
#[inline(always)]
pub(super) fn begins(sock: Sock, ends: &Ends, slot: Slot, serves: bool) {
    let (slot, flags) = if slot == Slot::NONE {
        (slot, flow_flag::CHAINED)
    } else if !ends.peer_is_own() {
        (slot, 0)
    } else if serves {
        // the other end is followed too, and counts
        (Slot::NONE, 0)
    } else {
        return;
    };
    if serves {
        let _in_bounds = SERVERS_CONNECT.set(0, 1, 0);
    }
    flow::connects(sock, slot, flags);
}

/// The app closes, or shuts down its side. While a request of its own stays unacknowledged the FIN does not
/// leave, perhaps never: then this is its end.
#[inline(always)]
fn closes(sock: Sock, state: u8) {
    let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0) else { return };
    // SAFETY: the socket is locked
    let flow = unsafe { &mut *flow };
    if task_is_exiting() {
        flow.flags |= flow_flag::TASK_EXITING;
    }
    let unacknowledged = flow.flags & flow_flag::INBOUND == 0 && sock.timeouts() != 0;
    if unacknowledged && flow.told & told::END == 0 && flow.is_open() {
        flow.told |= told::END;
        flow.seen |= seen::FIN;
        tell(flow, sock, Event { event: flow_event::FIN_SENT, state, flags: 0, number: flow.number() });
    }
}

/// The peer's FIN came, behind all that it sent.
#[inline(always)]
fn fin_received(sock: Sock, state: u8) {
    let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0) else { return };
    // SAFETY: the socket is locked
    let flow = unsafe { &mut *flow };
    if flow.flags & flow_flag::INBOUND == 0 {
        flow.ends_with_connection();
    }
    if flow.is_open() && flow.told & told::END == 0 {
        flow.told |= told::FIN_RECEIVED;
        let event = Event { event: flow_event::FIN_RECEIVED, state, flags: 0, number: flow.number() };
        tell(flow, sock, event);
    }
    flow.flags |= flow_flag::FIN_RECEIVED;
}

/// The socket reaches CLOSE.
#[inline(always)]
fn ended(ctx: &RawTracePointContext, sock: Sock, old: u8) {
    let was_connected = !matches!(old, tcp_state::SYN_SENT | tcp_state::SYN_RECV);
    let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0) else {
        if was_connected {
            socket::closed(sock);
        }
        return;
    };
    // SAFETY: the socket is locked, and its last packets have passed
    let flow = unsafe { &mut *flow };
    let slot = Slot::of_number(flow.slot);
    if was_connected && slot != Slot::NONE {
        slot.count(|totals| totals.closed += 1);
    }
    if was_connected && checkers::is_check(flow, sock) {
        checkers::enter(ctx);
    }
    forget(flow, sock, old);
}

/// Tells of a connection's end what is worth it, and forgets the connection.
#[inline(always)]
pub(super) fn forget(flow: &mut Flow, sock: Sock, old: u8) {
    let key = sock.0.0;
    if let Some(event) = end_of(flow, sock, old) {
        tell(flow, sock, event);
    }
    let inbound = flow.flags & flow_flag::INBOUND != 0;
    let own_close = matches!(old, tcp_state::FIN_WAIT1 | tcp_state::FIN_WAIT2);
    if inbound
        && flow.flags & flow_flag::CHAINED == 0
        && own_close
        && flow.told & told::END == 0
        && flow.closed_while_idle()
    {
        closed::remember(flow, sock);
    }
    let pending = flow.http.outstanding();
    if pending != 0 {
        exchanges::abandoned(flow.slot, flow.http.status, pending);
    }
    text::release(flow);
    proxied::forget(flow);
    if flow.pid == 0 {
        owner::is_sought_no_more(key);
    }
    let _present = FLOWS_MAP.remove(key);
}

/// What the end is, if it is worth telling.
#[inline(always)]
fn end_of(flow: &Flow, sock: Sock, old: u8) -> Option<Event> {
    if flow.told & told::END != 0 || flow.established_ns == 0 && flow.flags & flow_flag::MID_STREAM == 0 {
        return None;
    }
    let error = sock.error();
    let number = flow.number();
    if error == TIMED_OUT {
        return Some(Event { event: flow_event::TIMED_OUT, state: old, flags: 0, number });
    }
    if !flow.is_open() && flow.told & told::FIN_RECEIVED == 0 {
        return None;
    }
    // closed without a FIN and for no error: the kernel is about to send a RST, for unread data or
    // because the app asked for it
    let aborted = matches!(old, tcp_state::ESTABLISHED | tcp_state::CLOSE_WAIT | tcp_state::FIN_WAIT1);
    if !aborted || !(error == 0 || error == ABORTED) || flow.seen & seen::RESET != 0 {
        return Some(Event { event: flow_event::CLOSED, state: old, flags: 0, number });
    }
    let exiting = if task_is_exiting() { flow_flag::TASK_EXITING } else { 0 };
    Some(Event { event: flow_event::RESET_SENT, state: old, flags: exiting | unread(flow, sock), number })
}

/// `UNREAD_DATA` if the process has not read all that came.
#[inline(always)]
fn unread(flow: &Flow, sock: Sock) -> u32 {
    let fin = u32::from(flow.flags & flow_flag::FIN_RECEIVED != 0);
    let left = sock.receive_next().wrapping_sub(fin).wrapping_sub(sock.copied()) as i32;
    if left > 0 { flow_flag::UNREAD_DATA } else { 0 }
}

/// TCP takes a RST, or acts as if one had come.
#[inline(always)]
pub(super) fn reset_received(sock: Sock) {
    let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0) else { return };
    // SAFETY: the socket is locked
    let flow = unsafe { &mut *flow };
    if flow.seen & seen::RESET == 0 || !(flow.is_open() || flow.told & told::FIN_RECEIVED != 0) {
        return;
    }
    let ended = flow.told & told::END != 0;
    // both ends have closed, the peer first: its RST says that the request came after that
    let after_fin = flow.flags & flow_flag::INBOUND == 0 && flow.told & told::FIN_RECEIVED != 0;
    if !ended || (after_fin && flow.told & told::RESET_AFTER_END == 0) {
        flow.told |= told::END | if ended { told::RESET_AFTER_END } else { 0 };
        let event = Event { event: flow_event::RESET_RECEIVED, state: sock.state(), flags: 0, number: flow.number() };
        tell(flow, sock, event);
    }
}

/// Something is sent again.
#[inline(always)]
pub(super) fn retransmits(sock: Sock) {
    /// With the third the silence is told.
    const SILENCE: u8 = 3;
    let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0) else { return };
    // SAFETY: the socket is locked
    let flow = unsafe { &mut *flow };
    let timeouts = sock.timeouts();
    flow.retransmits = timeouts;
    if timeouts < SILENCE {
        flow.told &= !told::UNANSWERED;
    } else if flow.told & told::UNANSWERED == 0 {
        flow.told |= told::UNANSWERED;
        let event = Event { event: flow_event::UNANSWERED, state: sock.state(), flags: 0, number: flow.number() };
        tell(flow, sock, event);
    }
}

/// Run by user space for a request that has waited for long, never attached: `args` are the socket's
/// address and the number of the exchange's buffer.
#[raw_tracepoint(tracepoint = "tell_waiting")]
pub(crate) fn tell_waiting(ctx: RawTracePointContext) -> i32 {
    let Some(sock) = Sock::new(ctx.arg::<u64>(0)) else { return 0 };
    let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0) else { return 0 };
    // SAFETY: the map's element; only read
    let flow = unsafe { &*flow };
    // answered meanwhile, or another connection by now
    if flow.text != (ctx.arg::<u64>(1) as u32).wrapping_add(1) || !flow.is_open() {
        return 0;
    }
    // a response that goes on as this end reads it
    let flags = if flow.flags & flow_flag::INBOUND == 0 { unread(flow, sock) } else { 0 };
    tell(flow, sock, Event { event: flow_event::WAITING, state: sock.state(), flags, number: flow.number() });
    1
}
