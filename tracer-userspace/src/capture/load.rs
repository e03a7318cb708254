//! Loads the programs with the plan's numbers and attaches the plan's hooks.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::CgroupAttachMode;
use aya::programs::{
    CgroupSkb, CgroupSkbAttachType, CgroupSockAddr, KProbe, Program, ProgramError, RawTracePoint,
};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use thiserror::Error;
use tracer_ebpf::Layout;
use zerocopy::IntoBytes;

use super::object::OBJECT;
use super::plan::{HookKind, HookPlan};
use crate::record::Hook;

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
    /// The root cgroup cannot be opened.
    #[error("the root of cgroup v2 at {} cannot be opened", path.display())]
    Cgroup {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
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
    /// What was attached, and what was not.
    pub hooks: Vec<Hook>,
}

/// Loads the object and attaches every hook of the plan. A hook that is not required and that the
/// kernel refuses is said in the result, not an error.
///
/// # Errors
/// [`LoadError`] if the object or a required hook is refused.
pub fn load(layout: &Layout, hooks: &[HookPlan], cgroup_root: &Path) -> Result<Loaded, LoadError> {
    let mut ebpf = EbpfLoader::new()
        .verifier_log_level(VerifierLogLevel::DISABLE)
        .override_global("LAYOUT", layout.as_bytes(), true)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    let cgroup = File::open(cgroup_root)
        .map_err(|source| LoadError::Cgroup { path: cgroup_root.to_owned(), source })?;
    let mut attached = Vec::with_capacity(hooks.len());
    for hook in hooks {
        let program = ebpf
            .program_mut(&hook.program)
            .ok_or_else(|| LoadError::Missing(format!("program {}", hook.program)))?;
        let note = match attach(program, hook, &cgroup) {
            Ok(()) => hook.note.clone(),
            Err(source) if hook.required => {
                return Err(LoadError::Hook { hook: hook.to_string(), source: Box::new(source) });
            }
            Err(error) => {
                let why = reason(&error);
                log::info!("{hook} is not attached: {why}");
                attached.push(Hook { name: hook.to_string(), attached: false, note: why });
                continue;
            }
        };
        attached.push(Hook { name: hook.to_string(), attached: true, note });
    }
    Ok(Loaded { ebpf, hooks: attached })
}

/// Loads and attaches one program.
fn attach(program: &mut Program, hook: &HookPlan, cgroup: &File) -> Result<(), ProgramError> {
    match hook.kind {
        HookKind::RawTracepoint => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            program.attach(&hook.target)?;
        }
        HookKind::Kprobe => {
            let program: &mut KProbe = program.try_into()?;
            program.load()?;
            program.attach(&hook.target, 0)?;
        }
        HookKind::CgroupSkbIngress | HookKind::CgroupSkbEgress => {
            let program: &mut CgroupSkb = program.try_into()?;
            program.load()?;
            let direction = if hook.kind == HookKind::CgroupSkbIngress {
                CgroupSkbAttachType::Ingress
            } else {
                CgroupSkbAttachType::Egress
            };
            // a link is shared with other programs of the same cgroup whatever the mode says
            program.attach(cgroup, direction, CgroupAttachMode::Single)?;
        }
        HookKind::CgroupConnect => {
            let program: &mut CgroupSockAddr = program.try_into()?;
            program.load()?;
            program.attach(cgroup, CgroupAttachMode::Single)?;
        }
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
