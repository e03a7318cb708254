use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::*;
use crate::record::{
    FlowRecord, HandshakeRecord, Header, IcmpRecord, Loss, PacketRecord, ProcessRecord, SocketRecord,
    UnixConnectRecord, kind,
};

/// A kernel record of random bytes behind a right header.
fn of_random_bytes<T: FromBytes + IntoBytes + Immutable + KnownLayout>(kind: u16, random: &[u8]) -> T {
    let mut bytes = vec![0; size_of::<T>()];
    for (to, from) in bytes.iter_mut().zip(random) {
        *to = *from;
    }
    let header = Header::mut_from_prefix(&mut bytes[..]).unwrap().0;
    header.kind = kind;
    // flags would make it another item of the file
    header.reserved = 0;
    header.len = size_of::<T>().try_into().unwrap();
    T::read_from_bytes(&bytes).unwrap()
}

fn record() -> impl Strategy<Value = Record> {
    let random = || proptest::collection::vec(any::<u8>(), 128);
    prop_oneof![
        (1_u16..=5, random()).prop_map(|(kind, random)| Record::Socket(of_random_bytes::<SocketRecord>(kind, &random))),
        (6_u16..=8, random()).prop_map(|(kind, random)| Record::Packet(of_random_bytes::<PacketRecord>(kind, &random))),
        (9_u16..=10, random()).prop_map(|(kind, random)| Record::Icmp(of_random_bytes::<IcmpRecord>(kind, &random))),
        random().prop_map(|random| Record::Flow(of_random_bytes::<FlowRecord>(kind::FLOW, &random))),
        (13_u16..=14, random())
            .prop_map(|(kind, random)| Record::Handshake(of_random_bytes::<HandshakeRecord>(kind, &random))),
        (15_u16..=17, random())
            .prop_map(|(kind, random)| Record::Process(of_random_bytes::<ProcessRecord>(kind, &random))),
        random().prop_map(|random| {
            Record::UnixConnect(of_random_bytes::<UnixConnectRecord>(kind::UNIX_CONNECT, &random))
        }),
        (any::<u64>(), any::<u32>(), ".{0,40}", any::<u64>()).prop_map(|(time, netns, cause, count)| {
            let body = HostBody::Loss(Loss::now(cause, count));
            Record::Host(HostRecord { time: BootTime::from_ns(time), netns, body })
        }),
    ]
}

fn frames() -> impl Strategy<Value = Vec<Vec<Record>>> {
    proptest::collection::vec(proptest::collection::vec(record(), 1..8), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_records_round_trip(frames in frames()) {
        let written = write(frames);
        let read = read(&written.bytes[..]).unwrap();
        prop_assert_eq!(read.records, written.records());
        prop_assert_eq!(read.damage, []);
    }

    /// Any number of flipped bits: frames that were not hit come back, in order, and nothing else.
    #[test]
    fn frames_without_flipped_bits_come_back(
        frames in frames(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0..8_u32), 1..6),
    ) {
        let written = write(frames);
        let mut bytes = written.bytes.clone();
        for (at, bit) in &flips {
            bytes[at.index(written.bytes.len())] ^= 1 << bit;
        }
        let is_same = |range: &Range<usize>| bytes[range.clone()] == written.bytes[range.clone()];
        let header_is_same = is_same(&(0..written.header_len()));
        match read(&bytes[..]) {
            Ok(read) => {
                let same = written.ranges.iter().zip(&written.frames).filter(|(range, _)| is_same(range));
                let expected: Vec<Record> = same.flat_map(|(_, frame)| frame.clone()).collect();
                prop_assert_eq!(read.records, expected);
                prop_assert_eq!(read.damage.is_empty(), bytes == written.bytes);
            }
            // only where the start and its copy were both hit
            Err(error) => prop_assert!(!header_is_same && !is_same(&written.ranges[0]), "{}", error),
        }
    }

    #[test]
    fn random_cuts_keep_what_is_whole(frames in frames(), cut in any::<proptest::sample::Index>()) {
        let written = write(frames);
        let cut = written.header_len() + cut.index(written.bytes.len() - written.header_len());
        let read = read(&written.bytes[..cut]).unwrap();
        let whole = written.ranges.iter().filter(|range| range.end <= cut).count();
        prop_assert_eq!(read.records, written.frames[..whole].concat());
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(&bytes[..]).is_err());
    }

    /// Arbitrary bytes where frames should be.
    #[test]
    fn any_bytes_behind_a_header_are_damage(
        bytes in proptest::collection::vec(any::<u8>(), 1..2000),
        marker in any::<bool>(),
    ) {
        let written = small(1);
        let marker = if marker { &super::super::format::MARKER[..] } else { &[] };
        let file = [&written.bytes[..written.header_len()], marker, &bytes].concat();
        let read = read(&file[..]).unwrap();
        prop_assert_eq!(read.records, []);
        prop_assert_eq!(read.damage.len(), 1);
    }

    /// Arbitrary bytes as the records of a frame whose checksum holds.
    #[test]
    fn any_bytes_in_a_frame_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let read = read(&hand_made(&compressed(&bytes), bytes.len(), 0)[..]).unwrap();
        prop_assert!(read.records.len() <= bytes.len() / 24);
    }

    #[test]
    fn any_bytes_are_decoded_as_record_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(decoded) = Record::decode(&bytes) {
            prop_assert!(decoded.len >= 24 && decoded.len <= bytes.len());
        }
    }
}
