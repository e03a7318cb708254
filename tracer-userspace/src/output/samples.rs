//! Hand-made outputs for the printers' tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::engine::{Counters, Failed, HttpSummary, Latency, Output, PortSummary, Summary};
use crate::record::{BootTime, ClockPair, Exchange, Start};
use crate::verdict::{Confidence, Event, Evidence, Http, Process, Role, Slug, Verdict};

/// Boot time of 2026-11-21 12:03:41.000 UTC in these samples, plus `ms` milliseconds.
pub(crate) fn at_ms(ms: u64) -> BootTime {
    BootTime::from_ns(1_000_000_000_000 + ms * 1_000_000)
}

pub(crate) fn start() -> Start {
    Start {
        version: "0.1.0".to_owned(),
        host: "web-1".to_owned(),
        kernel: "6.12.8".to_owned(),
        ports: vec![8080, 8443],
        slow_ns: 10_000_000_000,
        clock: ClockPair { boot_ns: 1_000_000_000_000, unix_ns: 1_795_262_621_000_000_000 },
        ..Start::default()
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn process_down() -> Verdict {
    Verdict {
        slug: Slug::ProcessDown,
        confidence: Confidence::Certain,
        alternatives: Vec::new(),
        time: at_ms(221),
        started: at_ms(220),
        role: Role::Inbound,
        netns: 4_026_531_840,
        local: Some(socket("10.9.2.2:8080")),
        remote: Some(socket("10.9.1.2:45824")),
        unix: None,
        port: 8080,
        isn: Some(123),
        count: 1,
        stage: None,
        health_check: false,
        expected_status: Some(502),
        process: Some(Process {
            pid: Some(812),
            comm: Some("gunicorn".to_owned()),
            exit: Some("signal 9 (oom-kill)".to_owned()),
            unit: Some("app.service".to_owned()),
            container: None,
        }),
        http: Http::default(),
        cause: None,
        evidence: vec![Evidence {
            time: at_ms(221),
            event: Event::NoSocket,
            detail: "the SYN was dropped: NO_SOCKET".to_owned(),
        }],
        summary: "Nothing listens on port 8080.".to_owned(),
        next: "Start the app and look into why it stopped: `systemctl status app.service`.".to_owned(),
    }
}

pub(crate) fn security_group_drop() -> Verdict {
    Verdict {
        slug: Slug::SecurityGroupDrop,
        confidence: Confidence::Likely,
        alternatives: vec![Slug::FirewallDrop, Slug::RemoteDown],
        time: at_ms(3_221),
        started: at_ms(221),
        role: Role::Outbound,
        local: Some(socket("[2001:db8::1]:51000")),
        remote: Some(socket("[2001:db8::2]:8443")),
        unix: None,
        port: 8443,
        isn: Some(77),
        expected_status: Some(504),
        process: Some(Process {
            pid: Some(900),
            comm: Some("nginx".to_owned()),
            exit: None,
            unit: Some("nginx.service".to_owned()),
            container: None,
        }),
        summary: "The SYN left this host 3 times and nothing came back.".to_owned(),
        next: "Check the security group of the target.".to_owned(),
        evidence: Vec::new(),
        ..process_down()
    }
}

pub(crate) fn app_status() -> Verdict {
    Verdict {
        slug: Slug::AppStatus,
        time: at_ms(1_500),
        started: at_ms(1_400),
        expected_status: Some(502),
        process: Some(Process { pid: Some(900), comm: Some("nginx".to_owned()), ..Process::default() }),
        http: Http {
            method: Some("GET".to_owned()),
            path: Some("/orders/7".to_owned()),
            status: Some(502),
            has: vec!["Cookie".to_owned()],
            origin: Some("proxy".to_owned()),
            duration_us: Some(100_000),
            ..Http::default()
        },
        cause: Some(Box::new(security_group_drop())),
        evidence: Vec::new(),
        summary: "The proxy answered 502 itself.".to_owned(),
        next: "See the cause.".to_owned(),
        ..process_down()
    }
}

pub(crate) fn counters() -> Counters {
    Counters {
        time: at_ms(5_000),
        port: 8080,
        connections: 12,
        exchanges: 13,
        status: BTreeMap::from([(None, 0), (Some(502), 1), (Some(200), 12)]),
        latency_us: Latency { p50: 800, p90: 1_200, p99: 9_000, max: 9_500 },
        slow: 0,
        waiting: 1,
        open: 2,
    }
}

pub(crate) fn summary() -> Summary {
    let quiet = PortSummary::default();
    let last_syn = Some(at_ms(230_120));
    let busy = PortSummary { syn: 252, health_check_syn: 12, last_syn, listener: true, ..PortSummary::default() };
    Summary {
        from: at_ms(0),
        to: at_ms(232_500),
        records: 1_204,
        lost: BTreeMap::from([("ring-full".to_owned(), 0), ("attempts-full".to_owned(), 0)]),
        connections: 1_201,
        verdicts: BTreeMap::from([(Slug::ProcessDown, 18), (Slug::SecurityGroupDrop, 1)]),
        undecided: 1,
        recovered: BTreeMap::from([(Slug::FirewallDrop, 2)]),
        ports: BTreeMap::from([(8080, busy), (8443, quiet)]),
        files: vec!["/var/lib/wherefore/web-1.wft".to_owned()],
        ..Summary::default()
    }
}

/// The summary of a recording with HTTP on one port and TLS on the other.
pub(crate) fn http_summary() -> Summary {
    let mut http = HttpSummary {
        exchanges: 1_303,
        status: BTreeMap::from([(None, 3), (Some(200), 1_290), (Some(404), 8), (Some(502), 2)]),
        slow: 1,
        ..HttpSummary::default()
    };
    http.latency.add(60, 1_290);
    http.latency.add(90, 13);
    http.latency.raise_max(12_345);
    let tls = HttpSummary { tls: 812, not_http: 1, lost_step: 2, ..HttpSummary::default() };
    let mut summary = Summary { exchanges: 1_303, ..summary() };
    summary.ports.get_mut(&8080).unwrap().http = http;
    summary.ports.get_mut(&8443).unwrap().http = tls;
    for (path, client) in [("/orders/7", "192.0.2.7"), ("/orders/7", "192.0.2.8"), ("/\x1b[m", "192.0.2.7")] {
        let heads = Exchange {
            path: Some(path.to_owned()),
            user_agent: Some("curl/8.5.0".to_owned()),
            client: Some(client.to_owned()),
            ..Exchange::default()
        };
        let failed = Failed { heads: Some(&heads), origin: Some("proxy"), cause: Some("process-down 127.0.0.1:9001") };
        summary.top.add(Some(502), &failed);
    }
    let heads = Exchange { path: Some("/hidden".to_owned()), ..Exchange::default() };
    summary.top.add(Some(403), &Failed { heads: Some(&heads), origin: Some("app"), cause: None });
    summary
}

pub(crate) fn verdict(verdict: Verdict) -> Output {
    Output::Verdict(Box::new(verdict))
}
