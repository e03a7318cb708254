//! Streams cut into segments, read as the kernel reads them.

mod model;

use super::*;
use crate::{flow_event, flow_flag};

/// A window in ordinary memory.
struct Buffer<'a> {
    bytes: Vec<u8>,
    segment: &'a [u8],
}

impl Window for Buffer<'_> {
    fn word(&self, at: u32) -> u64 {
        let at = at as usize;
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn peek(&self, base: u32, at: u32, ahead: u32) -> u64 {
        assert!(at < LOAD_BYTES && ahead <= 56);
        self.word(base + at + ahead)
    }

    fn put(&mut self, at: u32, word: u64) {
        let at = at as usize;
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn load(&mut self, from: u32, at: u32, len: u32) -> bool {
        let (from, at, len) = (from as usize, at as usize, len as usize);
        self.bytes[at..at + len].copy_from_slice(&self.segment[from..from + len]);
        true
    }

    fn begin(&mut self, _number: u32) -> bool {
        true
    }

    fn repeat<T: Repeated>(times: u32, what: &mut T) {
        let _all_or_fewer = (0..times).all(|number| what.once(number));
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    /// Status of each whole exchange.
    answered: Vec<u16>,
    /// Events, exchanges and their statuses.
    told: Vec<(u8, u32, u16)>,
}

impl Sink for Heard {
    fn wants(&self, _http: &Http, status: u16, _now: u64) -> bool {
        status >= 400
    }

    fn answered(&mut self, http: &Http) {
        self.answered.push(http.status);
    }

    fn tell(&mut self, http: &Http, event: u8, number: u32) {
        self.told.push((event, number, http.status));
    }
}

/// A connection.
struct Connection {
    /// Whether segments are passed in one go where they can.
    quick: bool,
    http: Http,
    directions: [Direction; 2],
    window: Vec<u8>,
    heard: Heard,
    now: u64,
    /// Whether a segment took more steps than the kernel allows (`MAX_TAIL_CALL_CNT`).
    exhausted: bool,
}

impl Connection {
    fn new() -> Self {
        let mut directions = [Direction::default(); 2];
        directions[0].next = 1000;
        directions[1].next = u32::MAX - 3;
        let window = vec![0xee; (WINDOW_BYTES + LOAD_BYTES + 16) as usize];
        Self {
            quick: true,
            http: Http::default(),
            directions,
            window,
            heard: Heard::default(),
            now: 0,
            exhausted: false,
        }
    }

    fn step_by_step() -> Self {
        Self { quick: false, ..Self::new() }
    }

    fn segment(&mut self, way: u32, seq: u32, bytes: &[u8]) {
        self.now += 1;
        let len = u32::try_from(bytes.len()).unwrap();
        let mut window = Buffer { bytes: std::mem::take(&mut self.window), segment: bytes };
        let mut through = false;
        for step in 0..34 {
            let other = self.directions[(way ^ 1) as usize].phase;
            let direction = &mut self.directions[way as usize];
            let take = if step == 0 && self.quick { pass } else { read };
            let bytes = (seq, len);
            through = !direction.take(seq, len)
                || take(&mut self.http, direction, way, other, &mut window, &mut self.heard, bytes, self.now);
            if through {
                break;
            }
        }
        if !through {
            self.exhausted = true;
            self.directions[way as usize].lose(seq, len);
        }
        self.window = window.bytes;
    }

    fn send_text(&mut self, way: u32, text: &str) {
        self.send(way, text.as_bytes());
    }

    fn send(&mut self, way: u32, bytes: &[u8]) {
        self.segment(way, self.directions[way as usize].next, bytes);
    }
}

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
    for whole in [&v1[..], &v2[..]] {
        for cut in 1..whole.len() {
            let mut connection = Connection::new();
            connection.send(REQUEST, &whole[..cut]);
            connection.send(REQUEST, &whole[cut..]);
            connection.send_text(RESPONSE, "HTTP/1.1 204 No Content\r\n\r\n");
            assert_eq!(connection.heard.answered, [204], "{cut}");
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

#[test]
fn a_response_to_nothing_is_none() {
    let mut connection = Connection::new();
    connection.send_text(RESPONSE, "HTTP/1.1 500 No\r\n\r\n");
    assert!(connection.heard.answered.is_empty() && connection.heard.told.is_empty());
}
