//! The same stream into one file and into many: nothing of what is said may differ.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::cli::replay::json_lines;
use crate::engine::simulation::{Life, life_within, stream_until};
use crate::output::Printer;
use crate::record::{HostBody, HostRecord};
use crate::trace::{Keep, MinFree, Policy};

const BEGUN: ClockPair = ClockPair { boot_ns: 1_000_000_000, unix_ns: 1_795_262_621_000_000_000 };

fn keep_all() -> Keep {
    Keep { bytes: u64::MAX, age: Duration::MAX, min_free: MinFree::Bytes(0) }
}

fn rotate_at(bytes: u64) -> Policy {
    Policy { rotate_bytes: bytes, rotate_age: Duration::MAX, keep: keep_all() }
}

fn verdicts(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.starts_with(r#"{"type":"verdict""#)).collect()
}

fn summary(lines: &[String]) -> serde_json::Value {
    let mut summary: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(summary["type"], "summary");
    summary["files"].take();
    summary["dropped"].take();
    summary
}

fn lines_of(out: &[u8]) -> Vec<String> {
    String::from_utf8(out.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

/// What a run has written and said.
struct Recorded {
    directory: TempDir,
    lines: Vec<String>,
    /// How many lines had been said when each file ended.
    said: Vec<usize>,
    files: Vec<PathBuf>,
}

impl Recorded {
    /// The verdict lines that were said while this file was written.
    fn said_in(&self, file: usize) -> Vec<&String> {
        let from = if file == 0 { 0 } else { self.said[file - 1] };
        verdicts(&self.lines[from..self.said[file]])
    }
}

/// As the kernel side writes it.
fn with_len(mut record: Record) -> Record {
    match &mut record {
        Record::Socket(record) => record.header.len = 128,
        Record::Packet(record) => record.header.len = 96,
        Record::Icmp(record) => record.header.len = 104,
        Record::Flow(record) => record.header.len = 208,
        Record::Handshake(record) => record.header.len = 96,
        Record::Process(record) => record.header.len = 56,
        Record::UnixConnect(record) => record.header.len = 184,
        Record::Host(_) => {}
    }
    record
}

/// Records a stream; at each of its half seconds the files are flushed.
fn recorded(stream: &[Record], policy: Policy, mut each_flush: impl FnMut(&Path, u64)) -> Recorded {
    let directory = TempDir::new().unwrap();
    let Record::Host(HostRecord { body: HostBody::Start(start), .. }) = &stream[0] else { panic!("no start") };
    let start = Start { clock: BEGUN, host: "web-1".to_owned(), ..(**start).clone() };
    let (traces, torn) = TraceDirectory::create(directory.path(), &start, None, policy).unwrap();
    assert_eq!(torn, []);
    let mut tee = Tee::new(Some(traces), Analysis::new(Printer::json()));
    let mut out = Vec::new();
    tee.begin(&start, &mut out).unwrap();
    let mut said = Vec::new();
    let mut next_flush = 0;
    let mut files = vec![tee.traces.as_ref().unwrap().files().pop().unwrap()];
    let count = |out: &Vec<u8>| memchr::memchr_iter(b'\n', out).count();
    for record in &stream[1..] {
        tee.pass(&mut vec![with_len(record.clone())], &mut out).unwrap();
        let boot_ns = record.time().as_ns();
        if boot_ns >= next_flush {
            next_flush = boot_ns + 500_000_000;
            let passed = i64::try_from(boot_ns - BEGUN.boot_ns.min(boot_ns)).unwrap();
            tee.flush(ClockPair { boot_ns, unix_ns: BEGUN.unix_ns + passed });
            let current = tee.traces.as_ref().unwrap().files().pop().unwrap();
            if files.last() != Some(&current) {
                said.push(count(&out));
                files.push(current);
            }
            each_flush(directory.path(), boot_ns);
        }
    }
    let time = stream.last().unwrap().time();
    tee.pass(&mut vec![Record::Host(HostRecord { time, netns: 0, body: HostBody::End })], &mut out).unwrap();
    tee.finish(ClockPair { boot_ns: time.as_ns(), ..BEGUN }, &mut out).unwrap();
    let lines = lines_of(&out);
    said.push(lines.len());
    Recorded { directory, lines, said, files }
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    prop::collection::vec(life_within(30_000), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    #[test]
    fn many_files_say_what_one_does(lives in lives(), rotate_bytes in 1_u64..1_500) {
        let stream = stream_until(&lives, 36_000);
        let one = recorded(&stream, rotate_at(u64::MAX), |_, _| {});
        let many = recorded(&stream, rotate_at(rotate_bytes), |_, _| {});
        prop_assert_eq!(one.files.len(), 1);
        prop_assert!(many.files.len() > 3, "{} files", many.files.len());
        prop_assert_eq!(&one.lines[..one.lines.len() - 1], &many.lines[..many.lines.len() - 1]);
        for recorded in [&one, &many] {
            let replayed = json_lines(&[recorded.directory.path().to_owned()]);
            prop_assert_eq!(&replayed[..replayed.len() - 1], &recorded.lines[..recorded.lines.len() - 1]);
            prop_assert_eq!(summary(&replayed), summary(&recorded.lines));
        }
    }

    #[test]
    fn a_file_alone_says_what_was_said_while_it_was_written(lives in lives(), rotate_bytes in 1_u64..1_500) {
        let stream = stream_until(&lives, 36_000);
        let many = recorded(&stream, rotate_at(rotate_bytes), |_, _| {});
        for number in 0..many.files.len() {
            let alone = json_lines(&many.files[number..=number]);
            let said = many.said_in(number);
            // what is still undecided when the file ends may be decided by that
            let alone = verdicts(&alone);
            prop_assert!(alone.len() >= said.len(), "file {}: {:?}\n{:?}", number, alone, said);
            prop_assert_eq!(&alone[..said.len()], &said[..], "file {}", number);
        }
    }

    #[test]
    fn what_retention_left_says_what_was_said_since(
        lives in lives(),
        rotate_bytes in 1_u64..1_500,
        gone in any::<prop::sample::Index>(),
    ) {
        let stream = stream_until(&lives, 36_000);
        let many = recorded(&stream, rotate_at(rotate_bytes), |_, _| {});
        let gone = gone.index(many.files.len() - 1) + 1;
        let left = json_lines(&many.files[gone..]);
        let said: Vec<&String> = (gone..many.files.len()).flat_map(|file| many.said_in(file)).collect();
        prop_assert_eq!(verdicts(&left), said);
        let counted: u64 = summary(&left)["verdicts"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
        prop_assert_eq!(counted, u64::try_from(verdicts(&left).len()).unwrap());
    }

    #[test]
    fn a_missing_file_costs_what_was_said_in_it(
        lives in lives(),
        rotate_bytes in 1_u64..1_500,
        missing in any::<prop::sample::Index>(),
    ) {
        let stream = stream_until(&lives, 36_000);
        let many = recorded(&stream, rotate_at(rotate_bytes), |_, _| {});
        let missing = missing.index(many.files.len() - 2) + 1;
        std::fs::remove_file(&many.files[missing]).unwrap();
        let lines = json_lines(&[many.directory.path().to_owned()]);
        let read = verdicts(&lines);
        for file in (0..many.files.len()).filter(|file| *file != missing) {
            for line in many.said_in(file) {
                prop_assert_eq!(read.iter().filter(|read| **read == line).count(), 1, "{}", line);
            }
        }
        let kinds = |kind: &str| lines.iter().filter(|line| line.starts_with(&format!(r#"{{"type":"{kind}""#))).count();
        prop_assert_eq!((kinds("start"), kinds("summary")), (1, 1));
    }
}

/// Refused connections every now and then, with ticks.
fn busy_stream(seconds: u64) -> Vec<Record> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let many = prop::collection::vec(life_within(seconds * 1_000), 200);
    let lives = many.new_tree(&mut runner).unwrap().current();
    stream_until(&lives, (seconds + 6) * 1_000)
}

use proptest::strategy::ValueTree;

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let stream = busy_stream(30);
    let mut removed = false;
    let recorded = recorded(&stream, rotate_at(1 << 20), |directory, boot_ns| {
        if !removed && boot_ns > 15_000_000_000 {
            removed = true;
            std::fs::remove_dir_all(directory).unwrap();
        }
    });
    assert!(removed && recorded.files.len() == 2, "{:?}", recorded.files);
    assert!(!recorded.files[0].exists());
    let lines = json_lines(&[recorded.directory.path().to_owned()]);
    // the flush that finds it gone writes what had been said since the one before as well
    let said = recorded.said_in(1);
    assert!(!said.is_empty());
    assert_eq!(verdicts(&lines)[verdicts(&lines).len() - said.len()..], said);
}

#[test]
fn the_oldest_files_go_and_are_counted() {
    let stream = busy_stream(60);
    let keep = Keep { bytes: 40_000, ..keep_all() };
    let policy = Policy { rotate_bytes: 2_000, rotate_age: Duration::MAX, keep };
    let recorded = recorded(&stream, policy, |_, _| {});
    let left: Vec<&PathBuf> = recorded.files.iter().filter(|file| file.exists()).collect();
    let first = recorded.files.len() - left.len();
    assert!(first > 0 && left.len() > 1, "{} of {}", left.len(), recorded.files.len());
    assert_eq!(left, recorded.files[first..].iter().collect::<Vec<_>>());
    let summary: serde_json::Value = serde_json::from_str(recorded.lines.last().unwrap()).unwrap();
    assert_eq!(summary["dropped"]["files"], first);
    assert_eq!(summary["files"].as_array().unwrap().len(), left.len());
    let said: Vec<&String> = (first..recorded.files.len()).flat_map(|file| recorded.said_in(file)).collect();
    let lines = json_lines(&[recorded.directory.path().to_owned()]);
    assert_eq!(verdicts(&lines), said);
}

#[test]
fn a_file_of_its_age_is_followed_by_the_next() {
    let policy = Policy { rotate_bytes: u64::MAX, rotate_age: Duration::from_secs(10), keep: keep_all() };
    let recorded = recorded(&busy_stream(30), policy, |_, _| {});
    assert_eq!(recorded.files.len(), 4);
}

/// The next file repeats the last seconds, also those that the file before could not take.
#[test]
fn what_a_file_could_not_take_is_read_from_the_next_one() {
    let stream = busy_stream(40);
    let directory = TempDir::new().unwrap();
    let Record::Host(HostRecord { body: HostBody::Start(start), .. }) = &stream[0] else { panic!("no start") };
    let start = Start { clock: BEGUN, host: "web-1".to_owned(), ..(**start).clone() };
    let policy = Policy { rotate_bytes: u64::MAX, rotate_age: Duration::from_secs(20), keep: keep_all() };
    let (traces, _torn) = TraceDirectory::create(directory.path(), &start, None, policy).unwrap();
    let mut tee = Tee::new(Some(traces), Analysis::new(Printer::json()));
    let mut out = Vec::new();
    tee.begin(&start, &mut out).unwrap();
    let (mut next_flush, mut said_before) = (0, 0);
    for record in &stream[1..] {
        tee.pass(&mut vec![with_len(record.clone())], &mut out).unwrap();
        let boot_ns = record.time().as_ns();
        if boot_ns < next_flush {
            continue;
        }
        next_flush = boot_ns + 500_000_000;
        tee.traces.as_mut().unwrap().fail((17_000_000_000..20_500_000_000).contains(&boot_ns));
        if tee.traces.as_ref().unwrap().files().len() == 1 {
            said_before = lines_of(&out).len();
        }
        tee.flush(ClockPair { boot_ns, ..BEGUN });
    }
    assert!(tee.lost() > 0);
    let time = stream.last().unwrap().time();
    tee.pass(&mut vec![Record::Host(HostRecord { time, netns: 0, body: HostBody::End })], &mut out).unwrap();
    tee.finish(ClockPair { boot_ns: time.as_ns(), ..BEGUN }, &mut out).unwrap();
    let said = lines_of(&out);
    let after = verdicts(&said[said_before..]);
    assert!(after.len() > 20, "{}", after.len());
    let replayed = json_lines(&[directory.path().to_owned()]);
    let replayed = verdicts(&replayed);
    assert_eq!(replayed[replayed.len() - after.len()..], after);
    // where the gap is, a replay may be less certain
    let others: Vec<_> = replayed.iter().filter(|line| !said.contains(line)).collect();
    assert!(others.iter().all(|line| line.contains("lost meanwhile: trace-write")), "{others:?}");
}

/// The wall clock is set back a day, forward a year, and to the time before 1970, while records come in:
/// nothing of what is said, kept or replayed depends on it.
#[test]
fn a_clock_that_is_set_changes_nothing() {
    const DAY_NS: i64 = 86_400_000_000_000;
    let stream = busy_stream(30);
    let steady = recorded(&stream, rotate_at(1_500), |_, _| {});
    let directory = TempDir::new().unwrap();
    let Record::Host(HostRecord { body: HostBody::Start(start), .. }) = &stream[0] else { panic!("no start") };
    let start = Start { clock: BEGUN, host: "web-1".to_owned(), ..(**start).clone() };
    let keep = Keep { age: Duration::from_hours(1), ..keep_all() };
    let policy = Policy { keep, ..rotate_at(1_500) };
    let (traces, _torn) = TraceDirectory::create(directory.path(), &start, None, policy).unwrap();
    let mut tee = Tee::new(Some(traces), Analysis::new(Printer::json()));
    let mut out = Vec::new();
    tee.begin(&start, &mut out).unwrap();
    let stepped = |boot_ns: u64| match boot_ns / 5_000_000_000 % 4 {
        0 => BEGUN.unix_ns,
        1 => BEGUN.unix_ns - DAY_NS,
        2 => BEGUN.unix_ns + 365 * DAY_NS,
        _ => -DAY_NS,
    };
    let mut next_flush = 0;
    for record in &stream[1..] {
        let mut record = with_len(record.clone());
        let boot_ns = record.time().as_ns();
        let clock = ClockPair { boot_ns, unix_ns: stepped(boot_ns) };
        if let Record::Host(HostRecord { body: HostBody::Tick(tick), .. }) = &mut record {
            tick.clock = clock;
        }
        tee.pass(&mut vec![record], &mut out).unwrap();
        if boot_ns >= next_flush {
            next_flush = boot_ns + 500_000_000;
            tee.flush(clock);
        }
    }
    let time = stream.last().unwrap().time();
    tee.pass(&mut vec![Record::Host(HostRecord { time, netns: 0, body: HostBody::End })], &mut out).unwrap();
    let files = tee.finish(ClockPair { boot_ns: time.as_ns(), unix_ns: 0 }, &mut out).unwrap();
    let said = lines_of(&out);
    let last: serde_json::Value = serde_json::from_str(said.last().unwrap()).unwrap();
    assert!(files.len() > 3 && last["dropped"]["files"] == 0, "files were dropped for their age: {last}");
    assert_eq!(verdicts(&said), verdicts(&steady.lines));
    let replayed = json_lines(&[directory.path().to_owned()]);
    assert_eq!(replayed[..replayed.len() - 1], said[..said.len() - 1]);
    assert_eq!(summary(&replayed), summary(&said));
}
