//! Kernel modules that load while recording: some hooks can only then be attached.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// Whether a module is loaded, or built in with parameters.
#[must_use]
pub fn is_loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

/// The kernel's own announcements of what comes and goes (kobject uevents), modules among them.
#[derive(Debug)]
pub struct ModuleEvents {
    socket: OwnedFd,
}

impl ModuleEvents {
    /// Subscribes.
    ///
    /// # Errors
    /// What the kernel says; without it a check now and then has to do.
    pub fn subscribe() -> io::Result<Self> {
        /// Multicast group of the kernel's own events.
        const KERNEL_GROUP: u32 = 1;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self { socket })
    }

    /// Reads all that is waiting; whether a module was added.
    pub fn module_added(&self) -> bool {
        let mut added = false;
        let mut buffer = [0_u8; 2048];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(_) => return added,
                Ok((len, _)) => {
                    added |= buffer.get(..len).is_some_and(|event| event.starts_with(b"add@/module/"));
                }
            }
        }
    }
}

impl AsFd for ModuleEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for ModuleEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
