//! What is watched: port first, then namespace. And what is counted.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use tracer_ebpf::{PortTotals, SELF_TEST_SLOT};

use super::kernel::Sock;
use super::maps::{LOSSES, NAMESPACES, PORT_TOTALS, PORTS, layout};

/// Slot of a watched port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// The port's slot, if it is watched.
#[inline(always)]
pub(super) fn watched(port: u16) -> Option<Slot> {
    match PORTS.get(u32::from(port)) {
        Some(&slot_plus_one) if slot_plus_one != 0 => Some(Slot(slot_plus_one - 1)),
        _ => None,
    }
}

impl Slot {
    /// Of a connection whose port is not watched: it counts nowhere.
    pub(super) const NONE: Self = Self(0xffff);

    /// The slot that a connection was given.
    #[inline(always)]
    pub(super) fn of_number(number: u16) -> Self {
        Self(u32::from(number))
    }

    #[inline(always)]
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// Whether this namespace is watched. The self-test's port is, everywhere.
    #[inline(always)]
    pub(super) fn in_namespace(self, netns: u32) -> bool {
        self.0 == SELF_TEST_SLOT || is_watched_namespace(netns)
    }

    /// Whether the socket's namespace is watched. It is not even read where all are.
    #[inline(always)]
    pub(super) fn has(self, sock: Sock) -> bool {
        layout!(netns_filter) == 0 || self.in_namespace(sock.netns())
    }

    /// Counts in this CPU's totals of the port.
    #[inline(always)]
    pub(super) fn count(self, change: impl FnOnce(&mut PortTotals)) {
        if let Some(totals) = PORT_TOTALS.get_ptr_mut(self.0) {
            // SAFETY: the element is this CPU's own, and programs of one kind do not nest on it
            change(unsafe { &mut *totals });
        }
    }

    /// Counts a SYN that reached this host.
    #[inline(always)]
    pub(super) fn count_syn(self) {
        let now = boot_ns();
        self.count(|totals| {
            totals.syns += 1;
            totals.last_syn_ns = now;
        });
    }
}

/// Whether this namespace is watched.
#[inline(always)]
pub(super) fn is_watched_namespace(netns: u32) -> bool {
    layout!(netns_filter) == 0 || NAMESPACES.get_ptr(netns).is_some()
}

/// `CLOCK_BOOTTIME`, nanoseconds.
#[inline(always)]
pub(super) fn boot_ns() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Counts one loss of this cause.
#[inline(always)]
pub(super) fn lost(cause: u32) {
    if let Some(count) = LOSSES.get_ptr_mut(cause) {
        // SAFETY: the element is this CPU's own
        unsafe { *count += 1 };
    }
}
