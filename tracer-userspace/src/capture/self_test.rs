//! The self-test: a connect to a closed loopback port must produce its record.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, ipproto, socket_with};
use thiserror::Error;
use tracer_ebpf::WAKE_EVERY_NS;

use super::clock::boot_time;
use super::kernel_maps::KernelMaps;
use super::load::LoadError;
use crate::record::{Record, kind};

/// How long the record may take.
const DEADLINE: Duration = Duration::from_secs(1);

/// Why the self-test failed.
#[derive(Debug, Error)]
pub enum SelfTestError {
    /// It could not be made.
    #[error("the self-test cannot connect to a closed port on 127.0.0.1 (is the loopback interface up?)")]
    Setup(#[source] io::Error),
    /// The hooks are attached, but see nothing.
    #[error(
        "the hooks are attached, but a refused connect to 127.0.0.1:{port} produced no record within 1 s: what this \
         kernel does is not seen; report this with the output of `wherefore doctor --json`"
    )]
    Silent {
        /// The closed port.
        port: u16,
    },
    /// A map cannot be written.
    #[error(transparent)]
    Map(#[from] LoadError),
}

/// Runs the self-test. Its own records are taken out of the ring and discarded, and with them anything
/// else that came before recording has begun.
///
/// # Errors
/// [`SelfTestError`] if no record came.
pub(super) fn self_test(maps: &mut KernelMaps, ring: &mut RingBuf<MapData>) -> Result<(), SelfTestError> {
    let (closed, port) = closed_port()?;
    maps.watch_self_test(port, true)?;
    let seen = knock(port).map_err(SelfTestError::Setup).and_then(|()| wait_for_record(ring, port));
    maps.watch_self_test(port, false)?;
    drop(closed);
    seen
}

/// A port that is taken but that nothing listens on.
fn closed_port() -> Result<(std::os::fd::OwnedFd, u16), SelfTestError> {
    let reserve = || -> rustix::io::Result<_> {
        let socket = tcp_socket()?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok((socket, address.port()))
    };
    reserve().map_err(|errno| SelfTestError::Setup(errno.into()))
}

/// Sends one SYN to the port. Refused at once, or a moment later: either way the SYN has left.
fn knock(port: u16) -> io::Result<()> {
    let socket = tcp_socket()?;
    match connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::CONNREFUSED) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn tcp_socket() -> rustix::io::Result<std::os::fd::OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))
}

fn wait_for_record(ring: &mut RingBuf<MapData>, port: u16) -> Result<(), SelfTestError> {
    let deadline = boot_time().after(DEADLINE);
    loop {
        while let Some(item) = ring.next() {
            if is_the_drop(&item, port) {
                return Ok(());
            }
        }
        if boot_time() >= deadline {
            return Err(SelfTestError::Silent { port });
        }
        wait(ring).map_err(SelfTestError::Setup)?;
    }
}

/// Waits until the ring has something, or may have: not every record wakes its reader.
fn wait(ring: &RingBuf<MapData>) -> io::Result<()> {
    let timeout = Timespec::try_from(Duration::from_nanos(WAKE_EVERY_NS)).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(ring, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn is_the_drop(bytes: &[u8], port: u16) -> bool {
    match Record::decode(bytes) {
        Ok(decoded) => matches!(
            decoded.record,
            Some(Record::Packet(packet)) if packet.header.kind == kind::PACKET_DROP && packet.tuple.dst_port == port
        ),
        Err(_) => false,
    }
}
