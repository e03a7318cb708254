//! Whose a connection is: the process that reads from it.

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::{ABSENT, flow_flag};

use super::chained;
use super::flow::FLOWS_MAP;
use super::kernel::Kernel;
use super::maps::layout;

/// Places of [`UNREAD`]; a power of two.
const PLACES: usize = 4096;

/// How many followed connections nobody is known to have read from, by a hash of their socket's address: whoever
/// reads from another socket is let go after one load. Each counts from its beginning until its reader is known,
/// or until it ends.
#[unsafe(no_mangle)]
static UNREAD: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];

#[inline(always)]
fn place(key: u64) -> &'static AtomicU64 {
    // sockets are more than 64 bytes apart
    let hash = ((key >> 6) as u32).wrapping_mul(0x9e37_79b9) >> 20;
    // SAFETY: 12 bits are left, and so many places are there
    unsafe { &*(&raw const UNREAD).cast::<AtomicU64>().add(hash as usize & (PLACES - 1)) }
}

/// Adds in one step. The language has no such operation for this target, since every kernel's machine has this one
/// but not its relatives.
#[inline(always)]
fn add(to: &AtomicU64, number: u64) {
    // SAFETY: the one instruction changes these 8 bytes alone
    unsafe { asm!("lock *(u64 *)({to} + 0) += {number}", to = in(reg) to.as_ptr(), number = in(reg) number) };
}

/// A followed connection has no known reader.
#[inline(always)]
pub(super) fn is_sought(key: u64) {
    add(place(key), 1);
}

/// The reader of a connection that had none is known, or it has ended.
#[inline(always)]
pub(super) fn is_sought_no_more(key: u64) {
    add(place(key), u64::MAX);
}

/// `tcp:tcp_rcv_space_adjust (sk)`: a task has read from a socket.
#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
pub(crate) fn tcp_rcv_space_adjust(ctx: RawTracePointContext) -> i32 {
    let key = ctx.arg::<u64>(0);
    // SAFETY: an integer of a static
    if unsafe { place(key).as_ptr().read_volatile() } == 0 {
        return 0;
    }
    let Some(flow) = FLOWS_MAP.get_ptr_mut(key) else { return 0 };
    // SAFETY: the socket is locked by its reader
    let flow = unsafe { &mut *flow };
    if flow.pid != 0 {
        return 0;
    }
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // what the kernel itself reads in an interrupt has no reader yet
    if pid == 0 {
        return 0;
    }
    flow.comm = comm_of_process();
    flow.pid = pid;
    is_sought_no_more(key);
    if flow.flags & flow_flag::INBOUND != 0 {
        chained::serves(pid, u32::from(flow.distance));
    }
    0
}

/// Comm of the present task's process: its main thread's. Others may be named for what they do.
#[inline(always)]
pub(super) fn comm_of_process() -> [u8; 16] {
    let ids = bpf_get_current_pid_tgid();
    if ids as u32 != (ids >> 32) as u32 && layout!(task_leader) != ABSENT {
        // SAFETY: the helper takes nothing and cannot fail
        let leader = Kernel::new(unsafe { bpf_get_current_task() }).and_then(|task| task.follow(layout!(task_leader)));
        if let Some(comm) = leader.and_then(|leader| leader.read(layout!(task_comm))) {
            return comm;
        }
    }
    bpf_get_current_comm().unwrap_or([0; 16])
}
