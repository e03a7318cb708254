//! Trace files as a whole: written, damaged, read.

mod damage;
mod errors;
#[cfg(feature = "capture")]
mod files;
mod properties;
mod writing;

use std::io::Read;
use std::ops::Range;

use super::format::Frame;
use super::{Damage, Reading, Sink, TraceError, TraceItem, TraceReader, TraceWriter, sample, start_record};
use crate::record::{BootTime, HostBody, HostRecord, Record};

/// A trace in memory, and what is in it.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    /// The records of each frame, the copy of the start apart.
    pub(super) frames: Vec<Vec<Record>>,
    /// Where each frame is.
    pub(super) ranges: Vec<Range<usize>>,
}

impl Written {
    pub(super) fn header_len(&self) -> usize {
        self.ranges[0].start
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.frames.concat()
    }
}

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes).expect("a record of the sample is short");
    bytes
}

pub(super) fn end() -> Record {
    Record::Host(HostRecord { time: BootTime::from_ns(9_000_000_000), netns: 0, body: HostBody::End })
}

/// A trace with these frames.
pub(super) fn write(frames: Vec<Vec<Record>>) -> Written {
    let mut writer = TraceWriter::create(Vec::new(), &sample::start()).expect("memory takes everything");
    let mut ranges = Vec::new();
    let mut begin = writer.bytes_written();
    for frame in &frames {
        for record in frame {
            writer.append(&encode(record)).expect("memory takes everything");
        }
        writer.flush().expect("memory takes everything");
        ranges.push(position(begin)..position(writer.bytes_written()));
        begin = writer.bytes_written();
    }
    Written { bytes: writer.finish().expect("memory takes everything"), frames, ranges }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).expect("small")
}

/// A trace of `count` small frames, the last of which ends in order.
pub(super) fn small(count: u64) -> Written {
    let mut frames: Vec<Vec<Record>> = (0..count).map(|seed| sample::Sample::new(seed).records(3)).collect();
    frames.last_mut().expect("at least one frame").push(end());
    write(frames)
}

impl sample::Sample {
    /// At least `count` records.
    pub(super) fn records(&mut self, count: usize) -> Vec<Record> {
        let mut records = Vec::with_capacity(count + 4);
        while records.len() < count {
            self.attempt(&mut records);
        }
        records
    }
}

/// What reading these bytes gave.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    pub(super) records: Vec<Record>,
    pub(super) damage: Vec<Damage>,
    pub(super) reading: Reading,
}

pub(super) fn read(input: impl Read) -> Result<Outcome, TraceError> {
    let mut reader = TraceReader::from_reader(input)?;
    assert_eq!(*reader.start(), sample::start());
    let mut result = Outcome::default();
    for item in &mut reader {
        match item? {
            TraceItem::Record(record) | TraceItem::Repeated(record) => result.records.push(record),
            TraceItem::Damage(damage) => result.damage.push(damage),
        }
    }
    result.reading = reader.reading();
    Ok(result)
}

/// A trace whose only frame has this payload, uncompressed length and these flags, and a right checksum.
pub(super) fn hand_made(payload: &[u8], raw_len: usize, flags: u16) -> Vec<u8> {
    let start = encode(&start_record(&sample::start()));
    let mut bytes = super::format::file_header(&start[crate::record::HEADER_LEN..]).expect("short");
    let mut frame = vec![0; super::format::FRAME_HEADER_LEN];
    frame.extend_from_slice(payload);
    let mut header = Frame::new(0, (1, 2), 7, raw_len);
    header.flags = flags;
    assert!(header.seal(&mut frame));
    bytes.extend_from_slice(&frame);
    bytes
}

pub(super) fn compressed(records: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(records, 3).expect("zstd takes everything")
}

/// Hands out few bytes at a time, with interruptions, as a slow pipe might.
struct Trickle<'a> {
    rest: &'a [u8],
    interrupt: bool,
}

impl Read for Trickle<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let count = to.len().min(self.rest.len()).min(7);
        let (now, rest) = self.rest.split_at(count);
        to[..count].copy_from_slice(now);
        self.rest = rest;
        Ok(count)
    }
}

