//! Load: the counters say exactly what the load generator got, and verdicts stand for exactly what
//! failed of it, also where a server is restarted meanwhile.

use super::exchanges::serve;
use crate::lab::{Family, WATCHED};
use crate::load::Load;
use crate::program::{Make, Program};
use crate::scenario::{Exchanges, Expect, Grade, Scenario, Step, View, Want, scenario};

/// Statuses of all classes, with and without bodies.
const PATHS: &[&str] = &["/ok", "/status/204", "/chunked", "/status/404", "/continue", "/status/301", "/status/304"];

/// One of a hundred fails.
const FEW_FAIL: &[&str] = &{
    let mut paths = ["/ok"; 100];
    let [.., last] = &mut paths;
    *last = "/status/503";
    paths
};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let load = |clients, connections, requests, depth, paths| Load {
        port: WATCHED,
        clients,
        connections: Some(connections),
        requests,
        depth,
        paths,
    };
    let failing = |count| Want::inbound("app-status", Grade::certain(503)).times(count..=count);
    let failing_client = |count| Want::outbound("app-status", Grade::certain(503)).times(count..=count);
    vec![
        counted("counts-keep-alive", family, load(4, 5, 35, 1, PATHS)),
        counted("counts-connection-per-request", family, load(4, 70, 1, 1, PATHS)),
        counted("counts-pipelined", family, load(3, 4, 28, 7, PATHS)),
        scenario(
            "counts-failing",
            family,
            vec![serve(), Step::Record, Step::Load(load(4, 5, 20, 1, &["/status/503", "/ok"]))],
            expect(View::of(failing(200)), View::of(failing_client(200)), View::of(failing(200))),
        ),
        scenario(
            "counts-mixed",
            family,
            vec![serve(), Step::Record, Step::Load(load(2, 5, 100, 5, FEW_FAIL))],
            expect(View::of(failing(10)), View::of(failing_client(10)), View::of(failing(10))),
        ),
        reloaded(family),
        handed_over(family),
    ]
}

fn expect(server: View, client: View, both: View) -> Expect {
    let exact = |view: View| view.failures_as_counted().exchanges(Exchanges::AsCounted);
    let mut both = exact(both);
    both.times = 2;
    Expect { server: exact(server), client: exact(client), both, all: None }
}

fn counted(name: &str, family: Family, load: Load) -> Scenario {
    let connections = u64::from(load.clients * load.connections.unwrap_or_default());
    let view = || View::silent().connections(connections..=connections);
    scenario(
        name,
        family,
        vec![serve(), Step::Record, Step::Load(load)],
        expect(view(), view(), View::silent().connections(connections..=2 * connections)),
    )
}

const ENDLESS: Load = Load { port: WATCHED, clients: 4, connections: None, requests: 20, depth: 1, paths: &["/ok"] };

/// What may fail when connections are handed over: whatever does, the client has counted it.
fn perhaps(role: fn(&'static str, Grade) -> Want, slugs: &[&'static str]) -> View {
    View::all(slugs.iter().map(|slug| role(slug, Grade::certain(502)).times(0..=1000)).collect())
}

/// `nginx -s reload`, three times.
fn reloaded(family: Family) -> Scenario {
    let nginx = Program {
        make: Make::Nginx,
        port: WATCHED,
        text: "server { listen 8080; listen [::]:8080; location / { return 200 ok; } }",
    };
    let mut steps = vec![Step::Program(nginx), Step::Record, Step::BeginLoad(ENDLESS)];
    for _ in 0..3 {
        steps.extend([Step::AwaitLoad(200), Step::Reload]);
    }
    steps.extend([Step::AwaitLoad(400), Step::EndLoad]);
    // a worker that ends also closes connections on which the first request has just come
    scenario("restart-nginx-reload", family, steps, handed_over_fails(&["keepalive-race", "app-reset"]))
}

/// What may fail when connections are handed over, seen from the server, and what the client makes of it.
fn handed_over_fails(inbound: &[&'static str]) -> Expect {
    let mut client = perhaps(Want::outbound, &["keepalive-race", "premature-close"]);
    let reset = Grade::likely(502, &["idle-flow-expired", "process-crashed"]);
    client.verdicts.push(Want::outbound("app-reset", reset).times(0..=1000));
    expect(perhaps(Want::inbound, inbound), client, perhaps(Want::inbound, inbound))
}

/// Another process takes over the port (`SO_REUSEPORT`), and the old one is drained.
fn handed_over(family: Family) -> Scenario {
    const FLAGS: &[&str] = &["--reuse-port"];
    let mut steps = vec![Step::ServeAs(FLAGS), Step::Record, Step::BeginLoad(ENDLESS)];
    for _ in 0..2 {
        steps.extend([Step::AwaitLoad(200), Step::HandOver(FLAGS)]);
    }
    steps.extend([Step::AwaitLoad(400), Step::EndLoad]);
    let inbound = ["keepalive-race", "app-reset", "premature-close", "process-crashed"];
    scenario("restart-handed-over", family, steps, handed_over_fails(&inbound))
}
