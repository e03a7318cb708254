//! Nothing listens, or not where it is asked for.

use super::reset;
use crate::client::Ended;
use crate::lab::{Family, Host, Place, WATCHED};
use crate::scenario::{Act, Bind, Expect, Grade, REFUSED, Scenario, Step, View, Want, attempt, requests, scenario};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = vec![
        scenario("process-down-never-listened", family, vec![Step::Record, attempt(1500, REFUSED)], refused(down()))
            .in_ci(family == Family::V4),
        scenario(
            "process-down-many",
            family,
            vec![Step::Record, Step::Client(many(20))],
            Expect {
                server: View::of(down().times(20..=20)),
                client: View::of(
                    Want::outbound("process-down", Grade::likely(502, &["firewall-reject"])).times(20..=20),
                ),
                both: View::of(down().times(20..=20)),
                all: None,
            },
        ),
        scenario(
            "process-down-nginx-stopped",
            family,
            vec![Step::Nginx, Step::Record, requests(WATCHED, 2), Step::StopNginx, attempt(1500, REFUSED)],
            after_requests(refused(down().process("nginx"))),
        ),
        scenario(
            "process-down-app-killed",
            family,
            vec![Step::Serve(Bind::Any), Step::Record, requests(WATCHED, 2), Step::StopApp, attempt(1500, REFUSED)],
            after_requests(refused(down().process("wherefore-lab"))),
        ),
    ];
    let binds = match family {
        Family::V4 => [("loopback", Bind::Loopback), ("other-address", Bind::Other), ("v6-only", Bind::V6Only)],
        Family::V6 => [("loopback", Bind::Loopback), ("other-address", Bind::Other), ("v4-only", Bind::V4)],
    };
    for (name, bind) in binds {
        let wrong = scenario(
            format!("wrong-bind-address-{name}"),
            family,
            vec![
                Step::Ip(Place::Server, "addr add 10.9.2.3/24 dev eth0\naddr add fd09:2::3/64 dev eth0 nodad\n"),
                Step::Serve(bind),
                Step::Record,
                attempt(1500, REFUSED),
            ],
            refused(Want::inbound("wrong-bind-address", Grade::certain(502)).process("wherefore-lab")),
        );
        table.push(wrong.in_ci(family == Family::V6 && bind == Bind::Loopback));
    }
    table
}

fn down() -> Want {
    Want::inbound("process-down", Grade::certain(502))
}

fn many(count: u32) -> Act {
    Act::Connect {
        to: Host::Server,
        port: WATCHED,
        from_port: None,
        patience_ms: 1500,
        count,
        ended: &[Ended::Refused],
    }
}

/// The server knows why; the client has only a RST.
fn refused(inbound: Want) -> Expect {
    Expect { server: View::of(inbound.clone()), client: reset(), both: View::of(inbound), all: None }
}

/// Two requests were answered before.
fn after_requests(mut expect: Expect) -> Expect {
    expect.server = expect.server.connections(2..=2);
    expect.client = expect.client.connections(2..=2);
    expect
}
