//! Peers whose protocol a watched port speaks: what else one of them begins with is no matter of configuration.

use core::hint::black_box;
use core::mem::offset_of;

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use tracer_ebpf::http::phase;
use tracer_ebpf::{FlowRecord, PORT_SLOTS, Tuple, flow_flag};

use super::flow::Flow;
use super::kernel::{AF_INET, Sock};

/// Words of 64 peers each that a slot has.
const WORDS: u32 = 1024;

/// A bit for each peer that has been served, by slot and a hash of its address and the namespace that served it: of
/// two with the same one, what one had holds for the other too.
#[map]
static SERVED_PEERS: Array<u64> = Array::with_max_entries((PORT_SLOTS + 1) * WORDS, 0);

/// Word and bit of a peer.
#[inline(always)]
fn place(slot: u16, netns: u32, high: u64, low: u64) -> (u32, u64) {
    const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
    let hash = ((high ^ u64::from(netns)).wrapping_mul(FACTORS[0]) ^ low).wrapping_mul(FACTORS[1]) >> 48;
    (u32::from(slot) * WORDS + (hash >> 6) as u32, 1 << (hash & 63))
}

/// Remembers the peer of a connection on which the app has shown that it speaks what the peer does. `sock`: the same
/// socket as the kernel has it.
#[inline(always)]
pub(super) fn note(flow: &mut Flow, pointer: *mut bpf_sock, sock: u64) {
    if flow.directions[1].noted != 0 || !is_served(flow) {
        return;
    }
    flow.directions[1].noted = 1;
    if flow.flags & (flow_flag::INBOUND | flow_flag::CHAINED) != flow_flag::INBOUND {
        return;
    }
    // SAFETY: the verifier checks the loads. The compiler must not make one of those of both families: it would
    // add to the pointer, which no verifier allows
    let (high, low) = unsafe {
        if (*pointer).family == u32::from(AF_INET) {
            (0, u64::from(0xffff_u32.to_be()) | black_box(u64::from((*pointer).dst_ip4)) << 32)
        } else {
            let [a, b, c, d] =
                [(*pointer).dst_ip6[0], (*pointer).dst_ip6[1], (*pointer).dst_ip6[2], (*pointer).dst_ip6[3]];
            (u64::from(a) | u64::from(b) << 32, u64::from(c) | u64::from(d) << 32)
        }
    };
    let netns = Sock::new(sock).map_or(0, Sock::netns);
    let (word, bit) = place(flow.slot, netns, high, low);
    if let Some(peers) = SERVED_PEERS.get_ptr_mut(word) {
        // SAFETY: the map's element. Of two CPUs one may win: the other's peer is noted with its next connection
        unsafe { *peers |= bit };
    }
}

/// Whether the responding end has answered in the protocol that the initiator began with.
#[inline(always)]
fn is_served(flow: &Flow) -> bool {
    let http = &flow.http;
    if http.answered != 0 {
        return http.status != 0 && http.status < 400;
    }
    let foreign = http.request_flags & (flow_flag::TLS | flow_flag::HTTP2) != 0;
    foreign
        && http.status == 0
        && http.response_flags & flow_flag::ALERT_SENT == 0
        && flow.directions[1].phase == phase::OPAQUE
}

/// Whether the peer of a flow record (network order, IPv4 mapped) has been served on this port of this namespace.
#[inline(always)]
pub(super) fn were_served(slot: u16, netns: u32, peer: &[u8; 16]) -> bool {
    // SAFETY: 16 bytes, by the assertion below at an integer's place
    let [high, low] = unsafe { (&raw const *peer).cast::<[u64; 2]>().read() };
    let (word, bit) = place(slot, netns, high, low);
    SERVED_PEERS.get(word).is_some_and(|peers| *peers & bit != 0)
}

const _: () = assert!((offset_of!(FlowRecord, tuple) + offset_of!(Tuple, dst)).is_multiple_of(8));
