use std::fs;

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::cli::args::{Cli, Command};
use crate::record::{
    ClockPair, Header, HostBody, HostRecord, Loss, PacketRecord, Record, Start, Tick, Tuple, kind, packet_flag,
    tcp_flag,
};
use crate::trace::TraceWriter;

const SECOND_NS: u64 = 1_000_000_000;
/// 2026-11-21 12:03:41 UTC, 1000 s after boot.
const CLOCK: ClockPair = ClockPair { boot_ns: 1_000 * SECOND_NS, unix_ns: 1_795_262_621_000_000_000 };

fn start() -> Start {
    Start {
        version: "0.1.0".to_owned(),
        host: "web-1".to_owned(),
        kernel: "6.12.8".to_owned(),
        ports: vec![8080, 8443],
        slow_ns: 10 * SECOND_NS,
        clock: CLOCK,
        drop_reasons: vec![(3, "NO_SOCKET".to_owned())],
        ..Start::default()
    }
}

/// The time `ms` after the start.
fn ns(ms: u64) -> u64 {
    CLOCK.boot_ns + ms * 1_000_000
}

/// A SYN that finds no socket.
fn refused(ms: u64, client_port: u16, port: u16) -> Record {
    let address = |last| std::net::Ipv4Addr::new(10, 9, last, 2).to_ipv6_mapped().octets();
    let len = u16::try_from(size_of::<PacketRecord>()).unwrap();
    Record::Packet(PacketRecord {
        header: Header { kind: kind::PACKET_DROP, len, cpu: 0, time_ns: ns(ms), netns: 4_026_531_840, reserved: 0 },
        tuple: Tuple { src: address(1), dst: address(2), src_port: client_port, dst_port: port, pad: 0 },
        reason: 3,
        seq: u32::from(client_port),
        flags: packet_flag::HAS_REASON,
        tcp_flags: tcp_flag::SYN,
        ..PacketRecord::default()
    })
}

fn host(ms: u64, body: HostBody) -> Record {
    Record::Host(HostRecord { time: BootTime::from_ns(ns(ms)), netns: 0, body })
}

/// Three refused connections, one in each frame, a tick each second, and an end.
fn frames() -> Vec<Vec<Record>> {
    let tick = |ms| host(ms, HostBody::Tick(Tick { clock: CLOCK }));
    let lost = Loss::now("ring-full", 0);
    vec![
        vec![host(0, HostBody::Loss(lost)), refused(221, 45_824, 8080), tick(1_000)],
        vec![tick(2_000), refused(2_500, 45_825, 8443), tick(3_000)],
        vec![tick(60_000), refused(60_500, 45_826, 8080), tick(61_000)],
        vec![host(62_000, HostBody::End)],
    ]
}

/// A trace of these frames, and where each of them begins.
fn trace(frames: &[Vec<Record>]) -> (Vec<u8>, Vec<usize>) {
    let mut writer = TraceWriter::create(Vec::new(), &start()).unwrap();
    let mut offsets = Vec::new();
    for frame in frames {
        offsets.push(usize::try_from(writer.bytes_written()).unwrap());
        for record in frame {
            let mut bytes = Vec::new();
            record.encode(&mut bytes).unwrap();
            writer.append(&bytes).unwrap();
        }
        writer.flush().unwrap();
    }
    (writer.finish().unwrap(), offsets)
}

struct Outcome {
    stdout: String,
    result: Result<(), Failure>,
    records: u64,
}

/// Replays a file of these bytes in an own directory.
fn replayed(bytes: &[u8], flags: &str) -> Outcome {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("web-1.wft");
    fs::write(&path, bytes).unwrap();
    let mut line = vec!["wherefore".to_owned(), "replay".to_owned(), path.display().to_string()];
    line.extend(flags.split_whitespace().map(str::to_owned));
    let Command::Replay(args) = Cli::try_parse_from(line).unwrap().command else { panic!("not replay") };
    let (replay, unusable) = Replay::open(&args.paths);
    assert!(unusable.is_empty(), "{unusable:?}");
    let mut session = Session { args: &args, stream: None, records: 0, progress: Progress::new(&[]) };
    let mut out = Vec::new();
    let result = session.read(replay, &mut out);
    let stdout = String::from_utf8(out).unwrap().replace(&format!("{}/", directory.path().display()), "");
    Outcome { stdout, result, records: session.records }
}

