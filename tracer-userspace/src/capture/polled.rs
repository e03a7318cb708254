//! File descriptors that the runtime polls.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers an object whose descriptor stays the same and open for as long as the object lives.
///
/// # Errors
/// What the runtime or the kernel says.
pub(super) fn readable<T: OwnsItsDescriptor>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the trait promises that the descriptor stays open and the same while `inner` lives, and
    // AsyncFd deregisters it before it drops `inner`
    unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }.map_err(|error| error.into_parts().1)
}

/// Promises that the object owns one descriptor from its making to its drop.
pub(super) trait OwnsItsDescriptor: AsRawFd {}

impl OwnsItsDescriptor for aya::maps::RingBuf<aya::maps::MapData> {}
impl OwnsItsDescriptor for super::modules::ModuleEvents {}
