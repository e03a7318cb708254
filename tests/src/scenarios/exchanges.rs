//! Exchanges that fail at the app's hands, or at the client's.

use crate::lab::{Family, Place};
use crate::scenario::{Bind, Exchanges, Expect, Grade, Scenario, Step, View, Want, meanwhile, scenario, talk};
use crate::talk::Move::{self, Abort, Body, Bytes, Ended, Get, GetAs, Mark, Over, Pause, Reset, Send, Status};

/// The test app's name.
const APP: &str = "wherefore-lab";
/// A client that patiently waits, and a recorder that does not.
const SLOW: &[&str] = &["--slow", "1s"];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = statuses(family);
    table.extend(endings(family));
    table.extend(crashes(family));
    table.extend(waits(family));
    table.extend(gone(family));
    table.extend(mismatches(family));
    table.extend(health_checks(family));
    table
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

fn counted(mut expect: Expect, counts: &'static [(u16, u64)]) -> Expect {
    for view in [&mut expect.server, &mut expect.client, &mut expect.both] {
        view.exchanges = Exchanges::Exactly(counts);
        view.times = 1;
    }
    expect.both.times = 2;
    expect
}

fn statuses(family: Family) -> Vec<Scenario> {
    const SAID: [(&str, u64); 4] =
        [("/status/403", 403), ("/status/429", 429), ("/status/500", 500), ("/status/503", 503)];
    let server = SAID.map(|(path, status)| {
        inbound("app-status", Grade::certain(status)).answered("GET", path, status).origin(&["app"])
    });
    let client =
        SAID.map(|(path, status)| Want::outbound("app-status", Grade::certain(status)).answered("GET", path, status));
    vec![
        served(
            "app-status",
            family,
            &[&[
                Get("/status/403?token=secret"),
                Status(403),
                Get("/status/404"),
                Status(404),
                Get("/status/429"),
                Status(429),
                Get("/ok"),
                Status(200),
                Get("/status/500"),
                Status(500),
                Get("/status/503"),
                Status(503),
            ]],
            counted(seen(server.into(), client.into()), &[(200, 1), (403, 1), (404, 1), (429, 1), (500, 1), (503, 1)]),
        ),
        // heads over several segments, odd case and spacing, pipelining, a body like a head
        served(
            "app-status-odd-heads",
            family,
            &[
                &[
                    Send(b"GET /ok HTTP/1.1\r\nhost:lab\r\n\r\nGET /status/503 HTTP/1.1\r\nHOST:  lab \r\n\r\n"),
                    Status(200),
                    Status(503),
                ],
                &[
                    Send(b"PO"),
                    Pause(20),
                    Send(b"ST /status/500 HTTP/1.1\r\nHo"),
                    Pause(20),
                    Send(b"st: lab\r\nCONTENT-length:   30\r\n\r"),
                    Pause(20),
                    Send(b"\nGET /status/503 HTTP/1.1\r\n\r\n\r\n"),
                    Status(500),
                    Get("/ok"),
                    Status(200),
                ],
                &[
                    Move::Head("/status/500"),
                    Status(500),
                    Send(b"GET /status/500 HTTP/1.0\r\n\r\n"),
                    Status(500),
                    Ended,
                ],
            ],
            counted(
                seen(
                    vec![
                        inbound("app-status", Grade::certain(503)).answered("GET", "/status/503", 503),
                        inbound("app-status", Grade::certain(500)).answered("POST", "/status/500", 500),
                        inbound("app-status", Grade::certain(500)).answered("HEAD", "/status/500", 500),
                        inbound("app-status", Grade::certain(500)).answered("GET", "/status/500", 500),
                    ],
                    vec![
                        Want::outbound("app-status", Grade::certain(503)).answered("GET", "/status/503", 503),
                        Want::outbound("app-status", Grade::certain(500)).answered("POST", "/status/500", 500),
                        Want::outbound("app-status", Grade::certain(500)).answered("HEAD", "/status/500", 500),
                        Want::outbound("app-status", Grade::certain(500)).answered("GET", "/status/500", 500),
                    ],
                ),
                &[(200, 2), (500, 3), (503, 1)],
            ),
        ),
    ]
}

