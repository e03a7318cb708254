//! Arbitrary segments of a connection, in any order, through the kernel's reader of heads: no index out of its
//! window, no status that is none, and the quick way comes to what the long one does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_ebpf::http::{
    Direction, Http, LOAD_BYTES, Part, REQUEST, Repeated, Sink, WINDOW_BYTES, Window, is_request, part, pass, phase, read,
};
use tracer_ebpf::PROXY_HEADER_BYTES;

#[path = "../../../tracer-ebpf/src/http/tests/connection.rs"]
mod connection;

use connection::Connection;

fuzz_target!(|bytes: &[u8]| {
    let mut both = [Connection::new(), Connection::step_by_step()];
    let mut rest = bytes;
    while let [flags, len, more @ ..] = rest {
        let (segment, behind) = more.split_at(more.len().min(usize::from(*len) * 6));
        rest = behind;
        if segment.is_empty() {
            continue;
        }
        let way = u32::from(*flags) & 1;
        // in turn, or up to 64 bytes beside; requests are received, responses sent
        let shift = if flags & 2 == 0 { 0 } else { i32::from(flags >> 3) * 4 - 64 };
        let arrived = (way == REQUEST).then_some(flags & 4 == 0);
        for connection in &mut both {
            let next = connection.directions[way as usize].next;
            connection.packet(way, next.wrapping_add_signed(shift), segment, arrived);
        }
        if both.iter().any(|connection| connection.exhausted) {
            return;
        }
        assert_same(&both);
    }
    for connection in &both {
        assert!(connection.http.outstanding() <= 32);
        assert!(connection.heard.answered.iter().all(|status| *status < 1000 && *status >= 100));
    }
});

/// What both ways must have in common.
fn assert_same([quick, long]: &[Connection; 2]) {
    assert_eq!(quick.heard, long.heard);
    let counts = |http: &Http| (http.begun, http.ended, http.answered, http.status, http.request_flags, http.response_flags);
    assert_eq!(counts(&quick.http), counts(&long.http));
    for (quick, long) in quick.directions.iter().zip(&long.directions) {
        assert_eq!((quick.next, quick.phase), (long.next, long.phase));
    }
}
