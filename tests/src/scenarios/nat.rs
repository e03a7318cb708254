//! A published port in front of the watched one. The client asks for the published port: only the
//! server's side is about the watched one.

use crate::firewall::{Action, Chain, Tool};
use crate::lab::{Family, PUBLISHED, Place, WATCHED};
use crate::scenario::{
    Bind, Expect, GIVEN_UP, Grade, REFUSED, Scenario, Step, UNANSWERED, View, Want, attempt_at, requests, rule,
    scenario,
};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = Vec::new();
    for tool in Tool::ALL {
        for (name, place, nat) in [
            ("redirect", Place::Server, Action::Redirect),
            ("dnat", Place::Server, Action::Dnat),
            ("dnat-at-router", Place::Router, Action::Dnat),
        ] {
            // the tools differ in how they translate, not in who translates
            if place == Place::Server || tool == Tool::Nft {
                table.extend(behind(&format!("{name}-{}", tool.label()), family, rule(place, tool, nat)));
            }
        }
    }
    table
}

/// A healthy server, none, and rejecting ones behind the same translation.
fn behind(name: &str, family: Family, nat: Step) -> Vec<Scenario> {
    let port_unreachable = match family {
        Family::V4 => "icmp-port-unreachable",
        Family::V6 => "icmp6-port-unreachable",
    };
    let block = |action| rule(Place::Server, Tool::Nft, action);
    let asked = |patience_ms, ended| attempt_at(crate::lab::Host::Server, PUBLISHED, patience_ms, ended);
    let rejected = || inbound("firewall-reject", 502);
    vec![
        scenario(
            format!("{name}-healthy"),
            family,
            vec![Step::Serve(Bind::Any), nat.clone(), Step::Record, requests(PUBLISHED, 3)],
            Expect {
                server: View::silent().connections(3..=3),
                client: View::silent().connections(0..=0),
                both: View::silent().connections(3..=3),
                all: None,
            },
        ),
        scenario(
            format!("{name}-process-down"),
            family,
            vec![nat.clone(), Step::Record, asked(1500, REFUSED)],
            inbound("process-down", 502),
        ),
        scenario(
            format!("{name}-reject"),
            family,
            vec![
                Step::Serve(Bind::Any),
                nat.clone(),
                block(Action::Reject(Chain::Input, port_unreachable)),
                Step::Record,
                asked(400, UNANSWERED),
            ],
            rejected(),
        ),
        scenario(
            format!("{name}-reject-tcp-reset"),
            family,
            vec![
                Step::Serve(Bind::Any),
                nat.clone(),
                block(Action::Reject(Chain::Input, "tcp-reset")),
                Step::Record,
                asked(400, UNANSWERED),
            ],
            rejected(),
        ),
        scenario(
            format!("{name}-drop"),
            family,
            vec![Step::Serve(Bind::Any), nat, block(Action::Drop(Chain::Input)), Step::Record, asked(1100, GIVEN_UP)],
            inbound("firewall-drop", 504),
        ),
    ]
}

fn inbound(slug: &'static str, status: u64) -> Expect {
    let view = || View::of(Want { port: WATCHED, ..Want::inbound(slug, Grade::certain(status)) });
    Expect { server: view(), client: View::silent(), both: view(), all: None }
}
