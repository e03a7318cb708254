//! What is not the usual exchange: heads in several segments, chunks, what no HTTP is, and all that is told.
//! A program of its own, which `traffic` enters, and which enters itself where a segment takes more steps
//! than the verifier follows in one run.

use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::{cgroup_skb, map};
use aya_ebpf::maps::ProgramArray;
use aya_ebpf::programs::SkBuffContext;
use tracer_ebpf::http::{Direction, Http, Part, RESPONSE, Sink, is_request, part, phase, read};
use tracer_ebpf::{flow_event, flow_flag, tcp_flag, tcp_state};

use super::cgroup::{PASS, socket_of};
use super::chained;
use super::exchanges;
use super::flow::{FLOWS_MAP, Flow, seen, told};
use super::flow_record::{Event, tell};
use super::kernel::{Sock, number_of};
use super::ports::boot_ns;
use super::text::{self, SegmentWindow};
use super::traffic::{Segment, closed_while_idle, element, finds_step, segment, text_rests, times};

/// The programs below; user space puts them in.
#[map]
static INGRESS_HEADS: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static EGRESS_HEADS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Goes on in the program below; does not return if that is possible.
#[inline(always)]
pub(super) fn enter(ctx: &SkBuffContext, egress: u32) {
    // SAFETY: the arrays hold programs of the type that enters them
    unsafe {
        if egress == 1 {
            EGRESS_HEADS.tail_call(ctx, 0);
        } else {
            INGRESS_HEADS.tail_call(ctx, 0);
        }
    }
}

/// Entered by `cgroup_ingress`; never attached.
#[cgroup_skb(ingress)]
#[inline(always)]
pub(crate) fn ingress_heads(ctx: SkBuffContext) -> i32 {
    let _not_followed = packet(&ctx, 0);
    PASS
}

/// Entered by `cgroup_egress`; never attached.
#[cgroup_skb(egress)]
#[inline(always)]
pub(crate) fn egress_heads(ctx: SkBuffContext) -> i32 {
    let _not_followed = packet(&ctx, 1);
    PASS
}

#[inline(always)]
fn packet(ctx: &SkBuffContext, egress: u32) -> Option<()> {
    let (pointer, state) = socket_of(ctx)?;
    let segment = segment(ctx.skb.skb)?;
    let sock = Sock::new(number_of(pointer))?;
    let flow = FLOWS_MAP.get_ptr_mut(element(sock.0.0, state))?;
    // SAFETY: elements stay where they are; each direction writes what is its own
    let flow_ref = unsafe { &mut *flow };
    let way = flow_ref.way(egress);
    if segment.len != 0 && !payload(ctx, flow_ref, sock, segment, way, state, egress) {
        enter(ctx, egress);
        // called too often
        flow_ref.direction(way).lose(segment.seq, segment.len);
        exchanges::lost_step(flow_ref.slot);
    }
    if segment.flags & tcp_flag::FIN != 0 && egress == 1 {
        fin_leaves(flow_ref, sock, state, way);
    }
    Some(())
}

/// Tells of exchanges as they are read.
struct Report {
    flow: *mut Flow,
    sock: Sock,
    state: u8,
}

impl Sink for Report {
    #[inline(always)]
    fn wants(&self, http: &Http, status: u16, now: u64) -> bool {
        exchanges::is_wanted(http, status, now)
    }

    #[inline(always)]
    fn answered(&mut self, http: &Http) {
        // SAFETY: written once, when the connection began
        exchanges::answered(unsafe { (*self.flow).slot }, http);
    }

    #[inline(always)]
    fn tell(&mut self, http: &Http, event: u8, number: u32, whole: bool) {
        // to what is no HTTP belongs no exchange
        let number = if http.begun == 0 { 0 } else { number };
        let flags = if whole { flow_flag::RESPONSE_COMPLETE } else { 0 };
        // SAFETY: elements stay where they are
        tell(unsafe { &*self.flow }, self.sock, Event { event, state: self.state, flags, number });
    }
}

