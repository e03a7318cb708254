use proptest::prelude::*;
use tracer_ebpf::{FlowRecord, FlowWithHeads, REQUEST_HEAD_BYTES, RESPONSE_HEAD_BYTES, flow_event, kind};

use super::*;
use crate::record::{BootTime, HostBody, HostRecord, Record, Start};
use crate::trace::{TraceItem, TraceReader, TraceWriter};

fn ring(event: u8, request: &[u8], response: &[u8], proxy: &[u8]) -> FlowWithHeads {
    let mut from_ring = FlowWithHeads {
        flow: FlowRecord { id: 7, exchange: 2, event, ..FlowRecord::default() },
        request_len: request.len().min(REQUEST_HEAD_BYTES).try_into().unwrap(),
        response_len: response.len().min(RESPONSE_HEAD_BYTES).try_into().unwrap(),
        request: [0; REQUEST_HEAD_BYTES],
        response: [0; RESPONSE_HEAD_BYTES],
        proxy: [0; 112],
    };
    from_ring.flow.header.kind = kind::FLOW_WITH_HEADS;
    from_ring.flow.header.len = size_of::<FlowWithHeads>().try_into().unwrap();
    let fill = |to: &mut [u8], from: &[u8]| to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    fill(&mut from_ring.request, request);
    fill(&mut from_ring.response, response);
    fill(&mut from_ring.proxy, proxy);
    from_ring
}

fn read(request: &[u8], response: &[u8]) -> Exchange {
    split(&ring(flow_event::RESPONSE, request, response, b""), None).0.unwrap_or_default()
}

/// Method and path of a request.
#[track_caller]
fn line(request: impl AsRef<[u8]>, method: Option<&str>, path: Option<&str>) {
    let exchange = read(request.as_ref(), b"");
    assert_eq!((exchange.method.as_deref(), exchange.path.as_deref()), (method, path));
}

#[test]
fn a_whole_exchange() {
    let request = b"POST /orders/7?token=s3cret HTTP/1.1\r\nHost: shop.example\r\nuser-agent:  curl/8.5.0 \r\n\
        X-AMZN-TRACE-ID: Root=1-67891233-abcdef012345678912345678\r\nAuthorization: Bearer s3cret\r\n\
        Cookie: sid=s3cret\r\nOrigin: https://s3cret\r\nReferer: https://s3cret\r\nX-Password: s3cret\r\n\
        Content-Length: 6\r\n\r\ns3cret";
    let response = b"HTTP/1.1 401 Unauthorized\r\nserver: nginx/1.22.1\r\nVia: 1.1 varnish\r\n\
        WWW-Authenticate: Basic realm=s3cret\r\nSet-Cookie: sid=s3cret\r\n\r\ns3cret";
    let (exchange, flow) = split(&ring(flow_event::RESPONSE, request, response, b""), None);
    assert_eq!((flow.header.kind, usize::from(flow.header.len)), (kind::FLOW, size_of::<FlowRecord>()));
    assert_eq!((flow.id, flow.exchange), (7, 2));
    let has = ["authorization", "cookie", "origin", "referer", "www-authenticate"];
    let expected = Exchange {
        id: 7,
        number: 2,
        method: Some("POST".to_owned()),
        path: Some("/orders/7".to_owned()),
        host: Some("shop.example".to_owned()),
        user_agent: Some("curl/8.5.0".to_owned()),
        trace_id: Some("Root=1-67891233-abcdef012345678912345678".to_owned()),
        has: has.map(str::to_owned).to_vec(),
        client: None,
        proxied_for: None,
        server: Some("nginx/1.22.1".to_owned()),
        via: Some("1.1 varnish".to_owned()),
        malformed: None,
    };
    assert_eq!(exchange, Some(expected));
}

