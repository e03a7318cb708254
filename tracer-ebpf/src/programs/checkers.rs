//! Health checks: connections that said nothing, or whose requests name a health checker. They are counted
//! apart from clients, and who makes them is remembered, so that it is noticed when they stop.

use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use tracer_ebpf::{Checker, Endpoints, HEALTH_CHECKERS, flow_flag};

use super::flow::Flow;
use super::kernel::Sock;
use super::ports::Slot;

/// Peers whose connections are health checks; old ones are removed by user space. A peer that finds no room
/// is counted, and not known by name.
#[map]
static CHECKERS: HashMap<Endpoints, Checker> = HashMap::with_max_entries(HEALTH_CHECKERS, 0);

/// An accepted connection, seen from its beginning, is over.
#[inline(always)]
pub(super) fn connection_over(flow: &Flow, sock: Sock) {
    let by_name = flow.http.request_flags & flow_flag::HEALTH_CHECK != 0;
    // a FIN counts as one
    let silent = sock.bytes_received() <= 1;
    if flow.flags & flow_flag::MID_STREAM != 0 || !(by_name || silent) {
        return;
    }
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
        let apart = if since > usual { since - usual } else { usual - since };
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
