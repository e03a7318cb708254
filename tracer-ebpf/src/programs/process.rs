//! Processes that serve a watched port: their children, what they become, and how they end.
//!
//! All four hooks look the process up in [`SERVERS`] first, so another process costs one miss.

use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use tracer_ebpf::{ProcessRecord, kind, loss, process_flag, server};

use super::emit::{emit, header};
use super::kernel::Kernel;
use super::maps::{SERVERS, VICTIMS, layout};
use super::ports::{boot_ns, lost};

/// Bit of an exit code that says that a core dump was written (wait(2)).
const CORE_DUMP: u32 = 0x80;
/// Exit code and signal in an exit code (wait(2)).
const STATUS: u32 = 0xff7f;

/// `struct task_struct`.
#[derive(Clone, Copy)]
struct Task(Kernel);

impl Task {
    #[inline(always)]
    fn new(address: u64) -> Option<Self> {
        Kernel::new(address).map(Task)
    }

    /// Thread group id in the root pid namespace.
    #[inline(always)]
    fn tgid(self) -> u32 {
        self.0.value(layout!(task_tgid))
    }

    #[inline(always)]
    fn exit_code(self) -> u32 {
        self.0.value(layout!(task_exit_code))
    }

    #[inline(always)]
    fn leader(self) -> Self {
        self.0.follow(layout!(task_leader)).map_or(self, Self)
    }

    #[inline(always)]
    fn parent(self) -> u32 {
        self.0.follow(layout!(task_parent)).map_or(0, |parent| Self(parent).tgid())
    }

    #[inline(always)]
    fn comm(self) -> [u8; 16] {
        self.0.read(layout!(task_comm)).unwrap_or([0; 16])
    }

    /// Whether no thread of the process is left that has not begun to exit.
    #[inline(always)]
    fn is_last(self) -> bool {
        let live: Option<u32> =
            self.0.follow(layout!(task_signal)).and_then(|signal| signal.read(layout!(signal_live)));
        live == Some(0)
    }

    /// What wait(2) will say of the process, asked by its last thread. A thread that the whole group's
    /// end takes along has the group's code; where threads ended one by one it is the leader's that counts
    /// (wait_task_zombie in kernel/exit.c).
    #[inline(always)]
    fn status(self, leader: Self) -> u32 {
        let own = self.exit_code();
        if self.0.0 == leader.0.0 {
            return own;
        }
        let group: u32 = self
            .0
            .follow(layout!(task_signal))
            .and_then(|signal| signal.read(layout!(signal_group_exit_code)))
            .unwrap_or(0);
        if own != 0 && own == group { own } else { leader.exit_code() }
    }
}

#[inline(always)]
fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// `sched:sched_process_exit (p)`: `p` is the current task; fires for each thread.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub(crate) fn sched_process_exit(ctx: RawTracePointContext) -> i32 {
    let tgid = current_tgid();
    if SERVERS.get_ptr(tgid).is_none() {
        return 0;
    }
    let Some(task) = Task::new(ctx.arg::<u64>(0)) else { return 0 };
    // of two threads that both see none left, the one that removes it tells
    if !task.is_last() || SERVERS.remove(tgid).is_err() {
        return 0;
    }
    let leader = task.leader();
    let code = task.status(leader);
    let mut flags = if code & CORE_DUMP != 0 { process_flag::CORE_DUMPED } else { 0 };
    if VICTIMS.remove(tgid).is_ok() {
        flags |= process_flag::OOM_KILLED;
    }
    emit(header::<ProcessRecord>(kind::PROCESS_EXIT, 0), |record: &mut ProcessRecord| {
        record.pid = tgid;
        record.parent = leader.parent();
        record.exit_code = code & STATUS;
        record.flags = flags;
        record.comm = leader.comm();
    });
    0
}

/// `sched:sched_process_exec (p, old_pid, bprm)`: `p` is the current task.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub(crate) fn sched_process_exec(ctx: RawTracePointContext) -> i32 {
    let tgid = current_tgid();
    if SERVERS.get_ptr(tgid).is_none() {
        return 0;
    }
    let Some(task) = Task::new(ctx.arg::<u64>(0)) else { return 0 };
    let comm = bpf_get_current_comm().unwrap_or([0; 16]);
    emit(header::<ProcessRecord>(kind::PROCESS_EXEC, 0), |record: &mut ProcessRecord| {
        record.pid = tgid;
        record.parent = task.parent();
        record.comm = comm;
    });
    0
}

/// `sched:sched_process_fork (parent, child)`: a child inherits the sockets that its parent serves.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub(crate) fn sched_process_fork(ctx: RawTracePointContext) -> i32 {
    let parent = current_tgid();
    let Some(known) = SERVERS.get_ptr(parent) else { return 0 };
    // SAFETY: the map's element: one load
    let value = boot_ns() & server::TIME | unsafe { *known } & server::DISTANCE;
    let Some(child) = Task::new(ctx.arg::<u64>(1)) else { return 0 };
    let tgid = child.tgid();
    // a thread is no child
    if tgid != 0 && tgid != parent && SERVERS.insert(tgid, value, 0).is_err() {
        lost(loss::SERVERS_FULL);
    }
    0
}

/// `oom:mark_victim (task, uid)`, and `(pid)` before late 5.10 and 6.1.
#[raw_tracepoint(tracepoint = "mark_victim")]
pub(crate) fn mark_victim(ctx: RawTracePointContext) -> i32 {
    let (tgid, task) = if layout!(victim_is_task) != 0 {
        let Some(task) = Task::new(ctx.arg::<u64>(0)) else { return 0 };
        (task.tgid(), Some(task.leader()))
    } else {
        // a thread's id where the leader has ended already: then it is not found, and nothing is told
        (ctx.arg::<u32>(0), None)
    };
    if SERVERS.get_ptr(tgid).is_none() {
        return 0;
    }
    let time = boot_ns();
    // the record below says it too
    let _full = VICTIMS.insert(tgid, time, 0);
    emit(header::<ProcessRecord>(kind::OOM_VICTIM, 0), |record: &mut ProcessRecord| {
        record.pid = tgid;
        if let Some(task) = task {
            record.parent = task.parent();
            record.comm = task.comm();
        }
    });
    0
}
