//! A listener that wants TCP signatures (RFC 2385) of a peer that sends none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// `TCP_MD5SIG` (include/uapi/linux/tcp.h)
const TCP_MD5SIG: libc::c_int = 14;
/// Bytes of `struct __kernel_sockaddr_storage`.
const ADDRESS: usize = 128;

/// `struct tcp_md5sig` (include/uapi/linux/tcp.h)
#[repr(C)]
struct Signature {
    peer: [u64; ADDRESS / 8],
    flags: u8,
    prefix: u8,
    length: u16,
    interface: i32,
    key: [u8; 80],
}

/// Listens on every address; of this peer signatures are wanted.
///
/// # Errors
/// When it cannot listen, or the kernel knows no signatures.
pub fn listen(port: u16, peer: IpAddr) -> Result<Socket> {
    let any = if peer.is_ipv4() { [0; 4].into() } else { IpAddr::from([0_u16; 8]) };
    let socket = Socket::new(Domain::for_address(SocketAddr::new(peer, 0)), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    sign(&socket, peer).context("asking for TCP signatures")?;
    socket.listen(16)?;
    Ok(socket)
}

/// Whether this kernel knows signatures.
pub fn missing() -> Option<String> {
    let tried = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
        .and_then(|socket| sign(&socket, IpAddr::from([127, 0, 0, 1])));
    tried.err().map(|error| format!("a kernel with TCP signatures is needed: {error}"))
}

fn sign(socket: &Socket, peer: IpAddr) -> io::Result<()> {
    let address = SockAddr::from(SocketAddr::new(peer, 0));
    let mut signature =
        Signature { peer: [0; ADDRESS / 8], flags: 0, prefix: 0, length: 4, interface: 0, key: [0; 80] };
    signature.key[..4].copy_from_slice(b"lab!");
    let length = usize::try_from(address.len()).unwrap_or_default().min(ADDRESS);
    let to = signature.peer.as_mut_ptr().cast::<u8>();
    // SAFETY: the address is that long, and there is room for it
    unsafe { std::ptr::copy_nonoverlapping(address.as_ptr().cast::<u8>(), to, length) };
    let size = libc::socklen_t::try_from(size_of::<Signature>()).unwrap_or_default();
    let from = (&raw const signature).cast();
    // SAFETY: the option's value is as long as is said, and outlives the call
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, TCP_MD5SIG, from, size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
