//! Events that the kernel kept from the programs.
//!
//! While a program on a tracepoint runs on a CPU, the kernel does not run it there a second time: what happens in an
//! interrupt meanwhile is missed, and since tracepoints may be preempted (Linux 7.x) also what other tasks do until the
//! first one goes on. It counts these (kernel/trace/bpf_trace.c, `__bpf_trace_run`; Linux 6.x, while in 5.10
//! programs can interrupt themselves). A second program takes most changes of state that were missed so.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use aya::programs::Program;

use super::kernel_maps::map;
use super::load::LoadError;

/// Cause of a [`Loss`](crate::record::Loss): events that the kernel did not run a program for, as it was running there
/// already.
pub(super) const HOOK_MISSED: &str = "hook-missed";

/// Programs whose misses lose nothing: one makes up for another, one looks for a reader until it has found it.
const MISS_NOTHING: [&str; 2] = ["state_changes_again", "tcp_rcv_space_adjust"];

/// Counts what the programs on tracepoints and functions missed.
pub(super) struct Missed {
    told: u64,
    taken_again: PerCpuArray<MapData, u64>,
}

impl Missed {
    /// Takes its map out of the loaded object.
    ///
    /// # Errors
    /// [`LoadError`] if the object lacks it.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self { told: 0, taken_again: map(ebpf, "TAKEN_AGAIN")? })
    }

    /// How many events since the last call. Where /proc is not there, none.
    pub(super) fn since_last(&mut self, ebpf: &Ebpf) -> u64 {
        let missed = descriptors(ebpf).map(|path| misses(&fs::read_to_string(path).unwrap_or_default())).sum::<u64>();
        let taken = self.taken_again.get(&0, 0).map_or(0, |values| values.iter().sum::<u64>());
        let now = missed.saturating_sub(taken);
        let more = now.saturating_sub(self.told);
        self.told = self.told.max(now);
        more
    }
}

/// Where the kernel tells about the programs that can miss something.
fn descriptors(ebpf: &Ebpf) -> impl Iterator<Item = PathBuf> {
    let first = ebpf.programs().filter(|(name, _program)| !MISS_NOTHING.contains(name));
    let loaded = first.filter_map(|(_name, program)| match program {
        Program::RawTracePoint(program) => program.fd().ok(),
        Program::KProbe(program) => program.fd().ok(),
        _ => None,
    });
    loaded.map(|program| PathBuf::from(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd())))
}

/// Reads the count from a program's descriptor information (kernel/bpf/syscall.c, `bpf_prog_show_fdinfo`; since Linux
/// 5.12).
fn misses(text: &str) -> u64 {
    let count = text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok());
    count.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_read_where_the_kernel_tells_them() {
        let text = "pos:\t0\nprog_type:\t17\nprog_id:\t42\nrun_time_ns:\t0\nrun_cnt:\t0\nrecursion_misses:\t35\n";
        assert_eq!(misses(text), 35);
        assert_eq!(misses("prog_type:\t17\n"), 0);
        assert_eq!(misses("recursion_misses:\tmany\n"), 0);
    }
}
