//! How large traces are, and how fast they are written and read. The numbers are printed, not judged.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a program that measures and prints"
)]

use std::time::{Duration, Instant};

use wherefore::record;
use wherefore::trace::{TraceItem, TraceReader, TraceWriter};

#[path = "../src/trace/sample.rs"]
mod sample;

const RECORDS: usize = 500_000;
/// The best of these counts: what other programs take from the machine is not ours.
const ROUNDS: usize = 20;

fn main() {
    let encoded: Vec<Vec<u8>> = sample::Sample::new(1)
        .records(RECORDS)
        .iter()
        .map(|record| {
            let mut bytes = Vec::new();
            record.encode(&mut bytes).expect("records of the sample are short");
            bytes
        })
        .collect();
    let count = encoded.len() as f64;
    let raw: usize = encoded.iter().map(Vec::len).sum();

    let (trace, took) = best(|| {
        let mut writer = TraceWriter::create(Vec::new(), &sample::start()).expect("memory takes everything");
        for record in &encoded {
            writer.append(record).expect("memory takes everything");
        }
        writer.finish().expect("memory takes everything")
    });
    println!("written: {:.2} million records/s", count / took.as_secs_f64() / 1e6);
    println!("size: {:.1} bytes a record of {:.1}", trace.len() as f64 / count, raw as f64 / count);

    let (read, took) = best(|| {
        let reader = TraceReader::from_reader(&trace[..]).expect("just written");
        reader.filter(|item| matches!(item, Ok(TraceItem::Record(_)))).count()
    });
    println!("read: {:.2} million records/s", count / took.as_secs_f64() / 1e6);
    assert_eq!(read, encoded.len());
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
