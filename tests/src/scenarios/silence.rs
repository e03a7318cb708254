//! Health checks that stop, and clients that do not.

use super::exchanges::serve;
use crate::client::Goodbye;
use crate::lab::{Family, Host, UNWATCHED, WATCHED};
use crate::scenario::{Act, Expect, Grade, REFUSED, Scenario, Step, View, Want, every, scenario};

/// Checks a second apart.
const CHECKS: u64 = 4;

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let check = Act::HealthCheck { goodbye: Goodbye::Fin, count: 1 };
    // the host is not cut off
    let elsewhere = Act::Connect {
        to: Host::Server,
        port: UNWATCHED,
        from_port: None,
        patience_ms: 1000,
        count: 2,
        ended: REFUSED,
    };
    let request = Act::Request { to: Host::Server, port: WATCHED, goodbye: Goodbye::Fin, count: 1 };
    let then = |act| {
        vec![serve(), Step::Record, every(1000, u32::try_from(CHECKS).unwrap_or_default(), check), every(1000, 12, act)]
    };
    let told = || {
        let grade = Grade::likely(504, &["security-group-drop"]);
        let stopped = Want::inbound("inbound-silence", grade).to(Host::Nobody).process("wherefore-lab");
        View::of(stopped.evidence("health-checkers-stopped", "came every 1.0 s"))
    };
    let counted = |view: View, connections| view.connections(connections).health_checks(CHECKS);
    vec![
        scenario(
            "inbound-silence",
            family,
            then(elsewhere),
            Expect {
                server: counted(told(), 4..=4),
                client: View::silent().connections(4..=4).health_checks(0),
                both: counted(told(), 4..=8),
                all: None,
            },
        )
        .alone()
        .in_ci(family == Family::V6),
        scenario(
            "benign-health-checks-and-clients",
            family,
            then(request),
            Expect {
                server: counted(View::silent(), 16..=16),
                client: View::silent().connections(16..=16).health_checks(0),
                both: counted(View::silent(), 16..=32),
                all: None,
            },
        )
        .alone(),
    ]
}
