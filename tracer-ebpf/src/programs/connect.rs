//! cgroup/connect4 and connect6: connect() is called. If no SYN follows, the kernel refused it before
//! TCP began, and nothing else would tell.

use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_get_retval;
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use tracer_ebpf::{PendingConnect, SocketRecord, Tuple, connect_flag, kind, loss, socket_flag, tcp_state};

use super::chained;
use super::emit::{emit, header};
use super::kernel::{Sock, mapped, number_of};
use super::maps::{CONNECTS, UNSENT, UNSENT_MARKED, layout};
use super::owner::comm_of_process;
use super::ports::{Slot, boot_ns, lost, watched};

/// Let connect() go on.
const PROCEED: i32 = 1;
/// IPPROTO_TCP
const TCP: u32 = 6;

/// connect() of an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    if let Some(address) = of_interest(&ctx) {
        // SAFETY: the context is this program's own; the verifier checks the load
        let v4 = unsafe { (*address).user_ip4 };
        begin(address, mapped(v4.to_ne_bytes()), 0);
    }
    PROCEED
}

/// connect() of an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    if let Some(address) = of_interest(&ctx) {
        let mut dst = [0; 16];
        // SAFETY: the context is this program's own; the verifier checks the loads
        let words =
            unsafe { [(*address).user_ip6[0], (*address).user_ip6[1], (*address).user_ip6[2], (*address).user_ip6[3]] };
        dst[0..4].copy_from_slice(&words[0].to_ne_bytes());
        dst[4..8].copy_from_slice(&words[1].to_ne_bytes());
        dst[8..12].copy_from_slice(&words[2].to_ne_bytes());
        dst[12..16].copy_from_slice(&words[3].to_ne_bytes());
        begin(address, dst, connect_flag::V6_SOCKET);
    }
    PROCEED
}

/// The address, if its port is watched or the task serves one that is.
#[inline(always)]
fn of_interest(ctx: &SockAddrContext) -> Option<*mut bpf_sock_addr> {
    let address = ctx.sock_addr;
    // SAFETY: the context is this program's own; the verifier checks the load
    if unsafe { (*address).protocol } != TCP {
        return None;
    }
    let serves = || chained::distance_from((bpf_get_current_pid_tgid() >> 32) as u32) != 0;
    (watched(port(address)).is_some() || serves()).then_some(address)
}

/// Destination port, host order.
#[inline(always)]
fn port(address: *mut bpf_sock_addr) -> u16 {
    // SAFETY: the context is this program's own; the verifier checks the load
    u16::from_be(unsafe { (*address).user_port } as u16)
}

#[inline(always)]
fn begin(address: *mut bpf_sock_addr, dst: [u8; 16], flags: u16) {
    let dst_port = port(address);
    // SAFETY: the context is this program's own; the verifier checks the load
    let sk = unsafe { (*address).__bindgen_anon_1.sk };
    if sk.is_null() {
        return;
    }
    let Some(sock) = Sock::new(number_of(sk)) else { return };
    let slot = watched(dst_port).unwrap_or(Slot::NONE);
    if !slot.has(sock) {
        return;
    }
    let flags = if slot == Slot::NONE { flags | connect_flag::CHAINED } else { flags };
    let task = bpf_get_current_pid_tgid();
    let comm = comm_of_process();
    let pending = PendingConnect { time_ns: boot_ns(), dst, netns: sock.netns(), dst_port, flags, comm };
    let refusal = refusal();
    if refusal != 0 {
        let _absent = CONNECTS.remove(task);
        unsent(task, &pending, refusal);
        return;
    }
    if let Some(element) = CONNECTS.get_ptr_mut(task) {
        // SAFETY: only this thread's own calls write the element. User space removes it when it has not
        // been used for long, so not while this thread is here
        unsafe {
            if (*element).flags & connect_flag::SYN_FOLLOWS == 0 {
                unsent(task, &*element, 0);
            }
            *element = pending;
        }
    } else if CONNECTS.insert(task, pending, 0).is_err() {
        lost(loss::CONNECTS_FULL);
    }
}

/// This thread's connect() sends its SYN. Its element stays, for the next: making one costs more.
#[inline(always)]
pub(super) fn syn_follows(task: u64) {
    if let Some(element) = CONNECTS.get_ptr_mut(task) {
        // SAFETY: only this thread's own calls write the element
        unsafe { (*element).flags |= connect_flag::SYN_FOLLOWS };
    }
}

/// A process could not connect: its next success is told.
#[inline(always)]
pub(super) fn failed(pid: u32) {
    if UNSENT.insert(pid, boot_ns(), 0).is_err() {
        lost(loss::CONNECTS_FULL);
    }
    let _in_bounds = UNSENT_MARKED.set(0, 1, 0);
}

/// Whether a process could not connect lately.
#[inline(always)]
pub(super) fn failed_lately(pid: u32) -> bool {
    UNSENT_MARKED.get(0).is_some_and(|marked| *marked != 0) && UNSENT.get_ptr(pid).is_some()
}

/// The errno with which another program at this hook refuses the call, positive; 0 if none does, or if
/// this kernel does not tell. Programs of control groups further down run before those of the root.
#[inline(always)]
fn refusal() -> u32 {
    if layout!(connect_has_retval) == 0 {
        return 0;
    }
    // SAFETY: the helper takes nothing
    let said = unsafe { bpf_get_retval() };
    if said < 0 { said.unsigned_abs() } else { 0 }
}

/// A connect() of this thread has come back without a SYN, or will.
#[inline(always)]
fn unsent(task: u64, stale: &PendingConnect, error: u32) {
    let pid = (task >> 32) as u32;
    failed(pid);
    emit(header::<SocketRecord>(kind::CONNECT_UNSENT, stale.netns), |record: &mut SocketRecord| {
        record.tuple = Tuple { src: [0; 16], dst: stale.dst, src_port: 0, dst_port: stale.dst_port, pad: 0 };
        record.started_ns = stale.time_ns;
        record.flags = socket_flag::HAS_TASK
            | if stale.flags & connect_flag::V6_SOCKET == 0 { 0 } else { socket_flag::V6_SOCKET }
            | if stale.flags & connect_flag::CHAINED == 0 { 0 } else { socket_flag::CHAINED };
        record.pid = pid;
        record.error = error;
        record.comm = stale.comm;
        record.old_state = tcp_state::CLOSE;
        record.new_state = tcp_state::CLOSE;
    });
}
