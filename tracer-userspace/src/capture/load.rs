//! Loads the programs with the plan's numbers and attaches the plan's hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;

use aya::maps::MapError;
use aya::maps::{MapData, ProgramArray};
use aya::programs::links::CgroupAttachMode;
use aya::programs::{
    CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, KProbe, Program, ProgramError, RawTracePoint,
    RawTracePointRunOptions, TestRun as _,
};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tracer_ebpf::Layout;
use zerocopy::IntoBytes;

use super::kernel_maps::map;
use super::object::OBJECT;
use super::plan::{HookKind, HookPlan, HookState, Plan};

/// Why the programs could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel refused the object: maps, BTF, or memory.
    #[error("the kernel refused the eBPF object")]
    Object(#[source] Box<EbpfError>),
    /// Maps count as locked memory (before Linux 5.11), of which this process may not have enough.
    #[error(
        "this kernel counts eBPF maps as locked memory, of which only {} KiB are allowed: run it as root, grant CAP_SYS_RESOURCE, or raise the limit (ulimit -l unlimited)", limit_bytes / 1024
    )]
    LockedMemory {
        /// The limit.
        limit_bytes: u64,
    },
    /// The kernel refused a program that nothing can stand in for.
    #[error("{hook} cannot be attached, and without it nothing can be said")]
    Hook {
        /// Hook name.
        hook: String,
        /// What the kernel said.
        source: Box<ProgramError>,
    },
    /// The object embedded in this program lacks a part.
    #[error("the embedded eBPF object has no {0}: build the program again")]
    Missing(String),
    /// A map cannot be used.
    #[error("map {name}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: MapError,
    },
}

/// The program that another one enters where a health check's connection is over.
const HEALTH_CHECKS: &str = "health_checks";

/// The loaded programs; dropping it detaches them all.
pub struct Loaded {
    /// The object's maps and programs.
    pub ebpf: Ebpf,
    /// Programs that are attached, by name.
    pub attached: BTreeSet<&'static str>,
    /// Why others are not, by program.
    pub refused: BTreeMap<&'static str, String>,
    cgroup: Option<File>,
    /// The arrays through which programs enter others: the kernel empties them when user space lets go of them.
    entered: Vec<ProgramArray<MapData>>,
}

/// How much maps and ring hold; `None`: as much as the object says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Elements of each map that what happens on the host fills.
    pub map_entries: Option<u32>,
    /// Bytes of the ring.
    pub ring_bytes: Option<u32>,
}

/// Maps that what happens on the host fills: each has a cause of loss for when it is full.
const FILLED: [&str; 6] = ["ATTEMPTS", "TROUBLED", "CONNECTS", "SERVERS", "FLOWS_MAP", "CLOSED"];

/// Loads the object and attaches the plan's hooks. A hook that is not required and that the kernel
/// refuses is noted in the result, not an error.
///
/// # Errors
/// [`LoadError`] if the object or a required hook is refused.
pub fn load(layout: &Layout, plan: &Plan, cgroup: Option<File>, room: Room) -> Result<Loaded, LoadError> {
    let mut builder = EbpfLoader::new();
    for (map, elements) in &plan.map_sizes {
        builder.map_max_entries(map, *elements);
    }
    for name in FILLED {
        if let Some(entries) = room.map_entries {
            builder.map_max_entries(name, entries);
        }
    }
    if let Some(bytes) = room.ring_bytes {
        builder.map_max_entries("RECORDS", bytes);
    }
    let ebpf = builder
        // the kernel's types are read already, and the programs get their numbers from the layout
        .btf(None)
        .verifier_log_level(VerifierLogLevel::DISABLE)
        .override_global("LAYOUT", layout.as_bytes(), true)
        .load(OBJECT)
        .map_err(refused)?;
    let mut loaded = Loaded { entered: Vec::new(), ebpf, attached: BTreeSet::new(), refused: BTreeMap::new(), cgroup };
    for hook in &plan.hooks {
        match hook.state {
            HookState::Attach => loaded.attach(hook)?,
            // when its module comes there is no time to lose with the verifier
            HookState::WhenLoaded(_) => loaded.prepare(hook)?,
            HookState::Unavailable | HookState::Unneeded => {}
        }
    }
    Ok(loaded)
}

/// Whoever comes here has the capabilities for maps: if one is refused for lack of privilege, it is the
/// limit of locked memory (`bpf_map_charge_init` of Linux 5.10).
fn refused(error: EbpfError) -> LoadError {
    let limit = getrlimit(Resource::Memlock).current;
    match (&error, limit) {
        (EbpfError::MapError(MapError::CreateError { io_error, .. }), Some(limit_bytes))
            if io_error.kind() == ErrorKind::PermissionDenied =>
        {
            LoadError::LockedMemory { limit_bytes }
        }
        _ => LoadError::Object(Box::new(error)),
    }
}

impl Loaded {
    /// Attaches one hook, now. If the kernel refuses one that is not required, that is noted.
    ///
    /// # Errors
    /// [`LoadError`] if a required hook is refused, or the object has no such program.
    pub fn attach(&mut self, hook: &HookPlan) -> Result<(), LoadError> {
        if hook.program == HEALTH_CHECKS {
            let loaded = self.load_entered(HEALTH_CHECKS, "HEALTH_CHECKS")?;
            if loaded.is_ok() {
                self.attached.insert(hook.program);
            }
            return self.judge(hook, loaded);
        }
        let heads = self.load_heads(hook)?;
        let (program, cgroup) = self.program(hook)?;
        match heads.and_then(|()| load_program(program)).and_then(|()| attach(program, hook, cgroup)) {
            Ok(()) => {
                self.attached.insert(hook.program);
            }
            refused => self.judge(hook, refused)?,
        }
        Ok(())
    }

