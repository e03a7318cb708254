//! Handshakes that do not come to an end: full queues, a way back that loses the answer, silent peers.

use super::exchanges::reset_seen_by_client;
use super::silence;
use crate::handshake::{Deed, Lost};
use crate::lab::{Family, Place, WATCHED};
use crate::scenario::{Bind, Expect, FAILED, GIVEN_UP, Grade, Scenario, Step, View, Want, attempt, requests, scenario};

/// Run on other kernels with every change.
const CHOSEN: [&str; 6] = [
    "accept-queue-full-last-ack",
    "return-path-drop",
    "handshake-abandoned",
    "kernel-drop-tc-ingress",
    "port-exhausted",
    "hairpin",
];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table: Vec<Scenario> = vec![
        // with a limit of 0 one connection may wait
        full(
            "accept-queue-full-syn",
            family,
            vec![deed(Deed::Stuck(0)), deed(Deed::Open(1)), Step::Record, attempt(1500, GIVEN_UP)],
            504,
            silence_at_client(),
        ),
        full("accept-queue-full-last-ack", family, two_at_once(false), 504, View::silent().connections(2..=2)),
        full(
            "accept-queue-full-abort",
            family,
            two_at_once(true),
            502,
            // a connection, for all that the client knows
            View::of(reset_seen_by_client().unanswered("GET", "/ok")).connections(2..=2),
        ),
        scenario(
            "benign-accept-queue-full-once",
            family,
            vec![deed(Deed::Stuck(0)), deed(Deed::Open(1)), Step::Record, deed(Deed::OpenLate)],
            Expect {
                server: View::silent().connections(1..=1).recovered(1),
                client: View::silent().connections(1..=1).recovered(1),
                both: View::silent().connections(1..=2).recovered(1),
                all: None,
            },
        ),
        return_path(family),
        abandoned(family),
        dropped_by_tc(family),
        bad_checksum(family),
        dropped_before("kernel-drop-xdp-driver", family, Deed::DropReceived { in_driver: true }),
        dropped_before("kernel-drop-xdp-generic", family, Deed::DropReceived { in_driver: false }),
        unsigned(family),
        refused_by_group(family),
        port_exhausted(family),
        flood(family),
        cookies(family),
    ];
    if family == Family::V4 {
        // IPv6 has no reverse path filter, and takes packets from its own addresses
        table.extend([reverse_path(), hairpin()]);
    }
    let chosen = |name: &str| family == Family::V4 && CHOSEN.contains(&name);
    table
        .into_iter()
        .map(|scenario| {
            let marked = chosen(&scenario.name);
            scenario.in_ci(marked)
        })
        .collect()
}

fn kernel_drop() -> View {
    View::of(Want::inbound("kernel-drop", Grade::certain(504)).process("wherefore-lab"))
}

/// The server's answers would leave by another interface.
fn reverse_path() -> Scenario {
    scenario(
        "kernel-drop-reverse-path",
        Family::V4,
        vec![
            Step::Serve(Bind::Any),
            Step::Sysctl(Place::Server, &[("ipv4/conf/eth0/rp_filter", "1")]),
            Step::Ip(Place::Server, "route add 10.9.1.2/32 dev lo\n"),
            Step::Record,
            attempt(1500, GIVEN_UP),
        ],
        Expect { server: kernel_drop(), client: silence_at_client(), both: kernel_drop(), all: None },
    )
}

fn dropped_by_tc(family: Family) -> Scenario {
    scenario(
        "kernel-drop-tc-ingress",
        family,
        vec![Step::Serve(Bind::Any), deed(Deed::FilterIngress), Step::Record, attempt(1500, GIVEN_UP)],
        Expect { server: kernel_drop(), client: silence_at_client(), both: kernel_drop(), all: None },
    )
}

/// A program of the interface's takes the SYN.
fn dropped_before(name: &str, family: Family, program: Deed) -> Scenario {
    scenario(
        name,
        family,
        vec![Step::Serve(Bind::Any), deed(program), Step::Record, attempt(1500, GIVEN_UP)],
        Expect { server: kernel_drop(), client: silence_at_client(), both: kernel_drop(), all: None },
    )
}

/// The listener wants TCP signatures, and the client sends none.
fn unsigned(family: Family) -> Scenario {
    let dropped = || {
        let want = Want::inbound("kernel-drop", Grade::certain(504));
        View::of(want.process("wherefore-lab").evidence("kernel-drop", "MD5"))
    };
    scenario(
        "kernel-drop-unsigned",
        family,
        vec![deed(Deed::Signed), Step::Record, attempt(1500, GIVEN_UP)],
        Expect { server: dropped(), client: silence_at_client(), both: dropped(), all: None },
    )
}

/// A program of a control group refuses connect(): there is no packet.
fn refused_by_group(family: Family) -> Scenario {
    let refused = || {
        let want = Want::outbound("kernel-drop", Grade::certain(504)).process("wherefore-lab");
        View::of(want.evidence("connect-failed", "EPERM"))
    };
    scenario(
        "kernel-drop-refused-connect",
        family,
        vec![Step::Serve(Bind::Any), Step::Record, deed(Deed::RefuseConnect)],
        Expect { server: View::silent(), client: refused(), both: refused(), all: None },
    )
}

