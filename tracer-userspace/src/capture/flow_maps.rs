//! The maps of connections and their exchanges: what user space puts in at the start, and the counters.

use std::collections::HashMap;

use aya::Ebpf;
use aya::maps::{Array, HashMap as MapOf, MapData, PerCpuArray, Queue};
use tracer_ebpf::{
    ClosedFlow, EXCHANGE_STATUSES, Endpoints, ExchangeTotals, LATENCY_BUCKETS, OpenExchange, STATUSES, TEXTS,
    TEXTS_KEPT, status_of_index,
};
use zerocopy::{FromBytes, IntoBytes};

use super::kernel_maps::map;
use super::load::LoadError;
use crate::record::{BootTime, ExchangeCount};

/// An [`ExchangeTotals`] as the map library takes it.
type RawTotals = [u64; size_of::<ExchangeTotals>() / 8];

/// Key and value of the map of closed connections as the map library takes them.
type RawEndpoints = [u32; size_of::<Endpoints>() / 4];
type RawClosed = [u64; size_of::<ClosedFlow>() / 8];

/// An [`OpenExchange`] as the map library takes it.
type RawOpen = [u64; size_of::<OpenExchange>() / 8];

/// What was read of one slot the last time.
#[derive(Clone, Debug, Default)]
struct Last {
    totals: ExchangeTotals,
    statuses: Vec<u64>,
    latency: Vec<u64>,
}

/// The maps.
pub(super) struct FlowMaps {
    statuses: PerCpuArray<MapData, u64>,
    latency: PerCpuArray<MapData, u64>,
    totals: PerCpuArray<MapData, RawTotals>,
    open: Array<MapData, RawOpen>,
    closed: MapOf<MapData, RawEndpoints, RawClosed>,
    last: Vec<Last>,
    /// Requests that were told to wait, by buffer.
    waiting: HashMap<u32, OpenExchange>,
}

impl FlowMaps {
    /// Takes the maps out of the loaded object; `told` are the statuses of which each answer is told.
    ///
    /// # Errors
    /// [`LoadError`] if the object lacks one, or one cannot be written.
    pub(super) fn take(ebpf: &mut Ebpf, told: &[u16]) -> Result<Self, LoadError> {
        for (name, numbers) in [("FREE_KEPT_TEXTS", 0..TEXTS_KEPT), ("FREE_TEXTS", TEXTS_KEPT..TEXTS)] {
            let mut free: Queue<MapData, u32> = map(ebpf, name)?;
            for number in numbers {
                free.push(number, 0).map_err(|source| LoadError::Map { name, source })?;
            }
        }
        let mut told_statuses: Array<MapData, u32> = map(ebpf, "TOLD_STATUSES")?;
        for status in told.iter().map(|status| u32::from(*status)).filter(|status| *status < STATUSES) {
            told_statuses.set(status, 1, 0).map_err(|source| LoadError::Map { name: "TOLD_STATUSES", source })?;
        }
        Ok(Self {
            statuses: map(ebpf, "EXCHANGES_BY_STATUS")?,
            latency: map(ebpf, "EXCHANGES_BY_LATENCY")?,
            totals: map(ebpf, "EXCHANGE_TOTALS")?,
            open: map(ebpf, "OPEN_EXCHANGES")?,
            closed: map(ebpf, "CLOSED")?,
            last: Vec::new(),
            waiting: HashMap::new(),
        })
    }

    /// What the exchanges of a port did since the last call; `None` if nothing.
    pub(super) fn counts(&mut self, slot: u32, port: u16) -> Option<ExchangeCount> {
        let index = usize::try_from(slot).ok()?;
        if self.last.len() <= index {
            self.last.resize_with(index.saturating_add(1), Last::default);
        }
        let now = read_totals(&self.totals, slot)?;
        let last = self.last.get_mut(index)?;
        if now == last.totals {
            return None;
        }
        // the rows are long: they are read only where exchanges have ended
        let (statuses, latency) = if now.ended == last.totals.ended {
            (Vec::new(), Vec::new())
        } else {
            let statuses = row(&self.statuses, slot, EXCHANGE_STATUSES, &mut last.statuses);
            let latency = row(&self.latency, slot, LATENCY_BUCKETS, &mut last.latency);
            (statuses, latency)
        };
        let since = |now: u64, last: u64| now.saturating_sub(last);
        let count = ExchangeCount {
            port,
            statuses: statuses.into_iter().map(|(index, n)| (status_of_index(index), n)).collect(),
            latency: latency.into_iter().filter_map(|(index, n)| Some((u16::try_from(index).ok()?, n))).collect(),
            latency_max_us: now.latency_max_us,
            slow: since(now.slow, last.totals.slow),
            waiting: since(now.begun, now.ended),
            tls: since(now.tls, last.totals.tls),
            http2: since(now.http2, last.totals.http2),
            not_http: since(now.not_http, last.totals.not_http),
            lost_step: since(now.lost_step, last.totals.lost_step),
        };
        last.totals = now;
        Some(count)
    }

