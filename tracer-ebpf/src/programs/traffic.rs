//! Packets of connections: what a segment is, and what it means for its connection. This runs for every
//! packet of every socket: what carries nothing is let pass after a look at its headers.

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::map;
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::SkBuffContext;
use tracer_ebpf::http::{Direction, Http, REQUEST, RESPONSE, Sink, is_request, phase, read};
use tracer_ebpf::{flow_event, flow_flag, tcp_flag, tcp_state};

use super::chained;
use super::flow::{self, FLOWS_MAP, Flow, seen, told};
use super::flow_record::{Event, tell};
use super::kernel::{AF_INET, Sock};
use super::maps::SERVERS_CONNECT;
use super::ports::{boot_ns, watched};
use super::text::{self, SegmentWindow};
use super::{early, exchanges};

/// A connection that lost step finds it again at a request that comes after this silence, ns.
const QUIET_NS: u64 = 20_000_000;

/// The programs at cgroup_skb, to be entered again where a segment takes more steps than the verifier
/// follows in one run; user space puts them in.
#[map]
static INGRESS_AGAIN: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static EGRESS_AGAIN: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Runs the program at ingress once more for this packet. Comes back if it has run too often, or user space
/// could not fill the array.
#[inline(always)]
pub(super) fn enter_again(ctx: &SkBuffContext) {
    // SAFETY: the array holds that very program
    unsafe { INGRESS_AGAIN.tail_call(ctx, 0) };
}

/// A TCP segment that carries something.
#[derive(Clone, Copy)]
struct Segment {
    /// Where its payload begins in the packet.
    payload: u32,
    /// Bytes of payload.
    len: u32,
    seq: u32,
    ack: u32,
    flags: u8,
}

/// A packet of a connected socket: `egress` is 1 on its way out, else 0.
#[inline(always)]
pub(super) fn packet(ctx: &SkBuffContext, pointer: *mut bpf_sock, state: u32, egress: u32) {
    let Some(segment) = segment(ctx.skb.skb) else { return };
    let Some(place) = place(pointer) else { return };
    // the verifier refuses arithmetic on a socket pointer: take it as a number, by way of the stack
    let on_stack = pointer as u64;
    // SAFETY: reads this program's own stack
    let Ok(key) = (unsafe { bpf_probe_read_kernel(&raw const on_stack) }) else { return };
    // of what reaches a listener there is no connection yet
    let element = if state == u32::from(tcp_state::LISTEN) { early::key() } else { key };
    let Some(flow) = followed(element, place, segment) else { return };
    let Some(sock) = Sock::new(key) else { return };
    // SAFETY: elements stay where they are; each direction writes what is its own
    let inbound = unsafe { (*flow).flags } & flow_flag::INBOUND;
    let way = core::hint::black_box(egress ^ inbound ^ 1) & 1;
    if segment.flags & tcp_flag::RST != 0 && egress == 0 {
        // SAFETY: as above
        unsafe { (*flow).seen |= seen::RESET };
        return;
    }
    if segment.flags & tcp_flag::SYN != 0 && egress == 1 {
        // SAFETY: as above
        let directions = unsafe { &mut (*flow).directions };
        if directions[0].phase == phase::LOST {
            *directions = [Direction::starts(segment.seq), Direction::starts(0)];
        }
    }
    if segment.len != 0 && !payload(ctx, flow, sock, segment, way, state, egress) {
        // SAFETY: the array holds these very programs
        unsafe {
            if egress == 1 {
                EGRESS_AGAIN.tail_call(ctx, 0);
            } else {
                INGRESS_AGAIN.tail_call(ctx, 0);
            }
        }
        // called too often, or user space could not fill the array
        // SAFETY: as above
        unsafe {
            (*(&raw mut (*flow).directions).cast::<Direction>().add(way as usize)).lose(segment.seq, segment.len);
            exchanges::lost_step((*flow).slot);
        }
    }
    if segment.flags & tcp_flag::FIN != 0 && egress == 1 {
        // SAFETY: as above
        fin_leaves(unsafe { &mut *flow }, sock, state, way);
    }
}

