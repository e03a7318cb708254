use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::output::samples;
use crate::record::{BootTime, ExchangeCount, ExchangeCounts, HostRecord, Loss, PacketRecord, PortCounts};
use crate::verdict::Slug;

fn host(body: HostBody) -> Record {
    Record::Host(HostRecord { time: BootTime::default(), netns: 0, body })
}

/// Metrics of a stream with a little of everything.
fn metrics() -> Metrics {
    let start = Start {
        version: "1.2.3".to_owned(),
        ports: vec![8080, 8443],
        hooks: vec![
            Hook { name: "raw_tracepoint/kfree_skb".to_owned(), attached: true, note: String::new() },
            Hook { name: "kprobe/nf_send_reset".to_owned(), attached: false, note: "later".to_owned() },
        ],
        ..samples::start()
    };
    let mut metrics = Metrics::new(&start);
    let count = PortCount {
        port: 8080,
        syns: 7,
        accepted: 3,
        connected: 1,
        closed: 2,
        refused: 2,
        filtered: 1,
        last_syn_ns: 9,
        health_checks: 0,
        open: 0,
    };
    let exchanges = ExchangeCount {
        port: 8080,
        statuses: vec![(0, 1), (200, 7), (502, 2), (700, 1)],
        latency: vec![(3, 9), (tracer_ebpf::latency_bucket(1000).try_into().unwrap(), 1)],
        latency_max_us: 1000,
        slow: 1,
        waiting: 2,
        tls: 3,
        http2: 4,
        not_http: 5,
        lost_step: 6,
    };
    metrics.note(
        &[
            Record::Packet(PacketRecord::default()),
            host(HostBody::Ports(PortCounts { ports: vec![count, count] })),
            host(HostBody::Exchanges(ExchangeCounts { ports: vec![exchanges.clone(), exchanges] })),
            host(HostBody::Loss(Loss::now("ring-full", 5))),
        ],
        |port| port,
    );
    metrics.verdict(&Told { slug: Slug::ProcessDown, role: Role::Inbound, port: 8080, count: 4 });
    metrics.verdict(&Told { slug: Slug::NoRoute, role: Role::Outbound, port: 9, count: 1 });
    metrics.files(1000, 2, 3, 1);
    metrics.files(900, 2, 3, 1);
    metrics
}

