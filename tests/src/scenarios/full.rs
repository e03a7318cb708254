//! A ring and maps that are full: what is lost is counted by its cause, verdicts of that time are likely, and say why.

use super::exchanges::serve;
use crate::firewall::{Action, Chain, Tool};
use crate::handshake::Deed;
use crate::lab::{Family, Place};
use crate::scenario::{Act, Bind, Expect, Grade, Scenario, Step, View, Want, meanwhile, rule, scenario, talk};
use crate::talk::Move::{Get, Mark, Over, Status};

/// A ring of one page, and maps of one element each.
const SMALL_RING: &[&str] = &["--ring-bytes", "4096"];
const SMALL_MAPS: &[&str] = &["--map-entries", "1"];
/// Evidence of each verdict.
const LOST: &str = "records-lost";

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    vec![ring(family), attempts(family), flows(family)]
}

/// Refused SYNs while nobody reads the ring: those that found room are told of, and that more is missing.
fn ring(family: Family) -> Scenario {
    const COUNT: u32 = 500;
    let told = || {
        let down = Want::inbound("process-down", Grade::likely(502, &[])).evidence(LOST, "ring-full");
        let view = View::of(down.of_anybody().times(1..=100)).lost(&["ring-full"]);
        View { syns: Some(u64::from(COUNT)), ..view }
    };
    scenario(
        "full-ring",
        family,
        vec![Step::Record, Step::Hold(true), Step::Handshake(Deed::Flood(COUNT)), Step::Hold(false)],
        // what answers them is dropped there
        Expect { server: told(), client: View::silent().lost(&["ring-full"]), both: told(), all: None },
    )
    .flags(SMALL_RING)
    .alone()
}

/// Clients that are not answered, of which one finds room in the map. What is dropped here is told all the same.
fn attempts(family: Family) -> Scenario {
    const COUNT: u64 = 4;
    let dropped = || {
        let want = Want::inbound("firewall-drop", Grade::likely(504, &[])).evidence(LOST, "troubled-full");
        View::of(want.times(COUNT..=COUNT)).lost(&["troubled-full"])
    };
    let silent =
        Want::outbound("security-group-drop", Grade::likely(504, super::SILENCE)).evidence(LOST, "attempts-full");
    scenario(
        "full-maps-attempts",
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(Place::Server, Tool::Nft, Action::Drop(Chain::Input)),
            Step::Record,
            Step::Client(Act::ConnectMany { patience_ms: 1500, count: COUNT }),
        ],
        Expect {
            server: dropped(),
            client: View::of(silent.times(COUNT..=COUNT)).lost(&["attempts-full"]),
            both: dropped(),
            all: None,
        },
    )
    .flags(SMALL_MAPS)
}

/// Two connections, of which one can be followed: the other's answer is not seen, and nothing is said of it.
fn flows(family: Family) -> Scenario {
    let untold = || View::silent().lost(&["flows-full"]);
    scenario(
        "full-maps-flows",
        family,
        vec![
            serve(),
            Step::Record,
            meanwhile(&[Get("/ok"), Status(200), Mark, Over]),
            talk(&[Get("/status/503"), Status(503)]),
        ],
        Expect {
            server: untold().connections(2..=2),
            client: untold().connections(2..=2),
            both: untold().connections(2..=4),
            all: None,
        },
    )
    .flags(SMALL_MAPS)
}
