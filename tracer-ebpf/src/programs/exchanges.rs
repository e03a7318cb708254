//! What clean exchanges count.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use tracer_ebpf::http::Http;
use tracer_ebpf::{
    EXCHANGE_STATUSES, ExchangeTotals, LATENCY_BUCKETS, PORT_SLOTS, STATUSES, flow_flag, latency_bucket, status_index,
};

use super::maps::layout;

/// Slots of watched ports and the self-test's.
const SLOTS: u32 = PORT_SLOTS + 1;

/// Exchanges that ended, by slot and `status_index`.
#[map]
static EXCHANGES_BY_STATUS: PerCpuArray<u64> = PerCpuArray::with_max_entries(SLOTS * EXCHANGE_STATUSES, 0);

/// Exchanges by slot and latency bucket.
#[map]
static EXCHANGES_BY_LATENCY: PerCpuArray<u64> = PerCpuArray::with_max_entries(SLOTS * LATENCY_BUCKETS, 0);

/// Other totals by slot.
#[map]
static EXCHANGE_TOTALS: PerCpuArray<ExchangeTotals> = PerCpuArray::with_max_entries(SLOTS, 0);

/// 1 where a status is told.
#[map]
static TOLD_STATUSES: Array<u32> = Array::with_max_entries(STATUSES, 0);

/// Whether answers of this status are told.
#[inline(always)]
fn is_told(status: u16) -> bool {
    TOLD_STATUSES.get(u32::from(status)).is_some_and(|told| *told != 0)
}

/// Changes this CPU's totals of a slot.
#[inline(always)]
pub(super) fn count(slot: u16, change: impl FnOnce(&mut ExchangeTotals)) {
    if let Some(totals) = EXCHANGE_TOTALS.get_ptr_mut(u32::from(slot)) {
        // SAFETY: the element is this CPU's own
        change(unsafe { &mut *totals });
    }
}

#[inline(always)]
fn add(map: &PerCpuArray<u64>, index: u32, n: u64) {
    if let Some(count) = map.get_ptr_mut(index) {
        // SAFETY: the element is this CPU's own
        unsafe { *count += n };
    }
}

/// An exchange ended with a whole response.
#[inline(always)]
pub(super) fn answered(slot: u16, http: &Http) {
    let row = u32::from(slot);
    add(&EXCHANGES_BY_STATUS, row * EXCHANGE_STATUSES + status_index(http.status), 1);
    let waited_ns = http.response_start_ns.saturating_sub(http.request_end_ns);
    let latency_us = waited_ns / 1000;
    add(&EXCHANGES_BY_LATENCY, row * LATENCY_BUCKETS + latency_bucket(latency_us), 1);
    count(slot, |totals| {
        totals.ended += 1;
        if latency_us > totals.latency_max_us {
            totals.latency_max_us = latency_us;
        }
        if waited_ns > u64::from(layout!(slow_ms)) * 1_000_000 {
            totals.slow += 1;
        }
    });
}

/// Exchanges ended with their connection: the first with this status, or none.
#[inline(always)]
pub(super) fn abandoned(slot: u16, status: u16, number: u32) {
    let row = u32::from(slot) * EXCHANGE_STATUSES;
    add(&EXCHANGES_BY_STATUS, row + status_index(status), 1);
    add(&EXCHANGES_BY_STATUS, row + status_index(0), u64::from(number) - 1);
    count(slot, |totals| totals.ended += u64::from(number));
}

/// A connection's heads cannot be told from its bodies any more: nothing is read of it until a request
/// comes after silence.
#[inline(always)]
pub(super) fn lost_step(slot: u16) {
    count(slot, |totals| totals.lost_step += 1);
}

/// Whether an answer of this status must be told.
#[inline(always)]
pub(super) fn is_wanted(http: &Http, status: u16, now: u64) -> bool {
    const NOT_PLAIN: u32 = flow_flag::TLS | flow_flag::HTTP2 | flow_flag::PROXY_HEADER;
    is_told(status) || fails_health_check(http, status, now) || (status >= 400 && http.request_flags & NOT_PLAIN != 0)
}

/// Whether an answer to a health check fails it.
#[inline(always)]
fn fails_health_check(http: &Http, status: u16, now: u64) -> bool {
    const LATE_NS: u64 = 5_000_000_000;
    http.request_flags & flow_flag::HEALTH_CHECK != 0
        && (status / 100 != 2 || now.saturating_sub(http.request_end_ns) > LATE_NS)
}
