//! What doctor says, before it is text or JSON.

use serde::Serialize;

use crate::capture::facts::{CgroupFacts, Facts, Kallsyms, Lockdown};
use crate::capture::plan::{Asked, HookState, Outlook, Plan, plan_for};
use crate::verdict::Slug;

/// All that doctor says; its JSON form is one object of type `doctor`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "doctor")]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) kernel: String,
    pub(super) machine: String,
    /// File that the facts came from; `None`: this kernel.
    pub(super) facts: Option<String>,
    /// Whether `record` would start.
    pub(super) ready: bool,
    /// Why it would not.
    pub(super) obstacles: Vec<String>,
    /// What recording would lack for want of a privilege.
    pub(super) lacks: Vec<String>,
    pub(super) btf: bool,
    pub(super) kprobes: bool,
    pub(super) kallsyms: Kallsyms,
    pub(super) lockdown: Option<Lockdown>,
    pub(super) cgroup: Option<CgroupFacts>,
    pub(super) hooks: Vec<Hook>,
    pub(super) blind: Vec<Slug>,
    pub(super) verdicts: Vec<Outlook>,
    pub(super) port: Option<Port>,
}

/// When a hook is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum When {
    Start,
    Later,
    Never,
}

#[derive(Debug, Serialize)]
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) attached: When,
    /// `None` if there is nothing to say.
    pub(super) note: Option<String>,
}

/// A port of this host.
#[derive(Debug, Default, Serialize)]
pub(super) struct Port {
    #[serde(rename = "port")]
    pub(super) number: u16,
    pub(super) listeners: Vec<Listener>,
    pub(super) connects: Vec<Attempt>,
    pub(super) probes: Vec<Attempt>,
    /// Look-ups that failed.
    pub(super) problems: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Listener {
    pub(super) address: String,
    pub(super) process: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) container: Option<String>,
    /// Name of its network namespace; `None`: this one.
    pub(super) namespace: Option<String>,
}

/// A connection or request that doctor made itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Attempt {
    /// Address and port.
    pub(super) to: String,
    /// Whether it came to what it was for.
    pub(super) ok: bool,
    /// HTTP status of a request.
    pub(super) status: Option<u16>,
    /// Until connected, or until the response's first byte; microseconds.
    pub(super) duration_us: Option<u64>,
    /// What it looks like in the catalogue's words, where it failed.
    pub(super) verdict: Option<Slug>,
    /// In words.
    pub(super) detail: String,
}

impl Report {
    pub(super) fn new(facts: &Facts, plan: &Plan, source: Option<String>) -> Self {
        let hooks = plan.hooks.iter().filter_map(|hook| {
            let attached = match hook.state {
                HookState::Attach => When::Start,
                HookState::WhenLoaded(_) => When::Later,
                HookState::Unavailable => When::Never,
                HookState::Unneeded => return None,
            };
            let note = (!hook.why.is_empty()).then(|| hook.why.clone());
            Some(Hook { name: hook.label(), attached, note })
        });
        let ready = plan.ready().is_ok();
        // also of what is only told where it is asked for
        let of_all = || plan_for(facts, Asked { unix_upstreams: true }).outlook;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            kernel: facts.kernel.clone(),
            machine: facts.machine.clone(),
            facts: source,
            ready,
            obstacles: plan.obstacles.iter().map(ToString::to_string).collect(),
            lacks: plan.lacks.clone(),
            btf: facts.types.is_some(),
            kprobes: facts.kprobes,
            kallsyms: facts.kallsyms,
            lockdown: facts.lockdown,
            cgroup: facts.cgroup.clone(),
            hooks: hooks.collect(),
            // what stands in the way spoils the facts that verdicts are judged by
            blind: if ready { plan.blind() } else { Vec::new() },
            verdicts: if ready { of_all() } else { Vec::new() },
            port: None,
        }
    }

    /// Hooks that are attached, now or when their module is loaded.
    pub(super) fn hooks_used(&self) -> usize {
        self.hooks.iter().filter(|hook| hook.attached != When::Never).count()
    }
}
