//! The socket options that no safe library offers: what a raw socket takes in.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _};

/// `ICMP_FILTER` (include/uapi/linux/icmp.h), at level `SOL_RAW`.
const ICMP_FILTER: libc::c_int = 1;
/// `ICMPV6_FILTER` (include/uapi/linux/icmpv6.h), at level `SOL_ICMPV6`.
const ICMPV6_FILTER: libc::c_int = 1;
/// `BPF_RET | BPF_K`: return the constant `k`, the number of bytes to keep.
const RETURN_CONSTANT: u16 = 0x06;

/// Lets only these ICMP types (below 32) reach the socket; types of 32 and above always do.
pub(super) fn pass_icmp_types(socket: impl AsFd, types: &[u8]) -> io::Result<()> {
    // a set bit blocks (net/ipv4/raw.c, icmp_filter)
    let blocked = types.iter().fold(u32::MAX, |mask, kind| mask & !1_u32.checked_shl((*kind).into()).unwrap_or(0));
    set(socket, libc::SOL_RAW, ICMP_FILTER, &blocked)
}

/// Lets only these ICMPv6 types (below 32) reach the socket.
pub(super) fn pass_icmpv6_types(socket: impl AsFd, types: &[u8]) -> io::Result<()> {
    // a set bit blocks (net/ipv6/raw.c, icmpv6_filter); all errors are below 128, those used below 32
    let first = types.iter().fold(u32::MAX, |mask, kind| mask & !1_u32.checked_shl((*kind).into()).unwrap_or(0));
    let mut blocked = [u32::MAX; 8];
    if let Some(word) = blocked.first_mut() {
        *word = first;
    }
    set(socket, libc::SOL_ICMPV6, ICMPV6_FILTER, &blocked)
}

/// Makes the socket queue nothing: a classic BPF program that keeps 0 bytes of each packet. Programs
/// at cgroup_skb/ingress run before it (net/core/filter.c, sk_filter_trim_cap).
pub(super) fn queue_nothing(socket: impl AsFd) -> io::Result<()> {
    let mut program = [libc::sock_filter { code: RETURN_CONSTANT, jt: 0, jf: 0, k: 0 }];
    let attached = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &attached)
}

fn set<T>(socket: impl AsFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: `value` is readable for `len` bytes during the call and the kernel copies them. The three
    // callers pass what the option wants: a u32, eight u32, and a sock_fprog whose program outlives it.
    let outcome =
        unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), len) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