/// The segment, unless it is a mere acknowledgement.
#[inline(always)]
fn segment(skb: *mut __sk_buff) -> Option<Segment> {
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

/// Tells of exchanges as they are read.
struct Report {
    flow: *mut Flow,
    sock: Sock,
    state: u8,
}

impl Sink for Report {
    #[inline(always)]
    fn wants(&self, http: &Http, now: u64) -> bool {
        const NOT_PLAIN: u32 = flow_flag::TLS | flow_flag::HTTP2 | flow_flag::PROXY_HEADER;
        exchanges::is_told(http.status)
            || exchanges::fails_health_check(http, now)
            || (http.status >= 400 && http.request_flags & NOT_PLAIN != 0)
    }

    #[inline(always)]
    fn answered(&mut self, http: &Http) {
        // SAFETY: written once, when the connection began
        exchanges::answered(unsafe { (*self.flow).slot }, http);
    }

    #[inline(always)]
    fn tell(&mut self, http: &Http, event: u8, number: u32) {
        // to what is no HTTP belongs no exchange
        let number = if http.begun == 0 { 0 } else { number };
        // SAFETY: elements stay where they are
        tell(unsafe { &*self.flow }, self.sock, Event { event, state: self.state, flags: 0, number });
    }
}

#[inline(always)]
fn payload(
    ctx: &SkBuffContext,
    flow: *mut Flow,
    sock: Sock,
    segment: Segment,
    way: u32,
    state: u32,
    egress: u32,
) -> bool {
    let now = boot_ns();
    // SAFETY: the map's element: the other direction writes other fields
    let flow_ref = unsafe { &mut *flow };
    // SAFETY: `way` is 0 or 1, and there are two
    let direction = unsafe { &mut *(&raw mut (*flow).directions).cast::<Direction>().add(way as usize) };
    if direction.phase == phase::LOST && way == REQUEST {
        find_step(ctx, flow_ref, segment, now);
    }
    if flow_ref.directions[0].phase == phase::OPAQUE && flow_ref.http.response_flags & flow_flag::UPGRADED != 0 {
        return true;
    }
    // SAFETY: as above
    let other = unsafe { (*(&raw const (*flow).directions).cast::<Direction>().add((way ^ 1) as usize)).phase };
    let was_lost = direction.phase == phase::LOST || other == phase::LOST;
    if !direction.take(segment.seq, segment.len) {
        return true;
    }
    if egress == 0 && way == REQUEST {
        is_late(flow_ref, state);
    }
    let requests = flow_ref.http.begun;
    let mut window = SegmentWindow {
        ctx,
        flow,
        text: text::of(flow_ref).unwrap_or(core::ptr::null_mut()),
        key: sock.0.0,
        payload: segment.payload,
        way,
    };
    let mut report = Report { flow, sock, state: state as u8 };
    let known = flow_ref.http.request_flags;
    let bytes = (segment.seq, segment.len);
    let done = read(&mut flow_ref.http, direction, way, other, &mut window, &mut report, bytes, now);
    if !was_lost && direction.phase == phase::LOST {
        exchanges::lost_step(flow_ref.slot);
    }
    times(flow_ref, direction.phase, way, now);
    if done && egress == 0 && way == REQUEST {
        late(flow_ref, sock, state);
    }
    let began = flow_ref.http.begun.wrapping_sub(requests);
    let opened = flow_ref.http.request_flags & !known;
    if way == REQUEST && (began != 0 || opened != 0) {
        chained::requests(flow_ref);
        exchanges::count(flow_ref.slot, |totals| {
            totals.begun = totals.begun.wrapping_add(i64::from(began as i32) as u64);
            totals.tls += u64::from(opened & flow_flag::TLS != 0);
            totals.http2 += u64::from(opened & flow_flag::HTTP2 != 0);
            totals.not_http += u64::from(opened & flow_flag::NOT_HTTP != 0);
        });
    }
    if flow_ref.text != 0 && flow_ref.http.outstanding() == 0 {
        let request = &flow_ref.directions[0];
        if request.phase >= phase::UNTIL_CLOSE || (request.phase <= phase::HEAD_DUE && request.fill == 0) {
            text::release(flow_ref);
        }
    }
    done
}

/// When payload passed.
#[inline(always)]
fn times(flow: &mut Flow, phase_now: u8, way: u32, now: u64) {
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

/// A connection that is out of step is in step again at a request that follows silence.
#[inline(always)]
fn find_step(ctx: &SkBuffContext, flow: &mut Flow, segment: Segment, now: u64) {
    let last = flow.http.last_payload_ns();
    let fresh = flow.http.begun == 0 && flow.http.response_end_ns >= flow.http.request_end_ns;
    if segment.len < 8 || !(fresh || now.wrapping_sub(last) > QUIET_NS) {
        return;
    }
    let mut first = 0_u64;
    // SAFETY: 8 bytes of the stack
    let read = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), segment.payload, (&raw mut first).cast(), 8) };
    if read != 0 || !is_request(first) {
        return;
    }
    let pending = flow.http.outstanding();
    if pending != 0 {
        exchanges::abandoned(flow.slot, flow.http.status, pending);
        flow.http.answered = flow.http.begun;
        flow.http.ended = flow.http.begun;
    }
    text::release(flow);
    flow.directions = [Direction::due(segment.seq), Direction::due(segment.ack)];
}

/// Data comes to a connection which this end closed while it was idle: told once it is read.
#[inline(always)]
fn is_late(flow: &mut Flow, state: u32) {
    let closing = state == u32::from(tcp_state::FIN_WAIT1) || state == u32::from(tcp_state::FIN_WAIT2);
    if closing && flow.closed_while_idle() {
        flow.told |= told::LATE_DATA;
    }
}

#[inline(always)]
fn late(flow: &mut Flow, sock: Sock, state: u32) {
    if flow.told & (told::LATE_DATA | told::END) != told::LATE_DATA {
        return;
    }
    flow.told |= told::END;
    // its request is the next one, if it is one
    let number = if flow.http.outstanding() == 0 { 0 } else { flow.http.begun };
    tell(flow, sock, Event { event: flow_event::LATE_DATA, state: state as u8, flags: 0, number });
}

/// This end's FIN leaves, behind all that was sent.
#[inline(always)]
fn fin_leaves(flow: &mut Flow, sock: Sock, state: u32, way: u32) {
    if flow.seen & seen::FIN != 0 {
        return;
    }
    flow.seen |= seen::FIN;
    if way == RESPONSE {
        flow.ends_with_connection();
    }
    if flow.told & told::END != 0 || !(flow.is_open() || flow.told & told::FIN_RECEIVED != 0) {
        return;
    }
    flow.told |= told::END;
    tell(flow, sock, Event { event: flow_event::FIN_SENT, state: state as u8, flags: 0, number: flow.number() });
}
