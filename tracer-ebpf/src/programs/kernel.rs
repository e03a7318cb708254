//! Reads of kernel memory through the offsets of [`Layout`](tracer_ebpf::Layout).

use core::mem::MaybeUninit;
use core::sync::atomic::AtomicU64;

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};
use tracer_ebpf::Tuple;

use super::maps::layout;

/// `AF_INET` (include/linux/socket.h, user-space ABI).
pub(super) const AF_INET: u16 = 2;
/// `AF_INET6`.
pub(super) const AF_INET6: u16 = 10;

/// A kernel address that is only ever read through `bpf_probe_read_kernel`.
#[derive(Clone, Copy)]
pub(super) struct Kernel(pub(super) u64);

impl Kernel {
    /// `None` for a null pointer.
    #[inline(always)]
    pub(super) fn new(address: u64) -> Option<Self> {
        if address == 0 { None } else { Some(Self(address)) }
    }

    #[inline(always)]
    pub(super) fn read<T: Copy>(self, offset: u32) -> Option<T> {
        // SAFETY: bpf_probe_read_kernel fails on an address that cannot be read
        unsafe { bpf_probe_read_kernel((self.0 + u64::from(offset)) as *const T) }.ok()
    }

    /// What is at `offset`; zero where that cannot be read, for the helper leaves zeros then
    /// (Linux 5.5 to 7.3, kernel/trace/bpf_trace.c, `bpf_probe_read_kernel_common`). Without a look at what
    /// the helper returns there is one way less for the verifier to follow.
    #[inline(always)]
    pub(super) fn value<T: Copy>(self, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes all of it whatever it returns; T is an integer
        unsafe {
            let from = (self.0 + u64::from(offset)) as *const _;
            generated::bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
            value.assume_init()
        }
    }

    /// Copies `len` bytes from `offset` to where that many fit; zeros if they cannot be read.
    #[inline(always)]
    fn copy_to(self, offset: u32, to: *mut u8, len: u32) {
        // SAFETY: the caller has room; the helper fails on an address that cannot be read
        unsafe { generated::bpf_probe_read_kernel(to.cast(), len, (self.0 + u64::from(offset)) as *const _) };
    }

    /// Follows the pointer at `offset`; `None` if it is null.
    #[inline(always)]
    pub(super) fn follow(self, offset: u32) -> Option<Self> {
        Self::new(self.value(offset))
    }
}

/// IPv4 as `::ffff:a.b.c.d`.
#[inline(always)]
pub(super) fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}

/// Makes an address a mapped one and says where its four bytes go.
#[inline(always)]
fn v4_place(address: &mut [u8; 16]) -> *mut u8 {
    let words = address.as_mut_ptr().cast::<u32>();
    // SAFETY: four words of an array of 16 bytes, which is aligned to 4 wherever it is
    unsafe {
        words.write_volatile(0);
        words.add(1).write_volatile(0);
        words.add(2).write_volatile(0xffff_0000_u32.to_le());
        words.add(3).cast()
    }
}

/// Its own address, once [`number_of`] has put it there.
#[unsafe(no_mangle)]
static ANCHOR: AtomicU64 = AtomicU64::new(0);

/// A pointer as a number. The verifier lets nobody calculate with a socket's pointer, but pointers may be
/// subtracted from each other, and stored: what lies between this one and a place whose address is stored
/// there is a number. (A look at the stack through a helper would do as well, at ten times the cost.)
#[inline(always)]
pub(super) fn number_of<T>(pointer: *mut T) -> u64 {
    let anchor = ANCHOR.as_ptr();
    // SAFETY: the static lives as long as the program; whoever writes it writes the same
    let mut number = unsafe { anchor.read_volatile() };
    if number == 0 {
        // SAFETY: as above
        unsafe {
            anchor.write_volatile(anchor as u64);
            number = anchor.read_volatile();
        }
    }
    // nobody shall calculate with the anchor first
    let distance = core::hint::black_box((pointer as u64).wrapping_sub(anchor as u64));
    distance.wrapping_add(number)
}

/// `struct sock`.
#[derive(Clone, Copy)]
pub(super) struct Sock(pub(super) Kernel);

impl Sock {
    #[inline(always)]
    pub(super) fn new(address: u64) -> Option<Self> {
        Kernel::new(address).map(Sock)
    }

    #[inline(always)]
    pub(super) fn state(self) -> u8 {
        self.0.value(layout!(sk_state))
    }

    #[inline(always)]
    pub(super) fn family(self) -> u16 {
        self.0.value(layout!(sk_family))
    }

    /// Own port from `inet_sport`: `skc_num` is already 0 when a socket reaches CLOSE.
    #[inline(always)]
    pub(super) fn local_port(self) -> u16 {
        u16::from_be(self.0.value(layout!(inet_sport)))
    }

    #[inline(always)]
    pub(super) fn remote_port(self) -> u16 {
        u16::from_be(self.0.value(layout!(sk_dport)))
    }

