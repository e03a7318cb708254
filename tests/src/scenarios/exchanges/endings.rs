//! Connections that end too early, and processes.

use super::{inbound, reset_seen_by_client, seen, serve, served};
use crate::lab::Family;
use crate::scenario::{Grade, Scenario, Step, Want, meanwhile, scenario, talk};
use crate::talk::Move::{self, Abort, Body, Bytes, Ended, Get, Mark, Over, Pause, Reset, Send, Status};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = endings(family);
    table.extend(stalls(family));
    table.extend(crashes(family));
    table
}

fn endings(family: Family) -> Vec<Scenario> {
    let ended = |slug: &'static str, path| {
        (
            inbound(slug, Grade::certain(502)).unanswered("GET", path),
            Want::outbound(slug, Grade::certain(502)).unanswered("GET", path),
        )
    };
    let (close, close_client) = ended("premature-close", "/close");
    let (close_by_worker, close_by_worker_client) = ended("premature-close", "/close");
    let cut = |path: &'static str| {
        let told = |want: Want| want.answered("GET", path, 200);
        (
            told(inbound("premature-close", Grade::certain(502))),
            told(Want::outbound("premature-close", Grade::certain(502))),
        )
    };
    let (short, short_client) = cut("/short");
    let (chunked, chunked_client) = cut("/chunked-cut");
    vec![
        served(
            "app-reset",
            family,
            &[&[Get("/ok"), Status(200), Get("/reset"), Reset], &[Get("/short-reset"), Reset]],
            seen(
                vec![
                    inbound("app-reset", Grade::certain(502)).unanswered("GET", "/reset"),
                    inbound("app-reset", Grade::certain(502)).answered("GET", "/short-reset", 200),
                ],
                vec![
                    reset_seen_by_client().unanswered("GET", "/reset"),
                    reset_seen_by_client().answered("GET", "/short-reset", 200),
                ],
            ),
        ),
        served(
            "app-reset-unread-body",
            family,
            &[&[
                Send(b"POST /reset-unread HTTP/1.1\r\nHost: lab\r\nContent-Length: 60000\r\n\r\n"),
                Body(60000),
                Reset,
            ]],
            seen(
                vec![inbound("app-reset", Grade::certain(502)).unanswered("POST", "/reset-unread")],
                vec![reset_seen_by_client().unanswered("POST", "/reset-unread")],
            ),
        ),
        served(
            "premature-close",
            family,
            &[&[Get("/ok"), Status(200), Get("/close"), Ended], &[Get("/short"), Ended], &[Get("/chunked-cut"), Ended]],
            seen(vec![close, short, chunked], vec![close_client, short_client, chunked_client]),
        ),
        // a process that lives, whose kernel worker closes
        scenario(
            "premature-close-io-uring",
            family,
            vec![Step::ServeAs(&["--io-uring"]), Step::Record, talk(&[Get("/ok"), Status(200), Get("/close"), Ended])],
            seen(vec![close_by_worker], vec![close_by_worker_client]),
        ),
        served(
            "malformed-response",
            family,
            &[&[Get("/ok"), Status(200)], &[Get("/garbage"), Ended]],
            seen(vec![inbound("malformed-response", Grade::certain(502)).unanswered("GET", "/garbage")], vec![]),
        ),
    ]
}

/// The response stops in the middle, and the client waits a while.
fn stalls(family: Family) -> Vec<Scenario> {
    let streamed =
        inbound("incomplete-response", Grade::likely(504, &["client-abort"])).answered("GET", "/chunked-stall", 200);
    let streamed_client =
        Want::outbound("incomplete-response", Grade::likely(504, &[])).answered("GET", "/chunked-stall", 200);
    vec![
        served(
            "incomplete-response",
            family,
            &[&[Get("/stall"), Bytes(50), Pause(1200)]],
            seen(
                vec![inbound("incomplete-response", Grade::certain(504)).answered("GET", "/stall", 200)],
                vec![Want::outbound("incomplete-response", Grade::certain(504)).answered("GET", "/stall", 200)],
            ),
        ),
        // a stream of events whose reader leaves looks the same, until it has been slow
        served(
            "incomplete-response-chunked",
            family,
            &[&[Get("/chunked-stall"), Bytes(50), Pause(1300), Abort]],
            seen(vec![streamed], vec![streamed_client]),
        )
        .flags(&["--slow", "1s"]),
    ]
}

fn crashes(family: Family) -> Vec<Scenario> {
    let crashed = |exit, path| {
        inbound("process-crashed", Grade::certain(502)).exit(exit).stage("processing").unanswered("GET", path)
    };
    let fin = |path| Want::outbound("premature-close", Grade::certain(502)).unanswered("GET", path);
    let dead = |name: &str, path: &'static [Move], server: Want, client: Want| {
        scenario(
            name,
            family,
            vec![serve(), Step::Record, talk(path), Step::AppEnded],
            seen(vec![server], vec![client]),
        )
    };
    // killed with the request where the flag leaves it
    let killed = |name: &str, flags: &'static [&'static str], stage: &'static str| {
        scenario(
            name,
            family,
            vec![
                Step::ServeAs(flags),
                Step::Record,
                meanwhile(&[Get("/ok"), Pause(50), Mark, Over]),
                Step::StopApp,
                Step::AwaitTalks,
            ],
            seen(
                vec![
                    inbound("process-crashed", Grade::certain(502))
                        .exit("signal 9")
                        .stage(stage)
                        .unanswered("GET", "/ok"),
                ],
                vec![reset_seen_by_client().unanswered("GET", "/ok")],
            ),
        )
    };
    vec![
        dead(
            "process-crashed-abort",
            &[Get("/ok"), Status(200), Get("/crash"), Over],
            crashed("signal 6", "/crash"),
            fin("/crash"),
        ),
        dead("process-crashed-exit", &[Get("/exit/3"), Over], crashed("code 3", "/exit/3"), fin("/exit/3")),
        killed("process-crashed-not-read", &["--never-read"], "not-read"),
        killed("process-crashed-not-accepted", &["--never-accept"], "not-accepted"),
        scenario(
            "process-crashed-out-of-memory",
            family,
            vec![serve(), Step::LimitMemory(48), Step::Record, talk(&[Get("/hog"), Over]), Step::AppEnded],
            seen(vec![crashed("signal 9 (oom-kill)", "/hog")], vec![fin("/hog")]),
        ),
        scenario(
            "process-crashed-processing",
            family,
            vec![
                serve(),
                Step::Record,
                meanwhile(&[Get("/hang"), Pause(50), Mark, Over]),
                Step::StopApp,
                Step::AwaitTalks,
            ],
            seen(vec![crashed("signal 9", "/hang")], vec![fin("/hang")]),
        ),
    ]
}
