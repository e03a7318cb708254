//! Arbitrary bytes as an exchange's kept heads: no panic, and what is told has its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherefore::capture::heads::{FlowWithHeads, split};
use zerocopy::FromZeros;

fuzz_target!(|bytes: &[u8]| {
    let (lens, bytes) = bytes.split_at_checked(4).unwrap_or_default();
    let mut from_ring = FlowWithHeads::new_zeroed();
    from_ring.flow.event = lens.first().copied().unwrap_or(1) % 12;
    from_ring.request_len = lens.get(1).map_or(0, |len| u32::from(*len) * 4);
    from_ring.response_len = lens.get(2).map_or(0, |len| u32::from(*len) * 2);
    let rest = fill(&mut from_ring.proxy, bytes);
    let rest = fill(&mut from_ring.response, rest);
    fill(&mut from_ring.request, rest);
    let client = "x-forwarded-for".parse().ok();
    let (exchange, _) = split(&from_ring, client.as_ref());
    if let Some(exchange) = exchange {
        assert!(exchange.path.is_none_or(|path| path.len() <= 1024));
        let values = [exchange.method, exchange.host, exchange.user_agent, exchange.client, exchange.server];
        assert!(values.into_iter().flatten().all(|value| value.len() <= 256));
    }
});

/// Moves bytes over, and returns those that had no room.
fn fill<'a>(to: &mut [u8], from: &'a [u8]) -> &'a [u8] {
    let (taken, rest) = from.split_at(from.len().min(to.len()));
    to[..taken.len()].copy_from_slice(taken);
    rest
}
