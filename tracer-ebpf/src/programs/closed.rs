//! Connections that this end closed while they were kept alive and idle: a request that comes to one of
//! them afterwards meets `TIME_WAIT`, or nothing.

use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use tracer_ebpf::{CLOSED_FLOWS, ClosedFlow, Endpoints, FlowRecord, flow_event, flow_flag, kind, loss, tcp_flag};

use super::emit::{emit, header};
use super::flow::Flow;
use super::kernel::{Kernel, Sock, netns_of_device};
use super::maps::layout;
use super::packet::{Bytes, ContextBytes, Ip, SkbBytes, Tcp};
use super::ports::{boot_ns, lost, watched};

/// How long a late request may come, ns.
const LATE_NS: u64 = 60_000_000_000;

/// Such connections; old ones are removed by user space.
#[map]
static CLOSED: HashMap<Endpoints, ClosedFlow> = HashMap::with_max_entries(CLOSED_FLOWS, 0);

/// What a new element is made of: the stack has no room for it.
static UNKNOWN: ClosedFlow = ClosedFlow {
    closed_ns: 0,
    id: 0,
    established_ns: 0,
    last_payload_ns: 0,
    isn: 0,
    pid: 0,
    exchange: 0,
    flags: 0,
    comm: [0; 16],
};

/// Remembers a connection that is about to be forgotten.
#[inline(always)]
pub(super) fn remember(flow: &Flow, sock: Sock) {
    let mut key =
        Endpoints { peer: [0; 16], peer_port: sock.remote_port(), port: sock.local_port(), netns: sock.netns() };
    sock.write_peer(&mut key.peer);
    #[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be copied to the small stack")]
    let inserted = CLOSED.insert(key, &UNKNOWN, 0);
    if inserted.is_err() {
        lost(loss::CLOSED_FULL);
        return;
    }
    let Some(closed) = CLOSED.get_ptr_mut(key) else { return };
    // SAFETY: the map's element
    let closed = unsafe { &mut *closed };
    closed.id = flow.id;
    closed.established_ns = flow.established_ns;
    closed.last_payload_ns = flow.http.last_payload_ns();
    closed.isn = sock.isn_of_peer();
    closed.pid = flow.pid;
    closed.exchange = flow.http.answered;
    closed.flags = flow.all_flags();
    closed.comm = flow.comm;
    closed.closed_ns = boot_ns();
}

/// A packet was dropped that no connection took.
#[inline(always)]
pub(super) fn dropped(skb: Kernel, bytes: &SkbBytes, ip: &Ip, tcp: &Tcp) {
    if tcp.flags & (tcp_flag::SYN | tcp_flag::RST) != 0 || watched(tcp.dst_port).is_none() {
        return;
    }
    if ip.len_from(bytes, ip.payload + tcp.len) == 0 {
        return;
    }
    // one that has reached a listener has no device any more, and was seen there
    let Some(netns) = skb.follow(layout!(skb_dev)).map(netns_of_device) else { return };
    late(bytes, ip, tcp, netns);
}

/// Data has reached a listener: no other socket is there for it (any more). Says whether it comes too
/// late.
#[inline(always)]
pub(super) fn at_listener(bytes: &ContextBytes<'_>, ip: &Ip, tcp: &Tcp, listener: Sock) -> bool {
    late(bytes, ip, tcp, listener.netns())
}

/// Data came that no connection takes: whether one has just been closed that would have.
#[inline(always)]
fn late(bytes: &impl Bytes, ip: &Ip, tcp: &Tcp, netns: u32) -> bool {
    let mut key = Endpoints { peer: [0; 16], peer_port: tcp.src_port, port: tcp.dst_port, netns };
    ip.source(bytes, &mut key.peer);
    let Some(closed) = CLOSED.get_ptr(key) else { return false };
    // SAFETY: the map's element; written once
    let closed = unsafe { &*closed };
    if boot_ns().wrapping_sub(closed.closed_ns) > LATE_NS {
        return false;
    }
    emit(header::<FlowRecord>(kind::FLOW, netns), |record: &mut FlowRecord| {
        let tuple = &mut record.tuple;
        ip.addresses(bytes, &mut tuple.dst, &mut tuple.src);
        tuple.src_port = tcp.dst_port;
        tuple.dst_port = tcp.src_port;
        record.id = closed.id;
        record.established_ns = closed.established_ns;
        record.idle_since_ns = closed.last_payload_ns;
        record.isn = closed.isn;
        record.flags = closed.flags | flow_flag::FIN_SENT;
        record.pid = closed.pid;
        record.exchange = closed.exchange;
        record.event = flow_event::LATE_DATA;
        record.comm = closed.comm;
    });
    let _told_once = CLOSED.remove(key);
    true
}
