//! Statuses that the app answers.

use super::{counted, inbound, seen, served};
use crate::lab::Family;
use crate::scenario::{Grade, Scenario, Top, Want};
use crate::talk::Move::{self, Ended, Get, Pause, Send, Status};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
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
        odd_heads(family),
        clients(family),
    ]
}

/// Whom a balancer in front says that it asks for, where it is asked for that header.
fn clients(family: Family) -> Scenario {
    const MOVES: &[Move] = &[
        Send(b"GET /status/503?a HTTP/1.1\r\nHost: lab\r\nX-Forwarded-For: 192.0.2.9, 10.0.0.1\r\n\r\n"),
        Status(503),
        Send(b"GET /status/503?b HTTP/1.1\r\nHost: lab\r\nx-forwarded-for: 192.0.2.9, 10.0.0.1\r\n\r\n"),
        Status(503),
    ];
    const OTHER: &[Move] =
        &[Send(b"GET /status/503 HTTP/1.1\r\nHost: lab\r\nX-Forwarded-For: 192.0.2.10\r\n\r\n"), Status(503)];
    const CLIENTS: [(&str, u64); 2] = [("192.0.2.9, 10.0.0.1", 2), ("192.0.2.10", 1)];
    const TOP: &[Top] = &[
        ("503", "clients", CLIENTS[0].0, CLIENTS[0].1),
        ("503", "clients", CLIENTS[1].0, CLIENTS[1].1),
        ("503", "paths", "/status/503", 3),
        ("503", "origins", "app", 3),
    ];
    let said = |want: Want, (client, count): (&'static str, u64)| {
        want.answered("GET", "/status/503", 503).client(Some(client)).times(count..=count)
    };
    let server = CLIENTS.map(|client| said(inbound("app-status", Grade::certain(503)), client));
    let outbound = CLIENTS.map(|client| said(Want::outbound("app-status", Grade::certain(503)), client));
    served("app-status-clients", family, &[MOVES, OTHER], seen(server.into(), outbound.into()))
        .flags(&["--client-header", "X-Forwarded-For"])
        .server(|view| view.top(TOP))
}

/// Heads over several segments, odd case and spacing, pipelining, a body like a head.
fn odd_heads(family: Family) -> Scenario {
    const SAID: [(&str, &str, u64); 4] = [
        ("GET", "/status/503", 503),
        ("POST", "/status/500", 500),
        ("HEAD", "/status/500", 500),
        ("GET", "/status/500", 500),
    ];
    let server = |(method, path, status)| inbound("app-status", Grade::certain(status)).answered(method, path, status);
    let client =
        |(method, path, status)| Want::outbound("app-status", Grade::certain(status)).answered(method, path, status);
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
            &[Move::Head("/status/500"), Status(500), Send(b"GET /status/500 HTTP/1.0\r\n\r\n"), Status(500), Ended],
        ],
        counted(seen(SAID.map(server).into(), SAID.map(client).into()), &[(200, 2), (500, 3), (503, 1)]),
    )
}
