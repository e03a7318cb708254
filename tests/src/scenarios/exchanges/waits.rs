//! Requests that wait, and clients that do not.

use super::{inbound, seen, serve, served};
use crate::lab::Family;
use crate::scenario::{Exchanges, Expect, Grade, Scenario, Step, View, Want, meanwhile, scenario, talk};
use crate::talk::Move::{self, Abort, Get, Mark, Over, Pause, Send, Status};

/// A client that patiently waits, and a recorder that does not.
const SLOW: &[&str] = &["--slow", "1s"];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let waited = |stage, path| inbound("app-timeout", Grade::certain(504)).stage(stage).unanswered("GET", path);
    // nobody read: who would is the one who listens
    let unread = |stage| Want::inbound("app-timeout", Grade::certain(504)).stage(stage).unanswered("GET", "/ok");
    let waited_client = |path| Want::outbound("app-timeout", Grade::certain(504)).unanswered("GET", path);
    let waiting = |name: &str, flags: &'static [&'static str], want: Want, path, moves: &'static [Move]| {
        scenario(
            name,
            family,
            vec![Step::ServeAs(flags), Step::Record, talk(moves)],
            seen(vec![want], vec![waited_client(path)]),
        )
        .flags(SLOW)
    };
    let aborted = |path| inbound("client-abort", Grade::certain(460)).unanswered("GET", path);
    let abort_late = |path| inbound("client-abort", Grade::likely(460, &["app-timeout"])).unanswered("GET", path);
    vec![
        waiting("app-timeout-processing", &[], waited("processing", "/hang"), "/hang", &[Get("/hang"), Pause(1300)]),
        waiting("app-timeout-reset", &[], waited("processing", "/hang"), "/hang", &[Get("/hang"), Pause(1300), Abort]),
        waiting("app-timeout-not-read", &["--never-read"], unread("not-read"), "/ok", &[Get("/ok"), Pause(1300)]),
        waiting(
            "app-timeout-not-accepted",
            &["--never-accept"],
            unread("not-accepted"),
            "/ok",
            &[Get("/ok"), Pause(1300)],
        ),
        // what the first was answered is not the second one's
        waiting(
            "app-timeout-pipelined",
            &[],
            waited("processing", "/hang"),
            "/hang",
            &[
                Send(b"GET /ok HTTP/1.1\r\nHost: lab\r\n\r\nGET /hang HTTP/1.1\r\nHost: lab\r\n\r\n"),
                Status(200),
                Pause(1300),
                Abort,
            ],
        ),
        // nobody gives up
        scenario(
            "app-timeout-still-waiting",
            family,
            vec![serve(), Step::Record, meanwhile(&[Get("/hang"), Mark, Over])],
            seen(vec![waited("processing", "/hang")], vec![waited_client("/hang")]),
        )
        .flags(SLOW),
        served(
            "client-abort",
            family,
            &[&[Get("/hang"), Pause(200), Abort], &[Get("/hang?fin"), Pause(200)]],
            seen(vec![aborted("/hang").times(2..=2)], vec![]),
        ),
        served(
            "client-abort-late",
            family,
            &[&[Get("/hang"), Pause(1300), Abort]],
            seen(vec![abort_late("/hang")], vec![]),
        ),
        slow_but_fine(family),
    ]
}

/// Later than `--slow`, and no failure: its counter only.
fn slow_but_fine(family: Family) -> Scenario {
    let view = || View::silent().exchanges(Exchanges::Exactly(&[(200, 1)])).slow(1);
    let mut both = view();
    both.times = 2;
    served(
        "slow-response",
        family,
        &[&[Get("/slow/10300"), Status(200)]],
        Expect { server: view(), client: view(), both, all: None },
    )
}
