//! Handshakes that do not come to an end: full queues, a way back that loses the answer, silent peers.

use super::silence;
use crate::handshake::{Deed, Lost};
use crate::lab::{Family, Place};
use crate::scenario::{Bind, Expect, GIVEN_UP, Grade, Scenario, Step, View, Want, attempt, scenario};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    vec![
        // with a limit of 0 one connection may wait
        full(
            "accept-queue-full-syn",
            family,
            vec![deed(Deed::Stuck(0)), deed(Deed::Open(1)), Step::Record, attempt(1500, GIVEN_UP)],
            504,
            silence_at_client(),
        ),
        full("accept-queue-full-last-ack", family, two_at_once(false), 504, View::silent().connections(2..=2)),
        full("accept-queue-full-abort", family, two_at_once(true), 502, View::silent().connections(2..=2)),
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
    ]
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

/// Two handshakes whose last ACKs come when there is room for one connection.
fn two_at_once(abort: bool) -> Vec<Step> {
    let abort: &[(&str, &str)] = if abort { &[("ipv4/tcp_abort_on_overflow", "1")] } else { &[] };
    vec![
        deed(Deed::Stuck(0)),
        Step::Sysctl(Place::Server, abort),
        deed(Deed::Lose(Lost::Acks)),
        Step::Record,
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
