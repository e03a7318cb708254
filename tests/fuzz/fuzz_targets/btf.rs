//! Arbitrary bytes as a kernel's BTF: no panic, no endless loop.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherefore::capture::facts::TypeFacts;

fuzz_target!(|bytes: &[u8]| {
    drop(TypeFacts::from_btf(bytes.to_vec()));
});
