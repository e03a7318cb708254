//! What is no failure: no verdict at all. The connections must have been counted, though.

use crate::client::Goodbye;
use crate::firewall::{Action, Chain, Tool};
use crate::lab::{Family, Host, Place, UNWATCHED, WATCHED};
use crate::scenario::{
    Act, Bind, CONNECTED, Expect, GIVEN_UP, REFUSED, Scenario, Step, View, attempt, attempt_at, requests, rule,
    scenario,
};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let request = |goodbye| Step::Client(Act::Request { to: Host::Server, port: WATCHED, goodbye, count: 10 });
    let health_check = |goodbye| Step::Client(Act::HealthCheck { goodbye, count: 10 });
    let ephemeral = |to, ended| {
        Step::Client(Act::Connect { to, port: UNWATCHED, from_port: Some(WATCHED), patience_ms: 1100, count: 1, ended })
    };
    let one = |steps: Vec<Step>| {
        let mut whole = vec![Step::Serve(Bind::Any), Step::Record];
        whole.extend(steps);
        // proves that the recorder sees what it should see
        whole.push(requests(WATCHED, 1));
        whole
    };
    vec![
        scenario("benign-requests", family, vec![Step::Nginx, Step::Record, request(Goodbye::Fin)], healthy(10))
            .in_ci(family == Family::V4),
        scenario(
            "benign-reset-after-response",
            family,
            vec![Step::Nginx, Step::Record, request(Goodbye::Rst)],
            healthy(10),
        ),
        scenario(
            "benign-health-check-fin",
            family,
            vec![Step::Nginx, Step::Record, health_check(Goodbye::Fin)],
            checked(10),
        ),
        scenario(
            "benign-health-check-rst",
            family,
            vec![Step::Nginx, Step::Record, health_check(Goodbye::Rst)],
            checked(10),
        ),
        scenario(
            "benign-unwatched-port",
            family,
            one(vec![attempt_at(Host::Server, UNWATCHED, 1500, REFUSED)]),
            healthy(1),
        ),
        scenario("benign-ephemeral-port-refused", family, one(vec![ephemeral(Host::Server, REFUSED)]), healthy(1)),
        scenario("benign-ephemeral-port-silent", family, one(vec![ephemeral(Host::DeadNear, GIVEN_UP)]), healthy(1)),
        // three connections that go on, two that are new and over
        scenario(
            "benign-connections-of-before",
            family,
            vec![Step::Nginx, Step::Flow, Step::Flow, Step::Flow, Step::Record, requests(WATCHED, 2)],
            Expect {
                server: View::silent().connections(2..=2).open(3),
                client: View::silent().connections(2..=2).open(3),
                both: View::silent().connections(2..=4).open(6),
                all: None,
            },
        ),
        dropped_once("benign-syn-dropped-once-input", family, Place::Server, Chain::Input, 1),
        dropped_once("benign-syn-dropped-once-between", family, Place::Router, Chain::Forward, 0),
    ]
}

fn healthy(count: u64) -> Expect {
    Expect {
        server: View::silent().connections(count..=count),
        client: View::silent().connections(count..=count),
        both: View::silent().connections(count..=2 * count),
        all: None,
    }
}

/// All of them were health checks.
fn checked(count: u64) -> Expect {
    let mut expect = healthy(count);
    expect.server = expect.server.health_checks(count);
    expect.both = expect.both.health_checks(count);
    expect
}

/// The first SYN is lost, the second answered. The server knows of it where its own firewall did it.
fn dropped_once(name: &str, family: Family, place: Place, chain: Chain, server: u64) -> Scenario {
    let mut expect = healthy(1);
    expect.server = expect.server.recovered(server);
    expect.client = expect.client.recovered(1);
    expect.both = expect.both.recovered(1);
    scenario(
        name,
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(place, Tool::Nft, Action::DropFirstSyn(chain)),
            Step::Record,
            attempt(8000, CONNECTED),
        ],
        expect,
    )
}
