//! Packets of connections: what a segment is, and what it means for its connection. This runs for every
//! packet of every socket: what carries nothing is let pass after a look at its headers, and the usual
//! exchange is read here; what takes more is left to `heads`.

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::programs::SkBuffContext;
use tracer_ebpf::http::{Direction, Http, REQUEST, RESPONSE, Sink, pass, phase};
use tracer_ebpf::{tcp_flag, tcp_state};

use super::chained;
use super::flow::{self, FLOWS_MAP, Flow, seen, told};
use super::kernel::{AF_INET, Sock, number_of};
use super::maps::SERVERS_CONNECT;
use super::ports::{boot_ns, watched};
use super::text::{self, SegmentWindow};
use super::{early, exchanges, heads, peers};

/// A connection that lost step finds it again at a request that comes after this silence, ns.
const QUIET_NS: u64 = 20_000_000;

/// A TCP segment that carries something.
#[derive(Clone, Copy)]
pub(super) struct Segment {
    /// Where its payload begins in the packet.
    pub(super) payload: u32,
    /// Bytes of payload.
    pub(super) len: u32,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
}

/// A packet of a connected socket: `egress` is 1 on its way out, else 0. Unless `QUICK`, all payload is left
/// to `heads`.
#[inline(always)]
pub(super) fn packet<const QUICK: bool>(ctx: &SkBuffContext, pointer: *mut bpf_sock, state: u32, egress: u32) {
    let Some(segment) = segment(ctx.skb.skb) else { return };
    let Some(place) = place(pointer) else { return };
    let key = number_of(pointer);
    let Some(flow) = followed(element(key, state), place, segment) else { return };
    // SAFETY: elements stay where they are; each direction writes what is its own
    let flow = unsafe { &mut *flow };
    let way = flow.way(egress);
    peers::note(flow, pointer, key);
    if segment.flags & tcp_flag::RST != 0 && egress == 0 {
        flow.seen |= seen::RESET;
        return;
    }
    if segment.flags & tcp_flag::SYN != 0 && egress == 1 && flow.directions[0].phase == phase::LOST {
        flow.directions = [Direction::starts(segment.seq), Direction::starts(0)];
    }
    let late = egress == 0 && way == REQUEST && may_be_late(flow, state);
    let through = segment.len == 0 || (QUICK && !late && payload(ctx, flow, key, segment, way));
    if through && (segment.flags & tcp_flag::FIN == 0 || egress == 0 || fin_leaves(flow, way)) {
        return;
    }
    heads::enter(ctx, egress);
    // user space could not fill the array
    flow.direction(way).lose(segment.seq, segment.len);
    exchanges::lost_step(flow.slot);
}

/// Key of what is remembered of a packet's connection. Of what reaches a listener there is none yet.
#[inline(always)]
pub(super) fn element(key: u64, state: u32) -> u64 {
    if state == u32::from(tcp_state::LISTEN) { early::key() } else { key }
}

/// The segment, unless it is a mere acknowledgement.
#[inline(always)]
pub(super) fn segment(skb: *mut __sk_buff) -> Option<Segment> {
    const TCP: u8 = 6;
    // SAFETY: the context is this program's own; the verifier checks each access against data_end
    unsafe {
        let (data, end) = ((*skb).data as usize, (*skb).data_end as usize);
        if data + 40 > end {
            return None;
        }
        let first = *(data as *const u8);
        // IP options and extension headers are too rare to be worth a longer way for every packet
        let header: u32 = if first == 0x45 && *((data + 9) as *const u8) == TCP {
            20
        } else if first >> 4 == 6 && *((data + 6) as *const u8) == TCP {
            40
        } else {
            return None;
        };
        let tcp = data + header as usize;
        if tcp + 20 > end {
            return None;
        }
        let flags = *((tcp + 13) as *const u8);
        let payload = header + u32::from(*((tcp + 12) as *const u8) >> 4) * 4;
        let all = (*skb).len;
        let len = all.saturating_sub(payload);
        if len == 0 && flags & (tcp_flag::FIN | tcp_flag::RST) == 0 {
            return None;
        }
        // data in a SYN comes behind its own sequence number
        let syn = u32::from(flags & tcp_flag::SYN != 0);
        Some(Segment {
            payload,
            len,
            seq: u32::from_be(*((tcp + 4) as *const u32)).wrapping_add(syn),
            ack: u32::from_be(*((tcp + 8) as *const u32)),
            flags,
        })
    }
}