    /// Forgets connections that were closed before this time.
    pub(super) fn forget_closed(&mut self, before: BootTime) {
        let old =
            |raw: &RawClosed| ClosedFlow::read_from_bytes(raw.as_bytes()).is_ok_and(|c| c.closed_ns < before.as_ns());
        let keys: Vec<RawEndpoints> =
            self.closed.iter().flatten().filter(|(_key, raw)| old(raw)).map(|(key, _raw)| key).collect();
        for key in keys {
            if let Err(error) = self.closed.remove(&key) {
                log::debug!("a closed connection is forgotten already: {error}");
            }
        }
    }

    /// Whether requests wait for a response, as last read.
    fn anything_waits(&self) -> bool {
        self.last.iter().any(|last| last.totals.begun > last.totals.ended)
    }

    /// Requests that have waited for a response since before this time: socket and buffer, each told once.
    /// Only looked for while anything waits.
    pub(super) fn take_waiting(&mut self, before: BootTime) -> Vec<(u64, u32)> {
        if !self.anything_waits() {
            self.waiting.clear();
            return Vec::new();
        }
        let open = |number: u32| OpenExchange::read_from_bytes(self.open.get(&number, 0).ok()?.as_bytes()).ok();
        let waiting: HashMap<u32, OpenExchange> = (0..TEXTS)
            .filter_map(|number| Some((number, open(number)?)))
            .filter(|(_number, open)| open.sock != 0 && open.since_ns < before.as_ns())
            .collect();
        let new = waiting.iter().filter(|(number, open)| self.waiting.get(number) != Some(*open));
        let new = new.map(|(number, open)| (open.sock, *number)).collect();
        self.waiting = waiting;
        new
    }
}

fn read_totals(map: &PerCpuArray<MapData, RawTotals>, slot: u32) -> Option<ExchangeTotals> {
    let values = map.get(&slot, 0).ok()?;
    let each = values.iter().filter_map(|raw| ExchangeTotals::read_from_bytes(raw.as_bytes()).ok());
    Some(each.fold(ExchangeTotals::default(), |sum, one| ExchangeTotals {
        // one CPU may count a connection's beginning as less than none, another the rest
        begun: sum.begun.wrapping_add(one.begun),
        ended: sum.ended.wrapping_add(one.ended),
        latency_max_us: sum.latency_max_us.max(one.latency_max_us),
        slow: sum.slow.wrapping_add(one.slow),
        tls: sum.tls.wrapping_add(one.tls),
        http2: sum.http2.wrapping_add(one.http2),
        not_http: sum.not_http.wrapping_add(one.not_http),
        lost_step: sum.lost_step.wrapping_add(one.lost_step),
    }))
}

/// Columns of a row that moved since the last time, and by how much.
fn row(map: &PerCpuArray<MapData, u64>, slot: u32, columns: u32, last: &mut Vec<u64>) -> Vec<(u32, u64)> {
    last.resize(usize::try_from(columns).unwrap_or(0), 0);
    let mut moved = Vec::new();
    for (column, last) in (0..columns).zip(last) {
        let index = slot.saturating_mul(columns).saturating_add(column);
        let Ok(values) = map.get(&index, 0) else { continue };
        let now = values.iter().fold(0_u64, |sum, value| sum.wrapping_add(*value));
        if now != *last {
            moved.push((column, now.wrapping_sub(*last)));
            *last = now;
        }
    }
    moved
}
