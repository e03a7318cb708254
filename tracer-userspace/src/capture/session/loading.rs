//! Which programs are loaded: what was planned, or the next best that this kernel's verifier takes.

use aya::programs::ProgramError;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{SessionConfig, SessionError};
use crate::capture::facts::{CgroupFacts, Facts, NFT_FUNCTION, Support};
use crate::capture::firewall::RuleFinder;
use crate::capture::load::{LoadError, Loaded, load};
use crate::capture::plan::{Asked, HTTP_HEADS, HTTP_QUICK, HookKind, HookPlan, Plan, plan_for, reads_in_one_run};

/// Plans from these facts and loads the plan; without what the kernel turns out to refuse, though it offers it.
pub(super) fn load_best(
    facts: &mut Facts,
    config: &SessionConfig,
    netns_filter: bool,
) -> Result<(Plan, Loaded), SessionError> {
    let (plan, loaded) = load_what_is_taken(facts, config, netns_filter)?;
    if facts.kprobes && plan.hooks.iter().any(|hook| is_refused_kprobe(hook, &loaded)) {
        log::info!("this kernel refuses a kprobe that it offers: planning without kprobes");
        facts.kprobes = false;
        drop(loaded);
        return load_as_planned(facts, config, netns_filter);
    }
    Ok((plan, loaded))
}

/// Plans from these facts and loads what was planned.
fn load_as_planned(facts: &Facts, config: &SessionConfig, netns_filter: bool) -> Result<(Plan, Loaded), SessionError> {
    let plan = plan_for(facts, Asked { unix_upstreams: config.unix_upstreams });
    let mut layout = plan.ready()?;
    layout.netns_filter = u32::from(netns_filter);
    layout.verbose = u32::from(config.verbose);
    layout.slow_ms = u32::try_from(config.slow_ns / 1_000_000).unwrap_or(u32::MAX);
    let cgroup = facts.cgroup.as_ref().map(CgroupFacts::open).transpose()?;
    let loaded = load(&layout, &plan, cgroup, config.room)?;
    Ok((plan, loaded))
}

/// What looks firewall rules up on this kernel.
pub(super) fn rule_finder(facts: &Facts) -> RuleFinder {
    let types = facts.types.as_ref();
    let built_in = types.is_some_and(|types| types.functions.contains_key(NFT_FUNCTION));
    RuleFinder::new(built_in, types.and_then(|types| types.drop_reason("NETFILTER_DROP")))
}

/// Loads the best of the programs that read HTTP that this kernel's verifier takes.
fn load_what_is_taken(
    facts: &mut Facts,
    config: &SessionConfig,
    netns_filter: bool,
) -> Result<(Plan, Loaded), SessionError> {
    loop {
        // what was refused before is not tried again: to be refused can take the verifier seconds
        let feature = if reads_in_one_run(facts) { HTTP_QUICK } else { HTTP_HEADS };
        match load_as_planned(facts, config, netns_filter) {
            Err(SessionError::Load(LoadError::Hook { hook, source }))
                if reads_heads(&hook, &source) && !facts.bpf.contains_key(HTTP_HEADS) =>
            {
                log::info!("{hook}: this kernel refuses {feature}: {source}");
                facts.bpf.insert(feature.to_owned(), Support::Refused(source.to_string()));
                if feature == HTTP_HEADS {
                    log::warn!(
                        "this kernel refuses the programs that read HTTP: connections are recorded, statuses are not"
                    );
                }
            }
            other => return other,
        }
    }
}

/// Whether it was the verifier that refused, and a program that there is a plain one for.
fn reads_heads(hook: &str, error: &ProgramError) -> bool {
    hook.starts_with("cgroup_skb/") && matches!(error, ProgramError::LoadError { .. })
}

/// Whether the kernel has refused this kprobe.
pub(super) fn is_refused_kprobe(hook: &HookPlan, loaded: &Loaded) -> bool {
    hook.kind == HookKind::Kprobe && loaded.refused.contains_key(hook.program)
}

/// Before 5.11 maps count against the limit of locked memory; root may lift it.
pub(super) fn lift_memlock_limit() {
    if let Err(error) = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }) {
        log::debug!("the limit of locked memory stays: {error}");
    }
}
