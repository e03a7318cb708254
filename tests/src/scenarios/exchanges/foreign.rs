//! Other protocols on the watched port, and health checks.

use super::{inbound, reset_seen_by_client, seen, served};
use crate::lab::Family;
use crate::scenario::{Expect, Grade, Scenario, Step, Top, View, Want, scenario, talk};
use crate::talk::Move::{self, Abort, Bytes, Ended, Get, GetAs, Pause, Reset, Send, Status};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = mismatches(family);
    table.extend(health_checks(family));
    table.extend([proxied(family), served_before(family)]);
    table
}

/// Failing exchanges of connections that a PROXY protocol header made known, the first and a later one.
fn proxied(family: Family) -> Scenario {
    const V1: &[Move] = &[
        Send(b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 443\r\n"),
        Get("/status/503"),
        Status(503),
        Get("/ok"),
        Status(200),
        Get("/status/500"),
        Status(500),
    ];
    const V1_IPV6: &[Move] = &[
        Send(
            b"PROXY TCP6 2001:db8:1111:2222:3333:4444:5555:6666 2001:db8:1111:2222:3333:4444:5555:7777 65535 65535\r\n\
               GET /status/429 HTTP/1.1\r\nHost: lab\r\n\r\n",
        ),
        Status(429),
    ];
    const V2: &[Move] = &[
        Send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0"),
        Pause(30),
        Send(b"\x02\x07\xc0\0\x02\x08\x10\xe1\x01\xbb\x04\0\x04none"),
        Get("/ok"),
        Status(200),
        Get("/status/502"),
        Status(502),
    ];
    const V2_IPV6: &[Move] = &[
        Send(
            b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
               \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x10\xe1\x01\xbb\
               GET /status/504 HTTP/1.1\r\nHost: lab\r\n\r\n",
        ),
        Status(504),
    ];
    // the proxy's own connection: nobody is behind it
    const LOCAL: &[Move] = &[Send(b"PROXY UNKNOWN\r\n"), Get("/status/403"), Status(403)];
    const SAID: [(&str, u64, Option<&str>); 6] = [
        ("/status/503", 503, Some("192.0.2.7:4321")),
        ("/status/500", 500, Some("192.0.2.7:4321")),
        ("/status/429", 429, Some("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")),
        ("/status/502", 502, Some("192.0.2.7:4321")),
        ("/status/504", 504, Some("[2001:db8::1]:4321")),
        ("/status/403", 403, None),
    ];
    const TOP: &[Top] = &[
        ("503", "clients", "192.0.2.7", 1),
        ("429", "clients", "[2001:db8:1111:2222:3333:4444:5555:6666]", 1),
        ("500", "origins", "app", 1),
    ];
    let server = SAID.map(|(path, status, client)| {
        inbound("app-status", Grade::certain(status)).answered("GET", path, status).client(client)
    });
    let outbound = SAID.map(|(path, status, client)| {
        Want::outbound("app-status", Grade::certain(status)).answered("GET", path, status).client(client)
    });
    let mut steps = vec![Step::ServeAs(&["--proxy-protocol"]), Step::Record];
    steps.extend([V1, V1_IPV6, V2, V2_IPV6, LOCAL].map(talk));
    scenario("app-status-proxied", family, steps, seen(server.into(), outbound.into())).server(|view| view.top(TOP))
}

/// A peer that the app has served is not one that is configured wrongly.
fn served_before(family: Family) -> Scenario {
    let view = || View::silent().connections(2..=2);
    scenario(
        "benign-foreign-once-served",
        family,
        vec![
            Step::ServeAs(&[]),
            Step::Record,
            talk(&[Get("/ok"), Status(200)]),
            talk(&[Send(CLIENT_HELLO), Status(400), Ended]),
        ],
        Expect { server: view(), client: view(), both: View::silent().connections(2..=4), all: None },
    )
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
    let mut reset = against("tls-reset", &["--foreign", "rst"], &[&[Send(CLIENT_HELLO), Reset]]);
    reset.expect.client = View::of(reset_seen_by_client());
    vec![
        against("tls", &[], &[&[Send(CLIENT_HELLO), Status(400), Ended]]),
        against("http2", &[], &[&[Send(HTTP2), Status(400), Ended]]),
        against("proxy-header", &[], &[&[Send(PROXY_V1), Status(400), Ended], &[Send(PROXY_V2), Status(400), Ended]]),
        against("plain-to-tls", &["--tls", "--foreign", "alert"], &[&[Get("/ok"), Bytes(7), Ended]]),
        against("tls-closed", &["--foreign", "fin"], &[&[Send(CLIENT_HELLO), Ended]]),
        reset,
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
        )
        .server(|view| {
            view.top(&[("500", "user_agents", "ELB-HealthChecker/2.0", 1), ("404", "paths", "/status/404", 1)])
        }),
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