#[test]
fn request_lines() {
    line("GET / HTTP/1.1\r\n\r\n", Some("GET"), Some("/"));
    line("GET /a/b HTTP/1.0\n\n", Some("GET"), Some("/a/b"));
    line("\r\n\nGET /a HTTP/1.1\r\n", Some("GET"), Some("/a"));
    line("get \t /A%3Fb#c  http/1.1 \r\n", Some("get"), Some("/A%3Fb"));
    line("GET /a b?c d HTTP/1.1\r\n", Some("GET"), Some("/a b"));
    line("OPTIONS * HTTP/1.1\r\n", Some("OPTIONS"), Some("*"));
    line("GET http://u:s3cret@h:81/p?q HTTP/1.1\r\n", Some("GET"), Some("/p"));
    line("GET HTTPS://h?q HTTP/1.1\r\n", Some("GET"), Some("/"));
    line("CONNECT u:s3cret@h:443 HTTP/1.1\r\n", Some("CONNECT"), Some("h:443"));
    line("M-SEARCH /x HTTP/1.1\r\n", Some("M-SEARCH"), Some("/x"));
    line(b"GET /\xff\xc3\xa4\xc3 HTTP/1.1\r\n", Some("GET"), Some("/\\xffä\\xc3"));
    line("GET nonsense HTTP/1.1\r\n", Some("GET"), None);
}

#[test]
fn cut_request_lines() {
    let long = format!("GET /{}", "x".repeat(4096));
    line(&long, Some("GET"), long.get(4..REQUEST_HEAD_BYTES));
    line("GET", None, None);
    line("GET ", Some("GET"), None);
    line("GET /a", Some("GET"), Some("/a"));
    line("GET /a?s3cr", Some("GET"), Some("/a"));
    line("GET /a HTT", Some("GET"), Some("/a"));
    line("GET http://u:s3cr", Some("GET"), None);
    line("GET http://h/a?s3cr", Some("GET"), Some("/a"));
    line("GET http://h ", Some("GET"), Some("/"));
    line("CONNECT u:s3cr", Some("CONNECT"), None);
    line("CONNECT h:443 HT", Some("CONNECT"), Some("h:443"));
}

#[test]
fn what_is_no_http() {
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"AUTH s3cret\r\n",
        b"AUTH s3cret",
        b"EHLO s3cret.example\r\nUser-Agent: s3cret\r\n",
        b"GET /s3cret\r\n",
        b"GET /s3cret HTTP/2.0\r\n",
        b"user: s3cret\r\n",
        b"\r\n\r\n",
        b"",
    ] {
        let (exchange, _) = split(&ring(flow_event::RESPONSE, bytes, bytes, b""), None);
        assert_eq!(exchange, None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn fields_in_odd_shapes() {
    let check = |head: &[u8], expected: Option<&str>| {
        let request = [b"GET / HTTP/1.1\r\n", head].concat();
        assert_eq!(read(&request, b"").user_agent.as_deref(), expected, "{}", head.escape_ascii());
    };
    check(b"User-Agent: a\r\n\r\n", Some("a"));
    check(b"USER-AGENT:a\n\n", Some("a"));
    check(b"user-agent : \t a b \t\r\n\r\n", Some("a b"));
    check(b"no field\r\nUser-Agent: a\r\n", Some("a"));
    check(b"User-Agent: a\r\n folded\r\n\r\n", Some("a"));
    check(b"User-Agent:\r\nUser-Agent: a\r\n", Some("a"));
    check(b"User-Agent: b\xff\r\n\r\n", Some("b\\xff"));
    check(b"User-Agent: cut", None);
    check(b"User-Agent:\r\n\r\n", None);
    check(b"X-User-Agent: a\r\n\r\nUser-Agent: in the body\r\n", None);
    let long = [b"User-Agent: ", [b'x'; 700].as_slice(), b"\r\n"].concat();
    check(&long, Some(&"x".repeat(VALUE_BYTES)));
    let many = ["a:\n".repeat(300), "User-Agent: a\n".to_owned()].concat();
    check(many.as_bytes(), Some("a"));
}

#[test]
fn of_a_cut_field_the_presence_is_known() {
    let request = format!("GET / HTTP/1.1\r\nReferer: x\r\nCookie: sid={}", "s3cret".repeat(400));
    let exchange = read(request.as_bytes(), b"HTTP/1.1 401 No\r\nServer: a\r\nWWW-Auth");
    assert_eq!(exchange.has, ["cookie", "referer"]);
    assert_eq!(exchange.server.as_deref(), Some("a"));
}

#[test]
fn clients() {
    let client = |header: &str| {
        let request = b"GET / HTTP/1.1\r\nx-FORWARDED-for: 192.0.2.7, 10.0.0.1\r\n\r\n";
        let header = header.parse::<ClientHeader>().unwrap();
        split(&ring(flow_event::CLOSED, request, b"", b""), Some(&header)).0.unwrap().client
    };
    assert_eq!(client("X-Forwarded-For").as_deref(), Some("192.0.2.7, 10.0.0.1"));
    assert_eq!(client("X-Real-IP"), None);
    let wrong = |header: &str| header.parse::<ClientHeader>().unwrap_err();
    for header in ["", "X-Forwarded-For:", "a b", "ä"] {
        assert_eq!(wrong(header), ClientHeaderError::NoName(header.to_owned()));
    }
    for header in ["Cookie", "AUTHORIZATION", "Set-Cookie"] {
        assert_eq!(wrong(header), ClientHeaderError::Secret(header.to_owned()));
    }
}

#[test]
fn proxy_headers() {
    let check = |header: &[u8], expected: Option<&str>| {
        let (exchange, _) = split(&ring(flow_event::CLOSED, b"", b"", header), None);
        assert_eq!(
            exchange.and_then(|exchange| exchange.proxied_for).as_deref(),
            expected,
            "{}",
            header.escape_ascii()
        );
    };
    let binary = |command: u8, family: u8, addresses: &[u8]| {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, addresses].concat()
    };
    let v4 = b"\xc0\0\x02\x07\xcb\0\x71\x09\x9c\x41\0\x50";
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0xfd], &[0; 15], b"\x9c\x41\0\x50"].concat();
    check(b"PROXY TCP4 192.0.2.7 203.0.113.9 40001 80\r\n", Some("192.0.2.7:40001"));
    check(b"PROXY TCP6 2001:db8::7 fd00:: 40001 80\r\n", Some("[2001:db8::7]:40001"));
    check(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 40001 80\r\n", Some("192.0.2.7:40001"));
    check(b"PROXY UNKNOWN ff::1 ff::2 1 2\r\n", None);
    check(b"PROXY TCP4 192.0.2.7 203.0.113.9 400", None);
    check(b"PROXY TCP4 nonsense 203.0.113.9 40001 80\r\n", None);
    check(&binary(0x21, 0x11, v4), Some("192.0.2.7:40001"));
    check(&binary(0x21, 0x11, &[v4, &[4; 90][..]].concat()), Some("192.0.2.7:40001"));
    check(&binary(0x21, 0x21, &v6), Some("[2001:db8::7]:40001"));
    check(&binary(0x20, 0x11, v4), None);
    check(&binary(0x21, 0x11, &v4[..8]), None);
    check(&binary(0x21, 0x31, &[b'a'; 90]), None);
}

