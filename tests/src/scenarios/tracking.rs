//! Tables of connection tracking that are full, and that nearly are.

use super::silence;
use crate::firewall::{Action, Chain, Tool};
use crate::handshake::Deed;
use crate::lab::{Family, Place, WATCHED};
use crate::scenario::{Bind, Expect, GIVEN_UP, Grade, Scenario, Step, View, Want, attempt, requests, rule, scenario};

/// Enough to be nearly full by any measure, and not full.
const ROOM_PERCENT: u64 = 2;

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let full = |want: Want| View::of(want.evidence("conntrack-full", "for want of room"));
    let inbound = || full(Want::inbound("conntrack-full", Grade::certain(504)));
    let outbound = || full(Want::outbound("conntrack-full", Grade::certain(504)));
    let silent = || View::of(silence());
    let at = |name, place, expect| {
        let steps = vec![Step::Serve(Bind::Any), fill(place, 0), Step::Record, attempt(1500, GIVEN_UP)];
        scenario(name, family, steps, expect)
    };
    vec![
        at("conntrack-full", Place::Server, Expect { server: inbound(), client: silent(), both: inbound(), all: None }),
        at(
            "conntrack-full-own",
            Place::Client,
            Expect { server: View::silent(), client: outbound(), both: outbound(), all: None },
        ),
        at(
            "conntrack-full-on-the-way",
            Place::Router,
            Expect { server: View::silent(), client: silent(), both: silent(), all: Some(inbound()) },
        ),
        nearly(family),
        rule_of_nearly_full(family),
    ]
}

fn fill(place: Place, room_percent: u64) -> Step {
    Step::Handshake(Deed::FillTracking(place, room_percent))
}

/// There is room yet.
fn nearly(family: Family) -> Scenario {
    let well = |count| View::silent().connections(count);
    scenario(
        "benign-conntrack-nearly-full",
        family,
        vec![Step::Serve(Bind::Any), fill(Place::Server, ROOM_PERCENT), Step::Record, requests(WATCHED, 3)],
        Expect { server: well(3..=3), client: well(3..=3), both: well(3..=6), all: None },
    )
}

/// There is room yet, and a rule drops.
fn rule_of_nearly_full(family: Family) -> Scenario {
    let dropped = || {
        let want = Want::inbound("firewall-drop", Grade::certain(504));
        View::of(want.evidence("host-pressure", "the connection tracking table held"))
    };
    scenario(
        "firewall-drop-conntrack-nearly-full",
        family,
        vec![
            Step::Serve(Bind::Any),
            rule(Place::Server, Tool::Nft, Action::Drop(Chain::Input)),
            fill(Place::Server, ROOM_PERCENT),
            Step::Record,
            attempt(1500, GIVEN_UP),
        ],
        Expect { server: dropped(), client: View::of(silence()), both: dropped(), all: None },
    )
}
