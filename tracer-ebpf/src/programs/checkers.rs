//! Health checks: connections that said nothing, or whose requests name a health checker. They are counted
//! apart from clients, and who makes them is remembered, so that it is noticed when they stop.

use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::{HashMap, ProgramArray};
use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::{Checker, Endpoints, HEALTH_CHECKERS, flow_flag};

use super::again;
use super::flow::{FLOWS_MAP, Flow};
use super::flow_end;
use super::kernel::Sock;
use super::ports::Slot;

/// Peers whose connections are health checks; old ones are removed by user space. A peer that finds no room
/// is counted, and not known by name.
#[map]
static CHECKERS: HashMap<Endpoints, Checker> = HashMap::with_max_entries(HEALTH_CHECKERS, 0);

/// The program below; user space puts it in.
#[map]
static HEALTH_CHECKS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Goes on in the program below; does not return if that is possible. What comes meanwhile is missed: it is short.
#[inline(always)]
pub(super) fn enter(ctx: &RawTracePointContext) {
    again::runs(false);
    // SAFETY: the array holds a program of this type
    unsafe { HEALTH_CHECKS.tail_call(ctx, 0) };
}

/// Whether an accepted connection that is over, and was seen from its beginning, was a health check.
#[inline(always)]
pub(super) fn is_check(flow: &Flow, sock: Sock) -> bool {
    let whole = flow.flags & (flow_flag::MID_STREAM | flow_flag::INBOUND) == flow_flag::INBOUND;
    // a FIN counts as one byte
    whole && (is_named(flow) || (flow.http.request_end_ns == 0 && sock.bytes_received() <= 1))
}

/// Whether a connection's requests name a health checker.
#[inline(always)]
fn is_named(flow: &Flow) -> bool {
    flow.http.request_flags & flow_flag::HEALTH_CHECK != 0
}

/// Entered by `inet_sock_set_state` where a health check's connection is over; never attached. Apart from that one,
/// since nothing goes without it.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn health_checks(ctx: RawTracePointContext) -> i32 {
    if let Some(sock) = Sock::new(ctx.arg::<u64>(0))
        && let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0)
    {
        // SAFETY: the socket is locked: nobody else writes the element
        let flow = unsafe { &mut *flow };
        count(flow, sock);
        flow_end::forget(flow, sock, ctx.arg::<u32>(1) as u8);
    }
    0
}

/// Counts a health check, and remembers who made it.
#[inline(always)]
fn count(flow: &Flow, sock: Sock) {
    let by_name = is_named(flow);
    Slot::of_number(flow.slot).count(|totals| totals.health_checks += 1);
    if sock.peer_is_own() {
        return;
    }
    // of the peer's ports each check has another
    let mut key = Endpoints { peer: [0; 16], peer_port: 0, port: sock.local_port(), netns: sock.netns() };
    sock.write_peer(&mut key.peer);
    if let Some(known) = CHECKERS.get_ptr_mut(key) {
        // SAFETY: the map's values are Checkers; of two checks at once one may be lost, which changes nothing
        let known = unsafe { &mut *known };
        let (since, usual) = (flow.established_ns.wrapping_sub(known.last_ns), known.period_ns);
        let apart = since.abs_diff(usual);
        known.steady = if apart <= usual / 4 { known.steady + 1 } else { 0 };
        // the longest of late: one peer may check in several rhythms
        known.period_ns = if since > usual { since } else { usual - apart / 8 };
        known.last_ns = flow.established_ns;
        known.checks += 1;
        known.by_name = u64::from(by_name);
        return;
    }
    let new = Checker { checks: 1, last_ns: flow.established_ns, period_ns: 0, by_name: u64::from(by_name), steady: 0 };
    let _full = CHECKERS.insert(key, new, 0);
}