#[test]
fn malformed_responses() {
    let bytes = b"\x15\x03\x01 not \xff HTTP at all, and longer than what is told";
    let (exchange, _) = split(&ring(flow_event::MALFORMED, b"GET / HTTP/1.1\r\n", bytes, b""), None);
    assert_eq!(exchange.unwrap().malformed.as_deref(), Some("\\x15\\x03\\x01 not \\xff HTTP at all, and longe"));
    let (exchange, _) = split(&ring(flow_event::MALFORMED, b"", b"", b""), None);
    assert_eq!(exchange, None);
}

/// The secret never stands where it may be told of: path, method, a value that is read.
fn secretive() -> impl Strategy<Value = String> {
    let secret = "S3CR3T";
    let target = prop_oneof![
        Just(format!("/a?k={secret}")),
        Just(format!("/a#{secret}")),
        Just(format!("http://u:{secret}@h/a?{secret}")),
        Just("/a".to_owned()),
    ];
    let field = prop_oneof![
        "(?i)(authorization|cookie|origin|referer|set-cookie|www-authenticate|x-api-key|[a-z]{1,3})"
            .prop_map(move |name| format!("{name}: {secret}")),
        Just(format!("user-agent: a\r\n {secret}")),
        Just(format!("no field {secret}")),
        "(?i)(host|user-agent|via|server|x-amzn-trace-id)[ \t]{0,2}:[ \t]{0,2}[a-z]{0,9}",
    ];
    let fields = proptest::collection::vec(field, 0..12);
    let end = prop_oneof![Just("\r\n"), Just("\n")];
    let first =
        prop_oneof![target.prop_map(|target| format!("GET {target} HTTP/1.1")), Just("HTTP/1.1 502 Bad".to_owned())];
    (first, fields, end)
        .prop_map(move |(first, fields, end)| format!("{first}{end}{}{end}{end}{secret}{end}", fields.join(end)))
}

