use super::super::WriteError;
use super::*;
use crate::record::Loss;

fn disk(cuts_back: bool) -> Disk {
    Disk { bytes: Vec::new(), capacity: usize::MAX, cuts_back }
}

fn append_all(writer: &mut TraceWriter<Disk>, records: &[Record]) {
    for record in records {
        writer.append(&encode(record)).unwrap();
    }
}

/// Writes three frames; the disk is full in the midst of the one of number `full`, after `room` more bytes.
fn fill_up(cuts_back: bool, full: usize, room: usize) -> (Vec<Vec<Record>>, Outcome) {
    let frames: Vec<Vec<Record>> = (0..3).map(|seed| sample::Sample::new(seed).records(5)).collect();
    let mut writer = TraceWriter::create(disk(cuts_back), &sample::start()).unwrap();
    for (number, frame) in frames.iter().enumerate() {
        append_all(&mut writer, frame);
        if number == full {
            writer.out.capacity = writer.out.bytes.len() + room;
            let error = writer.flush().unwrap_err();
            let lost = u64::try_from(frame.len()).unwrap();
            assert!(matches!(error, WriteError::Write { lost: told, .. } if told == lost));
            assert_eq!(writer.lost(), lost);
            writer.out.capacity = usize::MAX;
        } else {
            writer.flush().unwrap();
        }
    }
    let len = writer.bytes_written();
    let bytes = writer.finish().unwrap().bytes;
    // after the last frame was lost, `finish` still writes that it was
    assert!(u64::try_from(bytes.len()).unwrap() >= len);
    (frames, read(&bytes[..]).unwrap())
}

/// What tells of lost records: one loss at either end of them.
fn losses(records: &[Record]) -> [Record; 2] {
    let times = || records.iter().map(Record::time);
    let loss = |time, count: usize| {
        let body = HostBody::Loss(Loss::now("trace-write", count.try_into().unwrap()));
        Record::Host(HostRecord { time, netns: 0, body })
    };
    [loss(times().min().unwrap(), 1), loss(times().max().unwrap(), records.len() - 1)]
}

#[test]
fn a_lost_frame_is_told_by_the_next_one() {
    for full in 0..3 {
        for room in [0, 1, 20, 60] {
            let (frames, read) = fill_up(true, full, room);
            let mut expected: Vec<Record> = Vec::new();
            for (number, frame) in frames.iter().enumerate() {
                if number == full {
                    // the start in the first frame is older than its records
                    expected.extend(losses(frame));
                } else {
                    expected.extend_from_slice(frame);
                }
            }
            assert_eq!(read.records, expected, "frame {full}, {room} bytes");
            assert_eq!(read.damage, [], "frame {full}, {room} bytes");
        }
    }
}

#[test]
fn a_torn_frame_that_stays_is_passed_over() {
    for full in 0..3 {
        let (frames, read) = fill_up(false, full, 60);
        assert_eq!(read.damage.len(), 1, "frame {full}");
        assert_eq!((read.damage[0].bytes, read.damage[0].frames), (60, 1));
        assert_eq!(read.records.len(), frames.concat().len() - frames[full].len() + 2);
        assert!(losses(&frames[full]).iter().all(|loss| read.records.contains(loss)));
    }
}

#[test]
fn losses_add_up_until_they_are_told() {
    let records = sample::Sample::new(1).records(6);
    let mut writer = TraceWriter::create(disk(true), &sample::start()).unwrap();
    writer.out.capacity = writer.out.bytes.len() + 10;
    for part in records.chunks(2) {
        append_all(&mut writer, part);
        writer.flush().unwrap_err();
    }
    assert_eq!(writer.lost(), u64::try_from(records.len()).unwrap());
    writer.out.capacity = usize::MAX;
    let bytes = writer.finish().unwrap().bytes;
    let read = read(&bytes[..]).unwrap();
    assert_eq!(read.records, losses(&records));
}

#[test]
fn a_record_that_finds_the_disk_full_is_in_the_next_frame() {
    let mut writer = TraceWriter::create(disk(true), &sample::start()).unwrap();
    writer.out.capacity = writer.out.bytes.len();
    let mut sample = sample::Sample::new(1);
    let (mut appended, refused) = (0_u64, loop_until_refused(&mut writer, &mut sample));
    appended += refused.0;
    writer.out.capacity = usize::MAX;
    let bytes = writer.finish().unwrap().bytes;
    let read = read(&bytes[..]).unwrap();
    // all before it are lost, itself not
    let told = read.records.iter().map(|record| match record {
        Record::Host(HostRecord { body: HostBody::Loss(loss), .. }) => loss.count,
        _ => 0,
    });
    assert_eq!(told.collect::<Vec<_>>(), [1, appended - 1, 0]);
    assert_eq!(read.records[2..], [refused.1]);
}

/// Appends until the frame is full and cannot be written: how many were taken before, and the last record.
fn loop_until_refused(writer: &mut TraceWriter<Disk>, sample: &mut sample::Sample) -> (u64, Record) {
    let mut taken = 0;
    loop {
        for record in sample.records(1) {
            if writer.append(&encode(&record)).is_err() {
                return (taken, record);
            }
            taken += 1;
        }
    }
}

#[test]
fn the_header_must_be_written() {
    let full = Disk { capacity: 20, ..disk(true) };
    assert!(matches!(TraceWriter::create(full, &sample::start()).map(|_| ()), Err(WriteError::Write { lost: 0, .. })));
}

#[test]
fn only_whole_records_are_taken() {
    let mut writer = TraceWriter::create(disk(true), &sample::start()).unwrap();
    let good = encode(&end());
    let twice = [&good[..], &good].concat();
    let mut odd = [&good[..], &[0; 4]].concat();
    odd[2] = 28;
    for bytes in [&good[..23], &[], &twice, &odd] {
        assert!(matches!(writer.append(bytes), Err(WriteError::NoRecord { len }) if len == bytes.len()));
    }
    writer.append(&good).unwrap();
    let bytes = writer.finish().unwrap().bytes;
    assert_eq!(read(&bytes[..]).unwrap().records, [end()]);
}

#[test]
fn a_start_that_is_too_long_is_an_error() {
    let start = crate::record::Start { host: "x".repeat(70_000), ..sample::start() };
    assert!(matches!(TraceWriter::create(Vec::new(), &start).map(|_| ()), Err(WriteError::Start(_))));
}

/// Bytes that zstd cannot make shorter, in frames that are as full as they get.
#[test]
fn incompressible_records_fit() {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    let mut writer = TraceWriter::create(Vec::new(), &sample::start()).unwrap();
    for _ in 0..20 {
        let mut record: Vec<u8> = (0..65_528).map(|_| noise()).collect();
        record[..4].copy_from_slice(&[0x7f, 0, 0xf8, 0xff]);
        writer.append(&record).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let read = read(&bytes[..]).unwrap();
    assert_eq!((read.reading.unknown, read.damage.len()), (20, 0));
}
