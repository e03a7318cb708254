//! What is told of a followed connection.

use aya_ebpf::helpers::bpf_get_current_task;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_ebpf::http::{RESPONSE_AT, phase};
use tracer_ebpf::{
    FlowRecord, FlowWithHeads, PROXY_HEADER_BYTES, REQUEST_HEAD_BYTES, RESPONSE_HEAD_BYTES, flow_event, flow_flag,
    kind, stage,
};

use super::chained;
use super::emit::{emit_filled, header};
use super::flow::{Flow, seen};
use super::kernel::{Kernel, Sock};
use super::maps::layout;
use super::text::{self, Text};
use super::{peers, proxied};

/// What happened.
#[derive(Clone, Copy)]
pub(super) struct Event {
    /// [`flow_event`]
    pub(super) event: u8,
    /// State of the socket.
    pub(super) state: u8,
    /// `flow_flag` bits of this event alone; with `RESPONSE_COMPLETE` the exchange does not count as answered yet.
    pub(super) flags: u32,
    /// The exchange that it is about; 0 if none.
    pub(super) number: u32,
}

/// Sends a record of what happened to the connection.
#[inline(always)]
pub(super) fn tell(flow: &Flow, sock: Sock, event: Event) {
    let netns = sock.netns();
    match text::of(flow) {
        // SAFETY: the map's element; the buffer is this connection's
        Some(text) if unsafe { (*text).number } == event.number && event.number != 0 => {
            emit_filled(header::<FlowWithHeads>(kind::FLOW_WITH_HEADS, netns), |record: &mut FlowWithHeads| {
                fill(&mut record.flow, flow, sock, event);
                copy_text(record, flow, text, event.number);
            });
        }
        _ => emit_filled(header::<FlowRecord>(kind::FLOW, netns), |record: &mut FlowRecord| {
            fill(record, flow, sock, event);
        }),
    }
}

#[inline(always)]
fn copy_text(record: &mut FlowWithHeads, flow: &Flow, text: *mut Text, number: u32) {
    record.request_len = u32::from(flow.http.text[0]);
    record.response_len = if record.flow.response_start_ns == 0 { 0 } else { u32::from(flow.http.text[1]) };
    // SAFETY: both sides are as long as the lengths say
    unsafe {
        let from = text.cast::<u8>();
        bpf_probe_read_kernel((&raw mut record.request).cast(), REQUEST_HEAD_BYTES as u32, from.cast());
        bpf_probe_read_kernel(
            (&raw mut record.response).cast(),
            RESPONSE_HEAD_BYTES as u32,
            from.add(RESPONSE_AT as usize).cast(),
        );
        let proxy = (&raw mut record.proxy).cast();
        bpf_probe_read_kernel(proxy, PROXY_HEADER_BYTES as u32, proxied::of(flow).cast());
        // a pipelined request came meanwhile, on another CPU
        if (&raw const (*text).number).read_volatile() != number {
            record.request_len = 0;
        }
    }
}

