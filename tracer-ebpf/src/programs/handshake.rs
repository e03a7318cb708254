//! Handshakes that a listener of this host cannot finish: its queues are full, or its SYN-ACK is not
//! acknowledged.

use aya_ebpf::bindings::bpf_sock_tuple;
use aya_ebpf::helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::{RawTracePointContext, SkBuffContext};
use tracer_ebpf::{ABSENT, HandshakeRecord, handshake_flag, kind};

use super::attempt::{Delivered, Initiator};
use super::chained;
use super::drops::{in_trouble, trouble_is_recent};
use super::emit::{emit, header};
use super::flood::{Signature, is_told};
use super::kernel::{Kernel, Sock, number_of};
use super::maps::{DELIVERED, TROUBLED, layout};
use super::packet::{ContextBytes, Ip, Tcp};
use super::ports::{Slot, watched};

/// State of a request that waits for its last ACK (include/net/tcp_states.h, `TCP_NEW_SYN_RECV`).
const NEW_SYN_RECV: u32 = 12;
/// Look a socket up in the packet's own namespace (include/uapi/linux/bpf.h, `BPF_F_CURRENT_NETNS`).
const CURRENT_NETNS: u64 = u64::MAX;

/// How full a listener is.
#[derive(Clone, Copy)]
struct Queues {
    /// Connections that wait to be accepted.
    backlog: u32,
    limit: u32,
    /// `handshake_flag`s.
    flags: u32,
}

impl Queues {
    /// `sk_acceptq_is_full` (include/net/sock.h).
    #[inline(always)]
    fn accept_queue_full(self) -> bool {
        self.backlog > self.limit
    }

    /// `tcp_conn_request` drops a SYN then (net/ipv4/tcp_input.c).
    #[inline(always)]
    fn drops_syn(self) -> bool {
        self.accept_queue_full()
            || self.flags & (handshake_flag::SYN_QUEUE_FULL | handshake_flag::SYN_COOKIES)
                == handshake_flag::SYN_QUEUE_FULL
    }
}

/// Connections that wait to be accepted, and their limit.
#[inline(always)]
fn backlog(sock: Sock) -> (u32, u32) {
    // neighbours in every kernel so far
    if layout!(sk_max_ack_backlog) == layout!(sk_ack_backlog) + 4 {
        let [backlog, limit]: [u32; 2] = sock.0.value(layout!(sk_ack_backlog));
        return (backlog, limit);
    }
    (sock.0.value(layout!(sk_ack_backlog)), sock.0.value(layout!(sk_max_ack_backlog)))
}

/// Whether a listener has nothing to do, so that no limit can be near.
#[inline(always)]
fn is_at_rest(sock: Sock) -> bool {
    let (backlog, limit) = backlog(sock);
    backlog <= limit
        && limit != 0
        && (layout!(csk_requests) == ABSENT || sock.0.value::<u32>(layout!(csk_requests)) == 0)
}

#[inline(always)]
fn queues(sock: Sock) -> Queues {
    let (backlog, limit) = backlog(sock);
    let mut flags = 0;
    if layout!(csk_requests) != ABSENT && layout!(net_syncookies) != ABSENT {
        let requests: u32 = sock.0.value(layout!(csk_requests));
        let net = sock.0.follow(layout!(sk_net));
        let cookies = net.and_then(|net| net.read::<u8>(layout!(net_syncookies))).unwrap_or(1);
        if cookies != 0 {
            flags |= handshake_flag::SYN_COOKIES;
        }
        if requests >= limit || (cookies == 0 && near_system_limit(net, requests)) {
            flags |= handshake_flag::SYN_QUEUE_FULL;
        }
    }
    Queues { backlog, limit, flags }
}

/// Without cookies the last quarter of the system's limit is kept for peers that are known.
#[inline(always)]
fn near_system_limit(net: Option<Kernel>, requests: u32) -> bool {
    if layout!(net_max_syn_backlog) == ABSENT {
        return false;
    }
    match net.and_then(|net| net.read::<u32>(layout!(net_max_syn_backlog))) {
        Some(limit) => limit.saturating_sub(requests) < limit >> 2,
        None => false,
    }
}

/// Notes which SYN was counted last.
#[inline(always)]
pub(super) fn delivered(ctx: &SkBuffContext, tcp: &Tcp) {
    let skb = number_of(ctx.skb.skb);
    if let Some(last) = DELIVERED.get_ptr_mut(0) {
        // SAFETY: the map's values are Delivereds, of this CPU alone
        unsafe { *last = Delivered { skb, seq: tcp.seq, src_port: tcp.src_port, pad: 0 } };
    }
}

