//! Facts: what the running kernel and host offer. Gathered once, before anything is decided; the
//! plan is made from them alone, so a recorded set of facts is judged like a live one.

mod btf;
mod cgroup;
mod fields;
mod probe;
mod symbols;
mod system;
mod types;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use btf::{BtfError, Field, Unsound};
pub use cgroup::{CgroupError, CgroupFacts, Via};
pub use fields::{
    ARM_REGISTERS, CALL_FIELDS, FIELDS, FLOW_FIELDS, FUNCTIONS, FieldPath, Function, NFT_FUNCTION, OPTIONAL_FIELDS,
    PRECISE_VERIFIER, TASK_FIELDS, TRACEPOINTS, X86_REGISTERS,
};
pub use probe::Support;
use symbols::KernelSymbols;
pub use symbols::Symbols;
pub use system::{Capability, Kallsyms, Lockdown};
pub use types::TypeFacts;

/// What one kernel and host offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Machine (`uname -m`).
    pub machine: String,
    /// What BTF says; `None` if there is none that can be read.
    pub types: Option<TypeFacts>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types_error: Option<String>,
    /// BPF features by name, as `program/kprobe`, `map/ringbuf`, `helper/probe_read_kernel`.
    pub bpf: BTreeMap<String, Support>,
    /// Whether the kernel can set kprobes at all.
    pub kprobes: bool,
    /// Whether loaded modules show their own BTF; `None` if no module is loaded.
    #[serde(default)]
    pub module_btf: Option<bool>,
    /// Whether addresses can be turned into function names.
    pub kallsyms: Kallsyms,
    /// Which of [`FUNCTIONS`] are in the running kernel and its loaded modules now.
    pub functions_present: Vec<String>,
    /// The control group that programs attach to; `None` if no cgroup v2 can be reached.
    pub cgroup: Option<CgroupFacts>,
    /// The kernel's lockdown mode; `None` if it does not say.
    #[serde(default)]
    pub lockdown: Option<Lockdown>,
    /// Capabilities of the process that gathered these, as far as recording needs them.
    pub capabilities: Vec<Capability>,
    /// Limit of locked memory (bytes) that maps count against on kernels that count so; `None`: unlimited.
    #[serde(default)]
    pub memlock_bytes: Option<u64>,
    /// Memory of the host; `None` in facts of before this was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Whether a tool is installed that lists firewall rules; `None` in facts of before this was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lists_rules: Option<bool>,
}

impl Facts {
    /// Asks the running kernel. What cannot be found out is absent, for the plan to judge; this
    /// reads files, tries small BPF loads, and leaves nothing behind.
    pub fn gather() -> Self {
        Self::gather_with_symbols().0
    }

    /// As [`Self::gather`], with the names of kernel addresses, which come from the same reading;
    /// `None` if the kernel hides them.
    pub fn gather_with_symbols() -> (Self, Option<Symbols>) {
        let (kernel, machine) = system::kernel_and_machine();
        let (types, types_error) = match TypeFacts::gather() {
            Ok(types) => (Some(types), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let KernelSymbols { state: kallsyms, present: functions_present, symbols } = KernelSymbols::read();
        let facts = Self {
            kernel,
            machine,
            types,
            types_error,
            bpf: probe::all(),
            kprobes: system::kprobes(),
            module_btf: system::module_btf(),
            kallsyms,
            functions_present,
            cgroup: CgroupFacts::find(),
            lockdown: system::lockdown(),
            capabilities: system::capabilities(),
            memlock_bytes: system::memlock_bytes(),
            memory_bytes: Some(system::memory_bytes()),
            lists_rules: Some(super::firewall::can_list()),
        };
        (facts, symbols)
    }

    /// Whether a BPF feature is there.
    pub fn has(&self, feature: &str) -> bool {
        matches!(self.bpf.get(feature), Some(Support::Yes))
    }
}
