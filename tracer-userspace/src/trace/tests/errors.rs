use super::*;

/// A whole header with `change` made to it, and a right checksum.
fn header_with(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let written = small(1);
    let mut header = written.bytes[..written.header_len()].to_vec();
    change(&mut header);
    header[28..32].fill(0);
    let crc = crc32c::crc32c(&header);
    header[28..32].copy_from_slice(&crc.to_le_bytes());
    header
}

fn error(bytes: &[u8]) -> TraceError {
    read(bytes).unwrap_err()
}

#[test]
fn empty() {
    assert!(matches!(error(b""), TraceError::Empty));
}

#[test]
fn foreign() {
    for bytes in [&b"\x7fELF"[..], b"x", &[0; 200], &vec![0xd4; 500_000], b"{\"type\":\"verdict\"}\n"] {
        assert!(matches!(error(bytes), TraceError::Foreign));
    }
}

/// What a transfer in text mode does to the magic: the copy of the header is used.
#[test]
fn a_changed_line_end_is_damage() {
    let written = small(1);
    let mut bytes = written.bytes.clone();
    assert_eq!(bytes.remove(4), b'\r');
    let read = read(&bytes[..]).unwrap();
    assert_eq!(read.records, written.records());
    assert_eq!(read.damage[0].kind, super::super::DamageKind::Header);
}

#[test]
fn newer() {
    let bytes = header_with(|header| header[8..16].copy_from_slice(&[2, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff]));
    let newer = error(&bytes);
    assert!(matches!(newer, TraceError::Newer { file: 2, ours: 1 }));
    let text = newer.to_string();
    assert!(text.contains("format 2") && text.contains("up to 1.x"), "{text}");
    // its first 16 bytes are all that is known of a newer format
    let rest = [&bytes[..16], &[0x55; 4000]].concat();
    assert!(matches!(error(&rest), TraceError::Newer { file: 2, ours: 1 }));
}

#[test]
fn a_newer_minor_version_is_read() {
    let written = small(2);
    let header = header_with(|header| header[8..16].copy_from_slice(&[1, 0, 9, 0, 0xfe, 0xff, 0xf6, 0xff]));
    let bytes = [&header, &written.bytes[written.header_len()..]].concat();
    assert_eq!(read(&bytes[..]).unwrap().records, written.records());
}

#[test]
fn other_byte_order() {
    let bytes = header_with(|header| header[16..20].reverse());
    assert!(matches!(error(&bytes), TraceError::ByteOrder));
}

#[test]
fn header_cut() {
    let written = small(1);
    assert!(matches!(error(&written.bytes[..5]), TraceError::HeaderCut { bytes: 5 }));
    assert!(matches!(error(&written.bytes[..100]), TraceError::HeaderCut { bytes: 100 }));
}

#[test]
fn header_and_copy_damaged() {
    let written = small(3);
    let mut bytes = written.bytes.clone();
    bytes[40] ^= 1;
    bytes[written.ranges[0].start + 60] ^= 1;
    assert!(matches!(error(&bytes), TraceError::HeaderDamaged));
    // a major version that never was
    let zero = header_with(|header| header[8..16].copy_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]));
    assert!(matches!(error(&zero), TraceError::HeaderDamaged));
    // a body that is no start record
    assert!(matches!(error(&header_with(|header| header[32..].fill(0xff))), TraceError::HeaderDamaged));
    // a body length over the limit
    assert!(matches!(error(&header_with(|header| header[23] = 0xff)), TraceError::HeaderDamaged));
}

/// A damaged header is recovered only from a frame that begins early enough.
#[test]
fn a_copy_far_away_is_not_looked_for() {
    let written = small(1);
    let frames = &written.bytes[written.header_len()..];
    let near = [&vec![0x20; 100_000], frames].concat();
    assert_eq!(read(&near[..]).unwrap().records, written.records());
    let far = [&vec![0x20; 3_000_000], frames].concat();
    assert!(matches!(error(&far), TraceError::Foreign));
}

/// However long something is that is no trace, only its beginning is read.
#[test]
fn an_endless_stream_is_foreign() {
    assert!(matches!(read(std::io::repeat(0x20)), Err(TraceError::Foreign)));
}

#[test]
fn read_errors_end_the_trace() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::Error::other("the disk is on fire"));
            }
            self.0.read(to)
        }
    }
    assert!(matches!(TraceReader::from_reader(Broken(b"")).map(|_| ()), Err(TraceError::Io(_))));
    let written = small(3);
    let mut reader = TraceReader::from_reader(Broken(&written.bytes)).unwrap();
    let items: Vec<_> = (&mut reader).collect();
    assert_eq!(items.len(), written.records().len() + 1);
    assert!(matches!(items.last(), Some(Err(TraceError::Io(_)))));
    assert!(reader.next().is_none());
}

#[test]
fn missing_and_unreadable_paths() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.wft");
    assert!(matches!(TraceReader::open(&missing).map(|_| ()), Err(TraceError::Io(_))));
    assert!(matches!(TraceReader::open(directory.path()).map(|_| ()), Err(TraceError::Io(_))));
}
