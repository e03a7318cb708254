//! What lies between the hosts loses the packets, or says that it cannot deliver them.

use super::silence;
use crate::firewall::{Action, Chain, Tool};
use crate::lab::{Family, Host, Place, WATCHED};
use crate::scenario::{
    Bind, Expect, FAILED, GIVEN_UP, Grade, Scenario, Step, View, Want, attempt, attempt_at, rule, scenario,
};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table: Vec<Scenario> = [900, 1500, 2500].map(|patience_ms| cut_off(family, patience_ms)).into();
    table.extend([
        scenario(
            "abandoned-500ms",
            family,
            vec![Step::Serve(Bind::Any), cut(), Step::Record, attempt(500, GIVEN_UP)],
            Expect {
                server: View::silent().abandoned(0),
                client: View::silent().abandoned(1),
                both: View::silent().abandoned(1),
                all: None,
            },
        ),
        beside_a_flow(family),
        unreachable("host-unreachable-same-subnet", family, "host-unreachable", Host::DeadNear, 6000),
        unreachable("host-unreachable-behind-router", family, "host-unreachable", Host::DeadFar, 6000),
        unreachable("no-route-at-router", family, "no-route", Host::Elsewhere, 3000),
        no_route_at_client(family),
    ]);
    table
}

/// What a security group does: neither end's kernel sees it.
fn cut() -> Step {
    rule(Place::Router, Tool::Nft, Action::Drop(Chain::Forward))
}

fn cut_off(family: Family, patience_ms: u64) -> Scenario {
    scenario(
        format!("security-group-drop-{patience_ms}ms"),
        family,
        vec![Step::Serve(Bind::Any), cut(), Step::Record, attempt(patience_ms, GIVEN_UP)],
        Expect { server: View::silent(), client: View::of(silence()), both: View::of(silence()), all: None },
    )
    .in_ci(family == Family::V6 && patience_ms == 2500)
}

/// A connection to the same port that goes on shows that the remote host is there.
fn beside_a_flow(family: Family) -> Scenario {
    const STATEFUL: &[&str] = &["firewall-drop", "firewall-reject", "return-path-drop"];
    let told = || Want::outbound("security-group-drop", Grade::likely(504, STATEFUL));
    scenario(
        "security-group-drop-beside-a-flow",
        family,
        vec![
            Step::Serve(Bind::Any),
            Step::Flow,
            rule(Place::Router, Tool::Nft, Action::DropSyns(Chain::Forward)),
            Step::Record,
            attempt(2500, GIVEN_UP),
        ],
        Expect { server: View::silent(), client: View::of(told()), both: View::of(told()), all: None },
    )
}

fn unreachable(name: &str, family: Family, slug: &'static str, to: Host, patience_ms: u64) -> Scenario {
    let told = || View::of(Want::outbound(slug, Grade::certain(502)).to(to));
    scenario(
        name,
        family,
        vec![Step::Record, attempt_at(to, WATCHED, patience_ms, FAILED)],
        Expect { server: View::silent(), client: told(), both: told(), all: None },
    )
    .in_ci(family == if to == Host::DeadFar { Family::V4 } else { Family::V6 })
}

fn no_route_at_client(family: Family) -> Scenario {
    let without = match family {
        Family::V4 => "route del default via 10.9.1.1\n",
        Family::V6 => "route del default via fd09:1::1\n",
    };
    let told = || View::of(Want::outbound("no-route", Grade::certain(502)));
    scenario(
        "no-route-at-client",
        family,
        vec![Step::Serve(Bind::Any), Step::Ip(Place::Client, without), Step::Record, attempt(1500, FAILED)],
        Expect { server: View::silent(), client: told(), both: told(), all: None },
    )
}