/// Which end of which port a socket is.
#[derive(Clone, Copy)]
struct Place {
    /// The watched port; 0 if there is none.
    port: u16,
    inbound: bool,
}

/// `None` where nothing is followed.
#[inline(always)]
fn place(pointer: *mut bpf_sock) -> Option<Place> {
    // SAFETY: the verifier checks the loads
    let (local, remote) = unsafe { ((*pointer).src_port as u16, u16::from_be((*pointer).dst_port)) };
    if watched(local).is_some() {
        return Some(Place { port: local, inbound: true });
    }
    let servers_connect = SERVERS_CONNECT.get(0).is_some_and(|any| *any != 0);
    if watched(remote).is_some() && !is_own(pointer) {
        return Some(Place { port: remote, inbound: false });
    }
    // a server's own connection, if it has any
    if servers_connect { Some(Place { port: 0, inbound: false }) } else { None }
}

/// Whether the socket's peer is on this host: then the other end is followed.
#[inline(always)]
fn is_own(pointer: *mut bpf_sock) -> bool {
    // SAFETY: the verifier checks the loads
    unsafe {
        if (*pointer).family == u32::from(AF_INET) {
            let (src, dst) = ((*pointer).src_ip4, (*pointer).dst_ip4);
            src == dst || u32::from_be(dst) >> 24 == 127
        } else {
            (*pointer).src_ip6[3] == (*pointer).dst_ip6[3]
                && (*pointer).src_ip6[2] == (*pointer).dst_ip6[2]
                && (*pointer).src_ip6[1] == (*pointer).dst_ip6[1]
                && (*pointer).src_ip6[0] == (*pointer).dst_ip6[0]
                || ((*pointer).dst_ip6[2] == 0xffff_u32.to_be() && u32::from_be((*pointer).dst_ip6[3]) >> 24 == 127)
        }
    }
}

/// What is remembered of the socket; a connection of a watched port that is met for the first time is
/// followed from now on.
#[inline(always)]
fn followed(key: u64, place: Place, segment: Segment) -> Option<*mut Flow> {
    if let Some(flow) = FLOWS_MAP.get_ptr_mut(key) {
        return Some(flow);
    }
    if place.port == 0 || segment.len == 0 {
        return None;
    }
    let slot = watched(place.port)?;
    if !slot.in_namespace(Sock::new(key)?.netns()) {
        return None;
    }
    flow::met(key, slot, place.inbound)
}

/// Counts exchanges. Those that are worth telling are left to `heads`.
struct Count {
    slot: u16,
}

impl Sink for Count {
    #[inline(always)]
    fn wants(&self, http: &Http, status: u16, now: u64) -> bool {
        exchanges::is_wanted(http, status, now)
    }

    #[inline(always)]
    fn answered(&mut self, http: &Http) {
        exchanges::answered(self.slot, http);
    }

    #[inline(always)]
    fn tell(&mut self, _http: &Http, _event: u8, _number: u32, _whole: bool) {}
}

