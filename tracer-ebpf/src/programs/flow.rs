//! What is remembered of a followed connection, and where it begins and ends.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use tracer_ebpf::http::{Direction, Http, phase};
use tracer_ebpf::{FLOWS, flow_flag, loss};

use super::kernel::Sock;
use super::maps::layout;
use super::owner::{self, comm_of_process};
use super::ports::{Slot, boot_ns, lost, watched};
use super::{early, exchanges};

/// Bits of [`Flow::told`].
pub(super) mod told {
    /// A `FIN_RECEIVED` was sent: the end must be told too.
    pub(crate) const FIN_RECEIVED: u32 = 1 << 0;
    /// The end was told.
    pub(crate) const END: u32 = 1 << 1;
    /// `UNANSWERED` was sent for the present silence.
    pub(crate) const UNANSWERED: u32 = 1 << 2;
    /// `LATE_DATA` was sent.
    pub(crate) const LATE_DATA: u32 = 1 << 3;
    /// A `RESET_RECEIVED` was sent behind the end.
    pub(crate) const RESET_AFTER_END: u32 = 1 << 4;
}

/// Bits of [`Flow::seen`].
pub(super) mod seen {
    /// A RST of the peer's came.
    pub(crate) const RESET: u32 = 1 << 0;
    /// This end's FIN was seen leaving.
    pub(crate) const FIN: u32 = 1 << 1;
    /// It is known of its process that it makes requests of its own.
    pub(crate) const FORWARDS: u32 = 1 << 2;
}

/// A followed connection: element of [`FLOWS`].
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Flow {
    pub(super) http: Http,
    /// By `http::REQUEST` and `http::RESPONSE`.
    pub(super) directions: [Direction; 2],
    pub(super) id: u64,
    pub(super) established_ns: u64,
    /// Thread group id of the last reader, or of the task that connected.
    pub(super) pid: u32,
    /// `flow_flag` bits that hold for the whole connection.
    pub(super) flags: u32,
    pub(super) told: u32,
    pub(super) seen: u32,
    /// Number of the exchanges' buffer, plus one; 0 if it has none.
    pub(super) text: u32,
    pub(super) slot: u16,
    pub(super) retransmits: u8,
    /// How far this end is from the watched port: 0 if it is there.
    pub(super) distance: u8,
    pub(super) comm: [u8; 16],
}

const _: () = assert!(size_of::<Flow>() == 232);

/// Followed connections, by address of their socket.
#[map]
pub(super) static FLOWS_MAP: HashMap<u64, Flow> = HashMap::with_max_entries(FLOWS, 0);

/// What a new element is made of: it does not fit on the stack beside what the programs hold there.
pub(super) static UNKNOWN: Flow = {
    // SAFETY: all of it is integers
    let mut flow: Flow = unsafe { core::mem::zeroed() };
    flow.directions[0].phase = phase::LOST;
    flow.directions[1].phase = phase::LOST;
    flow
};

/// `BPF_NOEXIST` (include/uapi/linux/bpf.h)
const NO_EXIST: u64 = 1;

/// A new element, out of step both ways; or the one that a fast open connection has already.
#[inline(always)]
fn new(key: u64, flags: u32, slot: Slot, pid: u32, now: u64) -> Option<&'static mut Flow> {
    if layout!(follows_flows) == 0 {
        return None;
    }
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be copied to the small stack")]
    let inserted = FLOWS_MAP.insert(key, &UNKNOWN, NO_EXIST);
    let Some(flow) = FLOWS_MAP.get_ptr_mut(key) else {
        lost(loss::FLOWS_FULL);
        return None;
    };
    // SAFETY: the element stays where it is while the socket lives
    let flow = unsafe { &mut *flow };
    let mut was_sought = false;
    if inserted.is_err() {
        if flags == flow_flag::INBOUND && flow.is_fast_open() {
            return Some(flow);
        }
        was_sought = flow.pid == 0;
        *flow = UNKNOWN;
    }
    match (was_sought, pid == 0) {
        (false, true) => owner::is_sought(key),
        (true, false) => owner::is_sought_no_more(key),
        _ => {}
    }
    flow.pid = pid;
    // SAFETY: the helper takes nothing and cannot fail
    let cpu = unsafe { bpf_get_smp_processor_id() };
    // one CPU makes no two of these within 64 ns
    flow.id = ((now >> 6) << 10) | u64::from(cpu & 0x3ff);
    flow.flags = flags;
    flow.slot = slot.number() as u16;
    Some(flow)
}

impl Flow {
    /// Sets the directions' first sequence numbers.
    #[inline(always)]
    fn established(&mut self, sock: Sock, now: u64) {
        let (received, sent) = (sock.receive_next(), sock.send_next());
        let inbound = self.flags & flow_flag::INBOUND != 0;
        self.directions[0].next = if inbound { received } else { sent };
        self.directions[1].next = if inbound { sent } else { received };
        self.directions[0].phase = phase::START;
        self.directions[1].phase = phase::START;
        self.established_ns = now;
    }

    /// Whether it began with data in its SYN, and its handshake is not over yet.
    #[inline(always)]
    fn is_fast_open(&self) -> bool {
        self.established_ns == 0
            && self.flags & (flow_flag::INBOUND | flow_flag::MID_STREAM) == flow_flag::INBOUND
            && self.directions[1].phase != phase::LOST
    }

