//! Firewalls that say nothing.

use super::silence;
use crate::firewall::{Action, Chain, Tool};
use crate::lab::{Family, Place};
use crate::scenario::{Bind, Expect, GIVEN_UP, Grade, Scenario, Step, View, Want, attempt, rule, scenario};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = Vec::new();
    for tool in Tool::ALL {
        for (name, chain) in [("input", Chain::Input), ("raw-prerouting", Chain::RawPrerouting)] {
            let expect = Expect {
                server: View::of(dropped()),
                client: View::of(silence()),
                both: View::of(dropped()),
                all: None,
            };
            table.push(drop(name, family, tool, Place::Server, chain, expect));
        }
        let own = || View::of(Want::outbound("firewall-drop", Grade::certain(504)));
        let expect = Expect { server: View::silent(), client: own(), both: own(), all: None };
        table.push(drop("output", family, tool, Place::Client, Chain::Output, expect));
        let expect = Expect {
            server: View::silent(),
            client: View::of(silence()),
            both: View::of(silence()),
            all: Some(View::of(dropped())),
        };
        table.push(drop("forward", family, tool, Place::Router, Chain::Forward, expect));
    }
    table
}

fn dropped() -> Want {
    Want::inbound("firewall-drop", Grade::certain(504))
}

fn drop(name: &str, family: Family, tool: Tool, place: Place, chain: Chain, expect: Expect) -> Scenario {
    scenario(
        format!("firewall-drop-{name}-{}", tool.label()),
        family,
        vec![Step::Serve(Bind::Any), rule(place, tool, Action::Drop(chain)), Step::Record, attempt(1500, GIVEN_UP)],
        expect,
    )
    .in_ci(family == Family::V4 && tool == Tool::IptablesLegacy && place == Place::Server && chain == Chain::Input)
}
