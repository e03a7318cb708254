//! How large traces are, and how fast they are written, read and replayed. Prints Markdown; the numbers
//! are shown, not judged.
//!
//! `cargo bench --bench trace -- 2000000 8000000`: records of the two traces that the program replays.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a program that measures and prints"
)]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wherefore::engine::Engine;
use wherefore::record::{self, Record};
use wherefore::trace::{TraceItem, TraceReader, TraceWriter};

#[path = "../src/trace/sample.rs"]
mod sample;

/// Records of the steps that are measured one by one, in memory.
const RECORDS: usize = 500_000;
/// The best of these counts: what other programs take from the machine is not ours.
const ROUNDS: usize = 5;
/// Records of the shorter and of the longer trace that the program replays.
const LENGTHS: [usize; 2] = [2_000_000, 8_000_000];
/// Between two looks at the program's memory.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a trace consists of.
#[derive(Clone, Copy)]
struct Mix {
    name: &'static str,
    /// Of ten failures, how many are requests answered with an error; the others are attempts.
    answers: usize,
    /// Compared with the longer traces: text is larger on disk.
    share: usize,
    /// Longest time between two records, ns; about half of it usually.
    gap_ns: u32,
}

/// 50,000 records a second of the trace's time.
const DENSE: u32 = 40_000;
/// 8,000: about what the programs in the kernel tell of a flood at most, all ports together.
const LIMIT: u32 = 250_000;

const MIXES: [Mix; 5] = [
    Mix { name: "connections", answers: 0, share: 1, gap_ns: DENSE },
    Mix { name: "answers with text", answers: 10, share: 4, gap_ns: DENSE },
    Mix { name: "half of each", answers: 5, share: 2, gap_ns: DENSE },
    Mix { name: "connections, 8,000 a second", answers: 0, share: 1, gap_ns: LIMIT },
    Mix { name: "answers with text, 8,000 a second", answers: 10, share: 4, gap_ns: LIMIT },
];

impl Mix {
    /// So many records, or a few more, in pieces.
    fn pieces(self, count: usize) -> impl Iterator<Item = Vec<Record>> {
        let mut sample = sample::Sample::with_gap(1, self.gap_ns);
        let mut made = 0;
        std::iter::from_fn(move || {
            if made >= count {
                return None;
            }
            let mut piece = Vec::new();
            for number in 0..10 {
                if number < self.answers {
                    sample.answer(&mut piece);
                } else {
                    sample.attempt(&mut piece);
                }
            }
            made += piece.len();
            Some(piece)
        })
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let given: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if let Some(directory) = words.iter().find_map(|word| word.strip_prefix("--keep=")) {
        // for a look with a profiler
        for mix in MIXES {
            let path = Path::new(directory).join(mix.name.replace([' ', ','], "-")).with_extension("wft");
            write_file(mix, given.first().unwrap_or(&LENGTHS[0]) / mix.share, &path);
        }
        return;
    }
    let lengths = if let [short, long] = given[..] { [short, long] } else { LENGTHS };
    println!("Steps, each alone, in millions of records a second on one core ({RECORDS} records in memory):\n");
    println!(
        "| mix | bytes a record, raw | on disk | written | read | read and decided |\n|---|---:|---:|---:|---:|---:|"
    );
    for mix in MIXES {
        steps(mix);
    }
    println!("\n`wherefore replay --json`, the whole program, in records a second of processor time:\n");
    println!(
        "| mix | records | size | processor time | records a second | largest memory |\n|---|---:|---:|---:|---:|---:|"
    );
    let directory = tempfile::tempdir().expect("a directory for traces");
    for mix in MIXES {
        for length in lengths {
            let path = directory.path().join("bench.wft");
            let count = write_file(mix, length / mix.share, &path);
            replay(mix, count, &path);
        }
    }
}

/// Writing, reading and deciding, without the program around it.
fn steps(mix: Mix) {
    let records: Vec<Record> = mix.pieces(RECORDS).flatten().collect();
    let encoded: Vec<Vec<u8>> = records.iter().map(encode).collect();
    let count = encoded.len() as f64;
    let raw: usize = encoded.iter().map(Vec::len).sum();
    let (trace, written) = best(|| {
        let mut writer = TraceWriter::create(Vec::new(), &sample::start()).expect("memory takes everything");
        for record in &encoded {
            writer.append(record).expect("memory takes everything");
        }
        writer.finish().expect("memory takes everything")
    });
    let (read, reading) = best(|| items(&trace).count());
    assert_eq!(read, encoded.len());
    let (said, deciding) = best(|| {
        let (mut engine, mut out, mut said) = (Engine::new(), Vec::new(), 0);
        engine.push(wherefore::trace::start_record(&sample::start()), &mut out);
        for record in items(&trace) {
            engine.push(record, &mut out);
            said += out.drain(..).count();
        }
        engine.finish(&mut out);
        said + out.len()
    });
    assert!(said > 100, "it says {said} things only");
    let speed = |took: Duration| count / took.as_secs_f64() / 1e6;
    println!(
        "| {} | {:.0} | {:.1} | {:.2} | {:.2} | {:.2} |",
        mix.name,
        raw as f64 / count,
        trace.len() as f64 / count,
        speed(written),
        speed(reading),
        speed(deciding)
    );
}

fn items(trace: &[u8]) -> impl Iterator<Item = Record> {
    let reader = TraceReader::from_reader(trace).expect("just written");
    reader.filter_map(|item| match item.expect("memory can be read") {
        TraceItem::Record(record) => Some(record),
        TraceItem::Repeated(_) | TraceItem::Damage(_) => None,
    })
}

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes).expect("records of the sample are short");
    bytes
}

