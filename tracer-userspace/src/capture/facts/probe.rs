//! BPF features, found by trying: what the kernel takes, not what its version promises.

use std::collections::BTreeMap;

use aya::maps::MapType;
use aya::programs::{ProgramError, ProgramType};
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported};
use serde::{Deserialize, Serialize};

/// Whether the kernel takes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// It does.
    Yes,
    /// It does not know it.
    No,
    /// It was not let try: the kernel's words.
    Refused(String),
}

const PROGRAMS: &[(&str, ProgramType)] = &[
    ("program/raw_tracepoint", ProgramType::RawTracePoint),
    ("program/kprobe", ProgramType::KProbe),
    ("program/cgroup_skb", ProgramType::CgroupSkb),
    ("program/cgroup_sock_addr", ProgramType::CgroupSockAddr),
];

const MAPS: &[(&str, MapType)] =
    &[("map/ringbuf", MapType::RingBuf), ("map/hash", MapType::Hash), ("map/percpu_array", MapType::PerCpuArray)];

/// Helpers that raw tracepoint programs call and old or locked-down kernels lack.
const HELPERS: &[(&str, BpfHelper)] = &[
    ("helper/probe_read_kernel", BpfHelper::BPF_FUNC_probe_read_kernel),
    ("helper/ktime_get_boot_ns", BpfHelper::BPF_FUNC_ktime_get_boot_ns),
    ("helper/ringbuf_reserve", BpfHelper::BPF_FUNC_ringbuf_reserve),
];

/// Helpers that programs at cgroup/connect call, and kernels before 5.18 lack.
const CONNECT_HELPERS: &[(&str, BpfHelper)] = &[("helper/get_retval", BpfHelper::BPF_FUNC_get_retval)];

/// Tries each feature once.
pub(super) fn all() -> BTreeMap<String, Support> {
    let programs = PROGRAMS.iter().map(|(name, kind)| (*name, judge(is_program_supported(*kind))));
    let maps = MAPS.iter().map(|(name, kind)| (*name, judge(is_map_supported(*kind).map_err(ProgramError::from))));
    let helpers =
        HELPERS.iter().map(|(name, helper)| (*name, judge(is_helper_supported(ProgramType::RawTracePoint, *helper))));
    let connect_helpers = CONNECT_HELPERS
        .iter()
        .map(|(name, helper)| (*name, judge(is_helper_supported(ProgramType::CgroupSockAddr, *helper))));
    programs
        .chain(maps)
        .chain(helpers)
        .chain(connect_helpers)
        .map(|(name, support)| (name.to_owned(), support))
        .collect()
}

fn judge(answer: Result<bool, ProgramError>) -> Support {
    match answer {
        Ok(true) => Support::Yes,
        Ok(false) => Support::No,
        Err(ProgramError::SyscallError(error)) => Support::Refused(error.io_error.to_string()),
        Err(error) => Support::Refused(error.to_string()),
    }
}
