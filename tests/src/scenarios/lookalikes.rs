//! What looks like a failed exchange and is none: no verdict, and exact counts.
//!
//! long: one table of what looks like a failure and is none

use super::exchanges::serve;
use crate::client::Goodbye;
use crate::lab::{Family, WATCHED};
use crate::program::{Make, Program};
use crate::scenario::{Act, Exchanges, Expect, Scenario, Step, View, meanwhile, requests, scenario, talk};
use crate::talk::Move::{
    self, Abort, Bodiless, Body, Bytes, Ended, Get, GetAs, HalfClose, Head, Mark, Over, Pause, Send, Status,
};
use crate::talk::Talk;

/// What the heads' programs may get wrong where another compiler or verifier made them.
const ON_OTHER_KERNELS: [&str; 3] = ["benign-exchange-bodies", "benign-exchange-requests", "benign-segments-lost"];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let table = [
        bodies,
        requests_in_pieces,
        endings,
        answered_too_early,
        half_closed,
        health_checks,
        stream_left,
        upgraded,
        tunnel,
        long_heads,
        proxy_header,
        same_port_again,
        deferred,
        drained,
        io_uring,
        retransmitted,
        waiting_when_told_to_stop,
    ];
    let chosen = |scenario: Scenario| {
        let one = family == Family::V6 && ON_OTHER_KERNELS.contains(&scenario.name.as_str());
        scenario.in_ci(one)
    };
    table.into_iter().map(|scenario| chosen(scenario(family))).collect()
}

fn bodies(family: Family) -> Scenario {
    fine(
        "benign-exchange-bodies",
        family,
        &[
            &[
                Get("/ok"),
                Status(200),
                Head("/ok"),
                Status(200),
                Get("/status/204"),
                Status(204),
                Get("/status/304"),
                Status(304),
                Head("/big"),
                Status(200),
                Get("/big"),
                Status(200),
                Get("/chunked"),
                Status(200),
                Get("/drip"),
                Status(200),
                Get("/continue"),
                Status(200),
                Get("/ok"),
                Status(200),
            ],
            &[Get("/until-close"), Status(200)],
            &[Send(b"GET /ok HTTP/1.0\r\n\r\n"), Status(200), Ended],
            &[Send(b"GET /ok HTTP/1.1\r\nConnection: close\r\n\r\n"), Status(200), Ended],
        ],
        &[(200, 11), (204, 1), (304, 1)],
    )
}

fn requests_in_pieces(family: Family) -> Scenario {
    fine(
        "benign-exchange-requests",
        family,
        &[
            // a request in many pieces, and late ones
            &[
                Send(b"POST /ok HTTP/1.1\r\nContent-Length: 100041\r\n\r\n"),
                Pause(100),
                Body(100_000),
                Pause(100),
                Send(b"HTTP/1.1 500 No\r\n\r\nGET / HTTP/1.1\r\n\r\n----"),
                Status(200),
            ],
            // answered before its body has come
            &[
                Send(b"POST /early HTTP/1.1\r\nContent-Length: 5000\r\n\r\n"),
                Status(413),
                Body(5000),
                Get("/ok"),
                Status(200),
            ],
            // pipelined
            &[
                Send(b"GET /ok HTTP/1.1\r\n\r\nGET /status/404 HTTP/1.1\r\n\r\nGET /chunked HTTP/1.1\r\n\r\n"),
                Send(b"HEAD /ok HTTP/1.1\r\n\r\nGET /ok HTTP/1.1\r\n\r\n"),
                Status(200),
                Status(404),
                Status(200),
                Bodiless,
                Status(200),
                Status(200),
            ],
        ],
        &[(200, 6), (404, 1), (413, 1)],
    )
}

fn endings(family: Family) -> Scenario {
    fine(
        "benign-exchange-endings",
        family,
        &[
            &[Get("/ok"), Status(200), Abort],
            &[Get("/then-reset"), Status(200), Over],
            &[Get("/then-close"), Status(200), Ended],
            &[Get("/close-idle/100"), Status(200), Ended],
            &[Get("/close-idle/100"), Status(200), Ended, Abort],
        ],
        &[(200, 5)],
    )
}

/// The app answers before the request is whole, shuts its side down, and reads on: what comes then is no new request.
fn answered_too_early(family: Family) -> Scenario {
    fine(
        "benign-answered-too-early",
        family,
        &[&[
            Send(b"POST /early-shut HTTP/1.1\r\nHost: lab\r\nContent-Length: 60000\r\n\r\n"),
            Body(20000),
            Status(413),
            Body(40000),
            Ended,
        ]],
        &[(413, 1)],
    )
}

