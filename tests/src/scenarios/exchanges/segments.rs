//! Segments that are lost, sent again and out of order, where heads are due.

use super::{counted, inbound, seen, serve};
use crate::lab::{Family, Place};
use crate::scenario::{Expect, Grade, Scenario, Step, View, Want, scenario, talk};
use crate::talk::Move::{self, Body, Get, Send, Status};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    vec![requests(family), responses(family)]
}

/// A long head, each write a segment.
const LONG: [Move; 4] =
    [Send(b"GET /status/503 HTTP/1.1\r\nHost: lab\r\nCookie: "), Body(900), Body(800), Send(b"\r\n\r\n")];

/// Of the segments of long heads one of five is lost: the first, or one in the middle. Those behind it come before it
/// is sent again, and are not sent twice.
fn requests(family: Family) -> Scenario {
    const LOSE: &str = passing_on!("tcp dport 8080 meta length gt 80 numgen inc mod 5 0 drop");
    const MOVES: &[Move] = &{
        let [head, some, more, end] = LONG;
        [
            head,
            some,
            more,
            end,
            Status(503),
            head,
            some,
            more,
            end,
            Status(503),
            head,
            some,
            more,
            end,
            Status(503),
            head,
            some,
            more,
            end,
            Status(503),
            head,
            some,
            more,
            end,
            Status(503),
            Get("/ok"),
            Status(200),
        ]
    };
    let server = inbound("app-status", Grade::certain(503)).answered("GET", "/status/503", 503).times(5..=5);
    let client = Want::outbound("app-status", Grade::certain(503)).answered("GET", "/status/503", 503).times(5..=5);
    let expect = counted(seen(vec![server], vec![client]), &[(200, 1), (503, 5)]);
    scenario("app-status-segments-lost", family, lossy(LOSE, MOVES), expect)
}

/// Of the segments of chunked responses one of forty is lost.
fn responses(family: Family) -> Scenario {
    const LOSE: &str = passing_on!("tcp sport 8080 meta length gt 80 numgen inc mod 40 0 drop");
    const MOVES: &[Move] = &[
        Get("/pieces/100"),
        Status(200),
        Get("/pieces/100"),
        Status(200),
        Get("/status/404"),
        Status(404),
        Get("/pieces/100"),
        Status(200),
        Get("/ok"),
        Status(200),
    ];
    let silent = Expect { server: View::silent(), client: View::silent(), both: View::silent(), all: None };
    scenario("benign-chunks-lost", family, lossy(LOSE, MOVES), counted(silent, &[(200, 4), (404, 1)]))
}

fn lossy(rule: &'static str, moves: &'static [Move]) -> Vec<Step> {
    vec![serve(), Step::Nft(Place::Router, rule), Step::Record, talk(moves)]
}
