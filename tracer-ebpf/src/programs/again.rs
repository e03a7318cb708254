//! Changes of state that the kernel kept from `inet_sock_set_state`: while that runs on a CPU, it is not run there a
//! second time (Linux 6.x, kernel/trace/bpf_trace.c, `__bpf_trace_run`). An interrupt is enough, and where
//! tracepoints can be preempted (7.x), another task. A second program at the same tracepoint makes up for it.

use core::sync::atomic::AtomicU64;

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::{map, raw_tracepoint};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::RawTracePointContext;

use super::socket;

/// CPUs that are told apart; a power of two.
const CPUS: usize = 1024;

/// 1 while `inet_sock_set_state` runs on this CPU. A kernel that runs it in an interrupt nonetheless finds 0 behind
/// that, and nothing is done twice.
#[unsafe(no_mangle)]
static RUNNING: [AtomicU64; CPUS] = [const { AtomicU64::new(0) }; CPUS];

/// Changes of state that were taken here.
#[map]
static TAKEN_AGAIN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn place() -> *mut u64 {
    // SAFETY: the helper takes nothing and cannot fail
    let cpu = unsafe { bpf_get_smp_processor_id() } as usize & (CPUS - 1);
    // SAFETY: the index is less than the array's length
    unsafe { (*(&raw const RUNNING).cast::<AtomicU64>().add(cpu)).as_ptr() }
}

/// Says whether `inet_sock_set_state` runs on this CPU; programs stay on theirs.
#[inline(always)]
pub(super) fn runs(is: bool) {
    // SAFETY: within the array; this CPU's alone
    unsafe { place().write_volatile(u64::from(is)) };
}

/// `sock:inet_sock_set_state`, called right behind the other: that one has not run if it runs elsewhere, below the
/// interrupt or the task that this is.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
#[inline(always)]
pub(crate) fn state_changes_again(ctx: RawTracePointContext) -> i32 {
    // SAFETY: within the array
    if unsafe { place().read_volatile() } != 0 {
        if let Some(taken) = TAKEN_AGAIN.get_ptr_mut(0) {
            // SAFETY: this CPU's own element
            unsafe { *taken += 1 };
        }
        socket::changes(&ctx);
    }
    0
}