/// What a scraper gets.
async fn scrape(metrics: &Metrics, request: &str) -> String {
    let bound = metrics.serve("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut stream = TcpStream::connect(bound).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn text(metrics: &Metrics) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
    text
}

#[tokio::test]
async fn a_scrape_tells_all_that_was_counted() {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n";
    let answer = scrape(&metrics(), request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    let lines: BTreeSet<&str> = body.lines().collect();
    for expected in [
        r#"wherefore_build_info{version="1.2.3"} 1"#,
        r#"wherefore_verdicts_total{slug="process-down",role="inbound",port="8080"} 4"#,
        r#"wherefore_verdicts_total{slug="no-route",role="outbound",port="other"} 1"#,
        r#"wherefore_syns_total{port="8080"} 14"#,
        r#"wherefore_syns_total{port="8443"} 0"#,
        r#"wherefore_syns_refused_total{port="8080"} 4"#,
        r#"wherefore_syns_filtered_total{port="8080"} 2"#,
        r#"wherefore_connections_total{port="8080",role="inbound"} 6"#,
        r#"wherefore_connections_total{port="8080",role="outbound"} 2"#,
        r#"wherefore_connections_open{port="8080"} 4"#,
        r#"wherefore_exchanges_total{port="8080",status="none"} 2"#,
        r#"wherefore_exchanges_total{port="8080",status="200"} 14"#,
        r#"wherefore_exchanges_total{port="8080",status="502"} 4"#,
        r#"wherefore_exchanges_total{port="8080",status="other"} 2"#,
        r#"wherefore_exchange_latency_seconds_bucket{le="0.000256",port="8080"} 18"#,
        r#"wherefore_exchange_latency_seconds_bucket{le="0.000512",port="8080"} 18"#,
        r#"wherefore_exchange_latency_seconds_bucket{le="0.001024",port="8080"} 20"#,
        r#"wherefore_exchange_latency_seconds_bucket{le="+Inf",port="8080"} 20"#,
        r#"wherefore_exchange_latency_seconds_count{port="8080"} 20"#,
        r#"wherefore_exchange_latency_seconds_count{port="8443"} 0"#,
        r#"wherefore_exchanges_slow_total{port="8080"} 2"#,
        r#"wherefore_exchanges_lost_step_total{port="8080"} 12"#,
        r#"wherefore_exchanges_waiting{port="8080"} 2"#,
        r#"wherefore_connections_unread_total{port="8080",protocol="tls"} 6"#,
        r#"wherefore_connections_unread_total{port="8080",protocol="http2"} 8"#,
        r#"wherefore_connections_unread_total{port="8443",protocol="other"} 0"#,
        r#"wherefore_losses_total{cause="ring-full"} 5"#,
        r#"wherefore_losses_total{cause="trace-write"} 2"#,
        "wherefore_records_total 1",
        "wherefore_trace_written_bytes_total 1000",
        "wherefore_trace_files_total 3",
        "wherefore_trace_files_dropped_total 1",
        r#"wherefore_hook_attached{hook="raw_tracepoint/kfree_skb"} 1"#,
        r#"wherefore_hook_attached{hook="kprobe/nf_send_reset"} 0"#,
        "# EOF",
    ] {
        assert!(lines.contains(expected), "no line `{expected}` in\n{body}");
    }
    for cause in loss::NAMES {
        assert!(body.contains(&format!("wherefore_losses_total{{cause=\"{cause}\"}}")), "{cause} from the start");
    }
    let value = |name: &str| {
        let line = body.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("process_cpu_seconds_total ") >= 0.0);
    assert!(value("process_resident_memory_bytes ") > 100_000.0);
    assert!(value("process_open_fds ") >= 3.0);
}

#[tokio::test]
async fn other_requests_are_told_where_to_go() {
    let answer = scrape(&metrics(), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.ends_with("the metrics are at /metrics\n"), "{answer}");
}

#[tokio::test]
async fn connections_that_were_there_are_open_and_what_stands_behind_a_port_is_its_own() {
    let mut metrics = Metrics::new(&samples::start());
    let count = PortCount { port: 9090, open: 7, closed: 2, accepted: 1, ..PortCount::default() };
    metrics.note(
        &[host(HostBody::Ports(PortCounts { ports: vec![count] }))],
        |port| if port == 9090 { 8080 } else { port },
    );
    let answer = scrape(&metrics, "GET /metrics HTTP/1.1\r\n\r\n").await;
    assert!(answer.contains("wherefore_connections_open{port=\"8080\"} 6\n"), "{answer}");
    assert!(!answer.contains("9090"), "{answer}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let metrics = metrics();
    let bound = metrics.serve("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = metrics.serve(MetricsAddress(bound)).unwrap_err();
    assert_eq!(error.to_string(), format!("metrics cannot be served on {bound}: give another address with --metrics"));
}

#[test]
fn ports_that_are_watched_later_start_at_zero() {
    let mut metrics = metrics();
    metrics.watch(&[8080, 9000]);
    let text = text(&metrics);
    assert!(text.contains("wherefore_syns_total{port=\"9000\"} 0"), "{text}");
    assert!(text.contains("wherefore_syns_total{port=\"8080\"} 14"), "{text}");
    assert!(text.contains("wherefore_exchanges_slow_total{port=\"9000\"} 0"), "{text}");
    assert!(text.contains("wherefore_exchanges_waiting{port=\"8080\"} 2"), "{text}");
    metrics.watch(&[9000]);
    assert!(self::text(&metrics).contains("wherefore_exchanges_waiting{port=\"8080\"} 0"));
}

/// Names as a scraper stores them: with `_total` for counters.
fn names(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let suffix = |kind| match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    types.map(|(name, kind)| format!("{name}{}", suffix(kind))).collect()
}

#[test]
fn the_document_lists_each_metric() {
    const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(listed, names(&text(&metrics())));
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    const NAME: &str = "promtool_finds_nothing_to_complain_of";
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = promtool.spawn() else {
        println!("skipped: {NAME}: promtool is not installed");
        return;
    };
    // it reads the older text only
    let older = plain::plain(&text(&metrics()));
    child.stdin.take().unwrap().write_all(older.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
