//! Random conversations, cut, repeated and pipelined, held against a plain model that has all the bytes at
//! once; and the quick way held against the long one.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::state::head_flag;
use super::connection::Heard;
use super::*;

/// How a message's length is told.
#[derive(Clone, Debug)]
enum Body {
    None,
    Length(usize),
    Chunked(Vec<usize>),
}

#[derive(Clone, Debug)]
struct Exchange {
    method: &'static str,
    path: String,
    request_lines: Vec<String>,
    request_body: Body,
    interims: usize,
    status: u16,
    response_lines: Vec<String>,
    response_body: Body,
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::None),
        (0..3000_usize).prop_map(Body::Length),
        vec(1..600_usize, 0..4).prop_map(Body::Chunked),
    ]
}

/// Lines that say nothing about the message's length, with odd names and blanks.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z-]{1,30}: ?[ -~]{0,90}".prop_filter("says something", |line| {
            let name = line.to_ascii_lowercase();
            !["content-length", "transfer-encoding", "connection", "upgrade"].iter().any(|word| name.starts_with(word))
        }),
        "[Cc]ontent-([Tt]ype|[Ee]ncoding|[Dd]isposition):[ \t]{0,3}[ -~]{0,20}",
        "[Cc]onnection: ([Kk]eep-alive|Upgrade-Insecure)",
        "[Uu]ser-[Aa]gent: [ -~]{0,200}",
        "[Cc]ookie: [!-~]{0,700}",
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"]);
    let status = prop::sample::select(vec![200_u16, 201, 204, 301, 304, 404, 429, 500, 503]);
    let lines = || vec(line(), 0..12);
    (method, "/[!-~]{0,120}", lines(), body(), 0..3_usize, status, lines(), body()).prop_map(
        |(method, path, request_lines, request_body, interims, status, response_lines, response_body)| {
            // without a body and a length a response ends with its connection
            let response_body = match response_body {
                Body::None => Body::Length(0),
                other => other,
            };
            Exchange { method, path, request_lines, request_body, interims, status, response_lines, response_body }
        },
    )
}

fn write_message(out: &mut Vec<u8>, first: &str, lines: &[String], body: &Body, has_body: bool) {
    out.extend(format!("{first}\r\n").bytes());
    // what tells the length comes in the middle
    let (before, behind) = lines.split_at(lines.len() / 2);
    for line in before {
        out.extend(format!("{line}\r\n").bytes());
    }
    match body {
        Body::None => {}
        Body::Length(len) => out.extend(format!("CONTENT-length:  {len}\r\n").bytes()),
        Body::Chunked(_) => out.extend(b"transfer-ENCODING: chunked\r\n"),
    }
    for line in behind {
        out.extend(format!("{line}\r\n").bytes());
    }
    out.extend(b"\r\n");
    match body {
        Body::Length(len) if has_body => out.extend(vec![b'\n'; *len]),
        Body::Chunked(chunks) if has_body => {
            for len in chunks {
                out.extend(format!("{len:x};a=b\r\n").bytes());
                out.extend(vec![b'\r'; *len]);
                out.extend(b"\r\n");
            }
            out.extend(b"0\r\n\r\n");
        }
        Body::None | Body::Length(_) | Body::Chunked(_) => {}
    }
}

impl Exchange {
    fn request(&self, out: &mut Vec<u8>) {
        let first = format!("{} {} HTTP/1.1", self.method, self.path);
        write_message(out, &first, &self.request_lines, &self.request_body, true);
    }