/// Whether this SYN was counted when it was delivered.
#[inline(always)]
pub(super) fn was_delivered(skb: Kernel, isn: u32, src_port: u16) -> bool {
    let this = Delivered { skb: skb.0, seq: isn, src_port, pad: 0 };
    // SAFETY: the map's values are Delivereds, of this CPU alone
    DELIVERED.get_ptr(0).is_some_and(|last| unsafe { *last } == this)
}

/// A SYN has reached a listener.
#[inline(always)]
pub(super) fn syn_at_listener(ctx: &SkBuffContext, ip: &Ip, tcp: &Tcp, sock: Sock) {
    if !is_at_rest(sock) {
        let queues = queues(sock);
        if queues.drops_syn() && request_of(ctx, ip, tcp).is_none() {
            full(ctx, ip, tcp, sock, tcp.seq, queues);
            return;
        }
    }
    if trouble_is_recent() {
        let initiator = initiator(ctx, ip, tcp, tcp.seq);
        if let Some(known) = TROUBLED.get_ptr_mut(initiator) {
            // SAFETY: the map's values are Troubles; SYNs of one attempt do not race
            unsafe { (*known).syns += 1 };
        }
    }
}

/// An ACK has reached a listener: the last of a handshake, if there is such a request.
#[inline(always)]
pub(super) fn ack_at_listener(ctx: &SkBuffContext, ip: &Ip, tcp: &Tcp, sock: Sock) {
    let (backlog, limit) = backlog(sock);
    if backlog <= limit {
        return;
    }
    let mut queues = queues(sock);
    let Some(isn) = request_of(ctx, ip, tcp) else { return };
    queues.flags |= handshake_flag::LAST_ACK;
    if layout!(net_abort_on_overflow) != ABSENT
        && let Some(net) = sock.0.follow(layout!(sk_net))
        && net.value::<u8>(layout!(net_abort_on_overflow)) != 0
    {
        queues.flags |= handshake_flag::ABORT_ON_OVERFLOW;
    }
    full(ctx, ip, tcp, sock, isn, queues);
}

#[inline(always)]
fn full(ctx: &SkBuffContext, ip: &Ip, tcp: &Tcp, sock: Sock, isn: u32, mut queues: Queues) {
    let initiator_of = || (ip.source_end(&ContextBytes(ctx)), tcp.src_port, isn);
    match watched(sock.local_port()) {
        None => queues.flags |= handshake_flag::CHAINED,
        Some(slot) if !is_told(slot, Signature::OTHER, initiator_of) => return,
        Some(_) => {}
    }
    let syns_repeated = in_trouble(&initiator(ctx, ip, tcp, isn));
    emit(header::<HandshakeRecord>(kind::LISTENER_FULL, sock.netns()), |record: &mut HandshakeRecord| {
        let tuple = &mut record.tuple;
        ip.addresses(&ContextBytes(ctx), &mut tuple.dst, &mut tuple.src);
        tuple.src_port = tcp.dst_port;
        tuple.dst_port = tcp.src_port;
        record.inode = sock.inode();
        record.isn = isn;
        record.backlog = queues.backlog;
        record.backlog_limit = queues.limit;
        record.flags = queues.flags;
        record.syns_repeated = syns_repeated;
    });
}

#[inline(always)]
fn initiator(ctx: &SkBuffContext, ip: &Ip, tcp: &Tcp, isn: u32) -> Initiator {
    let mut initiator = Initiator { address: [0; 16], isn, port: tcp.src_port, pad: 0 };
    ip.source(&ContextBytes(ctx), &mut initiator.address);
    initiator
}

