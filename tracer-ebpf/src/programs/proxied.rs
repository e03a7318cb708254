//! PROXY protocol headers: for whom a connection was made. They come once and hold for all of its exchanges.

use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use tracer_ebpf::{PROXY_HEADER_BYTES, flow_flag, loss};

use super::flow::Flow;
use super::ports::lost;

/// A header's first bytes.
pub(super) type Header = [u8; PROXY_HEADER_BYTES];

/// Connections whose header is kept.
const CONNECTIONS: u32 = 16_384;

/// Headers, by [`Flow::id`].
#[map]
static PROXIED: HashMap<u64, Header> = HashMap::with_max_entries(CONNECTIONS, 0);

/// Of a connection without one.
static NONE: Header = [0; PROXY_HEADER_BYTES];

/// Keeps a connection's header.
#[inline(always)]
pub(super) fn keep(id: u64, header: &Header) {
    if PROXIED.insert(id, header, 0).is_err() {
        lost(loss::HEADS_FULL);
    }
}

/// The connection's header; zeros if it has none.
#[inline(always)]
pub(super) fn of(flow: &Flow) -> *const Header {
    if flow.http.request_flags & flow_flag::PROXY_HEADER == 0 {
        return &raw const NONE;
    }
    PROXIED.get_ptr(flow.id).unwrap_or(&raw const NONE)
}

/// The connection is known by another id now.
#[inline(always)]
pub(super) fn belongs_to(flow: &Flow, id: u64) {
    if flow.http.request_flags & flow_flag::PROXY_HEADER == 0 {
        return;
    }
    if let Some(header) = PROXIED.get_ptr(id) {
        // SAFETY: the map's element; nothing removes it meanwhile
        keep(flow.id, unsafe { &*header });
        let _was_there = PROXIED.remove(id);
    }
}

/// The connection ended.
#[inline(always)]
pub(super) fn forget(flow: &Flow) {
    if flow.http.request_flags & flow_flag::PROXY_HEADER != 0 {
        let _mostly_there = PROXIED.remove(flow.id);
    }
}
