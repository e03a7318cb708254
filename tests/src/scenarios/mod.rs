//! The tables of scenarios.

/// A script of nft with a rule for what a namespace passes on.
macro_rules! passing_on {
    ($rule:literal) => {
        concat!("table inet lab { chain way { type filter hook forward priority 0; ", $rule, "; }; }")
    };
}

mod benign;
mod between;
mod bridge;
mod chains;
mod counts;
#[cfg(test)]
mod documented;
mod drop;
mod exchanges;
mod full;
mod handshake;
mod listening;
mod lookalikes;
mod nat;
mod reject;
mod silence;
mod tracking;
mod unix;
mod ways;
mod why;

use crate::lab::Family;
use crate::scenario::{Grade, Scenario, View, Want};

/// One handshake of each verdict, for other kernels.
const ON_OTHER_KERNELS: [&str; 7] = [
    "accept-queue-full-syn",
    "conntrack-full",
    "return-path-drop",
    "handshake-abandoned",
    "kernel-drop-checksum",
    "port-exhausted",
    "hairpin",
];

/// Every scenario over every family, in a stable order.
pub fn all() -> Vec<Scenario> {
    let tables = [
        listening::scenarios,
        reject::scenarios,
        drop::scenarios,
        between::scenarios,
        handshake::scenarios,
        nat::scenarios,
        bridge::scenarios,
        why::scenarios,
        benign::scenarios,
        exchanges::scenarios,
        lookalikes::scenarios,
        ways::scenarios,
        silence::scenarios,
        unix::scenarios,
        chains::scenarios,
        counts::scenarios,
        full::scenarios,
        tracking::scenarios,
    ];
    let every = Family::ALL.into_iter().flat_map(|family| tables.map(|table| table(family)).into_iter().flatten());
    let chosen = |scenario: Scenario| {
        let one = scenario.family == Family::V4 && ON_OTHER_KERNELS.contains(&scenario.name.as_str());
        scenario.in_ci(one)
    };
    every.map(chosen).collect()
}

/// What a client cannot tell from silence.
const SILENCE: &[&str] = &["firewall-drop", "firewall-reject", "remote-down", "return-path-drop"];

/// The client was answered by a RST.
fn reset() -> View {
    View::of(Want::outbound("process-down", Grade::likely(502, &["firewall-reject"])))
}

/// The client was answered by nothing.
fn silence() -> Want {
    Want::outbound("security-group-drop", Grade::likely(504, SILENCE))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::{Exchanges, Step};

    #[test]
    fn names_are_unique_and_every_scenario_records_once() {
        let mut names = BTreeSet::new();
        for scenario in all() {
            assert!(names.insert((scenario.name.clone(), scenario.family.label())), "{} twice", scenario.name);
            let records = scenario.steps.iter().filter(|step| matches!(step, Step::Record)).count();
            assert_eq!(records, 1, "{}", scenario.name);
            let traffic = scenario.steps.iter().skip_while(|step| !matches!(step, Step::Record));
            assert!(traffic.into_iter().any(Step::is_traffic), "{} records nothing", scenario.name);
        }
        assert!(!names.is_empty());
    }

    #[test]
    fn every_verdict_runs_on_other_kernels_with_every_change() {
        let slugs = |ci: bool| -> BTreeSet<&str> {
            let chosen = all().into_iter().filter(|scenario| !ci || scenario.ci);
            let views =
                chosen.flat_map(|scenario| [scenario.expect.server, scenario.expect.client, scenario.expect.both]);
            views.flat_map(|view| view.verdicts).map(|want| want.slug).collect()
        };
        assert_eq!(slugs(true), slugs(false), "mark one scenario of each verdict with in_ci()");
    }

    #[test]
    fn alternatives_are_sorted_and_silence_is_proven() {
        for scenario in all() {
            let views = scenario.expect.views();
            for want in views.iter().flat_map(|(_, view)| &view.verdicts) {
                for grade in &want.grades {
                    assert!(grade.alternatives.is_sorted(), "{}", scenario.name);
                }
            }
            let says_something = views.iter().any(|(_, view)| {
                !view.verdicts.is_empty()
                    || view.abandoned.is_some()
                    || view.connections.as_ref().is_some_and(|range| *range.start() > 0)
                    || view.exchanges != Exchanges::Any
            });
            assert!(says_something, "{} would pass with a program that sees nothing", scenario.name);
        }
    }
}
