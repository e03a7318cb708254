//! Doctor, from options and facts to text; and real connections to listeners made here.

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;

use rustix::io::Errno;

use super::local::{Bound, Cover, connect_failure, cover, look};
use super::report::{Attempt, Listener, Port};
use super::*;
use crate::verdict::Slug;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/facts").join(name)
}

fn report(name: &str) -> Report {
    let facts: Facts = serde_json::from_str(&fs::read_to_string(recorded(name)).unwrap()).unwrap();
    Report::new(&facts, &plan(&facts), Some("kernel.json".to_owned()))
}

fn text(report: &Report) -> String {
    human::render(report, &Styles::new(false), 100)
}

#[test]
#[expect(clippy::too_many_lines, reason = "the page as it is printed")]
fn an_old_but_good_kernel() {
    insta::assert_snapshot!(text(&report("debian-5.10.262-x86_64.json")), @r"
wherefore 0.1.0 can record on that kernel.
  facts      from kernel.json
  kernel     5.10.0-46-cloud-amd64 x86_64, with BTF
  cgroup v2  /sys/fs/cgroup, the host's root
  kprobes    yes
  functions  named by /proc/kallsyms
  lockdown   none

Hooks: 20 of 23
  no         raw_tracepoint/inet_sk_error_report: this kernel has no such tracepoint
  no         kprobe/nf_send_reset: its module has no BTF, so its arguments are not known
  no         kprobe/nf_send_reset6: its module has no BTF, so its arguments are not known
  later      raw_tracepoint/net_dev_queue: stands in for the kprobes on netfilter's RSTs; attached
             when module nf_reject_ipv4 or nf_reject_ipv6 is loaded

Verdicts
  certain    process-down, inbound: by the kernel's function that dropped the SYN (tcp_v4_rcv,
             tcp_v6_rcv) and the listeners there are
  inferred   process-down, outbound: a RST answers the SYN; a firewall can send the same; what would
             help: a recording on the other host as well
  certain    wrong-bind-address, inbound: by the kernel's function that dropped the SYN (tcp_v4_rcv,
             tcp_v6_rcv) and the listeners there are
  certain    firewall-reject, inbound: RSTs that netfilter sends are told by having no socket
  certain    firewall-reject, outbound: ICMP prohibited codes also fit no-route, and then it is
             likely
  certain    firewall-drop, inbound: by the kernel's function that dropped the packet (nf_hook_slow)
  certain    firewall-drop, outbound: by the kernel's function that dropped the packet
             (nf_hook_slow)
  inferred   security-group-drop, outbound: a SYN leaves this host and nothing comes back; what
             would help: a recording on the other host as well
  inferred   inbound-silence, inbound: the port's health checkers stop, and no other SYN comes; it
             may be meant
  certain    return-path-drop, inbound
  certain    handshake-abandoned, inbound
  certain    accept-queue-full, inbound: with SYN cookies a last ACK that finds no room is not seen
  certain    conntrack-full, inbound: by the kernel's function that dropped the packet
             (nf_hook_slow)
  certain    conntrack-full, outbound: by the kernel's function that dropped the packet
             (nf_hook_slow)
  certain    kernel-drop, inbound: by the kernel's function that dropped the packet; not bad
             checksums or signatures; what would help: Linux 5.17 and newer
  certain    kernel-drop, outbound: by the kernel's function that dropped the packet; not bad
             checksums or signatures, nor a connect() that a cgroup program refuses; what would
             help: Linux 5.18 and newer
  certain    hairpin, outbound: by the kernel's function that dropped the packet
  certain    port-exhausted, outbound
  certain    upstream-socket-missing, outbound: with --unix-upstreams
  certain    host-unreachable, outbound
  certain    no-route, outbound
  certain    process-crashed, inbound
  certain    app-reset, inbound
  inferred   app-reset, outbound: the peer's RST does not say who sent it, nor why; what would help:
             a recording on the other host as well
  certain    premature-close, inbound
  certain    premature-close, outbound
  certain    incomplete-response, inbound
  certain    incomplete-response, outbound
  certain    keepalive-race, inbound
  certain    keepalive-race, outbound
  inferred   idle-flow-expired, inbound: by the answer to the first data after a long silence; what
             would help: a recording on the other host as well
  inferred   idle-flow-expired, outbound: by the answer to the first data after a long silence; what
             would help: a recording on the other host as well
  certain    app-timeout, inbound
  certain    app-timeout, outbound
  certain    client-abort, inbound
  certain    peer-vanished, inbound
  certain    peer-vanished, outbound
  certain    malformed-response, inbound
  certain    protocol-mismatch, inbound
  certain    health-check-failed, inbound
  certain    app-status, inbound: not where TLS or HTTP/2 is spoken
  certain    app-status, outbound: not where TLS or HTTP/2 is spoken