    fn response(&self, out: &mut Vec<u8>) {
        for _ in 0..self.interims {
            out.extend(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        }
        let first = format!("HTTP/1.1 {} Whatever", self.status);
        let has_body = self.method != "HEAD" && self.status != 204 && self.status != 304;
        write_message(out, &first, &self.response_lines, &self.response_body, has_body);
    }
}

/// Length of a message's body behind its head, by a library's reading of the head.
fn body_len(headers: &[httparse::Header<'_>], rest: &[u8]) -> usize {
    let value = |name: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    if value("transfer-encoding").is_some() {
        let mut at = 0;
        while let Ok(httparse::Status::Complete((head, len))) = httparse::parse_chunk_size(&rest[at..]) {
            at += head + usize::try_from(len).unwrap() + 2;
            if len == 0 {
                break;
            }
        }
        return at;
    }
    value("content-length").map_or(0, |text| str::from_utf8(text).unwrap().trim().parse().unwrap())
}

/// Statuses of the final responses in a stream, by a plain model.
fn statuses(requests: &[u8], responses: &[u8]) -> Vec<u16> {
    let (mut requests, mut responses, mut statuses) = (requests, responses, Vec::new());
    while !requests.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let head = request.parse(requests).unwrap().unwrap();
        let is_head = request.method == Some("HEAD");
        requests = &requests[head + body_len(request.headers, &requests[head..])..];
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut headers);
            let head = response.parse(responses).unwrap().unwrap();
            let code = response.code.unwrap();
            let bare = is_head || code < 200 || code == 204 || code == 304;
            let body = if bare { 0 } else { body_len(response.headers, &responses[head..]) };
            responses = &responses[head + body..];
            if code >= 200 {
                statuses.push(code);
                break;
            }
        }
    }
    assert!(responses.is_empty());
    statuses
}

/// Sends a stream in pieces: some come twice, and some begin again before their place.
fn send(connection: &mut Connection, way: u32, bytes: &[u8], cuts: &[usize], again: &[bool]) {
    let start = connection.directions[way as usize].next;
    let mut at = 0;
    for (number, cut) in cuts.iter().cycle().enumerate() {
        let end = bytes.len().min(at + cut);
        let repeats = again.get(number % again.len().max(1)) == Some(&true);
        let from = if repeats { at.saturating_sub(cut / 2) } else { at };
        let seq = start.wrapping_add(u32::try_from(from).unwrap());
        connection.segment(way, seq, &bytes[from..end]);
        if repeats {
            connection.segment(way, seq, &bytes[from..end]);
        }
        at = end;
        if at == bytes.len() {
            return;
        }
    }
}

/// Sends a stream in pieces of which some come later than those behind them.
fn shuffle(connection: &mut Connection, way: u32, bytes: &[u8], cut: usize, places: &[usize]) {
    let mut order: Vec<usize> = (0..bytes.len().div_ceil(cut)).collect();
    for (place, shift) in (0..order.len()).zip(places.iter().cycle()) {
        let other = (place + shift).min(order.len() - 1);
        order.swap(place, other);
    }
    shuffled(connection, way, bytes, cut, &order);
}

/// What must be the same whichever way was taken.
#[derive(Debug, PartialEq)]
struct State {
    http: Http,
    directions: [Direction; 2],
    heard: Heard,
}