/// Writes a trace and says how many records it has.
fn write_file(mix: Mix, length: usize, path: &Path) -> usize {
    let file = File::create(path).expect("a file for a trace");
    let mut writer = TraceWriter::create(file, &sample::start()).expect("a trace");
    let mut count = 0;
    for record in mix.pieces(length).flatten() {
        writer.append(&encode(&record)).expect("room for a trace");
        count += 1;
    }
    writer.finish().expect("room for a trace");
    count
}

/// Lets the program replay a trace and looks at what it takes.
fn replay(mix: Mix, count: usize, path: &Path) {
    let size = fs::metadata(path).expect("just written").len() as f64 / 1e6;
    let mut child = Command::new(env!("CARGO_BIN_EXE_wherefore"))
        .args(["replay", "--json"])
        .arg(path)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peak_kib = 0;
    // a process that has ended and was not waited for still says what it took
    let ticks = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its child is there");
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("State:").is_some_and(|state| state.starts_with('Z')) {
            break ticks(child.id());
        }
        let peak = field("VmHWM:").and_then(|peak| peak.split(' ').next()?.parse().ok());
        peak_kib = peak_kib.max(peak.unwrap_or(0_u64));
        std::thread::sleep(LOOK_EVERY);
    };
    assert!(child.wait().expect("its child is there").success(), "the replay failed");
    let seconds = ticks as f64 / 100.0;
    println!(
        "| {} | {count} | {size:.0} MB | {seconds:.2} s | {:.2} million | {:.1} MiB |",
        mix.name,
        count as f64 / seconds / 1e6,
        peak_kib as f64 / 1024.0
    );
}

/// User and system time of a process, in clock ticks (1/100 s).
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its child is there");
    let (_name, rest) = text.rsplit_once(") ").expect("a name in parentheses");
    rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}

fn best<T>(mut measured: impl FnMut() -> T) -> (T, Duration) {
    let mut once = || {
        let begun = Instant::now();
        let result = measured();
        (result, begun.elapsed())
    };
    let mut fastest = once();
    for _ in 1..ROUNDS {
        let next = once();
        if next.1 < fastest.1 {
            fastest = next;
        }
    }
    fastest
}