fn bad_checksum(family: Family) -> Scenario {
    scenario(
        "kernel-drop-checksum",
        family,
        vec![Step::Serve(Bind::Any), Step::Record, deed(Deed::BadChecksum), requests(WATCHED, 1)],
        Expect {
            server: kernel_drop().connections(1..=1),
            client: View::silent().connections(1..=1),
            both: kernel_drop(),
            all: None,
        },
    )
}

/// The router sends the SYN back to the client, whose kernel takes no packet from its own address.
fn hairpin() -> Scenario {
    let told = || View::of(Want::outbound("hairpin", Grade::certain(504)));
    scenario(
        "hairpin",
        Family::V4,
        vec![deed(Deed::SendBack), Step::Record, attempt(1500, GIVEN_UP)],
        Expect { server: View::silent(), client: told(), both: told(), all: None },
    )
}

/// Each of them is counted, whatever is told of it.
fn flood(family: Family) -> Scenario {
    const COUNT: u32 = 60_000;
    let told = || {
        let count = u64::from(COUNT);
        View::of(Want::inbound("process-down", Grade::certain(502)).of_anybody().times(count..=count)).flooded(count)
    };
    scenario(
        "flood-refused",
        family,
        vec![Step::Record, deed(Deed::Flood(COUNT))],
        Expect { server: told(), client: View::silent(), both: told(), all: None },
    )
    .alone()
}

/// Every SYN is answered with a cookie, and no request is kept.
fn cookies(family: Family) -> Scenario {
    scenario(
        "benign-syn-cookies",
        family,
        vec![
            Step::Serve(Bind::Any),
            Step::Sysctl(Place::Server, &[("ipv4/tcp_syncookies", "2")]),
            Step::Record,
            requests(WATCHED, 10),
        ],
        Expect {
            server: View::silent().connections(10..=10),
            client: View::silent().connections(10..=10),
            both: View::silent().connections(10..=20),
            all: None,
        },
    )
}

/// Two local ports, both in use towards the server.
fn port_exhausted(family: Family) -> Scenario {
    let told = || View::of(Want::outbound("port-exhausted", Grade::certain(502)));
    scenario(
        "port-exhausted",
        family,
        vec![
            Step::Serve(Bind::Any),
            Step::Sysctl(Place::Client, &[("ipv4/ip_local_port_range", "40000 40001")]),
            deed(Deed::Open(2)),
            Step::Record,
            attempt(1500, FAILED),
        ],
        Expect { server: View::silent(), client: told(), both: told(), all: None },
    )
}

fn deed(deed: Deed) -> Step {
    Step::Handshake(deed)
}

fn silence_at_client() -> View {
    View::of(silence())
}

fn full(name: &str, family: Family, steps: Vec<Step>, status: u64, client: View) -> Scenario {
    let told = || View::of(Want::inbound("accept-queue-full", Grade::certain(status)).process("wherefore-lab"));
    scenario(name, family, steps, Expect { server: told(), client, both: told(), all: None })
}

/// Two handshakes whose last ACKs come when there is room for one connection. A backlog of 8 keeps the
/// listener from sending SYN cookies: with them, no request is there to tell a last ACK by.
fn two_at_once(abort: bool) -> Vec<Step> {
    let abort: &[(&str, &str)] = if abort { &[("ipv4/tcp_abort_on_overflow", "1")] } else { &[] };
    vec![
        deed(Deed::Stuck(8)),
        Step::Sysctl(Place::Server, abort),
        deed(Deed::Open(8)),
        Step::Record,
        deed(Deed::Lose(Lost::Acks)),
        deed(Deed::Open(2)),
        deed(Deed::LoseNothing),
        deed(Deed::Send),
    ]
}

/// The SYN-ACK gets lost, and the client sends its SYN again.
fn return_path(family: Family) -> Scenario {
    let told = || View::of(Want::inbound("return-path-drop", Grade::certain(504)).process("wherefore-lab"));
    scenario(
        "return-path-drop",
        family,
        vec![Step::Serve(Bind::Any), deed(Deed::Lose(Lost::SynAcks)), Step::Record, attempt(1500, GIVEN_UP)],
        Expect { server: told(), client: silence_at_client(), both: told(), all: None },
    )
}

/// The same, but the client gives up after one SYN.
fn abandoned(family: Family) -> Scenario {
    let told = View::of(Want::inbound("handshake-abandoned", Grade::without_status()).process("wherefore-lab"));
    scenario(
        "handshake-abandoned",
        family,
        vec![Step::Serve(Bind::Any), deed(Deed::Lose(Lost::SynAcks)), Step::Record, attempt(500, GIVEN_UP)],
        Expect { server: told, client: View::silent().abandoned(1), both: View::silent().abandoned(1), all: None },
    )
}
