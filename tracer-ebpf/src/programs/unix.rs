//! connect() on unix sockets, of processes that serve a watched port: only where it is asked for, since a hook on
//! the end of system calls costs every one of them.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_user};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::{UNIX_CONNECT_FAILURES, UNIX_PATH_BYTES, UnixConnectRecord, kind};

use super::emit::{emit, header};
use super::kernel::Kernel;
use super::maps::{SERVERS, layout};
use super::owner::comm_of_process;

/// `AF_UNIX` (include/linux/socket.h)
const AF_UNIX: u16 = 1;
/// Bytes of a path in `struct sockaddr_un`.
const PATH: usize = 108;

/// `raw_syscalls:sys_exit (regs, ret)`
#[raw_tracepoint(tracepoint = "sys_exit")]
pub(crate) fn sys_exit(ctx: RawTracePointContext) -> i32 {
    let [missing, full, forbidden, refused] = UNIX_CONNECT_FAILURES;
    let error = ctx.arg::<u64>(1).wrapping_neg();
    if error == missing.into() || error == full.into() || error == forbidden.into() || error == refused.into() {
        let _not_ours = call_failed(&ctx, error as u32);
    }
    0
}

#[inline(always)]
fn call_failed(ctx: &RawTracePointContext, error: u32) -> Option<()> {
    let task = bpf_get_current_pid_tgid();
    let pid = (task >> 32) as u32;
    SERVERS.get_ptr(pid)?;
    let registers = Kernel::new(ctx.arg::<u64>(0))?;
    if registers.read::<u32>(layout!(regs_call))? != layout!(call_connect) {
        return None;
    }
    let address: u64 = registers.read(layout!(regs_second))?;
    let length: u64 = registers.read(layout!(regs_third))?;
    let mut family = 0_u16;
    // SAFETY: writes two bytes of the stack
    let read = unsafe { bpf_probe_read_user((&raw mut family).cast(), 2, address as *const _) };
    if read != 0 || family != AF_UNIX || length <= 2 {
        return None;
    }
    let path = if length - 2 > PATH as u64 { PATH as u32 } else { (length - 2) as u32 };
    let comm = comm_of_process();
    emit(header::<UnixConnectRecord>(kind::UNIX_CONNECT, own_netns()), |record: &mut UnixConnectRecord| {
        record.pid = pid;
        record.error = error;
        record.path_len = path;
        record.comm = comm;
        // a page may end behind the path: then fewer bytes are tried
        let to = (&raw mut record.path).cast();
        // SAFETY: at most PATH bytes, for which the record has room
        let read = unsafe { bpf_probe_read_user(to, path & (UNIX_PATH_BYTES as u32 - 1), (address + 2) as *const _) };
        if read != 0 {
            record.path_len = 0;
        }
    });
    Some(())
}

/// Inode of the current task's network namespace; 0 if it is not known.
#[inline(always)]
fn own_netns() -> u32 {
    // SAFETY: the helper takes nothing
    let task = unsafe { bpf_get_current_task() };
    let namespaces = Kernel::new(task).and_then(|task| task.follow(layout!(task_nsproxy)));
    let net = namespaces.and_then(|namespaces| namespaces.follow(layout!(nsproxy_net)));
    net.map_or(0, |net| net.value(layout!(net_inum)))
}
