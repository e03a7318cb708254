//! Exchanges that fail at the app's hands, or at the client's.

mod endings;
mod foreign;
mod gone;
mod segments;
mod statuses;
mod waits;

use crate::lab::Family;
use crate::scenario::{Bind, Exchanges, Expect, Grade, Scenario, Step, View, Want, scenario, talk};
use crate::talk::Move;

/// The test app's name.
const APP: &str = "wherefore-lab";
/// What a client cannot tell from an app's RST.
const RESET_LOOKS: &[&str] = &["idle-flow-expired", "process-crashed"];

/// One scenario of each verdict.
const ON_OTHER_KERNELS: [&str; 13] = [
    "app-status",
    "app-reset",
    "premature-close",
    "incomplete-response",
    "malformed-response",
    "process-crashed-not-read",
    "app-timeout-processing",
    "client-abort",
    "keepalive-race",
    "peer-vanished",
    "idle-flow-expired",
    "protocol-mismatch-tls",
    "health-check-failed",
];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let tables = [
        statuses::scenarios,
        segments::scenarios,
        endings::scenarios,
        waits::scenarios,
        gone::scenarios,
        foreign::scenarios,
    ];
    let chosen = |scenario: Scenario| {
        let one = family == Family::V4 && ON_OTHER_KERNELS.contains(&scenario.name.as_str());
        scenario.in_ci(one)
    };
    tables.into_iter().flat_map(|table| table(family)).map(chosen).collect()
}

pub(super) fn inbound(slug: &'static str, grade: Grade) -> Want {
    Want::inbound(slug, grade).process(APP)
}

pub(super) fn serve() -> Step {
    Step::Serve(Bind::Any)
}

/// The server sees it, and with it both; the client has a view of its own.
pub(super) fn seen(inbound: Vec<Want>, client: Vec<Want>) -> Expect {
    Expect { server: View::all(inbound.clone()), client: View::all(client), both: View::all(inbound), all: None }
}

/// With exactly so many exchanges by status, from every vantage: both ends count each once.
fn counted(mut expect: Expect, counts: &'static [(u16, u64)]) -> Expect {
    for view in [&mut expect.server, &mut expect.client, &mut expect.both] {
        view.exchanges = Exchanges::Exactly(counts);
        view.times = 1;
    }
    expect.both.times = 2;
    expect
}

/// The app serves, the client talks, one connection after the other.
fn served(name: &str, family: Family, talks: &[&'static [Move]], expect: Expect) -> Scenario {
    let mut steps = vec![serve(), Step::Record];
    steps.extend(talks.iter().map(|moves| talk(moves)));
    scenario(name, family, steps, expect)
}

/// The client was answered by a RST.
pub(super) fn reset_seen_by_client() -> Want {
    Want::outbound("app-reset", Grade::likely(502, RESET_LOOKS))
}
