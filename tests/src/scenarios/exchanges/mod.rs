//! Exchanges that fail at the app's hands, or at the client's.

mod endings;
mod foreign;
mod gone;
mod statuses;
mod waits;

use crate::lab::Family;
use crate::scenario::{Bind, Expect, Grade, Scenario, Step, View, Want, scenario, talk};
use crate::talk::Move;

/// The test app's name.
const APP: &str = "wherefore-lab";
/// What a client cannot tell from an app's RST.
const RESET_LOOKS: &[&str] = &["idle-flow-expired", "process-crashed"];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let tables = [statuses::scenarios, endings::scenarios, waits::scenarios, gone::scenarios, foreign::scenarios];
    tables.into_iter().flat_map(|table| table(family)).collect()
}

pub(super) fn inbound(slug: &'static str, grade: Grade) -> Want {
    Want::inbound(slug, grade).process(APP)
}

pub(super) fn serve() -> Step {
    Step::Serve(Bind::Any)
}

/// The server sees it, and with it both; the client has a view of its own.
pub(super) fn seen(inbound: Vec<Want>, client: Vec<Want>) -> Expect {
    Expect { server: View::all(inbound.clone()), client: View::all(client), both: View::all(inbound), all: None }
}

/// The app serves, the client talks, one connection after the other.
fn served(name: &str, family: Family, talks: &[&'static [Move]], expect: Expect) -> Scenario {
    let mut steps = vec![serve(), Step::Record];
    steps.extend(talks.iter().map(|moves| talk(moves)));
    scenario(name, family, steps, expect)
}

/// The client was answered by a RST.
fn reset_seen_by_client() -> Want {
    Want::outbound("app-reset", Grade::likely(502, RESET_LOOKS))
}