/// The initiator's ISN in the request that a packet belongs to, if there is one.
#[inline(always)]
fn request_of(ctx: &SkBuffContext, ip: &Ip, tcp: &Tcp) -> Option<u32> {
    let bytes = ContextBytes(ctx);
    // both addresses, then both ports, in network order (struct bpf_sock_tuple)
    let mut tuple = [0_u32; 9];
    let ports = u32::from(tcp.src_port.to_be()) | u32::from(tcp.dst_port.to_be()) << 16;
    let size = if ip.is_v4() {
        let (source, destination) = ip.addresses_v4(&bytes)?;
        (tuple[0], tuple[1], tuple[2]) = (source, destination, ports);
        12
    } else {
        let (source, destination) = ip.addresses_v6(&bytes)?;
        (tuple[0], tuple[1], tuple[2], tuple[3]) = (source[0], source[1], source[2], source[3]);
        (tuple[4], tuple[5], tuple[6], tuple[7]) = (destination[0], destination[1], destination[2], destination[3]);
        tuple[8] = ports;
        36
    };
    let isn_offset = layout!(req_rcv_isn);
    // SAFETY: the helper reads `size` bytes of the tuple; what it returns is released below, on every way
    unsafe {
        let tuple = (&raw mut tuple).cast::<bpf_sock_tuple>();
        let found = bpf_skc_lookup_tcp(ctx.skb.skb.cast(), tuple, size, CURRENT_NETNS, 0);
        if found.is_null() {
            return None;
        }
        let is_request = (*found).state == NEW_SYN_RECV;
        let isn = Kernel::new(number_of(found)).and_then(|request| request.read(isn_offset));
        bpf_sk_release(found.cast());
        if is_request { isn } else { None }
    }
}

/// `tcp:tcp_retransmit_synack (sk, req)`: the listener, and the request.
#[raw_tracepoint(tracepoint = "tcp_retransmit_synack")]
pub(crate) fn tcp_retransmit_synack(ctx: RawTracePointContext) -> i32 {
    if let Some(sock) = Sock::new(ctx.arg::<u64>(0))
        && let Some(request) = Sock::new(ctx.arg::<u64>(1))
        && layout!(req_rcv_isn) != ABSENT
    {
        let _not_ours = syn_ack_again(sock, request);
    }
    0
}

#[inline(always)]
fn syn_ack_again(sock: Sock, request: Sock) -> Option<()> {
    let slot = watched(sock.local_port());
    let chained = slot.is_none();
    if chained && !chained::any() {
        return None;
    }
    let netns = sock.netns();
    if !slot.unwrap_or(Slot::NONE).in_namespace(netns) {
        return None;
    }
    let mut queues = queues(sock);
    if acknowledged(request.0) && !queues.accept_queue_full() {
        // TCP_DEFER_ACCEPT: the peer has answered, and only its data is waited for
        return None;
    }
    let isn = request.0.read(layout!(req_rcv_isn))?;
    if chained {
        if chained::distance_of(isn) == 0 {
            return None;
        }
        queues.flags |= handshake_flag::CHAINED;
    }
    let tuple = request.tuple();
    let dst_port = request.remote_port();
    let peer = u32::from_ne_bytes([tuple.dst[12], tuple.dst[13], tuple.dst[14], tuple.dst[15]]);
    if slot.is_some_and(|slot| !is_told(slot, Signature::OTHER, || (peer, dst_port, isn))) {
        return None;
    }
    let seen = in_trouble(&Initiator { address: tuple.dst, isn, port: dst_port, pad: 0 });
    let (sent_again, timeouts) = retransmissions(request.0);
    emit(header::<HandshakeRecord>(kind::SYN_ACK_RETRANSMIT, netns), |record: &mut HandshakeRecord| {
        record.tuple = tuple;
        record.tuple.src_port = sock.local_port();
        record.tuple.dst_port = dst_port;
        record.inode = sock.inode();
        record.isn = isn;
        record.backlog = queues.backlog;
        record.backlog_limit = queues.limit;
        record.flags = queues.flags;
        record.retransmits = sent_again + 1;
        // what no timer sent again, a SYN that came again asked for
        record.syns_repeated = seen.max(sent_again.saturating_sub(timeouts));
    });
    Some(())
}

/// SYN-ACKs sent again before this one, and those of them that a timer sent.
#[inline(always)]
fn retransmissions(request: Kernel) -> (u32, u32) {
    if layout!(req_num_retrans) == ABSENT || layout!(req_num_timeout) == ABSENT {
        return (0, 0);
    }
    let sent = u32::from(request.value::<u8>(layout!(req_num_retrans)));
    let mask = layout!(req_num_timeout_mask);
    let timeouts = u32::from(request.value::<u8>(layout!(req_num_timeout))) & mask;
    // the mask's lowest bit is the unit
    let unit = mask & mask.wrapping_neg();
    (sent, if unit == 0 { timeouts } else { timeouts / unit })
}

/// Whether the peer's last ACK has come (`inet_request_sock.acked`).
#[inline(always)]
fn acknowledged(request: Kernel) -> bool {
    layout!(req_acked) != ABSENT && u32::from(request.value::<u8>(layout!(req_acked))) & layout!(req_acked_mask) != 0
}