fn lines(bytes: &[u8], flags: &str) -> String {
    let outcome = replayed(bytes, flags);
    outcome.result.unwrap();
    outcome.stdout
}

fn summary_of(json_lines: &str) -> serde_json::Value {
    serde_json::from_str(json_lines.lines().last().unwrap()).unwrap()
}

fn verdicts_of(json_lines: &str) -> Vec<serde_json::Value> {
    let values = json_lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    values.filter(|value| value["type"] == "verdict").collect()
}

#[test]
fn a_trace_for_people() {
    insta::assert_snapshot!(lines(&trace(&frames()).0, ""), @r"
2026-11-21 UTC   web-1, Linux 6.12.8, ports 8080,8443
TIME          VERDICT              EXPECT       CONNECTION                             WHY
12:03:41.221  process-down         502     in   10.9.1.2:45824 -> 10.9.2.2:8080        Nothing listens on port 8080: the kernel refused the SYN from 10.9.1.2:45824 with a RST; nothing has listened there while recording
              next: Start the process that serves port 8080, or find out why it is down; `ss -ltnp 'sport = :8080'` must show a listener.
12:03:43.500  process-down         502     in   10.9.1.2:45825 -> 10.9.2.2:8443        Nothing listens on port 8443: the kernel refused the SYN from 10.9.1.2:45825 with a RST; nothing has listened there while recording
              next: Start the process that serves port 8443, or find out why it is down; `ss -ltnp 'sport = :8443'` must show a listener.
12:04:41.500  process-down         502     in   10.9.1.2:45826 -> 10.9.2.2:8080        Nothing listens on port 8080: the kernel refused the SYN from 10.9.1.2:45826 with a RST; nothing has listened there while recording

summary    2026-11-21 12:03:41 to 12:04:43 UTC (1m 2s), 3 records
ports      8080   no listener, 0 SYNs + 0 health checks, nothing reached it
           8443   no listener, 0 SYNs + 0 health checks, nothing reached it
verdicts   3  process-down  nothing listens on the port
traffic    0 connections, 0 HTTP exchanges
undecided  0 silent when recording ended, 0 given up by the client too early to tell, 0 late
lost       nothing (attempts-evicted 0, attempts-full 0, closed-full 0, connects-full 0, exchanges-evicted 0, flows-full 0, heads-full 0, ring-full 0, servers-full 0, trace-write 0, troubled-full 0)
files      web-1.wft
");
}

#[test]
fn a_trace_as_json() {
    let text = lines(&trace(&frames()).0, "--json");
    assert!(text.starts_with(r#"{"type":"start","version":"0.1.0","host":"web-1""#), "{text}");
    let verdicts = verdicts_of(&text);
    let slugs: Vec<&str> = verdicts.iter().map(|verdict| verdict["verdict"].as_str().unwrap()).collect();
    assert_eq!(slugs, ["process-down"; 3]);
    let summary = summary_of(&text);
    assert_eq!(summary["files"], serde_json::json!(["web-1.wft"]));
    assert_eq!(summary["shown"], serde_json::Value::Null);
    assert_eq!(summary["damage"], serde_json::json!({"frames": 0, "bytes": 0}));
}

#[test]
fn filters_leave_verdict_lines_out_and_nothing_else() {
    let (bytes, _) = trace(&frames());
    let whole = lines(&bytes, "--json");
    let check = |flags: &str, shown: usize| {
        let text = lines(&bytes, &format!("--json {flags}"));
        let summary = summary_of(&text);
        assert_eq!(verdicts_of(&text).len(), shown, "{flags}");
        assert_eq!(summary["shown"], shown, "{flags}");
        assert_eq!(summary["verdicts"], summary_of(&whole)["verdicts"], "{flags}");
        assert_eq!(text.lines().count() + 3 - shown, whole.lines().count(), "{flags}");
    };
    check("--port 8443", 1);
    check("--port 8080,8443", 3);
    check("--verdict process-down", 3);
    check("--verdict no-route", 0);
    check("--peer 10.9.1.0/24", 3);
    check("--peer 10.9.2.0/24", 0);
    check("--status 5xx", 0);
    // the trace ends at 12:04:43
    check("--since 10s", 1);
    check("--since 12:03:43", 2);
    check("--until 12:03:43", 1);
    check("--since 12:03:43 --until 30s", 1);
    check("--until 2026-11-21T12:03:44Z", 2);
}

#[test]
fn no_moment_is_between_a_later_and_an_earlier_one() {
    let outcome = replayed(&trace(&frames()).0, "--since 1s --until 2s");
    assert!(matches!(outcome.result, Err(Failure::Usage(_))));
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_damaged_frame_costs_itself_and_certainty_around_it() {
    let (mut bytes, offsets) = trace(&frames());
    bytes[offsets[1] + 60] ^= 0xff;
    let text = lines(&bytes, "--json");
    let summary = summary_of(&text);
    assert_eq!(verdicts_of(&text).len(), 2);
    assert_eq!(summary["damage"]["frames"], 1);
    assert_eq!(summary["damage"]["bytes"], offsets[2] - offsets[1]);
    assert_eq!(summary["lost"]["trace-damage"], 1);
}

#[test]
fn a_verdict_that_spans_a_gap_is_only_likely() {
    // the attempt's only record comes just before the gap, and is decided behind it
    let mut frames = frames();
    frames[0].pop();
    let (mut bytes, offsets) = trace(&frames);
    assert_eq!(verdicts_of(&lines(&bytes, "--json"))[0]["confidence"], "certain");
    bytes[offsets[1] + 60] ^= 0xff;
    let text = lines(&bytes, "--json");
    let verdicts = verdicts_of(&text);
    assert_eq!(verdicts[0]["confidence"], "likely", "{text}");
}

#[test]
fn a_trace_cut_anywhere_is_replayed_as_far_as_it_goes() {
    let (bytes, offsets) = trace(&frames());
    for cut in (offsets[0]..bytes.len()).step_by(7) {
        let outcome = replayed(&bytes[..cut], "--json");
        outcome.result.unwrap();
        let whole_frames = offsets.iter().skip(1).filter(|offset| **offset <= cut).count();
        assert_eq!(verdicts_of(&outcome.stdout).len(), whole_frames.min(3), "{cut}");
        assert_eq!(outcome.records > 0, whole_frames > 0, "{cut}");
        let torn = offsets.iter().all(|offset| *offset != cut);
        assert_eq!(summary_of(&outcome.stdout)["damage"]["frames"], u64::from(torn), "{cut}");
    }
}

#[test]
fn what_is_not_as_it_should_be_is_said() {
    let mut start_of_stream = start();
    start_of_stream.host.clear();
    let stream = Stream::new(true, Path::new("a\x1b.wft"), &start_of_stream, None);
    let damage =
        crate::trace::Damage { offset: 4_096, bytes: 812, frames: 1, kind: crate::trace::DamageKind::Checksum };
    insta::assert_snapshot!(stream.damage_line(damage), @r"wherefore: a\u{1b}.wft: damaged at byte 4096: a frame's checksum does not hold (812 bytes and 1 frames lost)");
    let reading = crate::trace::Reading { unknown: 3, undecodable: 1, ..crate::trace::Reading::default() };
    insta::assert_snapshot!(stream.remarks(reading).join("\n"), @r"
wherefore: a\u{1b}.wft: 3 records are of kinds that this version does not know: they were skipped
wherefore: a\u{1b}.wft: 1 host records could not be decoded: they were skipped
wherefore: a\u{1b}.wft: the recording did not end in order: what came last may be missing
");
    let reading = crate::trace::Reading { ended: true, ..crate::trace::Reading::default() };
    assert_eq!(stream.remarks(reading), [""; 0]);
}

#[test]
fn files_of_several_recordings_have_a_summary_each() {
    let directory = TempDir::new().unwrap();
    for name in ["a.wft", "b.wft"] {
        fs::write(directory.path().join(name), trace(&frames()).0).unwrap();
    }
    let line = ["wherefore", "replay", "--json", &directory.path().display().to_string()];
    let Command::Replay(args) = Cli::try_parse_from(line).unwrap().command else { panic!("not replay") };
    let mut session = Session { args: &args, stream: None, records: 0, progress: Progress::new(&[]) };
    let mut out = Vec::new();
    session.read(Replay::open(&args.paths).0, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let count = |kind: &str| text.matches(&format!(r#"{{"type":"{kind}""#)).count();
    assert_eq!((count("start"), count("verdict"), count("summary")), (2, 6, 2));
}
