//! Loads the programs with the plan's numbers and attaches the plan's hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use aya::programs::links::CgroupAttachMode;
use aya::programs::{CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, KProbe, Program, ProgramError, RawTracePoint};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use thiserror::Error;
use tracer_ebpf::Layout;
use zerocopy::IntoBytes;

use super::object::OBJECT;
use super::plan::{HookKind, HookPlan, HookState};

/// Why the programs could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel refused the object: maps, BTF, or memory.
    #[error("the kernel refused the eBPF object")]
    Object(#[source] Box<EbpfError>),
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
        source: aya::maps::MapError,
    },
}

/// The loaded programs; dropping it detaches them all.
pub struct Loaded {
    /// The object's maps and programs.
    pub ebpf: Ebpf,
    /// Programs that are attached, by name.
    pub attached: BTreeSet<&'static str>,
    /// Why others are not, by program.
    pub refused: BTreeMap<&'static str, String>,
    cgroup: Option<File>,
}

/// Loads the object and attaches the plan's hooks. A hook that is not required and that the kernel
/// refuses is noted in the result, not an error.
///
/// # Errors
/// [`LoadError`] if the object or a required hook is refused.
pub fn load(layout: &Layout, hooks: &[HookPlan], cgroup: Option<File>) -> Result<Loaded, LoadError> {
    let ebpf = EbpfLoader::new()
        // the kernel's types are read already, and the programs get their numbers from the layout
        .btf(None)
        .verifier_log_level(VerifierLogLevel::DISABLE)
        .override_global("LAYOUT", layout.as_bytes(), true)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    let mut loaded = Loaded { ebpf, attached: BTreeSet::new(), refused: BTreeMap::new(), cgroup };
    for hook in hooks.iter().filter(|hook| hook.state == HookState::Attach) {
        loaded.attach(hook)?;
    }
    Ok(loaded)
}

impl Loaded {
    /// Attaches one hook, now. If the kernel refuses one that is not required, that is noted.
    ///
    /// # Errors
    /// [`LoadError`] if a required hook is refused, or the object has no such program.
    pub fn attach(&mut self, hook: &HookPlan) -> Result<(), LoadError> {
        let program = self
            .ebpf
            .program_mut(hook.program)
            .ok_or_else(|| LoadError::Missing(format!("program {}", hook.program)))?;
        match attach(program, hook, self.cgroup.as_ref()) {
            Ok(()) => {
                self.attached.insert(hook.program);
            }
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

/// Loads and attaches one program.
fn attach(program: &mut Program, hook: &HookPlan, cgroup: Option<&File>) -> Result<(), ProgramError> {
    match (hook.kind, cgroup) {
        (HookKind::RawTracepoint, _) => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            program.attach(hook.target)?;
        }
        (HookKind::Kprobe, _) => {
            let program: &mut KProbe = program.try_into()?;
            program.load()?;
            program.attach(hook.target, 0)?;
        }
        // a link is shared with other programs of the same cgroup whatever the mode says
        (HookKind::CgroupIngress | HookKind::CgroupEgress, Some(cgroup)) => {
            let program: &mut CgroupSkb = program.try_into()?;
            program.load()?;
            let direction = if hook.kind == HookKind::CgroupIngress {
                CgroupSkbAttachType::Ingress
            } else {
                CgroupSkbAttachType::Egress
            };
            program.attach(cgroup, direction, CgroupAttachMode::Single)?;
        }
        (HookKind::CgroupConnect4 | HookKind::CgroupConnect6, Some(cgroup)) => {
            let program: &mut CgroupSockAddr = program.try_into()?;
            program.load()?;
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
