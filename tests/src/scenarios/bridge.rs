//! A published port of a container: a bridge, and translation in front of it. Only the published port is asked for, by
//! clients and on the command line.

use rustix::process::Signal;

use super::silence;
use crate::client::Goodbye;
use crate::firewall::{Action, Chain, Tool};
use crate::lab::{Family, Host, PUBLISHED, Place};
use crate::scenario::{
    Act, Bind, Ending, Expect, GIVEN_UP, Grade, REFUSED, Scenario, Step, UNANSWERED, View, Want, attempt_at, rule,
    scenario,
};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    vec![
        healthy(family),
        blocked("published-bridge-firewall-drop", family, Action::Drop(Chain::Forward)),
        blocked("published-bridge-firewall-reject", family, Action::Reject(Chain::Forward, port_unreachable(family))),
        dead(family),
    ]
}

fn port_unreachable(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp-port-unreachable",
        Family::V6 => "icmp6-port-unreachable",
    }
}

/// What `ready:` says of the published port.
fn ready(family: Family) -> &'static str {
    match family {
        Family::V4 => "port 80 -> 172.17.0.2:8080 (",
        Family::V6 => "port 80 -> [fd09:17::2]:8080 (",
    }
}

/// A container listens, and its port is published; then these steps.
fn container(name: &str, family: Family, steps: Vec<Step>, expect: Expect) -> Scenario {
    let before = [Step::Contain, Step::Serve(Bind::Any)];
    scenario(name, family, before.into_iter().chain(steps).collect(), expect).flags(&["--port", "80"])
}

fn asked(patience_ms: u64, ended: &'static [crate::client::Ended]) -> Step {
    attempt_at(Host::Router, PUBLISHED, patience_ms, ended)
}

/// Clients elsewhere are answered, and so is the host itself.
fn healthy(family: Family) -> Scenario {
    let request = Act::Request { to: Host::Router, port: PUBLISHED, goodbye: Goodbye::Fin, count: 3 };
    container(
        "published-bridge-healthy",
        family,
        vec![Step::Record, Step::Client(request), Step::From(Place::Router, request)],
        Expect { all: Some(View::silent().connections(6..=12).ready(ready(family))), ..Expect::default() },
    )
}

/// The host's firewall stands between.
fn blocked(name: &str, family: Family, block: Action) -> Scenario {
    let dropped = matches!(block, Action::Drop(_));
    let (slug, status) = if dropped { ("firewall-drop", 504) } else { ("firewall-reject", 502) };
    let inbound = Want::inbound(slug, Grade::certain(status)).to(Host::Container);
    let inbound = View::of(inbound.evidence("original-destination", "the published port")).ready(ready(family));
    let outbound = || {
        let rejected = Want::outbound("firewall-reject", Grade::certain(502));
        View::of(if dropped { silence() } else { rejected }.to(Host::Router).port(PUBLISHED))
    };
    container(
        name,
        family,
        vec![
            rule(Place::Router, Tool::Nft, block),
            Step::Record,
            asked(1500, if dropped { GIVEN_UP } else { UNANSWERED }),
        ],
        Expect { server: View::silent(), client: outbound(), both: outbound(), all: Some(inbound) },
    )
}

/// The process in the container dies.
fn dead(family: Family) -> Scenario {
    let down = Want::inbound("process-down", Grade::certain(502)).to(Host::Container);
    let down = View::of(down.process("wherefore-lab").exit("signal 9")).ready(ready(family));
    let outbound = || {
        let reset = Want::outbound("process-down", Grade::likely(502, &["firewall-reject"]));
        View::of(reset.to(Host::Router).port(PUBLISHED))
    };
    container(
        "published-bridge-process-down",
        family,
        vec![Step::Record, Step::EndApp(Ending::Signal(Signal::KILL)), asked(1500, REFUSED)],
        Expect { server: View::silent(), client: outbound(), both: outbound(), all: Some(down) },
    )
    // who does not watch the router does not watch the port behind the published one
    .alone()
}