    #[inline(always)]
    pub(super) fn is_tcp(self) -> bool {
        const IPPROTO_TCP: u16 = 6;
        let protocol = if layout!(sk_protocol_size) == 1 {
            u16::from(self.0.value::<u8>(layout!(sk_protocol)))
        } else {
            self.0.value::<u16>(layout!(sk_protocol))
        };
        protocol == IPPROTO_TCP
    }

    #[inline(always)]
    pub(super) fn netns(self) -> u32 {
        self.0.follow(layout!(sk_net)).map_or(0, |net| net.value(layout!(net_inum)))
    }

    #[inline(always)]
    pub(super) fn v6_only(self) -> bool {
        u32::from(self.0.value::<u8>(layout!(sk_ipv6only))) & layout!(sk_ipv6only_mask) != 0
    }

    #[inline(always)]
    pub(super) fn error(self) -> u32 {
        self.0.value(layout!(sk_err))
    }

    #[inline(always)]
    pub(super) fn soft_error(self) -> u32 {
        self.0.value(layout!(sk_err_soft))
    }

    /// The ISN of a socket that connected: what was acknowledged, the SYN included, counts from there.
    #[inline(always)]
    pub(super) fn own_isn(self) -> u32 {
        let unacknowledged: u32 = self.0.value(layout!(tcp_snd_una));
        let acknowledged: u64 = self.0.value(layout!(tcp_bytes_acked));
        unacknowledged.wrapping_sub(acknowledged as u32)
    }

    /// The initiator's ISN as its peer knows it: what came in since counts from there.
    #[inline(always)]
    pub(super) fn isn_of_peer(self) -> u32 {
        let next: u32 = self.0.value(layout!(tcp_rcv_nxt));
        let received: u64 = self.0.value(layout!(tcp_bytes_received));
        next.wrapping_sub(received as u32).wrapping_sub(1)
    }

    #[inline(always)]
    pub(super) fn receive_next(self) -> u32 {
        self.0.value(layout!(tcp_rcv_nxt))
    }

    #[inline(always)]
    pub(super) fn send_next(self) -> u32 {
        self.0.value(layout!(tcp_snd_nxt))
    }

    /// How far the app has read.
    #[inline(always)]
    pub(super) fn copied(self) -> u32 {
        self.0.value(layout!(tcp_copied_seq))
    }

    /// Whether there is data that has not been sent once.
    #[inline(always)]
    pub(super) fn unsent(self) -> bool {
        let written: u32 = self.0.value(layout!(tcp_write_seq));
        written.wrapping_sub(self.send_next()) as i32 > 0
    }

    /// Payload bytes that came in order, and the peer's FIN.
    #[inline(always)]
    pub(super) fn bytes_received(self) -> u64 {
        self.0.value(layout!(tcp_bytes_received))
    }

    /// Bytes that were sent: payload, the FIN, and the SYN of a socket that connected.
    #[inline(always)]
    pub(super) fn bytes_sent(self) -> u64 {
        let unacknowledged: u32 = self.0.value(layout!(tcp_snd_una));
        let acknowledged: u64 = self.0.value(layout!(tcp_bytes_acked));
        acknowledged.wrapping_add(u64::from(self.send_next().wrapping_sub(unacknowledged)))
    }

    /// Whether a file holds the socket.
    #[inline(always)]
    pub(super) fn has_file(self) -> bool {
        self.0.follow(layout!(sk_socket)).is_some()
    }

    /// Time-outs in a row.
    #[inline(always)]
    pub(super) fn timeouts(self) -> u8 {
        self.0.value(layout!(icsk_retransmits))
    }

    /// Inode of the socket file; 0 for a socket no file holds (yet, or any more).
    #[inline(always)]
    pub(super) fn inode(self) -> u64 {
        self.0.follow(layout!(sk_socket)).map_or(0, |socket| socket.value(layout!(socket_ino)))
    }

    /// As [`Sock::tuple`], straight into a record: the stack has no room for it everywhere.
    #[inline(always)]
    pub(super) fn write_tuple(self, tuple: &mut Tuple) {
        if self.family() == AF_INET {
            self.0.copy_to(layout!(sk_rcv_saddr), v4_place(&mut tuple.src), 4);
            self.0.copy_to(layout!(sk_daddr), v4_place(&mut tuple.dst), 4);
        } else {
            self.0.copy_to(layout!(sk_v6_rcv_saddr), tuple.src.as_mut_ptr(), 16);
            self.0.copy_to(layout!(sk_v6_daddr), tuple.dst.as_mut_ptr(), 16);
        }
        tuple.src_port = self.local_port();
        tuple.dst_port = self.remote_port();
        tuple.pad = 0;
    }

