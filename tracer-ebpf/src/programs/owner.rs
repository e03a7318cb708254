//! Whose a connection is: the process that reads from it.

use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::{ABSENT, flow_flag};

use super::chained;
use super::flow::FLOWS_MAP;
use super::kernel::Kernel;
use super::maps::layout;

/// `tcp:tcp_rcv_space_adjust (sk)`: a task has read from a socket.
#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
pub(crate) fn tcp_rcv_space_adjust(ctx: RawTracePointContext) -> i32 {
    let key = ctx.arg::<u64>(0);
    let Some(flow) = FLOWS_MAP.get_ptr_mut(key) else { return 0 };
    // SAFETY: the socket is locked by its reader
    let flow = unsafe { &mut *flow };
    if flow.pid != 0 {
        return 0;
    }
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    flow.comm = comm_of_process();
    flow.pid = pid;
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
