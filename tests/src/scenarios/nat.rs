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
    let [drop, reject] = ["firewall-drop", "firewall-reject"].map(|slug| forwarded(slug, family));
    table.extend([drop, reject]);
    table
}

/// What a container's host does: a port of its own is published, and its firewall stands before the container. The
/// published port is watched: with it, what is behind it.
fn forwarded(slug: &'static str, family: Family) -> Scenario {
    let dropped = slug == "firewall-drop";
    let answer = if family == Family::V4 { "icmp-port-unreachable" } else { "icmp6-port-unreachable" };
    let block = if dropped { Action::Drop(Chain::Forward) } else { Action::Reject(Chain::Forward, answer) };
    let inbound = || {
        let want = Want::inbound(slug, Grade::certain(if dropped { 504 } else { 502 }));
        View::of(want.evidence("original-destination", "the published port"))
    };
    let outbound = || {
        let silent = Want::outbound("security-group-drop", Grade::likely(504, super::SILENCE));
        let rejected = Want::outbound("firewall-reject", Grade::certain(502));
        View::of(if dropped { silent } else { rejected }.port(PUBLISHED))
    };
    let ended = if dropped { GIVEN_UP } else { UNANSWERED };
    scenario(
        format!("published-{slug}"),
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(Place::Router, Tool::Nft, Action::Dnat),
            rule(Place::Router, Tool::Nft, block),
            Step::Record,
            attempt_at(crate::lab::Host::Server, PUBLISHED, 1500, ended),
        ],
        Expect { server: View::silent(), client: outbound(), both: outbound(), all: Some(inbound()) },
    )
    .flags(&["--port", "80"])
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
