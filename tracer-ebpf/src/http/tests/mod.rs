//! Streams cut into segments, read as the kernel reads them.

mod connection;
mod model;

use super::*;
use crate::{PROXY_HEADER_BYTES, flow_event, flow_flag};
use connection::Connection;

/// Reads these, alternately from the initiator and to it.
fn exchange(messages: &[&str]) -> Connection {
    let mut connection = Connection::new();
    for (way, message) in messages.iter().enumerate() {
        connection.send(u32::try_from(way % 2).unwrap(), message.as_bytes());
    }
    connection
}

#[test]
fn a_plain_exchange() {
    let connection = exchange(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]);
    assert_eq!(connection.http.request_flags, flow_flag::HTTP);
    assert_eq!(connection.heard.answered, [200]);
    assert_eq!((connection.http.begun, connection.http.ended, connection.http.answered), (1, 1, 1));
}

#[test]
fn a_response_that_is_told() {
    let connection =
        exchange(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 503 No\r\nServer: x\r\nContent-Length: 0\r\n\r\n"]);
    assert_eq!(connection.heard.told, [(flow_event::RESPONSE, 1, 503)]);
    assert_eq!(connection.heard.answered, [503]);
}

#[test]
fn newlines_and_numbers_are_found() {
    for at in 0..8 {
        let mut bytes = *b"abcdefgh";
        bytes[at] = b'\n';
        assert_eq!(lines::newline(u64::from_le_bytes(bytes)) as usize, at);
    }
    assert_eq!(lines::newline(u64::from_le_bytes(*b"abcdefgh")), 8);
    for (text, expected) in
        [("12345678", (8, 12_345_678)), ("0\r\n     ", (1, 0)), ("907 \r\n  ", (3, 907)), ("x1234567", (0, 0))]
    {
        assert_eq!(head::decimal(u64::from_le_bytes(text.as_bytes().try_into().unwrap())), expected, "{text}");
    }
}

#[test]
fn exchanges_follow_each_other() {
    let connection = exchange(&[
        "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nCONTENT-LENGTH:  1234567890123\r\n\r\n",
        "GET / HTTP/1.1\r\nUser-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ]);
    assert_eq!(connection.heard.answered, [201, 200, 304, 204]);
    assert_eq!((connection.http.begun, connection.http.ended, connection.http.answered), (4, 4, 4));
}

#[test]
fn a_name_cut_by_a_segment_is_not_taken_for_an_older_line() {
    // what lies behind the cut in the window is left from longer lines
    let old = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "a:\r\n".repeat(50));
    for cut in 17..26 {
        let mut connection = exchange(&["GET / HTTP/1.1\r\n\r\n", &old, "GET / HTTP/1.1\r\n\r\n"]);
        let (first, rest) = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".split_at(cut);
        connection.send(RESPONSE, first.as_bytes());
        connection.send(RESPONSE, rest.as_bytes());
        assert_eq!(connection.heard.answered, [200, 200], "cut at {cut}");
    }
}

#[test]
fn a_tls_alert_is_no_response_however_short() {
    let mut connection = exchange(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    connection.send(RESPONSE, &[21, 3, 3, 0, 2, 2, 10]);
    assert_eq!(connection.heard.told, [(flow_event::MALFORMED, 1, 0)]);
    assert_eq!(connection.http.response_flags & flow_flag::ALERT_SENT, flow_flag::ALERT_SENT);
    assert!(connection.heard.answered.is_empty());
    // seven bytes of a status line decide nothing yet
    let mut connection = exchange(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1."]);
    assert!(connection.heard.told.is_empty());
    connection.send_text(RESPONSE, "1 204 No\r\n\r\n");
    assert_eq!(connection.heard.answered, [204]);
}

#[test]
fn a_body_that_looks_like_a_head_comes_byte_by_byte() {
    let mut connection = exchange(&["GET /drip HTTP/1.1\r\n\r\n"]);
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHTTP/1.1 500" {
        connection.send(RESPONSE, &[*byte]);
    }
    connection.send(REQUEST, b"GET /continue HTTP/1.1\r\n\r\n");
    connection.send_text(
        RESPONSE,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
    );
    assert_eq!(connection.heard.answered, [200, 200]);
    assert!(connection.heard.told.is_empty());
}

#[test]
fn what_ends_http_on_a_connection() {
    let upgraded = exchange(&[
        "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 500 No\r\n\r\n",
    ]);
    assert_eq!(upgraded.heard.answered, [101]);
    assert_eq!(upgraded.http.response_flags & flow_flag::UPGRADED, flow_flag::UPGRADED);
    let tunnel =
        exchange(&["CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01", "\x16\x03"]);
    assert_eq!(tunnel.heard.answered, [200]);
    assert_eq!(tunnel.http.response_flags & flow_flag::UPGRADED, flow_flag::UPGRADED);
    // a tunnel that was refused is none
    let refused = exchange(&[
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno",
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ]);
    assert_eq!(refused.heard.answered, [407, 204]);
}

#[test]
fn heads_in_any_pieces() {
    let request = b"POST /a HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: \t 3\r\nX: y\r\n\r\nabc";
    let response = b"HTTP/1.1 200 OK\r\nTRANSFER-encoding:   chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for pieces in [64, 7, 3, 2, 1] {
        let mut connection = Connection::new();
        for _ in 0..3 {
            request.chunks(pieces).for_each(|piece| connection.send(REQUEST, piece));
            response.chunks(pieces).for_each(|piece| connection.send(RESPONSE, piece));
        }
        assert_eq!(connection.heard.answered, [200; 3], "{pieces}");
        assert_eq!((connection.http.begun, connection.http.ended), (3, 3), "{pieces}");
    }
}

#[test]
fn long_lines_hide_nothing_behind_them() {
    let url = "x".repeat(20_000);
    let cookie = "c".repeat(9_000);
    for end in ["\r\n", "\n"] {
        let request = format!("GET /{url} HTTP/1.1{end}Cookie: {cookie}{end}Content-Length: 5{end}{end}hello");
        let mut connection = Connection::new();
        for _ in 0..2 {
            request.as_bytes().chunks(1448).for_each(|piece| connection.send(REQUEST, piece));
            connection.send_text(RESPONSE, "HTTP/1.1 204 No Content\r\n\r\n");
        }
        assert_eq!(connection.heard.answered, [204, 204]);
        assert_eq!((connection.http.begun, connection.http.ended), (2, 2));
    }
}

#[test]
fn what_a_connection_begins_with() {
    let began = |first: &[u8]| {
        let mut connection = Connection::new();
        connection.send(REQUEST, first);
        connection.http.request_flags
    };
    assert_eq!(began(b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29"), flow_flag::TLS);
    assert_eq!(began(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), flow_flag::HTTP2);
    assert_eq!(began(b"SSH-2.0-OpenSSH_9.6\r\n"), flow_flag::NOT_HTTP);
    assert_eq!(began(b"GET / XTTP/1.1\r\n\r\n"), flow_flag::NOT_HTTP);
    let v1 = b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 443\r\nGET / HTTP/1.1\r\n\r\n";
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\x10\xe1\x01\xbbGET / HTTP/1.1\r\n\r\n";
    assert_eq!(began(v1), flow_flag::PROXY_HEADER | flow_flag::HTTP);
    assert_eq!(began(v2), flow_flag::PROXY_HEADER | flow_flag::HTTP);
    // in two segments, and what follows is read as ever
    for (whole, header) in [(&v1[..], 41), (&v2[..], 28)] {
        for cut in 1..whole.len() {
            let mut connection = Connection::new();
            connection.send(REQUEST, &whole[..cut]);
            connection.send(REQUEST, &whole[cut..]);
            connection.send_text(RESPONSE, "HTTP/1.1 204 No Content\r\n\r\n");
            assert_eq!(connection.heard.answered, [204], "{cut}");
            assert_eq!(connection.proxied.unwrap()[..header], whole[..header], "{cut}");
        }
    }
    // an error that answers what is no HTTP is told, and belongs to no exchange
    let mut tls = Connection::new();
    tls.send(REQUEST, b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29");
    tls.send_text(RESPONSE, "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(tls.heard.told, [(flow_event::RESPONSE, 1, 400)]);
    assert!(tls.heard.answered.is_empty());
}

#[test]
fn what_comes_twice_or_out_of_order_changes_nothing() {
    let mut connection = exchange(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    let start = connection.directions[1].next;
    let head = b"HTTP/1.1 503 No\r\nContent-Length: 20\r\n\r\n";
    let head_len = u32::try_from(head.len()).unwrap();
    connection.send(RESPONSE, head);
    connection.segment(RESPONSE, start, head);
    // a gap in the body, and what was in it afterwards
    connection.segment(RESPONSE, start.wrapping_add(head_len + 8), b"12345678");
    connection.segment(RESPONSE, start.wrapping_add(head_len), b"HTTP/1.1");
    assert!(connection.heard.answered.is_empty());
    connection.segment(RESPONSE, start.wrapping_add(head_len + 16), b"1234");
    connection.segment(RESPONSE, start.wrapping_add(head_len + 16), b"1234");
    assert_eq!((connection.heard.told, connection.heard.answered), (vec![(flow_event::RESPONSE, 1, 503)], vec![503]));
}

#[test]
fn a_gap_where_a_head_is_due_invents_nothing() {
    let mut connection = exchange(&["GET / HTTP/1.1\r\nHost: a\r\n\r\n"]);
    let start = connection.directions[1].next;
    connection.segment(RESPONSE, start.wrapping_add(5), b".1 500 No\r\n\r\nHTTP/1.1 500 No\r\n\r\n");
    connection.send_text(RESPONSE, "HTTP/1.1 500 No\r\n\r\n");
    assert_eq!(connection.directions[1].phase, phase::LOST);
    assert!(connection.heard.answered.is_empty() && connection.heard.told.is_empty());
}

/// Segments of one direction, in the order of the network: what comes before its turn waits.
fn shuffled(connection: &mut Connection, way: u32, bytes: &[u8], pieces: usize, order: &[usize]) {
    let start = connection.directions[way as usize].next;
    let pieces: Vec<_> = bytes.chunks(pieces).collect();
    let begins = |piece: usize| pieces[..piece].iter().map(|piece| piece.len()).sum::<usize>();
    let mut came = vec![false; pieces.len()];
    for piece in order {
        let arrived = came[..*piece].iter().all(|came| *came);
        came[*piece] = true;
        let seq = start.wrapping_add(u32::try_from(begins(*piece)).unwrap());
        connection.packet(way, seq, pieces[*piece], Some(arrived));
    }
}

const LONG_HEAD: &str = "POST /orders HTTP/1.1\r\nHost: a\r\nCookie: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\
     Content-Length: 30\r\n\r\nGET / HTTP/1.1\r\n\r\n------------";
const RESPONSE_HEAD: &str = "HTTP/1.1 503 No\r\nContent-Length: 40\r\n\r\n";

#[test]
fn a_request_whose_segments_change_places() {
    for order in [[1, 0, 2, 3], [2, 1, 0, 3], [3, 0, 1, 2], [0, 2, 1, 3], [0, 3, 2, 1], [1, 2, 3, 0], [3, 2, 1, 0]] {
        for quick in [true, false] {
            let mut connection = if quick { Connection::new() } else { Connection::step_by_step() };
            for _ in 0..2 {
                shuffled(&mut connection, REQUEST, LONG_HEAD.as_bytes(), 40, &order);
                assert_eq!(
                    (connection.http.begun, connection.http.ended),
                    (connection.http.answered + 1, connection.http.begun),
                    "{order:?}"
                );
                connection.send_text(RESPONSE, "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno");
            }
            assert_eq!(connection.heard.answered, [503, 503], "{order:?}");
            let told = [(flow_event::RESPONSE, 1, 503), (flow_event::RESPONSE, 2, 503)];
            assert_eq!(connection.heard.told, told, "{order:?}");
        }
    }
}

#[test]
fn a_response_whose_segments_change_places() {
    let body = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n!!";
    let chunks = format!("HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n{body}\r\n0\r\n\r\n");
    for response in [format!("{RESPONSE_HEAD}{body}"), chunks] {
        for order in [[1, 0, 2], [0, 2, 1], [2, 0, 1], [2, 1, 0], [1, 2, 0]] {
            let mut connection = Connection::new();
            for _ in 0..2 {
                connection.send_text(REQUEST, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                shuffled(&mut connection, RESPONSE, response.as_bytes(), response.len().div_ceil(3), &order);
                assert_eq!(connection.http.outstanding(), 0, "{response} {order:?}");
            }
            assert_eq!(connection.heard.answered, [503, 503], "{response} {order:?}");
            let told = [(flow_event::RESPONSE, 1, 503), (flow_event::RESPONSE, 2, 503)];
            assert_eq!(connection.heard.told, told, "{order:?}");
        }
    }
}

/// Where the response to it begins is not known: the connection is out of step, and no request is left open.
#[test]
fn a_request_in_small_pieces_behind_an_end_that_nobody_saw() {
    for quick in [true, false] {
        let mut connection = if quick { Connection::new() } else { Connection::step_by_step() };
        connection.send_text(REQUEST, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = b"HTTP/1.1 200 OK\r\nServer: somebody\r\nContent-Length: 0\r\n\r\n";
        shuffled(&mut connection, RESPONSE, response, 20, &[0, 2, 1]);
        assert_eq!((connection.directions[1].phase, connection.http.answered), (phase::UNTIL_CLOSE, 1));
        for piece in b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".chunks(6) {
            connection.send(REQUEST, piece);
        }
        assert_eq!((connection.directions[0].phase, connection.http.outstanding()), (phase::LOST, 0));
    }
}

#[test]
fn a_response_to_nothing_is_none() {
    let mut connection = Connection::new();
    connection.send_text(RESPONSE, "HTTP/1.1 500 No\r\n\r\n");
    assert!(connection.heard.answered.is_empty() && connection.heard.told.is_empty());
}