");
}

#[test]
fn a_port_with_listeners_and_failures() {
    let mut report = report("debian-7.3.4-x86_64.json");
    let attempt = |to: &str, ok, verdict, detail: &str| Attempt {
        to: to.to_owned(),
        ok,
        status: None,
        duration_us: None,
        verdict,
        detail: detail.to_owned(),
    };
    report.port = Some(Port {
        number: 8080,
        listeners: vec![Listener {
            address: "127.0.0.1".to_owned(),
            process: Some("gun\x1b[2Jicorn[812]".to_owned()),
            unit: Some("app.service".to_owned()),
            container: Some("0123456789abcdef".to_owned()),
            namespace: None,
        }],
        connects: vec![
            attempt("127.0.0.1:8080", true, None, "connected in 0.1 ms"),
            attempt(
                "10.0.0.5:8080",
                false,
                Some(Slug::WrongBindAddress),
                "refused: the listener is bound to another address",
            ),
        ],
        probes: vec![attempt("127.0.0.1:8080", true, None, "200 OK after 1.3 ms")],
        problems: vec!["cannot look up addresses".to_owned()],
    });
    let page = text(&report);
    let (before, verdicts) = page.split_once("Verdicts\n").unwrap();
    let (_, port) = verdicts.split_once("\n\n").unwrap();
    insta::assert_snapshot!(format!("{before}{port}"), @r"
wherefore 0.1.0 can record on that kernel.
  facts      from kernel.json
  kernel     7.3.4+deb13-cloud-amd64 x86_64, with BTF
  cgroup v2  /sys/fs/cgroup, the host's root
  kprobes    yes
  functions  named by /proc/kallsyms
  lockdown   none

Hooks: 22 of 22
  later      kprobe/nf_send_reset: attached when module nf_reject_ipv4 is loaded: before that there
             is no such RST
  later      kprobe/nf_send_reset6: attached when module nf_reject_ipv6 is loaded: before that there
             is no such RST

Port 8080
  unknown    cannot look up addresses
  listener   127.0.0.1, gun\u{1b}[2Jicorn[812], app.service, container 0123456789ab
  connect    127.0.0.1:8080: connected in 0.1 ms
  connect    10.0.0.5:8080: wrong-bind-address: refused: the listener is bound to another address
  request    127.0.0.1:8080: 200 OK after 1.3 ms
");
}

#[test]
fn what_cannot_record_shows_the_problem_and_no_guesses() {
    let report = report("debian-7.0.13-x86_64-tables.json");
    let text = text(&report);
    assert!(text.starts_with("wherefore ") && text.contains("cannot record on that kernel."), "{text}");
    assert!(text.contains("problem") && !text.contains("Verdicts") && !text.contains("Hooks"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["ready"], &json["verdicts"]), (&Value::Bool(false), &Value::Array(Vec::new())));
}

#[test]
fn json_has_every_key_always() {
    let json = serde_json::to_value(report("firecracker-6.18.44-x86_64.json")).unwrap();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "blind",
        "btf",
        "cgroup",
        "facts",
        "hooks",
        "kallsyms",
        "kernel",
        "kprobes",
        "lacks",
        "lockdown",
        "machine",
        "obstacles",
        "port",
        "ready",
        "type",
        "verdicts",
        "version",
    ]
    .to_vec();
    expected.sort_unstable();
    let mut sorted = keys;
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(json["type"], "doctor");
    assert_eq!(json["port"], Value::Null);
    let verdict = &json["verdicts"][0];
    assert_eq!(
        (&verdict["verdict"], &verdict["role"], &verdict["sight"]),
        (&"process-down".into(), &"inbound".into(), &"certain".into())
    );
    assert_eq!((&verdict["why"], &verdict["change"]), (&Value::Null, &Value::Null));
}

#[test]
fn options_that_make_no_sense_are_usage_errors() {
    let check = |options: DoctorOptions, expected: &str| {
        let failure = run(&options).unwrap_err();
        assert!(matches!(failure, Failure::Usage(_)));
        let line = failure.line().unwrap();
        assert!(line.contains(expected), "{line}");
    };
    let probe = |path: &str| DoctorOptions { port: Some(80), probe: Some(path.to_owned()), ..DoctorOptions::default() };
    check(probe("health"), "give a path as in /health");
    check(probe("/a b"), "%20");
    check(probe("/a\r\nHost: evil"), "give a path");
    check(probe("/ümlaut"), "give a path");
    check(DoctorOptions { probe: Some("/".to_owned()), ..DoctorOptions::default() }, "--probe needs --port");
    let elsewhere = recorded("debian-6.1.0-56-x86_64.json");
    check(
        DoctorOptions { port: Some(80), facts: Some(elsewhere), ..DoctorOptions::default() },
        "leave out one of them",
    );
}

#[test]
fn facts_are_written_once_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.json");
    let (written, source) = facts(Some(&file)).unwrap();
    assert_eq!(source, None);
    let (read, source) = facts(Some(&file)).unwrap();
    assert_eq!(read, written);
    assert!(source.unwrap().ends_with("host.json"));

    fs::write(&file, "{\"kernel\": 5}").unwrap();
    let line = facts(Some(&file)).unwrap_err().line().unwrap();
    assert!(line.contains("holds no facts"), "{line}");
    let nowhere = folder.path().join("no/such/folder/host.json");
    let line = facts(Some(&nowhere)).unwrap_err().line().unwrap();
    assert!(line.contains("cannot write this kernel's facts"), "{line}");
    let line = facts(Some(folder.path())).unwrap_err().line().unwrap();
    assert!(line.contains("cannot read the facts"), "{line}");
}

