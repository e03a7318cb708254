//! Connections that one end has forgotten, or cannot reach.

use super::{inbound, seen, serve, served};
use crate::lab::{Family, Place};
use crate::scenario::{Expect, Grade, Scenario, Step, View, Want, meanwhile, scenario, talk};
use crate::talk::Move::{Ended, Get, Mark, Over, Pause, Reset, Status};

/// The kernel gives up after 3 s of retransmissions instead of 15 minutes.
const GIVE_UP_SOON: &[(&str, &str)] = &[("ipv4/tcp_retries2", "3")];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = races(family);
    table.extend(lost(family));
    table
}

/// The server has closed the idle connection that the request comes on.
fn races(family: Family) -> Vec<Scenario> {
    // the socket is gone, and nobody reads what comes: only the other end knows the request
    let server = || inbound("keepalive-race", Grade::certain(502)).unread();
    let client = || Want::outbound("keepalive-race", Grade::certain(502)).unanswered("GET", "/late");
    let both = || inbound("keepalive-race", Grade::certain(502)).unanswered("GET", "/late");
    let refusals_cut = passing_on!("tcp sport 8080 tcp flags & rst == rst drop");
    let raced = || Expect { server: View::of(server()), client: View::of(client()), both: View::of(both()), all: None };
    vec![
        served(
            "keepalive-race",
            family,
            // the FIN is acknowledged meanwhile
            &[&[Get("/close-idle/200"), Status(200), Ended, Pause(300), Get("/late"), Over]],
            raced(),
        ),
        // the request acknowledges the FIN, so there still is a socket
        served(
            "keepalive-race-at-once",
            family,
            &[&[Get("/close-idle/200"), Status(200), Ended, Get("/late"), Over]],
            Expect { server: View::of(both()), client: View::of(client()), both: View::of(both()), all: None },
        ),
        // the client closes as well, and has not heard by then that its request was refused
        scenario(
            "keepalive-race-closed",
            family,
            vec![
                Step::Nft(Place::Router, refusals_cut),
                serve(),
                Step::Record,
                talk(&[Get("/close-idle/200"), Status(200), Ended, Pause(300), Get("/late")]),
            ],
            raced(),
        ),
        // the server's kernel has forgotten the connection when the request comes
        scenario(
            "keepalive-race-forgotten",
            family,
            vec![
                Step::Sysctl(Place::Server, &[("ipv4/tcp_fin_timeout", "1")]),
                serve(),
                Step::Record,
                talk(&[Get("/close-idle/200"), Status(200), Pause(2600), Get("/late"), Over]),
            ],
            raced(),
        ),
    ]
}

/// Connections whose other end is out of reach, or has been forgotten in between.
fn lost(family: Family) -> Vec<Scenario> {
    // from the start, so that nothing has to happen in time: of what the server sends, only its response is so long
    let cut_response = passing_on!("tcp sport 8080 meta length > 100 drop");
    // the second request, by five bytes behind its method and 32 bytes of TCP header
    let cut_gone = passing_on!("tcp dport 8080 @th,288,40 0x2f676f6e65 drop");
    let forget = passing_on!("tcp dport 8080 reject with tcp reset");
    vec![
        scenario(
            "peer-vanished",
            family,
            vec![
                Step::Sysctl(Place::Server, GIVE_UP_SOON),
                Step::Nft(Place::Router, cut_response),
                serve(),
                Step::Record,
                meanwhile(&[Get("/slow/600"), Mark, Pause(8000)]),
            ],
            seen(
                // the response was whole, for all that the server knew
                vec![inbound("peer-vanished", Grade::certain(504)).answered("GET", "/slow/600", 200)],
                // the client only waits, and not for long enough to be told of
                vec![],
            ),
        ),
        scenario(
            "peer-vanished-server",
            family,
            vec![
                Step::Sysctl(Place::Client, GIVE_UP_SOON),
                Step::Nft(Place::Router, cut_gone),
                serve(),
                Step::Record,
                meanwhile(&[Get("/ok"), Status(200), Get("/gone"), Mark, Over]),
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
