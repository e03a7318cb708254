//! The plan: a pure function from facts to hooks, numbers for the programs, and what will be blind.
//!
//! Loading follows the plan to the letter. If the kernel then refuses what the facts promised (a
//! kprobe on a symbol it forbids, say), correct the facts and plan again rather than improvise.

mod hooks;
mod layout;
mod obstacle;
mod outlook;
mod sizes;
#[cfg(test)]
mod tests;

use serde::Serialize;
use tracer_ebpf::Layout;

pub use hooks::{
    HTTP_HEADS, HTTP_QUICK, HookKind, HookPlan, HookState, MODULE_WITHOUT_BTF, RESET_FALLBACK, reads_in_one_run,
};
pub use layout::LayoutError;
pub use obstacle::Obstacle;
pub use outlook::{Outlook, Sight};

use super::facts::Facts;
use crate::record::Hook;
use crate::verdict::Slug;

/// Raw sockets that make the kernel hand received ICMP errors to `cgroup_skb/ingress`, where no
/// kprobe can: one of each kind in each watched network namespace, held open and never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IcmpFamilies {
    /// `IPPROTO_ICMP`
    pub v4: bool,
    /// `IPPROTO_ICMPV6`
    pub v6: bool,
}

/// What will be done on one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Every hook of the program, also those that will not be attached and why.
    pub hooks: Vec<HookPlan>,
    /// Numbers for the programs; `None` if BTF does not give them.
    pub layout: Option<Layout>,
    /// Elements of maps that have others than they are built with.
    pub map_sizes: Vec<(&'static str, u32)>,
    /// Raw sockets to hold open.
    pub icmp_sockets: IcmpFamilies,
    /// What each verdict will rest on.
    pub outlook: Vec<Outlook>,
    /// What stands in the way of recording, the most telling first.
    pub obstacles: Vec<Obstacle>,
    /// Capabilities and the like that recording can do without, and what it then lacks.
    pub lacks: Vec<String>,
}

/// What is only done where it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `--unix-upstreams`: the end of every system call is looked at.
    pub unix_upstreams: bool,
}

/// Makes the plan of what is done anyway. Pure: the same facts give the same plan.
pub fn plan(facts: &Facts) -> Plan {
    plan_for(facts, Asked::default())
}

/// Makes the plan, with what is asked for.
pub fn plan_for(facts: &Facts, asked: Asked) -> Plan {
    let (hooks, icmp_sockets, heads) = hooks::choose(facts, asked);
    let (layout, layout_error) = match facts.types.as_ref().map(layout::layout) {
        Some(Ok(mut layout)) => {
            layout.connect_has_retval = u32::from(facts.has("helper/get_retval"));
            layout.follows_flows = u32::from(heads);
            (Some(layout), None)
        }
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let obstacles = obstacle::find(facts, &hooks, layout_error);
    let outlook = outlook::judge(facts, &hooks, icmp_sockets, heads);
    let reasons = layout.is_some_and(|layout| layout.kfree_has_reason != 0);
    let map_sizes = sizes::sizes(heads, reasons, facts.memory_bytes);
    Plan { hooks, layout, map_sizes, icmp_sockets, outlook, obstacles, lacks: obstacle::lacks(facts, icmp_sockets) }
}

impl Plan {
    /// Numbers for the programs.
    ///
    /// # Errors
    /// The first obstacle, if recording cannot start.
    pub fn ready(&self) -> Result<Layout, Obstacle> {
        match (self.obstacles.first(), self.layout) {
            (None, Some(layout)) => Ok(layout),
            (Some(obstacle), _) => Err(obstacle.clone()),
            (None, None) => Err(Obstacle::NoTypes { why: "nothing was read".to_owned() }),
        }
    }

    /// The hook of this program.
    pub fn hook(&self, program: &str) -> Option<&HookPlan> {
        self.hooks.iter().find(|hook| hook.program == program)
    }

    /// Slugs that cannot be told on this kernel in any role.
    pub fn blind(&self) -> Vec<Slug> {
        let mut slugs: Vec<Slug> = self.outlook.iter().map(|outlook| outlook.slug).collect();
        slugs.dedup();
        let seen = |slug: &Slug| self.outlook.iter().any(|known| known.slug == *slug && known.sight != Sight::Blind);
        slugs.retain(|slug| !seen(slug));
        slugs
    }

    /// The hooks as a trace's first record lists them; `attached` says which programs are by now.
    pub fn hook_records(&self, attached: impl Fn(&str) -> bool) -> Vec<Hook> {
        self.hooks
            .iter()
            .filter(|hook| hook.state != HookState::Unneeded)
            .map(|hook| Hook { name: hook.label(), attached: attached(hook.program), note: hook.why.clone() })
            .collect()
    }
}