#[test]
fn what_a_listener_covers() {
    let check = |bound: &[(&str, bool)], address: &str, expected: Cover| {
        let bound: Vec<Bound> = bound
            .iter()
            .map(|(address, v6_only)| Bound { address: address.parse().unwrap(), v6_only: *v6_only })
            .collect();
        assert_eq!(cover(&bound, address.parse().unwrap()), expected, "{bound:?} {address}");
    };
    check(&[], "127.0.0.1", Cover::Nothing);
    check(&[("0.0.0.0", false)], "10.0.0.1", Cover::Covered);
    check(&[("0.0.0.0", false)], "::1", Cover::Elsewhere);
    check(&[("::", false)], "127.0.0.1", Cover::Covered);
    check(&[("::", true)], "127.0.0.1", Cover::Elsewhere);
    check(&[("::", true)], "::1", Cover::Covered);
    check(&[("::ffff:127.0.0.1", false)], "127.0.0.1", Cover::Covered);
    check(&[("127.0.0.1", false)], "127.0.0.2", Cover::Elsewhere);
    check(&[("127.0.0.1", false), ("10.0.0.1", false)], "10.0.0.1", Cover::Covered);
}

#[test]
fn a_failed_connection_in_the_catalogue_s_words() {
    let to: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let check = |errno: Errno, cover, expected: Option<Slug>| {
        let attempt = connect_failure(to, &errno.into(), cover);
        assert_eq!((attempt.ok, attempt.verdict), (false, expected), "{errno:?} {cover:?}");
        assert!(!attempt.detail.is_empty());
    };
    check(Errno::CONNREFUSED, Cover::Nothing, Some(Slug::ProcessDown));
    check(Errno::CONNREFUSED, Cover::Elsewhere, Some(Slug::WrongBindAddress));
    check(Errno::CONNREFUSED, Cover::Covered, Some(Slug::FirewallReject));
    check(Errno::HOSTUNREACH, Cover::Covered, Some(Slug::FirewallReject));
    check(Errno::ACCESS, Cover::Nothing, Some(Slug::FirewallReject));
    check(Errno::TIMEDOUT, Cover::Covered, Some(Slug::FirewallDrop));
    check(Errno::TIMEDOUT, Cover::Nothing, Some(Slug::FirewallDrop));
    check(Errno::PERM, Cover::Covered, Some(Slug::KernelDrop));
    check(Errno::MFILE, Cover::Covered, None);
    // what connect_timeout itself says
    let attempt = connect_failure(to, &ErrorKind::TimedOut.into(), Cover::Covered);
    assert_eq!(attempt.verdict, Some(Slug::FirewallDrop));
}

