//! Maps and read-only globals.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf};
use tracer_ebpf::{DROP_REASON_SLOTS, Layout, PORT_SLOTS, PendingConnect, PortTotals, RING_BYTES, loss};

use super::attempt::{Attempt, Delivered, Initiator, Trouble, Window};

/// Kernel facts, written by user space before load. The verifier sees constants and prunes by them.
#[unsafe(no_mangle)]
pub(super) static LAYOUT: Layout = Layout::ZERO;

/// Reads one field of [`LAYOUT`].
macro_rules! layout {
    ($field:ident) => {{
        // SAFETY: the static lives as long as the program; volatile, since the loader rewrites it
        unsafe { core::ptr::read_volatile(&raw const $crate::programs::maps::LAYOUT.$field) }
    }};
}
pub(super) use layout;

/// All records.
#[map]
pub(super) static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Port (host order) to its slot plus one; 0 where it is not watched.
#[map]
pub(super) static PORTS: Array<u32> = Array::with_max_entries(65_536, 0);

/// Inodes of the watched namespaces, if not all are.
#[map]
pub(super) static NAMESPACES: HashMap<u32, u8> = HashMap::with_max_entries(4096, 0);

/// Totals by slot; the last slot is the self-test's.
#[map]
pub(super) static PORT_TOTALS: PerCpuArray<PortTotals> = PerCpuArray::with_max_entries(PORT_SLOTS + 1, 0);

/// Losses by cause.
#[map]
pub(super) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(loss::COUNT, 0);

/// Index of the packet among the arguments of nf_send_reset (element 0) and nf_send_reset6 (element 1):
/// a map, since their modules may load, and tell their arguments, long after the programs did.
#[map]
pub(super) static NETFILTER_RESET_PACKET: Array<u32> = Array::with_max_entries(2, 0);

/// Attempts in SYN_SENT, by address of their socket.
#[map]
pub(super) static ATTEMPTS: HashMap<u64, Attempt> = HashMap::with_max_entries(16_384, 0);

/// Inbound attempts of which a packet was dropped or not answered: a later success must be told. Old entries are
/// removed by user space.
#[map]
pub(super) static TROUBLED: HashMap<Initiator, Trouble> = HashMap::with_max_entries(16_384, 0);

/// When an element was last put into [`TROUBLED`] (`CLOCK_BOOTTIME`, ns): one element.
#[map]
pub(super) static TROUBLED_LAST: Array<u64> = Array::with_max_entries(1, 0);

/// Drop reasons that say more than that TCP had no use for a packet: 1. Written by user space.
#[map]
pub(super) static DROP_REASONS: Array<u32> = Array::with_max_entries(DROP_REASON_SLOTS, 0);

/// Element of [`DROP_WINDOWS`] that all pairs of ports share.
pub(super) const DROP_WINDOWS_OF_ALL: u32 = 256;

/// Drops told lately, by a hash of both ports.
#[map]
pub(super) static DROP_WINDOWS: PerCpuArray<Window> = PerCpuArray::with_max_entries(DROP_WINDOWS_OF_ALL + 1, 0);

/// The SYN that this CPU delivered last: should it be dropped behind the listener, it is not counted again.
#[map]
pub(super) static DELIVERED: PerCpuArray<Delivered> = PerCpuArray::with_max_entries(1, 0);

/// The last connect() of each thread, by `bpf_get_current_pid_tgid()`. Old ones are removed by user space.
#[map]
pub(super) static CONNECTS: HashMap<u64, PendingConnect> = HashMap::with_max_entries(4096, 0);

/// Whether [`UNSENT`] may hold anything: one element, not 0 if so.
#[map]
pub(super) static UNSENT_MARKED: Array<u64> = Array::with_max_entries(1, 0);

/// Processes (thread group ids) that could not connect lately: their next success is told, so that one address
/// family's failure is not taken for the request's.
#[map]
pub(super) static UNSENT: HashMap<u32, u64> = HashMap::with_max_entries(4096, 0);

/// Processes that serve a watched port, or a connection of one that does, by thread group id; values as
/// [`tracer_ebpf::server`] says.
#[map]
pub(super) static SERVERS: HashMap<u32, u64> = HashMap::with_max_entries(16_384, 0);

/// Those of them that the OOM killer chose and that have not ended yet.
#[map]
pub(super) static VICTIMS: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);

/// 1 once one of [`SERVERS`] has connected somewhere: until then no other connection can be one of theirs.
#[map]
pub(super) static SERVERS_CONNECT: Array<u32> = Array::with_max_entries(1, 0);
