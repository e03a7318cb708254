//! Firewalls that answer.

use super::reset;
use crate::firewall::{Action, Chain, Tool};
use crate::lab::{Family, Place};
use crate::scenario::{Act, Bind, Expect, Grade, Scenario, Step, UNANSWERED, View, Want, attempt, rule, scenario};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = Vec::new();
    for tool in Tool::ALL {
        for with in kinds(family) {
            table.push(at_server(family, tool, with));
        }
        table.push(rate_limited(family, tool));
    }
    table.push(while_recording(family));
    let port = port_unreachable(family);
    for with in [port, prohibited(family), "tcp-reset"] {
        table.push(at_client(family, with));
        table.push(in_between(family, with));
    }
    table
}

fn kinds(family: Family) -> &'static [&'static str] {
    match family {
        Family::V4 => &[
            "icmp-net-unreachable",
            "icmp-host-unreachable",
            "icmp-port-unreachable",
            "icmp-proto-unreachable",
            "icmp-net-prohibited",
            "icmp-host-prohibited",
            "icmp-admin-prohibited",
            "tcp-reset",
        ],
        Family::V6 => {
            &["icmp6-no-route", "icmp6-adm-prohibited", "icmp6-addr-unreachable", "icmp6-port-unreachable", "tcp-reset"]
        }
    }
}

fn port_unreachable(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp-port-unreachable",
        Family::V6 => "icmp6-port-unreachable",
    }
}

fn prohibited(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp-admin-prohibited",
        Family::V6 => "icmp6-adm-prohibited",
    }
}

fn rejected() -> Want {
    Want::inbound("firewall-reject", Grade::certain(502))
}

/// What the client makes of the answer, which came from the address it asked for.
fn from_client(with: &str) -> View {
    let alternatives: &[&str] = match with {
        "tcp-reset" => return reset(),
        "icmp-net-unreachable" | "icmp6-no-route" => &["no-route"],
        "icmp-host-unreachable" | "icmp6-addr-unreachable" => &["host-unreachable"],
        "icmp-port-unreachable" | "icmp-proto-unreachable" | "icmp6-port-unreachable" => {
            return View::of(Want::outbound("firewall-reject", Grade::certain(502)));
        }
        _prohibited => &["no-route"],
    };
    View::of(Want::outbound("firewall-reject", Grade::likely(502, alternatives)))
}

/// The server's INPUT chain. With iptables-nft the client is patient enough to be rejected again.
fn at_server(family: Family, tool: Tool, with: &'static str) -> Scenario {
    let patience_ms = if tool == Tool::IptablesNft { 2500 } else { 400 };
    let ci = matches!(
        (family, tool, with),
        (Family::V4, Tool::Nft, "icmp-port-unreachable") | (Family::V6, Tool::IptablesNft, "tcp-reset")
    );
    scenario(
        format!("firewall-reject-{}-{with}", tool.label()),
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(Place::Server, tool, Action::Reject(Chain::Input, with)),
            Step::Record,
            attempt(patience_ms, UNANSWERED),
        ],
        Expect { server: View::of(rejected()), client: from_client(with), both: View::of(rejected()), all: None },
    )
    .in_ci(ci)
}

/// The rule comes while the recorder runs; so may the module that sends the RSTs, where nothing needed it
/// before, and what sees them is attached then.
fn while_recording(family: Family) -> Scenario {
    // what is under way when a hook is attached is not certain
    let told = || rejected().or(Grade::likely(502, &[]));
    scenario(
        "firewall-reject-while-recording-tcp-reset",
        family,
        vec![
            Step::Serve(Bind::Any),
            Step::Record,
            rule(Place::Server, Tool::IptablesNft, Action::Reject(Chain::Input, "tcp-reset")),
            attempt(400, UNANSWERED),
        ],
        Expect { server: View::of(told()), client: reset(), both: View::of(told()), all: None },
    )
}

/// The kernel limits how many ICMP errors it sends; none of the others is a drop.
fn rate_limited(family: Family, tool: Tool) -> Scenario {
    let all_rejected = || {
        let limited = Grade::likely(504, &["firewall-drop"]);
        View::of(rejected().or(limited).times(60..=60))
    };
    // on a slow machine the client waits for long enough to be told of
    let held_back = Grade::likely(504, &["firewall-drop", "security-group-drop"]);
    scenario(
        format!("firewall-reject-{}-rate-limited", tool.label()),
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(Place::Server, tool, Action::Reject(Chain::Input, port_unreachable(family))),
            Step::Record,
            Step::Client(Act::ConnectMany { patience_ms: 400, count: 60 }),
        ],
        Expect {
            server: all_rejected(),
            client: View::of(Want::outbound("firewall-reject", Grade::certain(502)).or(held_back).times(1..=60)),
            both: all_rejected(),
            all: None,
        },
    )
}

/// The client's own OUTPUT chain.
fn at_client(family: Family, with: &'static str) -> Scenario {
    let refused = || View::of(Want::outbound("firewall-reject", Grade::certain(502)));
    scenario(
        format!("firewall-reject-output-{with}"),
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(Place::Client, Tool::IptablesNft, Action::Reject(Chain::Output, with)),
            Step::Record,
            attempt(1500, UNANSWERED),
        ],
        Expect { server: View::silent(), client: refused(), both: refused(), all: None },
    )
}

/// The router's FORWARD chain.
fn in_between(family: Family, with: &'static str) -> Scenario {
    scenario(
        format!("firewall-reject-forward-{with}"),
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(Place::Router, Tool::Nft, Action::Reject(Chain::Forward, with)),
            Step::Record,
            attempt(400, UNANSWERED),
        ],
        Expect {
            server: View::silent(),
            client: from_client(with),
            both: from_client(with),
            all: Some(View::of(rejected())),
        },
    )
    .in_ci(family == Family::V4 && with == "tcp-reset")
}