fn encoded(exchange: &Exchange) -> Vec<u8> {
    let body = HostBody::Exchange(Box::new(exchange.clone()));
    let mut bytes = Vec::new();
    Record::Host(HostRecord { time: BootTime::from_ns(1), netns: 1, body }).encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn no_secret_is_in_a_trace_file() {
    let request = b"GET http://u:S3CR3T@h/a?k=S3CR3T#S3CR3T HTTP/1.1\r\nHost: h\r\nAuthorization: S3CR3T\r\n\
        Cookie: S3CR3T\r\nX-Api-Key: S3CR3T\r\nUser-Agent: a\r\n S3CR3T\r\n\r\nS3CR3T";
    let response = b"HTTP/1.1 502 S3CR3T\r\nSet-Cookie: S3CR3T\r\nWWW-Authenticate: S3CR3T\r\n\r\nS3CR3T";
    let (exchange, flow) = split(&ring(flow_event::RESPONSE, request, response, b"S3CR3T"), None);
    let exchange = exchange.unwrap();
    assert_eq!((exchange.path.as_deref(), exchange.has.len()), (Some("/a"), 3));
    let records = [
        Record::Host(HostRecord { time: BootTime::from_ns(1), netns: 1, body: HostBody::Exchange(Box::new(exchange)) }),
        Record::Flow(flow),
    ];
    let mut writer = TraceWriter::create(Vec::new(), &Start::default()).unwrap();
    for record in &records {
        let mut bytes = Vec::new();
        record.encode(&mut bytes).unwrap();
        writer.append(&bytes).unwrap();
    }
    let file = writer.finish().unwrap();
    let read: Vec<Record> = TraceReader::from_reader(&file[..])
        .unwrap()
        .filter_map(|item| match item.unwrap() {
            TraceItem::Record(record) => Some(record),
            _ => None,
        })
        .collect();
    assert_eq!(read, records);
    let mut bytes = file;
    for record in &read {
        record.encode(&mut bytes).unwrap();
    }
    assert!(!bytes.windows(6).any(|window| window == b"S3CR3T"));
}

fn bounded(exchange: &Exchange) {
    let Exchange { method, path, host, user_agent, trace_id, client, proxied_for, server, via, malformed, .. } =
        exchange;
    assert!(path.as_ref().is_none_or(|path| path.len() <= PATH_BYTES));
    for value in [method, host, user_agent, trace_id, client, proxied_for, server, via, malformed] {
        assert!(value.as_ref().is_none_or(|value| value.len() <= VALUE_BYTES), "{value:?}");
    }
    assert!(exchange.has.is_sorted() && exchange.has.iter().all(|name| PRESENCE.contains(&name.as_str())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes and wherever they are cut: no panic, and values have their bounds.
    #[test]
    fn arbitrary_bytes(
        request in proptest::collection::vec(any::<u8>(), 0..1200),
        response in proptest::collection::vec(any::<u8>(), 0..500),
        proxy in proptest::collection::vec(any::<u8>(), 0..112),
        lens in any::<(u32, u32)>(),
        event in 1_u8..=11,
    ) {
        let mut from_ring = ring(event, &request, &response, &proxy);
        (from_ring.request_len, from_ring.response_len) = lens;
        let client = "host".parse().ok();
        if let (Some(exchange), _) = split(&from_ring, client.as_ref()) {
            bounded(&exchange);
        }
    }

    /// What is not to be told is in no record, wherever the head is cut.
    #[test]
    fn secrets_stay_out(
        request in secretive(),
        response in secretive(),
        cuts in any::<(proptest::sample::Index, proptest::sample::Index)>(),
    ) {
        let request = &request.as_bytes()[..=cuts.0.index(request.len())];
        let response = &response.as_bytes()[..=cuts.1.index(response.len())];
        let (exchange, _) = split(&ring(flow_event::RESPONSE, request, response, b""), None);
        if let Some(exchange) = exchange {
            bounded(&exchange);
            let bytes = encoded(&exchange);
            prop_assert!(!bytes.windows(2).any(|window| window == b"S3"), "{exchange:?}");
        }
    }
}
