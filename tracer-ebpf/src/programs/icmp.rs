//! ICMP and ICMPv6 errors that quote a TCP packet.

use aya_ebpf::macros::kprobe;
use aya_ebpf::programs::ProbeContext;
use tracer_ebpf::{IcmpRecord, kind};

use super::chained;
use super::emit::{emit, header};
use super::kernel::{Kernel, netns_of_device};
use super::maps::layout;
use super::packet::{self, Bytes, Ip, SkbBytes};
use super::ports::{is_watched_namespace, watched};

/// Reads the error that follows `outer`, if it quotes TCP, and sends it. `received` errors are
/// filtered by the quoted destination port. Errors that this host sends are not: NAT has already put
/// the published port back into the quote. They are few, in floods too, since the kernel limits their rate.
#[inline(always)]
pub(super) fn error(bytes: &impl Bytes, outer: &Ip, netns: u32, record_kind: u16) -> Option<()> {
    let [icmp_type, icmp_code]: [u8; 2] = bytes.read(outer.payload)?;
    if !is_error(outer.protocol, icmp_type) {
        return None;
    }
    let inner = packet::ip(bytes, outer.payload + 8)?;
    if inner.protocol != packet::TCP {
        return None;
    }
    let tcp = packet::quoted_tcp(bytes, inner.payload)?;
    let is_watched = record_kind != kind::ICMP_RECEIVED || watched(tcp.dst_port).is_some();
    if !is_watched && chained::distance_of(tcp.seq) == 0 {
        return None;
    }
    if !is_watched_namespace(netns) {
        return None;
    }
    emit(header::<IcmpRecord>(record_kind, netns), |record: &mut IcmpRecord| {
        packet::fill_tuple(&mut record.quoted, bytes, &inner, &tcp);
        outer.addresses(bytes, &mut record.icmp_src, &mut record.icmp_dst);
        record.seq = tcp.seq;
        record.icmp_type = icmp_type;
        record.icmp_code = icmp_code;
        record.tcp_flags = tcp.flags;
    });
    Some(())
}

/// Destination unreachable, time exceeded, parameter problem (RFC 792); ICMPv6 error types are those
/// below 128 (RFC 4443), of which packet too big (2) answers no SYN.
#[inline(always)]
fn is_error(protocol: u8, icmp_type: u8) -> bool {
    match protocol {
        packet::ICMP => matches!(icmp_type, 3 | 11 | 12),
        packet::ICMPV6 => matches!(icmp_type, 1 | 3 | 4),
        _ => false,
    }
}

/// `tcp_v4_err(skb, info)` (net/ipv4/tcp_ipv4.c): skb->data is at the quoted IP header, 8 bytes
/// behind the ICMP header; the outer IP header is at the network header.
#[kprobe(function = "tcp_v4_err")]
pub(crate) fn tcp_v4_err(ctx: ProbeContext) -> u32 {
    let _not_ours = received(&ctx);
    0
}

/// `tcp_v6_err(skb, opt, type, code, offset, info)` (net/ipv6/tcp_ipv6.c).
#[kprobe(function = "tcp_v6_err")]
pub(crate) fn tcp_v6_err(ctx: ProbeContext) -> u32 {
    let _not_ours = received(&ctx);
    0
}

#[inline(always)]
fn received(ctx: &ProbeContext) -> Option<()> {
    let skb = Kernel::new(ctx.arg::<u64>(0)?)?;
    let bytes = SkbBytes::new(skb)?;
    let outer = packet::ip(&bytes, 0)?;
    let netns = netns_of_device(skb.follow(layout!(skb_dev))?);
    error(&bytes, &outer, netns, kind::ICMP_RECEIVED)
}