fn state(connection: &Connection) -> State {
    let mut http = connection.http;
    let mut directions = connection.directions;
    // of no meaning between two loads, and where no length was told
    http.wanted = [0; 2];
    for direction in &mut directions {
        (direction.step, direction.found) = (0, 0);
        direction.flags &= !head_flag::SINGLE;
        if !(phase::BODY..=phase::PROXY_BINARY).contains(&direction.phase) {
            direction.left = 0;
        }
        if direction.ahead == direction.ahead_end || direction.phase >= phase::UNTIL_CLOSE {
            (direction.ahead, direction.ahead_end) = (0, 0);
        }
    }
    State { http, directions, heard: connection.heard.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn conversations_are_read_as_the_model_reads_them(
        batches in vec(vec(exchange(), 1..4), 1..4),
        proxy in option::of(Just("PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n")),
        cuts in (vec(1..1460_usize, 1..9), vec(1..1460_usize, 1..9)),
        again in vec(any::<bool>(), 1..9),
    ) {
        let mut both = [Connection::new(), Connection::step_by_step()];
        let mut expected = Vec::new();
        for (number, batch) in batches.iter().enumerate() {
            let (mut requests, mut responses) = (Vec::new(), Vec::new());
            for exchange in batch {
                exchange.request(&mut requests);
                exchange.response(&mut responses);
            }
            expected.extend(statuses(&requests, &responses));
            if number == 0 && let Some(proxy) = proxy {
                requests.splice(0..0, proxy.bytes());
            }
            for connection in &mut both {
                send(connection, REQUEST, &requests, &cuts.0, &again);
                send(connection, RESPONSE, &responses, &cuts.1, &again);
            }
        }
        // what takes more steps than a segment is given is lost, and no status is invented
        prop_assume!(!both.iter().any(|connection| connection.exhausted));
        let count = u32::try_from(expected.len()).unwrap();
        let told: Vec<_> = (1..).zip(&expected).filter(|(_, status)| **status >= 400).collect();
        for connection in &both {
            prop_assert_eq!(&connection.heard.answered, &expected);
            let http = &connection.http;
            prop_assert_eq!((http.begun, http.ended, http.answered), (count, count, count));
            let heard: Vec<_> = connection.heard.told.iter().map(|(_, number, status)| (*number, status)).collect();
            prop_assert_eq!(&heard, &told);
        }
        prop_assert_eq!(state(&both[0]), state(&both[1]));
    }

    #[test]
    fn whatever_passes_both_ways_come_to_the_same(
        segments in vec(
            (0..2_u32, -40..40_i32, prop_oneof![
                vec(any::<u8>(), 0..200),
                exchange().prop_map(|exchange| { let mut out = Vec::new(); exchange.request(&mut out); out }),
                exchange().prop_map(|exchange| { let mut out = Vec::new(); exchange.response(&mut out); out }),
                (exchange(), 0..400_usize).prop_map(|(exchange, cut)| {
                    let mut out = Vec::new();
                    exchange.request(&mut out);
                    out.truncate(cut);
                    out
                }),
                "(GET / HTTP/1.[019]\r?\n|HTTP/1.[01] [1-5]0[014] ?\r\n)([A-Za-z-]{1,12}: [0-9a-z]{0,5}\r?\n|Content-Length: ?[0-9]{0,20} ?\r\n|Connection: [a-z, -]{0,20}\r\n){0,6}\r?\n"
                    .prop_map(String::into_bytes),
            ], any::<bool>()),
            1..12,
        ),
    ) {
        let mut both = [Connection::new(), Connection::step_by_step()];
        for (way, shift, bytes, in_place) in &segments {
            for connection in &mut both {
                let next = connection.directions[*way as usize].next;
                let seq = if *in_place { next } else { next.wrapping_add_signed(*shift) };
                if !bytes.is_empty() {
                    connection.segment(*way, seq, bytes);
                }
            }
            if both.iter().any(|connection| connection.exhausted) {
                return Ok(());
            }
            prop_assert_eq!(state(&both[0]), state(&both[1]));
        }
    }

    /// Of segments that change places statuses are still those of the model, as many as are told: with the
    /// next request what was missing is over.
    #[test]
    fn segments_that_change_places_invent_nothing(
        exchanges in vec(exchange(), 1..6),
        cuts in (1..600_usize, 1..600_usize),
        places in vec(0..3_usize, 1..9),
    ) {
        let mut both = [Connection::new(), Connection::step_by_step()];
        let mut expected = Vec::new();
        for exchange in &exchanges {
            let (mut requests, mut responses) = (Vec::new(), Vec::new());
            exchange.request(&mut requests);
            exchange.response(&mut responses);
            expected.extend(statuses(&requests, &responses));
            for connection in &mut both {
                shuffle(connection, REQUEST, &requests, cuts.0, &places);
                shuffle(connection, RESPONSE, &responses, cuts.1, &places);
            }
        }
        prop_assume!(!both.iter().any(|connection| connection.exhausted));
        for connection in &both {
            let in_phase = |wanted: u8| connection.directions.iter().any(|direction| direction.phase == wanted);
            // behind an end that nobody saw, a request in pieces of less than 8 bytes is none
            let unmet = in_phase(phase::UNTIL_CLOSE) && connection.http.outstanding() == 0;
            let answered = &connection.heard.answered;
            if in_phase(phase::LOST) || unmet {
                prop_assert!(expected.starts_with(answered), "{:?} of {:?}", answered, expected);
            } else {
                prop_assert_eq!(answered, &expected);
            }
        }
        prop_assert_eq!(state(&both[0]), state(&both[1]));
    }
}
