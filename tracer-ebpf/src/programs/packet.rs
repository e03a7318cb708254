//! IP and TCP headers, read from a `struct sk_buff` or through a cgroup_skb context.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::programs::SkBuffContext;
use tracer_ebpf::Tuple;

use super::kernel::{Kernel, Span, mapped};
use super::maps::layout;

/// IP protocol numbers (RFC 9293, RFC 792, RFC 4443).
pub(super) const TCP: u8 = 6;
/// ICMP
pub(super) const ICMP: u8 = 1;
/// ICMPv6
pub(super) const ICMPV6: u8 = 58;

/// Most IPv6 extension headers that are stepped over.
const MAX_EXTENSIONS: usize = 4;

/// Where bytes come from: offsets count from the network header.
pub(super) trait Bytes {
    fn read<T: Copy>(&self, offset: u32) -> Option<T>;
}

/// The linear part of a `struct sk_buff`, from its network header.
#[derive(Clone, Copy)]
pub(super) struct SkbBytes(Kernel);

impl SkbBytes {
    #[inline(always)]
    pub(super) fn new(skb: Kernel) -> Option<Self> {
        Self::at(&Placed::of_packet(skb))
    }

    #[inline(always)]
    fn at(placed: &Placed) -> Option<Self> {
        let head = Kernel::new(placed.member(layout!(skb_head)))?;
        let network: u16 = placed.member(layout!(skb_network_header));
        Some(Self(Kernel(head.0 + u64::from(network))))
    }

    /// The headers of a TCP packet, if there are no options and no extensions: all in one read. What lies behind
    /// the packet is read too; the kernel keeps more than that there (`struct skb_shared_info`).
    #[inline(always)]
    fn usual(self) -> Option<(Ip, Tcp)> {
        let header: [u64; 8] = self.0.read(0)?;
        let header = header.map(u64::to_be);
        let (v4, payload) = if header[0] >> 56 == 0x45 && (header[1] >> 48) as u8 == TCP {
            (true, 20)
        } else if header[0] >> 60 == 6 && (header[0] >> 8) as u8 == TCP {
            (false, 40)
        } else {
            return None;
        };
        let tcp = if v4 {
            // it begins in the middle of a word
            Tcp {
                src_port: (header[2] >> 16) as u16,
                dst_port: header[2] as u16,
                seq: (header[3] >> 32) as u32,
                ack: header[3] as u32,
                flags: (header[4] >> 48) as u8,
                len: (header[4] >> 60) as u32 * 4,
            }
        } else {
            Tcp {
                src_port: (header[5] >> 48) as u16,
                dst_port: (header[5] >> 32) as u16,
                seq: header[5] as u32,
                ack: (header[6] >> 32) as u32,
                flags: (header[6] >> 16) as u8,
                len: (header[6] >> 28) as u32 % 16 * 4,
            }
        };
        Some((Ip { v4, at: 0, protocol: TCP, payload }, tcp))
    }
}

impl Bytes for SkbBytes {
    #[inline(always)]
    fn read<T: Copy>(&self, offset: u32) -> Option<T> {
        self.0.read(offset)
    }
}

/// A cgroup_skb context: its data begin at the network header.
pub(super) struct ContextBytes<'a>(pub(super) &'a SkBuffContext);

impl Bytes for ContextBytes<'_> {
    #[inline(always)]
    fn read<T: Copy>(&self, offset: u32) -> Option<T> {
        self.0.skb.load(offset as usize).ok()
    }
}

/// What a `struct sk_buff` says of its network header.
type Placed = Span<4>;

impl Placed {
    #[inline(always)]
    fn of_packet(skb: Kernel) -> Self {
        Self::of(skb, layout!(skb_protocol))
    }
}

/// The headers of a TCP packet; `None` if it is none. To be asked only where all packets are IP.
#[inline(always)]
pub(super) fn tcp_of(skb: Kernel) -> Option<(SkbBytes, Ip, Tcp)> {
    tcp_at(SkbBytes::new(skb)?)
}