/// What a client cannot tell from an app's RST.
const RESET_LOOKS: &[&str] = &["idle-flow-expired", "process-crashed"];

fn reset_seen_by_client() -> Want {
    Want::outbound("app-reset", Grade::likely(502, RESET_LOOKS))
}

fn endings(family: Family) -> Vec<Scenario> {
    let ended = |slug: &'static str, path| {
        (
            inbound(slug, Grade::certain(502)).unanswered("GET", path),
            Want::outbound(slug, Grade::certain(502)).unanswered("GET", path),
        )
    };
    let (close, close_client) = ended("premature-close", "/close");
    let cut = |path: &'static str| {
        let told = |want: Want| want.answered("GET", path, 200);
        (
            told(inbound("premature-close", Grade::certain(502))),
            told(Want::outbound("premature-close", Grade::certain(502))),
        )
    };
    let (short, short_client) = cut("/short");
    let (chunked, chunked_client) = cut("/chunked-cut");
    let stalled = |path| inbound("incomplete-response", Grade::certain(504)).answered("GET", path, 200);
    let stalled_client = |path| Want::outbound("incomplete-response", Grade::certain(504)).answered("GET", path, 200);
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
        served(
            "incomplete-response",
            family,
            &[&[Get("/stall"), Bytes(50), Pause(1200)], &[Get("/chunked-stall"), Bytes(50), Pause(1200), Abort]],
            seen(
                vec![stalled("/stall"), stalled("/chunked-stall")],
                vec![stalled_client("/stall"), stalled_client("/chunked-stall")],
            ),
        ),
        served(
            "malformed-response",
            family,
            &[&[Get("/ok"), Status(200)], &[Get("/garbage"), Ended]],
            seen(vec![inbound("malformed-response", Grade::certain(502)).unanswered("GET", "/garbage")], vec![]),
        ),
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

