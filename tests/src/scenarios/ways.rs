//! Unusual ways to connect: no verdict, and exact counts.

use super::exchanges::serve;
use crate::lab::{Family, Place};
use crate::scenario::{Bind, Exchanges, Expect, Scenario, Step, View, scenario};
use crate::ways::Way;

/// Clients may, and may without a cookie (Documentation/networking/ip-sysctl.rst).
const MAY_ASK: &[(&str, &str)] = &[("ipv4/tcp_fastopen", "5")];
/// Servers may, every listener is one, and no cookie is needed.
const MAY_ANSWER: &[(&str, &str)] = &[("ipv4/tcp_fastopen", "1538")];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let both = |count| View::silent().connections(count..=2 * count);
    vec![
        scenario(
            "benign-fast-open",
            family,
            vec![
                serve(),
                Step::Sysctl(Place::Client, MAY_ASK),
                Step::Sysctl(Place::Server, MAY_ANSWER),
                Step::Record,
                Step::Connect(Way::FastOpen(3)),
            ],
            counted(3, &[(200, 3)]),
        ),
        scenario(
            "benign-multipath",
            family,
            vec![Step::ServeAs(&["--multipath"]), Step::Record, Step::Connect(Way::Multipath(3))],
            counted(3, &[(200, 3)]),
        ),
        scenario(
            "benign-happy-eyeballs",
            family,
            vec![serve(), Step::Record, Step::Connect(Way::HappyEyeballs)],
            Expect {
                server: View::silent().connections(1..=1).exchanges(Exchanges::Exactly(&[(200, 1)])),
                client: View::silent().connections(1..=1).abandoned(1),
                both: both(1).abandoned(1),
                all: None,
            },
        ),
        scenario(
            "benign-localhost",
            family,
            vec![
                Step::Serve(if family == Family::V4 { Bind::V4 } else { Bind::V6Only }),
                Step::Record,
                Step::Connect(Way::Localhost),
            ],
            Expect {
                server: View::silent().connections(1..=1).abandoned(1).exchanges(Exchanges::Exactly(&[(200, 1)])),
                client: View::silent().connections(0..=0),
                both: View::silent().connections(1..=1).abandoned(1),
                all: None,
            },
        ),
        // who serves, nobody can say
        scenario(
            "benign-simultaneous-open",
            family,
            vec![Step::Record, Step::Connect(Way::Simultaneous)],
            Expect {
                server: View::silent(),
                client: View::silent().connections(1..=1),
                both: View::silent().connections(1..=2),
                all: None,
            },
        ),
    ]
}

fn counted(count: u64, counts: &'static [(u16, u64)]) -> Expect {
    let view = || View::silent().connections(count..=count).exchanges(Exchanges::Exactly(counts));
    let mut both = view().connections(count..=2 * count);
    both.times = 2;
    Expect { server: view(), client: view(), both, all: None }
}
