//! Packets put straight onto a link: this host's own hooks for what its sockets send see nothing of them, as of
//! packets that come from elsewhere.

use std::mem::MaybeUninit;

use anyhow::{Context as _, Result};
use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::lab::Family;

/// `SOL_PACKET`, `PACKET_QDISC_BYPASS` (include/uapi/linux/if_packet.h).
const QDISC_BYPASS: (libc::c_int, libc::c_int) = (263, 20);

/// Sends IP packets out of an interface to one machine on its link.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    to: SockAddr,
}

impl Wire {
    /// Of an interface of the calling thread's namespace, to this hardware address.
    ///
    /// # Errors
    /// When there is no such interface, or such sockets are not allowed.
    pub(crate) fn new(interface: &str, family: Family, to: [u8; 6]) -> Result<Self> {
        // ETH_P_IP, ETH_P_IPV6 (include/uapi/linux/if_ether.h)
        let protocol: u16 = if family == Family::V4 { 0x0800 } else { 0x86dd };
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0))).context("a packet socket")?;
        let index = name_to_index(&socket, interface).with_context(|| format!("looking for {interface}"))?;
        bypass_queues(&socket).context("a packet socket without queues")?;
        Ok(Self { socket, to: address(index, protocol, to) })
    }

    /// Sends a packet, its IP header first.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn send(&self, packet: &[u8]) -> Result<()> {
        self.socket.send_to(packet, &self.to).context("sending a packet")?;
        Ok(())
    }
}

fn bypass_queues(socket: &Socket) -> std::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    let (level, name) = QDISC_BYPASS;
    // SAFETY: the value is an integer that outlives the call, and `length` is its length
    let returned = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(&on).cast(), length) };
    if returned == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A link-layer address (packet(7)).
fn address(index: u32, protocol: u16, to: [u8; 6]) -> SockAddr {
    // SAFETY: all of it is integers, for which zero is a value
    let mut link: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    link.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    link.sll_protocol = protocol.to_be();
    link.sll_ifindex = i32::try_from(index).unwrap_or_default();
    link.sll_halen = 6;
    for (place, byte) in link.sll_addr.iter_mut().zip(to) {
        *place = byte;
    }
    let mut storage = socket2::SockAddrStorage::zeroed();
    // SAFETY: a storage has room for every kind of address, and the family says which this is
    unsafe { *storage.view_as::<libc::sockaddr_ll>() = link };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    // SAFETY: the storage holds a whole address of that length
    unsafe { SockAddr::new(storage, length) }
}
