use super::super::DamageKind;
use super::*;

fn damage(offset: usize, bytes: usize, frames: u64, kind: DamageKind) -> Damage {
    Damage { offset: offset.try_into().unwrap(), bytes: bytes.try_into().unwrap(), frames, kind }
}

#[test]
fn cut_at_any_byte_it_gives_every_whole_frame() {
    let written = small(4);
    for cut in 0..written.bytes.len() {
        let bytes = &written.bytes[..cut];
        if cut < written.header_len() {
            let error = read(bytes).unwrap_err();
            match cut {
                0 => assert!(matches!(error, TraceError::Empty)),
                _ => assert!(matches!(error, TraceError::HeaderCut { bytes } if bytes == cut), "{cut}: {error}"),
            }
            continue;
        }
        let whole = written.ranges.iter().filter(|range| range.end <= cut).count();
        let read = read(bytes).unwrap();
        assert_eq!(read.records, written.frames[..whole].concat(), "cut at {cut}");
        let torn_at = written.ranges[whole].start;
        let expected = (torn_at < cut).then(|| damage(torn_at, cut - torn_at, 1, DamageKind::Torn));
        assert_eq!(read.damage, Vec::from_iter(expected), "cut at {cut}");
        assert!(!read.reading.ended);
    }
}

/// Exhaustive over the bytes; the properties vary the bits.
#[test]
fn a_flipped_bit_costs_its_frame_alone() {
    let written = small(4);
    for at in 0..written.bytes.len() {
        let mut bytes = written.bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let read = read(&bytes[..]).unwrap_or_else(|error| panic!("bit flipped at {at}: {error}"));
        let (hit, mut frames) = (written.ranges.iter().position(|range| range.contains(&at)), written.frames.clone());
        let range = hit.map_or(0..written.header_len(), |hit| written.ranges[hit].clone());
        if let Some(hit) = hit {
            frames.remove(hit);
        }
        assert_eq!(read.records, frames.concat(), "bit flipped at {at}");
        let [damage] = read.damage[..] else { panic!("bit flipped at {at}: {:?}", read.damage) };
        assert_eq!(damage.offset, u64::try_from(range.start).unwrap(), "bit flipped at {at}");
        assert_eq!(damage.bytes, u64::try_from(range.len()).unwrap(), "bit flipped at {at}");
        assert_eq!(damage.frames, u64::from(hit.is_some()), "bit flipped at {at}");
        assert_eq!(damage.kind == DamageKind::Header, hit.is_none(), "bit flipped at {at}");
    }
}

#[test]
fn each_kind_of_damage_is_named() {
    let written = small(4);
    let second = written.ranges[1].clone();
    let check = |at: usize, kind| {
        let mut bytes = written.bytes.clone();
        bytes[second.start + at] ^= 0x80;
        assert_eq!(read(&bytes[..]).unwrap().damage, [damage(second.start, second.len(), 1, kind)]);
    };
    check(0, DamageKind::Marker);
    check(9, DamageKind::Length);
    check(39, DamageKind::Length);
    check(43, DamageKind::Length);
    check(12, DamageKind::Checksum);
    check(44, DamageKind::Checksum);
    check(48, DamageKind::Checksum);
    // a payload that would reach beyond the end of the file, in the midst of it
    check(41, DamageKind::Checksum);
}

#[test]
fn neighbouring_damage_is_one() {
    let written = small(5);
    let (from, to) = (written.ranges[1].start, written.ranges[3].start);
    let mut bytes = written.bytes.clone();
    bytes[from..to].fill(0);
    let read = read(&bytes[..]).unwrap();
    assert_eq!(read.damage, [damage(from, to - from, 2, DamageKind::Marker)]);
    assert_eq!(read.reading.damaged_frames, 2);
    assert_eq!(read.records, [&written.frames[0][..], &written.frames[3], &written.frames[4]].concat());
    assert!(read.reading.ended);
}

#[test]
fn removed_frames_are_missed() {
    let written = small(5);
    let mut bytes = written.bytes.clone();
    bytes.drain(written.ranges[1].start..written.ranges[2].end);
    let read = read(&bytes[..]).unwrap();
    assert_eq!(read.damage, [damage(written.ranges[1].start, 0, 2, DamageKind::Missing)]);
    assert_eq!(read.records, [&written.frames[0][..], &written.frames[3], &written.frames[4]].concat());
}