#[test]
fn gives_back_what_was_written() {
    let written = small(5);
    let read = read(&written.bytes[..]).unwrap();
    assert_eq!(read.records, written.records());
    assert_eq!(read.damage, []);
    let records = u64::try_from(written.records().len()).unwrap();
    assert_eq!(read.reading, Reading { records, ended: true, ..Reading::default() });
}

#[test]
fn reads_a_stream_that_comes_in_pieces() {
    let written = small(5);
    let trickle = Trickle { rest: &written.bytes, interrupt: false };
    assert_eq!(read(trickle).unwrap().records, written.records());
}

#[test]
fn reads_a_trace_larger_than_its_window() {
    let mut sample = sample::Sample::new(1);
    let records = sample.records(100_000);
    let mut writer = TraceWriter::create(Vec::new(), &sample::start()).unwrap();
    for record in &records {
        writer.append(&encode(record)).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert!(bytes.len() > 1 << 20, "{} bytes fit into the window", bytes.len());
    let read = read(&bytes[..]).unwrap();
    assert!(read.records == records);
    assert_eq!(read.damage, []);
    // nothing said that the recording ended
    assert!(!read.reading.ended);
}

#[test]
fn a_trace_without_records_holds_its_start_alone() {
    let writer = TraceWriter::create(Vec::new(), &sample::start()).unwrap();
    let bytes = writer.finish().unwrap();
    assert_eq!(read(&bytes[..]).unwrap(), Outcome::default());
}

/// The checksum and the bytes that docs/trace-format.md promises.
#[test]
fn the_layout_is_as_specified() {
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    let written = small(2);
    let header = &written.bytes[..32];
    assert_eq!(header[..8], [0x89, 0x57, 0x46, 0x54, 0x0d, 0x0a, 0x1a, 0x0a]);
    assert_eq!(header[8..16], [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(header[16..20], 0x0102_0304_u32.to_ne_bytes());
    let body_len = u32::from_le_bytes(header[20..24].try_into().unwrap());
    assert_eq!(usize::try_from(body_len).unwrap(), written.header_len() - 32);
    assert_eq!(header[24..28], [0; 4]);

    let frame = &written.bytes[written.ranges[1].clone()];
    assert_eq!(frame[..8], [0xf3, 0x57, 0x66, 0x74, 0x46, 0x8e, 0x01, 0xdb]);
    assert_eq!(frame[8..16], [48, 0, 0, 0, 1, 0, 0, 0]);
    let times: Vec<u64> = written.frames[1].iter().map(|record| record.time().as_ns()).collect();
    assert_eq!(frame[16..24], times.iter().min().unwrap().to_le_bytes());
    assert_eq!(frame[24..32], times.iter().max().unwrap().to_le_bytes());
    assert_eq!(frame[32..36], u32::try_from(times.len()).unwrap().to_le_bytes());
    let raw: Vec<u8> = written.frames[1].iter().flat_map(encode).collect();
    assert_eq!(frame[36..40], u32::try_from(raw.len()).unwrap().to_le_bytes());
    assert_eq!(frame[40..44], u32::try_from(frame.len() - 48).unwrap().to_le_bytes());
    let mut without_field = frame.to_vec();
    without_field[44..48].fill(0);
    assert_eq!(frame[44..48], crc32c::crc32c(&without_field).to_le_bytes());
    assert_eq!(zstd::bulk::decompress(&frame[48..], raw.len()).unwrap(), raw);
}

/// A sink that can be full, and may be unable to take back what it took.
struct Disk {
    bytes: Vec<u8>,
    capacity: usize,
    cuts_back: bool,
}

impl std::io::Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.capacity.saturating_sub(self.bytes.len()).min(bytes.len());
        if room == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn cut_back(&mut self, len: u64) -> std::io::Result<()> {
        if !self.cuts_back {
            return Err(std::io::ErrorKind::Unsupported.into());
        }
        self.bytes.cut_back(len)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