fn waits(family: Family) -> Vec<Scenario> {
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

/// Connections that one end has forgotten, or cannot reach.
fn gone(family: Family) -> Vec<Scenario> {
    let raced = |path| {
        (
            inbound("keepalive-race", Grade::certain(502)).unanswered("GET", path),
            Want::outbound("keepalive-race", Grade::certain(502)).unanswered("GET", path),
        )
    };
    let (race, race_client) = raced("/late");
    let cut = "add table inet lab; add chain inet lab cut { type filter hook forward priority 0; }; \
               add rule inet lab cut tcp dport 8080 drop; add rule inet lab cut tcp sport 8080 drop";
    let forget = "add table inet lab; add chain inet lab forget { type filter hook forward priority 0; }; \
                  add rule inet lab forget tcp dport 8080 reject with tcp reset";
    vec![
        served(
            "keepalive-race",
            family,
            &[&[Get("/close-idle/200"), Status(200), Pause(500), Get("/late"), Reset]],
            seen(vec![race.clone()], vec![race_client.clone()]),
        ),
        // the server's kernel has forgotten the connection when the request comes
        scenario(
            "keepalive-race-forgotten",
            family,
            vec![
                Step::Sysctl(Place::Server, &[("ipv4/tcp_fin_timeout", "1")]),
                serve(),
                Step::Record,
                talk(&[Get("/close-idle/200"), Status(200), Pause(2600), Get("/late"), Reset]),
            ],
            seen(vec![race], vec![race_client]),
        ),
        scenario(
            "peer-vanished",
            family,
            vec![
                serve(),
                Step::Record,
                meanwhile(&[Get("/slow/600"), Pause(50), Mark, Over]),
                Step::Nft(Place::Router, cut),
            ],
            seen(
                vec![inbound("peer-vanished", Grade::certain(504)).answered("GET", "/slow/600", 200)],
                // the client only waits
                vec![],
            ),
        ),
        scenario(
            "peer-vanished-server",
            family,
            vec![
                serve(),
                Step::Record,
                meanwhile(&[Get("/ok"), Status(200), Mark, Pause(300), Get("/gone"), Over]),
                Step::Nft(Place::Router, cut),
            ],
            {
                let lost = || View::of(Want::outbound("peer-vanished", Grade::certain(504)).unanswered("GET", "/gone"));
                Expect { server: View::silent(), client: lost(), both: lost(), all: None }
            },
        ),
        scenario(
            "idle-flow-expired",
            family,
            vec![
                serve(),
                Step::Record,
                meanwhile(&[Get("/ok"), Status(200), Mark, Pause(61_500), Get("/late"), Reset]),
                Step::Nft(Place::Router, forget),
                Step::AwaitTalks,
            ],
            {
                let told = || {
                    let grade = Grade::likely(502, &["keepalive-race", "peer-vanished"]);
                    View::of(Want::outbound("idle-flow-expired", grade).unanswered("GET", "/late"))
                };
                Expect { server: View::silent(), client: told(), both: told(), all: None }
            },
        ),
    ]
}

/// The beginning of a TLS `ClientHello` of 5 + 4 + 38 bytes: enough to be recognised.
const CLIENT_HELLO: &[u8] = &[
    22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 2, 19, 1, 1, 0,
];
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PROXY_V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 443\r\nGET /ok HTTP/1.1\r\nHost: lab\r\n\r\n";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x10\xe1\x01\xbb\
                          GET /ok HTTP/1.1\r\nHost: lab\r\n\r\n";

fn mismatches(family: Family) -> Vec<Scenario> {
    let mismatch = || inbound("protocol-mismatch", Grade::certain(502));
    let against = |name: &str, flags: &'static [&'static str], talks: &[&'static [Move]]| {
        let mut steps = vec![Step::ServeAs(flags), Step::Record];
        steps.extend(talks.iter().map(|moves| talk(moves)));
        let count = talks.len() as u64;
        scenario(
            format!("protocol-mismatch-{name}"),
            family,
            steps,
            Expect {
                server: View::of(mismatch().times(count..=count)),
                // what the client makes of it is its own matter: the catalogue has no such verdict
                client: View::silent().connections(count..=count),
                both: View::of(mismatch().times(count..=count)),
                all: None,
            },
        )
    };
    vec![
        against("tls", &[], &[&[Send(CLIENT_HELLO), Status(400), Ended]]),
        against("http2", &[], &[&[Send(HTTP2), Status(400), Ended]]),
        against("proxy-header", &[], &[&[Send(PROXY_V1), Status(400), Ended], &[Send(PROXY_V2), Status(400), Ended]]),
        against("plain-to-tls", &["--tls", "--foreign", "alert"], &[&[Get("/ok"), Bytes(7), Ended]]),
        against("tls-closed", &["--foreign", "fin"], &[&[Send(CLIENT_HELLO), Ended]]),
        against("tls-reset", &["--foreign", "rst"], &[&[Send(CLIENT_HELLO), Reset]]),
    ]
}

fn health_checks(family: Family) -> Vec<Scenario> {
    let failed =
        |path, status| inbound("health-check-failed", Grade::certain(503)).answered("GET", path, status).health_check();
    let checked = |path, status| {
        let grade = Grade::certain(status).unseen();
        Want::outbound("app-status", grade).answered("GET", path, status).health_check()
    };
    let hung = inbound("client-abort", Grade::certain(460).unseen()).unanswered("GET", "/hang").health_check();
    vec![
        served(
            "health-check-failed",
            family,
            &[
                &[GetAs("/status/500", "ELB-HealthChecker/2.0"), Status(500)],
                &[GetAs("/status/404", "GoogleHC/1.0"), Status(404)],
                &[GetAs("/ok", "kube-probe/1.31"), Status(200)],
            ],
            seen(vec![failed("/status/500", 500), failed("/status/404", 404)], vec![checked("/status/500", 500)]),
        ),
        served(
            "health-check-failed-slow",
            family,
            &[&[GetAs("/slow/5300", "kube-probe/1.31"), Status(200)]],
            seen(vec![failed("/slow/5300", 200)], vec![]),
        ),
        served(
            "health-check-given-up",
            family,
            &[&[GetAs("/hang", "ELB-HealthChecker/2.0"), Pause(300), Abort]],
            seen(vec![hung], vec![]),
        ),
    ]
}
