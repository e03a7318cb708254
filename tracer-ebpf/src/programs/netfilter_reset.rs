//! RSTs that netfilter makes: they pass no tracepoint of TCP's.

use core::hint::black_box;

use aya_ebpf::macros::{kprobe, raw_tracepoint};
use aya_ebpf::programs::{ProbeContext, RawTracePointContext};
use tracer_ebpf::{PacketRecord, kind, tcp_flag};

use super::chained;
use super::emit::{emit, header};
use super::flood::{Signature, is_being_refused, is_told};
use super::kernel::{Kernel, Sock, netns_of_device};
use super::maps::{NETFILTER_RESET_PACKET, layout};
use super::packet;
use super::ports::{Slot, is_watched_namespace, watched};

/// `nf_send_reset` (net/ipv4/netfilter/nf_reject_ipv4.c).
#[kprobe(function = "nf_send_reset")]
pub(crate) fn nf_send_reset(ctx: ProbeContext) -> u32 {
    if let Some(skb) = argument(&ctx, 0) {
        let _not_ours = rejected(skb);
    }
    0
}

/// `nf_send_reset6` (net/ipv6/netfilter/nf_reject_ipv6.c).
#[kprobe(function = "nf_send_reset6")]
pub(crate) fn nf_send_reset6(ctx: ProbeContext) -> u32 {
    if let Some(skb) = argument(&ctx, 1) {
        let _not_ours = rejected(skb);
    }
    0
}

/// The packet among the function's arguments: its place differs between kernels.
#[inline(always)]
fn argument(ctx: &ProbeContext, function: u32) -> Option<Kernel> {
    // each is read by itself: of reads that wait for their number the compiler makes one at a computed
    // place, which the verifier refuses
    let arguments = (
        black_box(ctx.arg::<u64>(0)?),
        black_box(ctx.arg::<u64>(1)?),
        black_box(ctx.arg::<u64>(2)?),
        black_box(ctx.arg::<u64>(3)?),
    );
    Kernel::new(match *NETFILTER_RESET_PACKET.get(function)? {
        0 => arguments.0,
        1 => arguments.1,
        2 => arguments.2,
        3 => arguments.3,
        _ => return None,
    })
}

/// The packet that is being rejected: the record tells the RST that answers it.
#[inline(always)]
fn rejected(skb: Kernel) -> Option<()> {
    let (bytes, ip, tcp) = packet::tcp_of(skb)?;
    let slot = match watched(tcp.dst_port) {
        Some(slot) => slot,
        None if chained::has_handshake(&tcp, skb.read::<u64>(layout!(skb_sk)).and_then(Sock::new)) => Slot::NONE,
        None => return None,
    };
    let netns = netns_of_device(skb.follow(layout!(skb_dev))?);
    if !slot.in_namespace(netns) {
        return None;
    }
    if !is_told(slot, Signature::FILTERED, || (ip.source_end(&bytes), tcp.src_port, tcp.seq)) {
        return None;
    }
    let counted = u32::from(tcp.flags & tcp_flag::SYN != 0);
    emit(header::<PacketRecord>(kind::NETFILTER_RESET, netns), |record: &mut PacketRecord| {
        let tuple = &mut record.tuple;
        ip.addresses(&bytes, &mut tuple.dst, &mut tuple.src);
        tuple.src_port = tcp.dst_port;
        tuple.dst_port = tcp.src_port;
        record.ack = tcp.seq.wrapping_add(counted);
        record.tcp_flags = tcp_flag::RST | tcp_flag::ACK;
    });
    Some(())
}

/// `net:net_dev_queue (skb)`: attached only where nf_send_reset cannot be probed. A RST that no socket
/// owns and that no interface received was made here by netfilter, or by TCP for IPv6, which owns none
/// of its socketless RSTs either: only next to a netfilter drop does it prove a reject.
#[raw_tracepoint(tracepoint = "net_dev_queue")]
pub(crate) fn net_dev_queue(ctx: RawTracePointContext) -> i32 {
    if let Some(skb) = Kernel::new(ctx.arg::<u64>(0)) {
        let _not_ours = socketless_reset(skb);
    }
    0
}

#[inline(always)]
fn socketless_reset(skb: Kernel) -> Option<()> {
    if skb.read::<u64>(layout!(skb_sk))? != 0 || skb.read::<u32>(layout!(skb_iif))? != 0 {
        return None;
    }
    let (bytes, ip, tcp) = packet::tcp_of_any(skb)?;
    if tcp.flags & tcp_flag::RST == 0 {
        return None;
    }
    // TCP's own answer to a SYN, for IPv6: it has been told, or left out, and proves nothing
    if is_being_refused((ip.destination_end(&bytes), tcp.dst_port, tcp.ack.wrapping_sub(1))) {
        return None;
    }
    // by namespace only: the source port may be a published one, that NAT has put back
    let netns = netns_of_device(skb.follow(layout!(skb_dev))?);
    if !is_watched_namespace(netns) {
        return None;
    }
    emit(header::<PacketRecord>(kind::NETFILTER_RESET, netns), |record: &mut PacketRecord| {
        packet::fill_tuple(&mut record.tuple, &bytes, &ip, &tcp);
        record.seq = tcp.seq;
        record.ack = tcp.ack;
        record.tcp_flags = tcp.flags;
    });
    Some(())
}
