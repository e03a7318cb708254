//! Hooks that wait for their kernel module.

use super::Session;
use super::loading::is_refused_kprobe;
use crate::capture::facts::TypeFacts;
use crate::capture::modules::{ModuleEvents, is_loaded};
use crate::capture::plan::{HookKind, HookPlan, HookState, MODULE_WITHOUT_BTF, RESET_FALLBACK};
use crate::capture::polled::readable;

/// Whether a kprobe would find the packet among its function's arguments.
fn finds_packet(hook: &HookPlan, types: Option<&TypeFacts>) -> bool {
    types.is_some_and(|types| types.packet_parameter(hook.target).is_some())
}

impl Session {
    /// Hooks that wait for a module.
    pub(super) fn late_hooks(&self) -> impl Iterator<Item = &HookPlan> {
        self.plan.hooks.iter().filter(|hook| {
            matches!(hook.state, HookState::WhenLoaded(_))
                && !self.loaded.attached.contains(hook.program)
                && !self.loaded.refused.contains_key(hook.program)
        })
    }

    /// Attaches what can be attached by now, and has the kernel say when other modules come.
    pub(super) fn expect_modules(&mut self) {
        self.attach_late();
        if self.late_hooks().next().is_some() {
            match ModuleEvents::subscribe().and_then(readable) {
                Ok(events) => self.module_events = Some(events),
                Err(error) => log::info!("modules that load later are looked for every tick only: {error}"),
            }
        }
    }

    /// Attaches the hooks whose module is there by now.
    pub(super) fn attach_late(&mut self) {
        let due: Vec<HookPlan> = self
            .late_hooks()
            .filter(|hook| match &hook.state {
                HookState::WhenLoaded(modules) => modules.iter().any(|module| is_loaded(module)),
                _ => false,
            })
            .cloned()
            .collect();
        // where the kprobe finds its packet is in the BTF of the module
        let types = due.iter().any(|hook| hook.kind == HookKind::Kprobe).then(TypeFacts::gather).and_then(Result::ok);
        if let Some(types) = &types
            && let Err(error) = self.maps.set_netfilter_reset_packet(Some(types))
        {
            log::warn!("{error}");
        }
        for hook in due {
            self.attached_late += 1;
            if hook.kind == HookKind::Kprobe && !finds_packet(&hook, types.as_ref()) {
                log::info!("{} is not attached: {MODULE_WITHOUT_BTF}", hook.label());
                self.loaded.refused.insert(hook.program, MODULE_WITHOUT_BTF.to_owned());
            } else {
                match self.loaded.attach(&hook) {
                    Ok(()) => log::info!("{}: its module is loaded now", hook.label()),
                    Err(error) => log::warn!("{error}"),
                }
            }
            if is_refused_kprobe(&hook, &self.loaded) {
                self.attach_reset_fallback();
            }
        }
    }

    /// Where a kprobe on netfilter's RSTs is refused late, the stand-in takes over.
    fn attach_reset_fallback(&mut self) {
        let Some(fallback) = self.plan.hook(RESET_FALLBACK).cloned() else { return };
        if !self.loaded.attached.contains(fallback.program)
            && let Err(error) = self.loaded.attach(&fallback)
        {
            log::warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::facts::Facts;
    use crate::capture::plan::plan;

    fn facts(text: &str) -> Facts {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_kprobe_whose_module_has_no_btf_would_see_nothing() {
        let mut facts = facts(include_str!("../../../../tests/facts/debian-6.1.0-56-x86_64.json"));
        facts.module_btf = None;
        let plan = plan(&facts);
        let hook = plan.hook("nf_send_reset").unwrap();
        assert!(matches!(hook.state, HookState::WhenLoaded(_)));
        assert!(!finds_packet(hook, None) && !finds_packet(hook, facts.types.as_ref()));
        let loaded = facts_of_loaded();
        assert!(finds_packet(hook, loaded.types.as_ref()));
    }

    fn facts_of_loaded() -> Facts {
        facts(include_str!("../../../../tests/facts/debian-6.1.0-56-x86_64-reject-loaded.json"))
    }
}