/// The same of any packet.
#[inline(always)]
pub(super) fn tcp_of_any(skb: Kernel) -> Option<(SkbBytes, Ip, Tcp)> {
    let placed = Placed::of_packet(skb);
    // network order: the values below are ETH_P_IP and ETH_P_IPV6 (user-space ABI)
    let protocol: u16 = placed.member(layout!(skb_protocol));
    if protocol != 0x0800_u16.to_be() && protocol != 0x86dd_u16.to_be() {
        return None;
    }
    tcp_at(SkbBytes::at(&placed)?)
}

#[inline(always)]
fn tcp_at(bytes: SkbBytes) -> Option<(SkbBytes, Ip, Tcp)> {
    if let Some((ip, tcp)) = bytes.usual() {
        return Some((bytes, ip, tcp));
    }
    let ip = ip(&bytes, 0)?;
    if ip.protocol != TCP {
        return None;
    }
    let tcp = tcp(&bytes, ip.payload)?;
    Some((bytes, ip, tcp))
}

/// The headers of a TCP packet at cgroup_skb, if they have no options and lie where they can be read at once.
#[inline(always)]
pub(super) fn usual(skb: *mut __sk_buff) -> Option<(Ip, Tcp)> {
    // SAFETY: the context is this program's own; the verifier checks each access against data_end
    unsafe {
        let (data, end) = ((*skb).data as usize, (*skb).data_end as usize);
        if data + 40 > end {
            return None;
        }
        let first = *(data as *const u8);
        let (v4, header) = if first == 0x45 && *((data + 9) as *const u8) == TCP {
            (true, 20)
        } else if first >> 4 == 6 && *((data + 6) as *const u8) == TCP {
            (false, 40)
        } else {
            return None;
        };
        let at = data + header as usize;
        if at + 20 > end {
            return None;
        }
        let tcp = Tcp {
            src_port: u16::from_be(*(at as *const u16)),
            dst_port: u16::from_be(*((at + 2) as *const u16)),
            seq: u32::from_be(*((at + 4) as *const u32)),
            ack: u32::from_be(*((at + 8) as *const u32)),
            flags: *((at + 13) as *const u8),
            len: u32::from(*((at + 12) as *const u8) >> 4) * 4,
        };
        Some((Ip { v4, at: 0, protocol: TCP, payload: header }, tcp))
    }
}

/// The headers of any other TCP packet at cgroup_skb; `None` if it is none.
#[inline(always)]
pub(super) fn unusual(bytes: &ContextBytes<'_>) -> Option<(Ip, Tcp)> {
    let ip = ip(bytes, 0)?;
    if ip.protocol != TCP {
        return None;
    }
    Some((ip, tcp(bytes, ip.payload)?))
}

/// What an IP header says, its addresses apart.
#[derive(Clone, Copy)]
pub(super) struct Ip {
    v4: bool,
    /// Offset of the header.
    at: u32,
    pub(super) protocol: u8,
    /// Offset of what follows.
    pub(super) payload: u32,
}

/// Reads the IPv4 or IPv6 header at `at`. IPv6 extension headers are stepped over.
#[inline(always)]
pub(super) fn ip(bytes: &impl Bytes, at: u32) -> Option<Ip> {
    let first: u8 = bytes.read(at)?;
    match first >> 4 {
        4 => {
            let protocol = bytes.read(at + 9)?;
            Some(Ip { v4: true, at, protocol, payload: at + u32::from(first & 0xf) * 4 })
        }
        6 => {
            let (protocol, payload) = skip_extensions(bytes, bytes.read(at + 6)?, at + 40)?;
            Some(Ip { v4: false, at, protocol, payload })
        }
        _ => None,
    }
}

impl Ip {
    /// Bytes from `offset` to the datagram's end.
    #[inline(always)]
    pub(super) fn len_from(&self, bytes: &impl Bytes, offset: u32) -> u32 {
        let field = if self.v4 { 2 } else { 4 };
        let stated = u32::from(u16::from_be(bytes.read(self.at + field).unwrap_or(0)));
        let end = if self.v4 { stated } else { stated + 40 };
        (self.at + end).saturating_sub(offset)
    }

    #[inline(always)]
    pub(super) fn is_v4(&self) -> bool {
        self.v4
    }

    /// The sender of an IPv4 packet and its receiver, as they are in the header.
    #[inline(always)]
    pub(super) fn addresses_v4(&self, bytes: &impl Bytes) -> Option<(u32, u32)> {
        Some((bytes.read(self.at + 12)?, bytes.read(self.at + 16)?))
    }