/// Sets every field: the record is not zeroed before.
#[inline(always)]
fn fill(record: &mut FlowRecord, flow: &Flow, sock: Sock, event: Event) {
    let http = &flow.http;
    let inbound = flow.flags & flow_flag::INBOUND != 0;
    sock.write_tuple(&mut record.tuple);
    record.id = flow.id;
    record.established_ns = flow.established_ns;
    record.inode = sock.inode();
    record.request_start_ns = http.request_start_ns;
    record.request_end_ns = http.request_end_ns;
    // of a pipelined request whose response has not begun, the one before it would be told
    let answer_is_due = event.number != 0
        && event.number == http.answered.wrapping_add(1)
        && event.event != flow_event::RESPONSE
        && flow.directions[1].phase <= phase::HEAD_DUE;
    let of_answer = if answer_is_due { 0 } else { u64::MAX };
    record.response_start_ns = http.response_start_ns & of_answer;
    record.response_end_ns = if record.response_start_ns == 0 { 0 } else { http.response_end_ns };
    record.idle_since_ns = if event.number == 0 { http.last_payload_ns() } else { http.idle_since_ns };
    record.body_expected = http.body_expected & of_answer;
    record.body_seen = http.body_seen & of_answer;
    record.pid = flow.pid;
    // SAFETY: 16 bytes on both sides; a copy by bytes would be a loop
    unsafe { bpf_probe_read_kernel((&raw mut record.comm).cast(), 16, (&raw const flow.comm).cast()) };
    record.exchange = event.number;
    record.outstanding = http.outstanding().wrapping_sub(u32::from(event.flags & flow_flag::RESPONSE_COMPLETE != 0));
    record.error = sock.error();
    record.status = http.status & of_answer as u16;
    record.event = event.event;
    record.tcp_state = event.state;
    record.retransmits = flow.retransmits;
    record.isn = if inbound { sock.isn_of_peer() } else { sock.own_isn() };
    let mut flags = flow.all_flags() | event.flags;
    if event.number != 0 && http.ended >= event.number {
        flags |= flow_flag::REQUEST_COMPLETE;
    }
    if event.number != 0 && http.answered >= event.number {
        flags |= flow_flag::RESPONSE_COMPLETE;
    }
    let fin_sent = flow.seen & seen::FIN != 0;
    if fin_sent && event.event != flow_event::FIN_SENT {
        flags |= flow_flag::FIN_SENT;
    }
    let foreign = flow_flag::TLS | flow_flag::HTTP2 | flow_flag::PROXY_HEADER | flow_flag::ALERT_SENT;
    if inbound && flags & foreign != 0 && peers::were_served(flow.slot, sock.netns(), &record.tuple.dst) {
        flags |= flow_flag::SUCCEEDED_BEFORE;
    }
    if inbound && chained::forwards(flow.pid) {
        flags |= flow_flag::FORWARDS;
    }
    // what is just leaving still counts as unsent, and behind a FIN there is nothing
    let leaving = matches!(event.event, flow_event::RESPONSE | flow_event::MALFORMED | flow_event::FIN_SENT);
    if !leaving && sock.unsent() {
        flags |= flow_flag::UNSENT_DATA;
    }
    record.flags = flags;
    record.received = sock.bytes_received().saturating_sub(u64::from(flags & flow_flag::FIN_RECEIVED != 0));
    record.sent = sock.bytes_sent().saturating_sub(u64::from(!inbound)).saturating_sub(u64::from(fin_sent));
    record.stage = if inbound { stage_of(flow, sock, flags) } else { stage::UNKNOWN };
    record.pad = [0; 2];
}

/// How far the request got on this host.
#[inline(always)]
fn stage_of(flow: &Flow, sock: Sock, flags: u32) -> u8 {
    if flow.http.request_end_ns == 0 {
        return stage::UNKNOWN;
    }
    // a socket whose file is closed has none either
    if flow.pid == 0 && flags & flow_flag::FIN_SENT == 0 && !sock.has_file() {
        return stage::NOT_ACCEPTED;
    }
    let unread = flow.directions[0].next.wrapping_sub(sock.copied()) as i32;
    if unread > 0 { stage::NOT_READ } else { stage::PROCESSING }
}

/// Whether the task in whose context this runs is dying.
#[inline(always)]
pub(super) fn task_is_exiting() -> bool {
    /// `PF_EXITING` (include/linux/sched.h)
    const EXITING: u32 = 0x4;
    /// `SIGNAL_GROUP_EXIT` (include/linux/sched/signal.h)
    const GROUP_EXIT: u32 = 0x4;
    // SAFETY: the helper takes nothing and cannot fail
    let Some(task) = Kernel::new(unsafe { bpf_get_current_task() }) else { return false };
    let flags: u32 = task.value(layout!(task_flags));
    if flags & EXITING != 0 {
        return true;
    }
    let group: u32 = task.follow(layout!(task_signal)).map_or(0, |s| s.value(layout!(signal_flags)));
    group & GROUP_EXIT != 0
}