/// A file system that lost the last writes may leave zeros.
#[test]
fn zeros_at_the_end_are_damage() {
    let written = small(2);
    let mut bytes = written.bytes.clone();
    bytes.resize(bytes.len() + 3_000_000, 0);
    let read = read(&bytes[..]).unwrap();
    assert_eq!(read.records, written.records());
    assert_eq!(read.damage, [damage(written.bytes.len(), 3_000_000, 1, DamageKind::Marker)]);
    assert!(!read.reading.ended);
}

#[test]
fn a_marker_by_chance_does_no_harm() {
    let written = small(3);
    let at = written.ranges[1].start;
    let mut bytes = written.bytes.clone();
    // markers, one of them torn, in front of the second frame
    let noise = [&super::super::format::MARKER[..], b"xx", &super::super::format::MARKER, &[48, 0], b"\xf3Wf"].concat();
    bytes.splice(at..at, noise.iter().copied());
    let read = read(&bytes[..]).unwrap();
    assert_eq!(read.records, written.records());
    assert_eq!(read.damage.len(), 1);
    assert_eq!(read.damage[0].bytes, u64::try_from(noise.len()).unwrap());
}

#[test]
fn a_payload_that_is_no_zstd_is_damage() {
    let bytes = hand_made(b"no zstd at all", 16, 0);
    let frame = 48 + 14;
    let expected = damage(bytes.len() - frame, frame, 1, DamageKind::Payload);
    assert_eq!(read(&bytes[..]).unwrap().damage, [expected]);
}

#[test]
fn a_payload_of_another_length_is_damage() {
    let records = encode(&end());
    for raw_len in [0, records.len() - 8, records.len() + 8] {
        let read = read(&hand_made(&compressed(&records), raw_len, 0)[..]).unwrap();
        assert_eq!(read.records, []);
        assert_eq!(read.damage[0].kind, DamageKind::Payload);
    }
    // nor is it unpacked beyond the room that there is
    let read = read(&hand_made(&compressed(&vec![0; 1 << 20]), 1 << 18, 0)[..]).unwrap();
    assert_eq!(read.damage[0].kind, DamageKind::Payload);
}

#[test]
fn a_record_of_impossible_length_costs_the_rest_of_its_frame() {
    let good = encode(&end());
    for bad_len in [0_u16, 16, 25, 4096] {
        let mut records = [&good[..], &good, &good].concat();
        records[good.len() + 2..][..2].copy_from_slice(&bad_len.to_ne_bytes());
        let read = read(&hand_made(&compressed(&records), records.len(), 0)[..]).unwrap();
        assert_eq!(read.records, [end()], "{bad_len}");
        assert_eq!(read.damage[0].kind, DamageKind::Record);
    }
}

#[test]
fn frames_that_need_a_newer_reader_are_counted() {
    let records = encode(&end());
    let read = read(&hand_made(&compressed(&records), records.len(), 0x0100)[..]).unwrap();
    // hand-made frames say seven
    assert_eq!((read.records.len(), read.reading.unknown), (0, 7));
    assert_eq!(read.damage, []);
}

#[test]
fn frames_with_harmless_flags_are_read() {
    let records = encode(&end());
    let read = read(&hand_made(&compressed(&records), records.len(), 0x00ff)[..]).unwrap();
    assert_eq!(read.records, [end()]);
}

#[test]
fn unknown_and_undecodable_records_are_counted() {
    let good = encode(&end());
    let with_kind = |kind: u16, body: &[u8]| {
        let mut record = good.clone();
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[2..4].copy_from_slice(&u16::try_from(24 + body.len()).unwrap().to_ne_bytes());
        [&record, body].concat()
    };
    // a kernel kind, a host kind, and a tick whose body is no map
    let strange = [with_kind(0x7f, &[]), with_kind(0xfff0, &[1; 64]), with_kind(0x81, &[0xff; 8])].concat();
    let records = [&strange[..], &good].concat();
    let read = read(&hand_made(&compressed(&records), records.len(), 0)[..]).unwrap();
    assert_eq!(read.records, [end()]);
    assert_eq!(read.damage, []);
    assert_eq!(read.reading, Reading { records: 1, unknown: 2, undecodable: 1, ended: true, ..Reading::default() });
}

#[test]
fn a_longer_frame_header_is_skipped_over() {
    let records = encode(&end());
    let payload = compressed(&records);
    let mut bytes = hand_made(&payload, records.len(), 0);
    let frame = bytes.len() - 48 - payload.len();
    bytes.splice(frame + 48..frame + 48, [0xaa; 16]);
    bytes[frame + 8] = 64;
    bytes[frame + 44..frame + 48].fill(0);
    let crc = crc32c::crc32c(&bytes[frame..]);
    bytes[frame + 44..frame + 48].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(read(&bytes[..]).unwrap().records, [end()]);
}
