//! Arbitrary bytes as a trace: bare, behind a good header, and as damage in a good trace. No panic, no
//! endless loop, and no byte is reported twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherefore::record::{BootTime, HostBody, HostRecord, Loss, Record, Start};
use wherefore::trace::{TraceItem, TraceReader, TraceWriter};

/// A trace of a few frames.
fn good() -> Vec<u8> {
    let mut writer = TraceWriter::create(Vec::new(), &Start::default()).expect("memory takes everything");
    for count in 0..4 {
        let body = HostBody::Loss(Loss::now("ring-full", count));
        let mut record = Vec::new();
        let host = HostRecord { time: BootTime::from_ns(count), netns: 0, body };
        Record::Host(host).encode(&mut record).expect("short");
        writer.append(&record).expect("memory takes everything");
        writer.flush().expect("memory takes everything");
    }
    writer.finish().expect("memory takes everything")
}

fn read(bytes: &[u8]) {
    let Ok(mut reader) = TraceReader::from_reader(bytes) else { return };
    let mut damaged = 0;
    for item in &mut reader {
        if let TraceItem::Damage(damage) = item.expect("memory can always be read") {
            damaged += damage.bytes;
        }
    }
    assert!(damaged <= bytes.len() as u64);
}

fuzz_target!(|input: &[u8]| {
    let Some((how, bytes)) = input.split_first() else { return };
    let mut trace = good();
    match how % 4 {
        0 => read(bytes),
        1 => {
            // where the frames should be
            trace.truncate(usize::from(*how));
            trace.extend_from_slice(bytes);
            read(&trace);
        }
        2 => {
            // over a part of the file
            let Some((at, noise)) = bytes.split_first_chunk() else { return };
            let at = usize::from(u16::from_le_bytes(*at)) % trace.len();
            for (to, from) in trace[at..].iter_mut().zip(noise) {
                *to ^= from;
            }
            read(&trace);
        }
        _ => {
            // as records of a frame whose checksum holds
            let mut writer = TraceWriter::create(Vec::new(), &Start::default()).expect("memory takes everything");
            let mut rest = bytes;
            while let Ok(decoded) = Record::decode(rest) {
                writer.append(&rest[..decoded.len]).expect("memory takes everything");
                rest = &rest[decoded.len..];
            }
            let trace = writer.finish().expect("memory takes everything");
            read(&trace);
        }
    }
});