#[test]
fn an_answer_in_the_catalogue_s_words() {
    let to: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let check = |head: &[u8], status: Option<u16>, verdict: Option<Slug>, words: &str| {
        let attempt = request::answered(to, head, Duration::from_micros(1250));
        assert_eq!((attempt.status, attempt.verdict), (status, verdict), "{}", attempt.detail);
        assert_eq!(attempt.ok, verdict.is_none());
        assert!(attempt.detail.contains(words), "{}", attempt.detail);
    };
    check(b"HTTP/1.1 200 OK\r\nServer: x\r\n", Some(200), None, "200 OK after 1.3 ms");
    check(b"HTTP/1.0 404 Not Found\r\n", Some(404), None, "404 Not Found");
    check(b"HTTP/1.1 204\r\n", Some(204), None, "204 after");
    check(b"HTTP/1.1 503 Service Unavailable\r\n", Some(503), Some(Slug::AppStatus), "503");
    check(b"", None, Some(Slug::PrematureClose), "closed");
    check(b"\x15\x03\x03\x00\x02\x02\x16", None, Some(Slug::ProtocolMismatch), "TLS");
    for wrong in
        [&b"SSH-2.0-OpenSSH\r\n"[..], b"HTTP/2 200\r\n", b"HTTP/1.1 2x0 OK\r\n", b"HTTP/1.1 +20 OK", b"\xff\xfe"]
    {
        check(wrong, None, Some(Slug::MalformedResponse), "status line");
    }
}

/// A server that reads one request and writes these bytes.
fn serve(answer: &'static [u8]) -> (u16, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // doctor connects once to look, and once for its request
    let server = std::thread::spawn(move || {
        for connection in listener.incoming().take(2) {
            let mut connection = connection.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 512];
            while !request.ends_with(b"\r\n\r\n") {
                let read = connection.read(&mut buffer).unwrap();
                if read == 0 {
                    break;
                }
                request.extend_from_slice(&buffer[..read]);
            }
            if !request.is_empty() {
                let text = String::from_utf8(request).unwrap();
                assert!(text.starts_with("GET /health HTTP/1.1\r\nHost: 127.0.0.1:"), "{text}");
                connection.write_all(answer).unwrap();
            }
        }
    });
    (port, server)
}

#[test]
fn a_real_server_is_found_connected_to_and_asked() {
    let (port, server) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let found = look(port, Some("/health"));
    server.join().unwrap();
    let loopback: Vec<&Attempt> =
        found.connects.iter().filter(|attempt| attempt.to.starts_with("127.0.0.1:")).collect();
    assert_eq!(loopback.len(), 1);
    assert!(loopback[0].ok && loopback[0].duration_us.is_some(), "{}", loopback[0].detail);
    // only where a listener covers the address
    assert_eq!(found.probes.len(), 1);
    assert_eq!((found.probes[0].ok, found.probes[0].status), (true, Some(200)), "{}", found.probes[0].detail);
}

#[test]
fn a_server_that_closes_without_an_answer() {
    let (port, server) = serve(b"");
    let found = look(port, Some("/health"));
    server.join().unwrap();
    assert_eq!(found.probes[0].verdict, Some(Slug::PrematureClose), "{}", found.probes[0].detail);
}

#[test]
fn a_port_that_nothing_listens_on() {
    // bound but never listening: nobody else can take it meanwhile
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(&socket, &any).unwrap();
    let name: SocketAddr = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    let found = look(name.port(), Some("/"));
    assert!(found.listeners.is_empty());
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let to = SocketAddr::new(loopback, name.port()).to_string();
    for attempts in [&found.connects, &found.probes] {
        let attempt = attempts.iter().find(|attempt| attempt.to == to).unwrap();
        assert_eq!((attempt.ok, attempt.verdict), (false, Some(Slug::ProcessDown)), "{}", attempt.detail);
    }
}