/// Reads a segment's payload. False if `heads` must go on with it.
#[inline(always)]
fn payload(ctx: &SkBuffContext, flow: &mut Flow, key: u64, segment: Segment, way: u32) -> bool {
    let now = boot_ns();
    if finds_step(flow, segment, way, now) {
        return false;
    }
    if flow.is_upgraded() {
        return true;
    }
    let pointer = &raw mut *flow;
    let other = flow.direction(way ^ 1).phase;
    // SAFETY: a part of the element
    let direction = unsafe { &mut *flow.direction_ptr(way) };
    let was_lost = direction.forgotten(u32::from(direction.phase == phase::LOST || other == phase::LOST));
    if !direction.follows(segment.seq) {
        return false;
    }
    if !direction.take(segment.seq, segment.len) {
        return true;
    }
    let text = text::of(flow).unwrap_or(core::ptr::null_mut());
    let mut window = SegmentWindow { ctx, flow: pointer, text, key, payload: segment.payload, way, now, unseen: 0 };
    let begun = flow.http.begun;
    let mut count = Count { slot: flow.slot };
    let bytes = (segment.seq, segment.len);
    let through = pass(&mut flow.http, direction, way, other, &mut window, &mut count, bytes, now);
    if was_lost == 0 && direction.phase == phase::LOST {
        exchanges::lost_step(flow.slot);
    }
    if flow.http.begun != begun {
        chained::requests(flow);
        exchanges::count(flow.slot, |totals| totals.begun = totals.begun.wrapping_add(1));
    }
    if through {
        times(flow, direction.phase, way, now);
        text_rests(flow);
    }
    through
}

/// Whether a direction that is out of step may find it here.
#[inline(always)]
pub(super) fn finds_step(flow: &Flow, segment: Segment, way: u32, now: u64) -> bool {
    let (request, response) = (flow.directions[0].phase, flow.directions[1].phase);
    if (request < phase::UNTIL_CLOSE && response != phase::UNTIL_CLOSE)
        || !flow.directions[0].asks(way)
        || segment.len < 8
    {
        return false;
    }
    if request != phase::LOST {
        // the end of a message was not seen
        let unseen = request == phase::UNTIL_CLOSE || response == phase::UNTIL_CLOSE;
        return unseen && flow.http.outstanding() == 0;
    }
    let fresh = flow.http.begun == 0 && flow.http.response_end_ns >= flow.http.request_end_ns;
    fresh || now.wrapping_sub(flow.http.last_payload_ns()) > QUIET_NS
}

/// Whether data from the initiator may have come to a connection that this end closed while it was idle.
#[inline(always)]
fn may_be_late(flow: &Flow, state: u32) -> bool {
    flow.told & told::END == 0 && (flow.told & told::LATE_DATA != 0 || closed_while_idle(flow, state))
}

/// Whether this end has closed the connection while it was idle.
#[inline(always)]
pub(super) fn closed_while_idle(flow: &Flow, state: u32) -> bool {
    let closing = state == u32::from(tcp_state::FIN_WAIT1) || state == u32::from(tcp_state::FIN_WAIT2);
    closing && flow.closed_while_idle()
}

/// When payload passed.
#[inline(always)]
pub(super) fn times(flow: &mut Flow, phase_now: u8, way: u32, now: u64) {
    let http = &mut flow.http;
    let unread = phase_now >= phase::OPAQUE;
    if way == REQUEST {
        // without heads, what comes after an answer is the next request
        if unread && http.response_end_ns >= http.request_end_ns {
            http.idle_since_ns = http.last_payload_ns();
            http.request_start_ns = now;
            http.response_start_ns = 0;
        }
        http.request_end_ns = now;
    } else {
        if unread && http.response_start_ns == 0 {
            http.response_start_ns = now;
        }
        http.response_end_ns = now;
    }
}

/// Between two exchanges no text is needed.
#[inline(always)]
pub(super) fn text_rests(flow: &mut Flow) {
    if flow.text == 0 || flow.http.outstanding() != 0 {
        return;
    }
    let request = &flow.directions[0];
    if request.phase >= phase::UNTIL_CLOSE || (request.phase <= phase::HEAD_DUE && request.fill == 0) {
        text::rest(flow);
    }
}

/// This end's FIN leaves, behind all that was sent. False if that may have to be told.
#[inline(always)]
fn fin_leaves(flow: &mut Flow, way: u32) -> bool {
    if flow.seen & seen::FIN != 0 {
        return true;
    }
    if flow.told & told::END == 0 && (flow.is_open() || flow.told & told::FIN_RECEIVED != 0) {
        return false;
    }
    flow.seen |= seen::FIN;
    if way == RESPONSE {
        flow.ends_with_connection();
    }
    true
}
