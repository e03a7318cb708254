//! Arbitrary bytes as records: no panic, no endless loop, and what was decoded can be encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherefore::record::Record;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(decoded) = Record::decode(rest) {
        assert!(decoded.len >= 24 && decoded.len.is_multiple_of(8));
        if let Some(record) = decoded.record {
            let mut again = Vec::new();
            record.encode(&mut again).expect("it came out of a record");
        }
        rest = &rest[decoded.len..];
    }
});
