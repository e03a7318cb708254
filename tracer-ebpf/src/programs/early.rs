//! Requests that come before their connection: in the SYN (TCP fast open), or with the last ACK of the
//! handshake (`TCP_DEFER_ACCEPT`, or where a bare one was lost). They pass with the listener. What is read
//! of them waits on this CPU for the connection, which the same packet makes.

use core::sync::atomic::AtomicU64;

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use tracer_ebpf::http::Direction;
use tracer_ebpf::{flow_flag, loss};

use super::flow::{FLOWS_MAP, Flow, UNKNOWN};
use super::kernel::Sock;
use super::maps::layout;
use super::ports::{Slot, lost};
use super::{exchanges, proxied, text};

/// Not 0 once anything came early: until then no connection looks for it.
#[unsafe(no_mangle)]
static EVER_EARLY: AtomicU64 = AtomicU64::new(0);

/// Key of this CPU's element: no address of a socket is as low.
#[inline(always)]
pub(super) fn key() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail
    u64::from(unsafe { bpf_get_smp_processor_id() }) + 1
}

/// The initiator's end of an attempt, as good as that can be told on one CPU for the length of a packet.
#[inline(always)]
fn name(isn: u32, port: u16) -> u64 {
    u64::from(isn) << 16 | u64::from(port)
}

/// Data has reached a listener: its first byte has sequence number `isn` + 1. False if it is not followed.
#[inline(always)]
pub(super) fn begin(isn: u32, port: u16, slot: Slot) -> bool {
    if layout!(follows_flows) == 0 {
        return false;
    }
    // SAFETY: whoever writes it writes the same
    unsafe { EVER_EARLY.as_ptr().write_volatile(1) };
    let (key, name) = (key(), name(isn, port));
    if let Some(flow) = FLOWS_MAP.get_ptr_mut(key) {
        // SAFETY: this CPU's own element
        let flow = unsafe { &mut *flow };
        if flow.id == name {
            return true;
        }
        discard(flow);
    } else {
        #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be copied to the small stack")]
        let inserted = FLOWS_MAP.insert(key, &UNKNOWN, 0);
        if inserted.is_err() {
            lost(loss::FLOWS_FULL);
            return false;
        }
    }
    let Some(flow) = FLOWS_MAP.get_ptr_mut(key) else { return false };
    // SAFETY: as above
    let flow = unsafe { &mut *flow };
    *flow = UNKNOWN;
    flow.id = name;
    flow.flags = flow_flag::INBOUND;
    flow.slot = slot.number() as u16;
    // nothing is known of the way back, but it is not out of step
    flow.directions = [Direction::starts(isn.wrapping_add(1)), Direction::starts(0)];
    true
}

/// Nobody came for it: what it has begun is not counted.
#[inline(always)]
fn discard(flow: &mut Flow) {
    let pending = u64::from(flow.http.outstanding());
    if pending != 0 {
        exchanges::count(flow.slot, |totals| totals.begun = totals.begun.wrapping_sub(pending));
    }
    text::release(flow);
    proxied::forget(flow);
}

/// Whether something came before this connection.
#[inline(always)]
pub(super) fn is_of(sock: Sock) -> bool {
    // SAFETY: this CPU's own element
    let name_of = |flow: *const Flow| unsafe { (*flow).id };
    FLOWS_MAP.get_ptr(key()).is_some_and(|flow| name_of(flow) == name(sock.isn_of_peer(), sock.remote_port()))
}

/// Hands over to the connection what came before it; says whether anything did.
#[inline(always)]
pub(super) fn take_over(sock: Sock, flow: &mut Flow) -> bool {
    // SAFETY: an integer of a static
    if unsafe { EVER_EARLY.as_ptr().read_volatile() } == 0 {
        return false;
    }
    let Some(early) = FLOWS_MAP.get_ptr_mut(key()) else { return false };
    // SAFETY: this CPU's own element
    let early = unsafe { &mut *early };
    if early.id != name(sock.isn_of_peer(), sock.remote_port()) {
        return false;
    }
    flow.http = early.http;
    flow.directions[0] = early.directions[0];
    flow.text = early.text;
    text::belongs_to(flow, sock.0.0);
    proxied::belongs_to(flow, early.id);
    early.id = 0;
    early.text = 0;
    early.http.begun = early.http.answered;
    true
}