    /// The peer's address.
    #[inline(always)]
    pub(super) fn write_peer(self, address: &mut [u8; 16]) {
        if self.family() == AF_INET {
            self.0.copy_to(layout!(sk_daddr), v4_place(address), 4);
        } else {
            self.0.copy_to(layout!(sk_v6_daddr), address.as_mut_ptr(), 16);
        }
    }

    /// Whether the peer is on this host: a loopback address, or the socket's own.
    #[inline(always)]
    pub(super) fn peer_is_own(self) -> bool {
        if self.family() == AF_INET {
            let own: u32 = self.0.value(layout!(sk_rcv_saddr));
            let peer: u32 = self.0.value(layout!(sk_daddr));
            return own == peer || u32::from_be(peer) >> 24 == 127;
        }
        let half = |offset: u32| self.0.value::<u64>(offset);
        let (own_high, own_low) = (half(layout!(sk_v6_rcv_saddr)), half(layout!(sk_v6_rcv_saddr) + 8));
        let (high, low) = (half(layout!(sk_v6_daddr)), half(layout!(sk_v6_daddr) + 8));
        let mapped = high == 0 && u64::from_be(low) >> 24 == 0xff_ff7f;
        (own_high == high && own_low == low) || (high == 0 && low == 1_u64.to_be()) || mapped
    }

    /// Own end first.
    #[inline(always)]
    pub(super) fn tuple(self) -> Tuple {
        let mut tuple = Tuple { src: [0; 16], dst: [0; 16], src_port: 0, dst_port: 0, pad: 0 };
        self.write_tuple(&mut tuple);
        tuple
    }
}

/// Members of a structure that lie together in every kernel so far, read in one go; one that lies elsewhere is read
/// by itself.
#[derive(Clone, Copy)]
pub(super) struct Span<const WORDS: usize> {
    structure: Kernel,
    from: u32,
    words: [u64; WORDS],
}

impl<const WORDS: usize> Span<WORDS> {
    /// The words from the one that this offset is in: on the stack members must be aligned as they are there.
    #[inline(always)]
    pub(super) fn of(structure: Kernel, offset: u32) -> Self {
        let from = offset & !7;
        Self { structure, from, words: structure.value(from) }
    }

    /// The member at this offset.
    #[inline(always)]
    pub(super) fn member<T: Copy>(&self, offset: u32) -> T {
        let at = offset.wrapping_sub(self.from);
        if at > (WORDS * 8 - size_of::<T>()) as u32 {
            return self.structure.value(offset);
        }
        // SAFETY: it lies in the array
        unsafe { (&raw const self.words).cast::<u8>().add(at as usize).cast::<T>().read_volatile() }
    }
}

/// A socket's ports and IPv4 addresses.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    sock: Sock,
    span: Span<3>,
}

impl Ends {
    #[inline(always)]
    pub(super) fn of(sock: Sock) -> Self {
        Self { sock, span: Span::of(sock.0, layout!(sk_daddr)) }
    }

    /// Own port, in every state but CLOSE.
    #[inline(always)]
    pub(super) fn local_port(&self) -> u16 {
        self.span.member(layout!(sk_num))
    }

    #[inline(always)]
    pub(super) fn remote_port(&self) -> u16 {
        u16::from_be(self.span.member(layout!(sk_dport)))
    }

    /// As [`Sock::peer_is_own`].
    #[inline(always)]
    pub(super) fn peer_is_own(&self) -> bool {
        if self.span.member::<u16>(layout!(sk_family)) != AF_INET {
            return self.sock.peer_is_own();
        }
        let own: u32 = self.span.member(layout!(sk_rcv_saddr));
        let peer: u32 = self.span.member(layout!(sk_daddr));
        own == peer || u32::from_be(peer) >> 24 == 127
    }
}

/// Why the kernel dropped a packet (`enum skb_drop_reason`), if it says so. (Of an `Option` the compiler would spill a
/// number that is not there, which the verifier refuses.)
#[derive(Clone, Copy)]
pub(super) struct DropReason(u32);

impl DropReason {
    /// `argument` gives the tracepoint's, where there is one.
    #[inline(always)]
    pub(super) fn of(argument: impl FnOnce() -> u32) -> Self {
        Self(if Self::is_given() { argument() } else { 0 })
    }

    #[inline(always)]
    pub(super) fn is_given() -> bool {
        layout!(kfree_has_reason) != 0
    }

    /// 0 where none is given.
    #[inline(always)]
    pub(super) fn number(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) fn is_no_socket(self) -> bool {
        Self::is_given() && self.0 == layout!(reason_no_socket)
    }

    #[inline(always)]
    pub(super) fn is_netfilter_drop(self) -> bool {
        Self::is_given() && self.0 == layout!(reason_netfilter_drop)
    }
}

/// Namespace of the device that `dev` points to.
#[inline(always)]
pub(super) fn netns_of_device(device: Kernel) -> u32 {
    device.follow(layout!(dev_net)).map_or(0, |net| net.value(layout!(net_inum)))
}