    /// The same of an IPv6 packet.
    #[inline(always)]
    pub(super) fn addresses_v6(&self, bytes: &impl Bytes) -> Option<([u32; 4], [u32; 4])> {
        Some((bytes.read(self.at + 8)?, bytes.read(self.at + 24)?))
    }

    /// The last four bytes of the sender's address.
    #[inline(always)]
    pub(super) fn source_end(&self, bytes: &impl Bytes) -> u32 {
        bytes.read(self.at + if self.v4 { 12 } else { 20 }).unwrap_or(0)
    }

    /// The last four bytes of the receiver's address.
    #[inline(always)]
    pub(super) fn destination_end(&self, bytes: &impl Bytes) -> u32 {
        bytes.read(self.at + if self.v4 { 16 } else { 36 }).unwrap_or(0)
    }

    /// The sender alone.
    #[inline(always)]
    pub(super) fn source(&self, bytes: &impl Bytes, src: &mut [u8; 16]) {
        if self.v4 {
            *src = mapped(bytes.read(self.at + 12).unwrap_or([0; 4]));
        } else {
            *src = bytes.read(self.at + 8).unwrap_or([0; 16]);
        }
    }

    /// Sender and receiver, straight into a record: the stack has no room for them.
    #[inline(always)]
    pub(super) fn addresses(&self, bytes: &impl Bytes, src: &mut [u8; 16], dst: &mut [u8; 16]) {
        if self.v4 {
            *src = mapped(bytes.read(self.at + 12).unwrap_or([0; 4]));
            *dst = mapped(bytes.read(self.at + 16).unwrap_or([0; 4]));
        } else {
            *src = bytes.read(self.at + 8).unwrap_or([0; 16]);
            *dst = bytes.read(self.at + 24).unwrap_or([0; 16]);
        }
    }
}

/// Steps over hop-by-hop, routing, fragment and destination options (RFC 8200, section 4).
#[inline(always)]
fn skip_extensions(bytes: &impl Bytes, mut next: u8, mut at: u32) -> Option<(u8, u32)> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    for _ in 0..MAX_EXTENSIONS {
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let [following, len]: [u8; 2] = bytes.read(at)?;
                next = following;
                at += (u32::from(len) + 1) * 8;
            }
            FRAGMENT => {
                let [following, _]: [u8; 2] = bytes.read(at)?;
                next = following;
                at += 8;
            }
            _ => return Some((next, at)),
        }
    }
    None
}

/// What a TCP header says, as far as it is there.
#[derive(Clone, Copy)]
pub(super) struct Tcp {
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    /// Bytes of header.
    pub(super) len: u32,
}

/// Reads the TCP header at `at`.
#[inline(always)]
pub(super) fn tcp(bytes: &impl Bytes, at: u32) -> Option<Tcp> {
    let header: [u8; 14] = bytes.read(at)?;
    Some(Tcp {
        src_port: u16::from_be_bytes([header[0], header[1]]),
        dst_port: u16::from_be_bytes([header[2], header[3]]),
        seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        flags: header[13],
        len: u32::from(header[12] >> 4) * 4,
    })
}

/// Reads a TCP header of which only the first 8 bytes are sure to be there (an ICMP quote).
#[inline(always)]
pub(super) fn quoted_tcp(bytes: &impl Bytes, at: u32) -> Option<Tcp> {
    if let Some(whole) = tcp(bytes, at) {
        return Some(whole);
    }
    let header: [u8; 8] = bytes.read(at)?;
    Some(Tcp {
        src_port: u16::from_be_bytes([header[0], header[1]]),
        dst_port: u16::from_be_bytes([header[2], header[3]]),
        seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ack: 0,
        flags: 0,
        len: 8,
    })
}

/// Endpoints of a packet, straight into a record.
#[inline(always)]
pub(super) fn fill_tuple(tuple: &mut Tuple, bytes: &impl Bytes, ip: &Ip, tcp: &Tcp) {
    ip.addresses(bytes, &mut tuple.src, &mut tuple.dst);
    tuple.src_port = tcp.src_port;
    tuple.dst_port = tcp.dst_port;
}
