//! What the processes that serve a watched port connect to, whatever the port. Their attempts are told by
//! their socket; packets that no socket owns (any more, or yet) by the SYN's sequence number, which no
//! address translation in between changes.

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use tracer_ebpf::{flow_flag, server, tcp_flag};

use super::flow::{Flow, seen};
use super::kernel::Sock;
use super::maps::{ATTEMPTS, SERVERS, SERVERS_CONNECT};
use super::packet::Tcp;
use super::ports::boot_ns;

/// Places of [`SYNS`]; a power of two.
const PLACES: u32 = 16_384;
/// Lengths of a sequence number, and of a moment, in an element of [`SYNS`].
const SEQ_BITS: u32 = 32;
const MOMENT_BITS: u32 = 24;
/// How long after the SYN left something may be about it, in units of 2^30 ns: it is noted anew whenever
/// it is sent again.
const ANSWERED_WITHIN: u64 = 16;

/// SYNs that left lately, each in the place that its sequence number gives it: that number, the moment, and
/// how many processes are between the watched port and the far end. A SYN may take another's place. Then
/// what happened to the other is only told by its own socket, which is less, and never wrong.
#[map]
static SYNS: Array<u64> = Array::with_max_entries(PLACES, 0);

/// Whether any process that serves a watched port has connected somewhere: no other host pays for this.
#[inline(always)]
pub(super) fn any() -> bool {
    SERVERS_CONNECT.get(0).is_some_and(|any| *any != 0)
}

/// How far the far ends of a process's connections are from the watched port, from 1; 0 if it serves none, or
/// at the end of the longest chain. (Of an `Option` the compiler would spill a number that is not there, which
/// the verifier refuses.)
#[inline(always)]
pub(super) fn distance_from(tgid: u32) -> u32 {
    let Some(known) = SERVERS.get_ptr(tgid) else { return 0 };
    // SAFETY: the map's element: one load
    let own = unsafe { *known } & server::DISTANCE;
    if own < server::FARTHEST { own as u32 + 1 } else { 0 }
}

/// Follows a process at this distance, unless it is followed already.
#[inline(always)]
pub(super) fn serves(tgid: u32, distance: u32) {
    if SERVERS.get_ptr(tgid).is_none() {
        let value = boot_ns() & server::TIME | u64::from(distance) & server::DISTANCE;
        // a full map is filled by user space as well
        let _full = SERVERS.insert(tgid, value, 0);
    }
}

/// A process makes an HTTP request of its own: noted once a connection.
#[inline(always)]
pub(super) fn requests(flow: &mut Flow) {
    if flow.flags & flow_flag::INBOUND != 0 || flow.seen & seen::FORWARDS != 0 {
        return;
    }
    flow.seen |= seen::FORWARDS;
    if let Some(known) = SERVERS.get_ptr_mut(flow.pid) {
        // SAFETY: the map's element: whoever else writes it at the same time writes the same
        unsafe { *known |= server::FORWARDS };
    }
}

/// A process could not connect.
#[inline(always)]
pub(super) fn refused(tgid: u32) {
    if let Some(known) = SERVERS.get_ptr_mut(tgid) {
        // SAFETY: as above
        unsafe { *known |= server::REFUSED };
    }
}

/// A process has connected; says whether the last time it could not.
#[inline(always)]
pub(super) fn was_refused(tgid: u32) -> bool {
    if !any() {
        return false;
    }
    let Some(known) = SERVERS.get_ptr_mut(tgid) else { return false };
    // SAFETY: the map's element
    unsafe {
        let refused = *known & server::REFUSED != 0;
        if refused {
            *known &= !server::REFUSED;
        }
        refused
    }
}

/// Whether a process has made HTTP requests of its own.
#[inline(always)]
pub(super) fn forwards(tgid: u32) -> bool {
    // SAFETY: the map's element: one load
    SERVERS.get_ptr(tgid).is_some_and(|known| unsafe { *known } & server::FORWARDS != 0)
}

#[inline(always)]
fn moment() -> u64 {
    (boot_ns() >> 30) & ((1 << MOMENT_BITS) - 1)
}

/// A SYN of such a process leaves.
#[inline(always)]
pub(super) fn syn_left(isn: u32, distance: u32) {
    let element = u64::from(isn) | moment() << SEQ_BITS | u64::from(distance) << (SEQ_BITS + MOMENT_BITS);
    // the place is in bounds
    let _in_bounds = SYNS.set(isn & (PLACES - 1), element, 0);
}

/// How far the far end of the connection is whose SYN had this sequence number; 0 if it is nobody's.
#[inline(always)]
pub(super) fn distance_of(isn: u32) -> u32 {
    if !any() {
        return 0;
    }
    let Some(&element) = SYNS.get(isn & (PLACES - 1)) else { return 0 };
    let left = (element >> SEQ_BITS) & ((1 << MOMENT_BITS) - 1);
    let recent = moment().wrapping_sub(left) & ((1 << MOMENT_BITS) - 1) < ANSWERED_WITHIN;
    if element as u32 == isn && recent { (element >> (SEQ_BITS + MOMENT_BITS)) as u32 } else { 0 }
}

/// Whether a SYN or SYN-ACK belongs to such an attempt. Before it has left, only its socket tells.
#[inline(always)]
pub(super) fn has_handshake(tcp: &Tcp, owner: Option<Sock>) -> bool {
    if tcp.flags & tcp_flag::SYN == 0 || !any() {
        return false;
    }
    let isn = if tcp.flags & tcp_flag::ACK == 0 { tcp.seq } else { tcp.ack.wrapping_sub(1) };
    distance_of(isn) != 0 || owner.is_some_and(has_attempt)
}

/// Whether a socket is such an attempt's.
#[inline(always)]
pub(super) fn has_attempt(sock: Sock) -> bool {
    // SAFETY: the map's element: one load
    any() && ATTEMPTS.get_ptr(sock.0.0).is_some_and(|attempt| unsafe { (*attempt).distance } != 0)
}