    /// Loads one hook's program without attaching it. A refusal is as with [`Self::attach`].
    ///
    /// # Errors
    /// As with [`Self::attach`].
    pub fn prepare(&mut self, hook: &HookPlan) -> Result<(), LoadError> {
        let (program, _) = self.program(hook)?;
        let loaded = load_program(program);
        self.judge(hook, loaded)
    }

    fn program(&mut self, hook: &HookPlan) -> Result<(&mut Program, Option<&File>), LoadError> {
        let missing = || LoadError::Missing(format!("program {}", hook.program));
        Ok((self.ebpf.program_mut(hook.program).ok_or_else(missing)?, self.cgroup.as_ref()))
    }

    /// Notes what was refused, unless it is required.
    fn judge(&mut self, hook: &HookPlan, result: Result<(), ProgramError>) -> Result<(), LoadError> {
        match result {
            Ok(()) => {}
            Err(source) if hook.required => {
                return Err(LoadError::Hook { hook: hook.label(), source: Box::new(source) });
            }
            Err(error) => {
                let why = reason(&error);
                log::info!("{} is not attached: {why}", hook.label());
                self.refused.insert(hook.program, why);
            }
        }
        Ok(())
    }
}

/// Shows a program to the verifier, unless that is done already.
fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    if program.fd().is_ok() {
        return Ok(());
    }
    match program {
        Program::RawTracePoint(program) => program.load(),
        Program::KProbe(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

impl Loaded {
    /// Has a request told that has waited for long: by its socket's address and its buffer's number.
    ///
    /// # Errors
    /// The kernel refuses the program, or to run it (before 5.10).
    pub fn tell_waiting(&mut self, sock: u64, text: u32) -> Result<(), ProgramError> {
        let Some(Program::RawTracePoint(program)) = self.ebpf.program_mut("tell_waiting") else { return Ok(()) };
        if program.fd().is_err() {
            program.load()?;
        }
        let mut options = RawTracePointRunOptions::new();
        options.args = [sock, u64::from(text), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        program.test_run(options).map(|_result| ())
    }

    /// Loads the program that reads heads for this hook's, if it has one, and lets both enter it. The inner
    /// result is the kernel's refusal.
    fn load_heads(&mut self, hook: &HookPlan) -> Result<Result<(), ProgramError>, LoadError> {
        match hook.program {
            "cgroup_ingress" | "cgroup_ingress_long" => self.load_entered("ingress_heads", "INGRESS_HEADS"),
            "cgroup_egress" | "cgroup_egress_long" => self.load_entered("egress_heads", "EGRESS_HEADS"),
            _ => Ok(Ok(())),
        }
    }

    /// Loads a program that others enter through this array. The inner result is the kernel's refusal.
    fn load_entered(&mut self, name: &str, array_name: &'static str) -> Result<Result<(), ProgramError>, LoadError> {
        let mut array: ProgramArray<MapData> = map(&mut self.ebpf, array_name)?;
        let program = self.ebpf.program_mut(name).ok_or_else(|| LoadError::Missing(format!("program {name}")))?;
        let fd = match load_program(program).and_then(|()| program.fd()) {
            Ok(fd) => fd,
            Err(refused) => return Ok(Err(refused)),
        };
        array.set(0, fd, 0).map_err(|source| LoadError::Map { name: array_name, source })?;
        self.entered.push(array);
        Ok(Ok(()))
    }
}

/// Attaches one program that is loaded.
fn attach(program: &mut Program, hook: &HookPlan, cgroup: Option<&File>) -> Result<(), ProgramError> {
    match (hook.kind, cgroup) {
        (HookKind::RawTracepoint, _) => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.attach(hook.target)?;
        }
        (HookKind::Kprobe, _) => {
            let program: &mut KProbe = program.try_into()?;
            program.attach(hook.target, 0)?;
        }
        // a link is shared with other programs of the same cgroup whatever the mode says
        (HookKind::CgroupIngress | HookKind::CgroupEgress, Some(cgroup)) => {
            let program: &mut CgroupSkb = program.try_into()?;
            let direction = if hook.kind == HookKind::CgroupIngress {
                CgroupSkbAttachType::Ingress
            } else {
                CgroupSkbAttachType::Egress
            };
            program.attach(cgroup, direction, CgroupAttachMode::Single)?;
        }
        (HookKind::CgroupConnect4 | HookKind::CgroupConnect6, Some(cgroup)) => {
            let program: &mut CgroupSockAddr = program.try_into()?;
            program.attach(cgroup, CgroupAttachMode::Single)?;
        }
        (_, None) => return Err(ProgramError::NotAttached),
    }
    Ok(())
}

/// The kernel's own words for a refusal, without the verifier's log.
fn reason(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, .. } => format!("program refused: {io_error}"),
        ProgramError::SyscallError(error) => format!("{}: {}", error.call, error.io_error),
        other => other.to_string(),
    }
}