#[inline(always)]
fn payload(
    ctx: &SkBuffContext,
    flow: &mut Flow,
    sock: Sock,
    segment: Segment,
    way: u32,
    state: u32,
    egress: u32,
) -> bool {
    let now = boot_ns();
    if finds_step(flow, segment, way, now) {
        find_step(ctx, flow, segment);
    }
    if flow.is_upgraded() {
        return true;
    }
    let pointer = &raw mut *flow;
    let other = flow.direction(way ^ 1).phase;
    // SAFETY: a part of the element
    let direction = unsafe { &mut *flow.direction_ptr(way) };
    let was_lost = direction.forgotten(u32::from(direction.phase == phase::LOST || other == phase::LOST));
    let Some(part) = next_part(direction, sock, segment, state, egress) else { return true };
    // told once it is read
    if egress == 0 && direction.asks(way) && closed_while_idle(flow, state) {
        flow.told |= told::LATE_DATA;
    }
    let requests = flow.http.begun;
    let text = text::of(flow).unwrap_or(core::ptr::null_mut());
    let unseen = direction.forgotten(u32::from(egress == 0 && part.kind == part::UNSEEN));
    let mut window =
        SegmentWindow { ctx, flow: pointer, text, key: sock.0.0, payload: segment.payload, way, now, unseen };
    let mut report = Report { flow: pointer, sock, state: state as u8 };
    let known = flow.http.request_flags;
    let mut done = part.kind == part::THROUGH;
    if !done {
        let bytes = (part.seq, part.len);
        done = read(&mut flow.http, direction, way, other, &mut window, &mut report, bytes, now);
        if egress == 0 && (unseen != 0 || !direction.follows(segment.seq)) {
            direction.goes_on();
            done = false;
        }
    }
    if was_lost == 0 && direction.phase == phase::LOST {
        exchanges::lost_step(flow.slot);
    }
    times(flow, direction.phase, way, now);
    if done && egress == 0 && direction.asks(way) {
        late(flow, sock, state);
    }
    let began = flow.http.begun.wrapping_sub(requests);
    let opened = flow.http.request_flags & !known;
    if direction.asks(way) && (began != 0 || opened != 0) {
        chained::requests(flow);
        exchanges::count(flow.slot, |totals| {
            totals.begun = totals.begun.wrapping_add(i64::from(began as i32) as u64);
            totals.tls += u64::from(opened & flow_flag::TLS != 0);
            totals.http2 += u64::from(opened & flow_flag::HTTP2 != 0);
            totals.not_http += u64::from(opened & flow_flag::NOT_HTTP != 0);
        });
    }
    text_rests(flow);
    done
}

/// What of a segment is read in this run. What is sent passes in order; what is received, as the network brings it.
#[inline(always)]
fn next_part(direction: &mut Direction, sock: Sock, segment: Segment, state: u32, egress: u32) -> Option<Part> {
    let Segment { seq, len, .. } = segment;
    if egress == 1 {
        return if direction.take(seq, len) { Some(Part { kind: part::BYTES, seq, len }) } else { None };
    }
    let arrived = direction.follows(seq) || has_arrived(sock, state, seq);
    let part = direction.part(seq, len, arrived);
    if part.kind == part::NOTHING { None } else { Some(part) }
}

/// A connection that is out of step is in step again at a request that follows silence.
#[inline(always)]
fn find_step(ctx: &SkBuffContext, flow: &mut Flow, segment: Segment) {
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
    if flow.directions[0].phase == phase::LOST {
        flow.directions = [Direction::due(segment.seq), Direction::due(segment.ack)];
        return;
    }
    // only where a message ended was not seen
    if flow.directions[0].phase == phase::UNTIL_CLOSE {
        flow.directions[0].again(segment.seq);
    }
    if flow.directions[1].phase == phase::UNTIL_CLOSE {
        let next = flow.directions[1].next;
        flow.directions[1].again(next);
    }
}

/// Whether TCP has had all that comes before this sequence number. Packets pass here in the order of the
/// network: of those that come before their turn it is known that the missing ones will follow.
#[inline(always)]
fn has_arrived(sock: Sock, state: u32, seq: u32) -> bool {
    state == u32::from(tcp_state::LISTEN) || sock.receive_next().wrapping_sub(seq) as i32 >= 0
}

/// Data has come to a connection which this end closed while it was idle.
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
