//! The rules: pure functions from an attempt's evidence to a finding, the most specific first.
//!
//! A rule looks at a [`Case`] and changes nothing. It says what it found in a [`Finding`], which is
//! cheap; the words for people are made by the finding's `words`, only where they will be read.

mod accept_queue_full;
mod case;
pub(super) mod conntrack_full;
mod firewall_drop;
mod firewall_reject;
mod hairpin;
mod host_unreachable;
mod kernel_drop;
mod no_route;
mod port_exhausted;
mod process_down;
mod return_path_drop;
mod security_group_drop;
mod wrong_bind_address;

pub(super) use case::Case;

use super::evidence::Flow;
use crate::record::BootTime;
use crate::verdict::{Confidence, Evidence, Process, Role, Slug};

/// What a rule found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) slug: Slug,
    pub(super) role: Role,
    pub(super) confidence: Confidence,
    /// Sorted; what looks the same from here.
    pub(super) alternatives: &'static [Slug],
    /// Where it was decided.
    pub(super) netns: u32,
    /// Both ends as that namespace saw them.
    pub(super) flow: Flow,
    /// The last evidence that decided.
    pub(super) time: BootTime,
    pub(super) expected_status: Option<u16>,
    pub(super) words: fn(&Case<'_>, &Self) -> Words,
}

impl Finding {
    /// What looks the same from here; certain without any.
    fn or(&mut self, alternatives: &'static [Slug]) {
        self.alternatives = alternatives;
        self.confidence = if alternatives.is_empty() { Confidence::Certain } else { Confidence::Likely };
    }
}

/// What people read of a finding.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// What the attempt's own facts do not say.
    pub(super) evidence: Vec<Evidence>,
    pub(super) process: Option<Process>,
    pub(super) summary: String,
    pub(super) next: String,
}

#[cfg(test)]
mod handshake_tests;
#[cfg(test)]
mod tests;

type Rule = fn(&Case<'_>) -> Option<Finding>;

/// In this order; the first that finds something is right. What the deciding kernel was seen doing
/// comes before what its answer says, and that before what silence says.
const RULES: &[Rule] = &[
    firewall_reject::answered,
    wrong_bind_address::no_socket,
    process_down::no_socket,
    conntrack_full::dropped,
    firewall_reject::rate_limited,
    firewall_drop::dropped,
    accept_queue_full::dropped,
    hairpin::returned,
    kernel_drop::refused,
    kernel_drop::dropped,
    port_exhausted::no_port,
    host_unreachable::neighbour,
    firewall_reject::icmp_answer,
    host_unreachable::icmp_answer,
    no_route::icmp_answer,
    process_down::reset_received,
    no_route::route_failed,
    host_unreachable::path,
    firewall_reject::socket_error,
    return_path_drop::unacknowledged,
    firewall_reject::silence,
    security_group_drop::silence,
];

/// Why this attempt failed, if a rule can tell.
pub(super) fn decide(case: &Case<'_>) -> Option<Finding> {
    RULES.iter().find_map(|rule| rule(case))
}