    /// Whether something is owed: a request has begun and its response is not whole; without HTTP,
    /// something came from the initiator and nothing went back since.
    #[inline(always)]
    pub(super) fn is_open(&self) -> bool {
        let http = &self.http;
        let flags = self.all_flags();
        if flags & flow_flag::UPGRADED != 0 {
            return false;
        }
        let in_step = self.directions[0].phase != phase::LOST && self.directions[1].phase != phase::LOST;
        if flags & flow_flag::HTTP != 0 && in_step {
            return http.outstanding() != 0;
        }
        if flags & (flow_flag::TLS | flow_flag::HTTP2) != 0 {
            return http.response_end_ns == 0;
        }
        http.request_end_ns > http.response_end_ns
    }

    /// The present exchange's number: that of the oldest that is open, or of the last.
    #[inline(always)]
    pub(super) fn number(&self) -> u32 {
        let open = u32::from(self.http.outstanding() != 0);
        self.http.answered.wrapping_add(open)
    }

    /// The responding end closes: a response that ends with the connection is whole.
    #[inline(always)]
    pub(super) fn ends_with_connection(&mut self) {
        if self.directions[1].phase == phase::UNTIL_CLOSE && self.http.outstanding() != 0 {
            self.directions[1].phase = phase::OPAQUE;
            exchanges::answered(self.slot, &self.http);
            self.http.answered = self.http.answered.wrapping_add(1);
        }
    }

    /// Whether this end closes a connection that was kept alive and had nothing to do. A request that was answered
    /// before it was whole is still coming.
    #[inline(always)]
    pub(super) fn closed_while_idle(&self) -> bool {
        self.http.answered != 0
            && self.http.outstanding() == 0
            && self.http.ended == self.http.begun
            && self.all_flags() & (flow_flag::CLOSE_ANNOUNCED | flow_flag::UPGRADED) == 0
    }

    /// The way that a packet takes: `egress` is 1 on its way out, else 0. The compiler shall not know that there
    /// are two.
    #[inline(always)]
    pub(super) fn way(&self, egress: u32) -> u32 {
        core::hint::black_box(egress ^ (self.flags & flow_flag::INBOUND) ^ 1) & 1
    }

    /// The direction of this way, which is 0 or 1.
    #[inline(always)]
    pub(super) fn direction(&mut self, way: u32) -> &mut Direction {
        // SAFETY: a part of this
        unsafe { &mut *self.direction_ptr(way) }
    }

    /// As [`Flow::direction`], beside other parts.
    #[inline(always)]
    pub(super) fn direction_ptr(&mut self, way: u32) -> *mut Direction {
        // SAFETY: there are two
        unsafe { (&raw mut self.directions).cast::<Direction>().add((way & 1) as usize) }
    }

    /// Whether what passes is HTTP no more.
    #[inline(always)]
    pub(super) fn is_upgraded(&self) -> bool {
        self.directions[0].phase == phase::OPAQUE && self.http.response_flags & flow_flag::UPGRADED != 0
    }

    /// `flow_flag` bits as they are now.
    #[inline(always)]
    pub(super) fn all_flags(&self) -> u32 {
        self.flags | self.http.request_flags | self.http.response_flags
    }
}

/// A listener's child is established. `distance` is 0 where the port is watched.
#[inline(always)]
pub(super) fn accepted(sock: Sock, slot: Slot, distance: u32) {
    let chained = if distance == 0 { 0 } else { flow_flag::CHAINED };
    let now = boot_ns();
    if let Some(flow) = new(sock.0.0, flow_flag::INBOUND | chained, slot, 0, now) {
        flow.distance = distance as u8;
        if flow.is_fast_open() {
            flow.established_ns = now;
        } else {
            flow.established(sock, now);
            let _mostly_nothing = early::take_over(sock, flow);
        }
    }
}

/// A listener's child answers before its handshake is over.
#[inline(always)]
pub(super) fn fast_opened(sock: Sock) {
    if !early::is_of(sock) || FLOWS_MAP.get_ptr(sock.0.0).is_some() {
        return;
    }
    let Some(slot) = watched(sock.local_port()) else { return };
    if let Some(flow) = new(sock.0.0, flow_flag::INBOUND, slot, 0, boot_ns()) {
        flow.established(sock, 0);
        let _was_looked_for = early::take_over(sock, flow);
    }
}

/// A task connects.
#[inline(always)]
pub(super) fn connects(sock: Sock, slot: Slot, flags: u32) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    if let Some(flow) = new(sock.0.0, flags, slot, pid, boot_ns()) {
        flow.comm = comm_of_process();
    }
}

/// A connect() succeeded.
#[inline(always)]
pub(super) fn connected(sock: Sock) {
    if let Some(flow) = FLOWS_MAP.get_ptr_mut(sock.0.0) {
        // SAFETY: the socket is locked
        let flow = unsafe { &mut *flow };
        // what came with the SYN was read
        let request = flow.directions[0];
        flow.established(sock, boot_ns());
        if request.phase != phase::LOST {
            flow.directions[0] = request;
        }
    }
}

/// A connection is met whose beginning was not seen.
#[inline(always)]
pub(super) fn met(key: u64, slot: Slot, inbound: bool) -> Option<*mut Flow> {
    let role = if inbound { flow_flag::INBOUND } else { 0 };
    new(key, role | flow_flag::MID_STREAM, slot, 0, boot_ns()).map(|flow| &raw mut *flow)
}