fn half_closed(family: Family) -> Scenario {
    fine(
        "benign-half-close",
        family,
        &[
            &[Get("/ok"), HalfClose, Status(200), Ended],
            &[Get("/slow/1200"), HalfClose, Status(200), Ended],
            &[Send(b"GET /slow/300 HTTP/1.1\r\n\r\nGET /big HTTP/1.1\r\n\r\n"), HalfClose, Status(200), Status(200)],
        ],
        &[(200, 4)],
    )
}

fn health_checks(family: Family) -> Scenario {
    fine(
        "benign-health-checks",
        family,
        &[
            &[GetAs("/ok", "ELB-HealthChecker/2.0"), Status(200)],
            &[GetAs("/status/204", "kube-probe/1.31"), Status(204), Abort],
            &[GetAs("/slow/300", "GoogleHC/1.0"), Status(200), HalfClose, Ended],
        ],
        &[(200, 2), (204, 1)],
    )
    .server(|view| view.health_checks(3))
}

/// Every vantage is silent and counts the same.
fn silent(counts: &'static [(u16, u64)]) -> Expect {
    let view = || View::silent().exchanges(Exchanges::Exactly(counts));
    let mut both = view();
    both.times = 2;
    Expect { server: view(), client: view(), both, all: None }
}

fn fine(name: &str, family: Family, talks: &[&'static [Move]], counts: &'static [(u16, u64)]) -> Scenario {
    let mut steps = vec![serve(), Step::Record];
    steps.extend(talks.iter().map(|moves| talk(moves)));
    scenario(name, family, steps, silent(counts))
}

/// The reader of a stream of events leaves.
fn stream_left(family: Family) -> Scenario {
    let view = || View::silent().connections(2..=2);
    scenario(
        "benign-stream-left",
        family,
        vec![
            serve(),
            Step::Record,
            talk(&[Get("/chunked-stall"), Bytes(50), Pause(1300)]),
            talk(&[Get("/chunked-stall"), Bytes(50), Pause(300), Abort]),
        ],
        Expect { server: view(), client: view(), both: View::silent().connections(2..=4), all: None },
    )
}

/// HTTP ends with a 101: what follows is nobody's failure, however it ends.
fn upgraded(family: Family) -> Scenario {
    fine(
        "benign-upgrade",
        family,
        &[
            &[Get("/upgrade"), Status(101), Send(b"\x81\x05hello"), Send(b"GET / HTTP/1.1\r\n\r\n"), Pause(100)],
            &[Get("/upgrade"), Status(101), Send(b"\x81\x05hello"), Pause(100), Abort],
        ],
        &[(101, 2)],
    )
}

/// So it does with an answer to CONNECT, and not with one that refuses it.
fn tunnel(family: Family) -> Scenario {
    fine(
        "benign-tunnel",
        family,
        &[
            &[
                Send(b"CONNECT lab:443 HTTP/1.1\r\nHost: lab:443\r\n\r\n"),
                Bytes(40),
                Send(b"GET / is no request here"),
                Pause(100),
                Abort,
            ],
            &[Send(b"CONNECT /status/405 HTTP/1.1\r\nHost: lab:443\r\n\r\n"), Status(405), Get("/ok"), Status(200)],
        ],
        &[(200, 2), (405, 1)],
    )
}

/// A URL and a header line of many segments each.
fn long_heads(family: Family) -> Scenario {
    const PIECE: Move = Body(3_000);
    const WAIT: Move = Pause(20);
    fine(
        "benign-long-heads",
        family,
        &[&[
            Send(b"GET /ok?"),
            PIECE,
            WAIT,
            PIECE,
            WAIT,
            PIECE,
            WAIT,
            Send(b" HTTP/1.1\r\nHost: lab\r\nCookie: "),
            PIECE,
            WAIT,
            PIECE,
            WAIT,
            PIECE,
            WAIT,
            Send(b"\r\n\r\n"),
            Status(200),
            Get("/status/404"),
            Status(404),
            Send(b"POST /ok?"),
            PIECE,
            WAIT,
            PIECE,
            WAIT,
            Send(b" HTTP/1.1\r\nX: "),
            PIECE,
            WAIT,
            Send(b"\r\nContent-Length: 5\r\n\r\nhello"),
            Status(200),
        ]],
        &[(200, 2), (404, 1)],
    )
}

/// The app knows of the header that comes first.
fn proxy_header(family: Family) -> Scenario {
    scenario(
        "benign-proxy-header",
        family,
        vec![
            Step::ServeAs(&["--proxy-protocol"]),
            Step::Record,
            talk(&[
                Send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 443\r\n"),
                Get("/ok"),
                Status(200),
                Get("/ok"),
                Status(200),
            ]),
            talk(&[
                Send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x10\xe1\x01\xbbGET /ok HTTP/1.1\r\n\r\n"),
                Status(200),
            ]),
            talk(&[Send(b"PROXY UNKNOWN\r\nGET /ok HTTP/1.1\r\n\r\n"), Status(200)]),
        ],
        silent(&[(200, 4)]),
    )
}

/// The server's end of the first connection is in TIME_WAIT when the second SYN comes.
fn same_port_again(family: Family) -> Scenario {
    scenario(
        "benign-time-wait-reused",
        family,
        vec![
            serve(),
            Step::Record,
            Step::Talk(Talk {
                port: WATCHED,
                from_port: Some(45_001),
                count: 3,
                moves: &[Get("/then-close"), Status(200), Ended],
            }),
        ],
        silent(&[(200, 3)]),
    )
}

/// TCP_DEFER_ACCEPT drops the bare ACK of a check that says nothing.
fn deferred(family: Family) -> Scenario {
    let nginx = Program {
        make: Make::Nginx,
        port: WATCHED,
        text: "server { listen 8080 deferred; listen [::]:8080 deferred; location / { return 200 ok; } }",
    };
    scenario(
        "benign-deferred-accept",
        family,
        vec![
            Step::Program(nginx),
            Step::Record,
            Step::Client(Act::HealthCheck { goodbye: Goodbye::Rst, count: 3 }),
            requests(WATCHED, 2),
        ],
        silent(&[(200, 2)]),
    )
}

/// The segment of a request is lost once, and that of a response.
fn retransmitted(family: Family) -> Scenario {
    let lose = "add table inet lab; add chain inet lab lose { type filter hook forward priority 0; }; \
                add rule inet lab lose tcp dport 8080 tcp flags & psh == psh numgen inc mod 3 0 drop; \
                add rule inet lab lose tcp sport 8080 tcp flags & psh == psh numgen inc mod 3 0 drop";
    scenario(
        "benign-segments-lost",
        family,
        vec![
            serve(),
            Step::Nft(crate::lab::Place::Router, lose),
            Step::Record,
            talk(&[
                Get("/ok"),
                Status(200),
                Get("/status/404"),
                Status(404),
                Get("/ok"),
                Status(200),
                Get("/chunked"),
                Status(200),
                Get("/ok"),
                Status(200),
            ]),
        ],
        silent(&[(200, 4), (404, 1)]),
    )
}

/// The end of recording finds a request that is not slow yet, and an idle connection.
fn waiting_when_told_to_stop(family: Family) -> Scenario {
    let expect = || View::silent().connections(2..=2);
    scenario(
        "benign-recording-ends-first",
        family,
        vec![
            serve(),
            Step::Record,
            meanwhile(&[Get("/ok"), Status(200), Mark, Over]),
            meanwhile(&[Get("/hang"), Pause(50), Mark, Over]),
        ],
        Expect { server: expect(), client: expect(), both: View::silent().connections(2..=4), all: None },
    )
}

/// The app closes its listener and its idle connections, and answers what is in hand.
fn drained(family: Family) -> Scenario {
    scenario(
        "benign-app-drained",
        family,
        vec![
            serve(),
            Step::Record,
            meanwhile(&[Get("/ok"), Status(200), Mark, Ended]),
            meanwhile(&[Get("/slow/500"), Pause(100), Mark, Status(200), Ended]),
            Step::DrainApp,
            Step::AwaitTalks,
        ],
        silent(&[(200, 2)]),
    )
}

/// The kernel's workers read, write and close.
fn io_uring(family: Family) -> Scenario {
    scenario(
        "benign-io-uring",
        family,
        vec![
            Step::ServeAs(&["--io-uring"]),
            Step::Record,
            talk(&[Get("/ok"), Status(200), Get("/ok"), Status(200)]),
            talk(&[Get("/ok"), Status(200), Abort]),
            talk(&[Get("/ok"), HalfClose, Status(200), Ended]),
        ],
        silent(&[(200, 4)]),
    )
}
