//! What user space writes into and reads out of the programs' maps.

use std::collections::BTreeMap;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues, RingBuf};
use tracer_ebpf::{
    ABSENT, DROP_REASON_SLOTS, PORT_SLOTS, PendingConnect, PortTotals, SELF_TEST_SLOT, Suppressed, connect_flag, loss,
    server,
};
use zerocopy::{FromBytes, IntoBytes as _};

use super::checkers::Checkers;
use super::facts::TypeFacts;
use super::flow_maps::FlowMaps;
use super::load::LoadError;
use crate::record::{BootTime, ExchangeCount, HealthChecker, PortCount, SuppressedCount, is_ordinary_drop};

/// A [`PortTotals`] as the map library takes it.
type RawTotals = [u64; size_of::<PortTotals>() / 8];
/// A [`Suppressed`] as the map library takes it.
type RawSuppressed = [u64; size_of::<Suppressed>() / 8];
/// A [`PendingConnect`] as the map library takes it.
type RawConnect = [u8; size_of::<PendingConnect>()];
/// Key of the map of inbound attempts in trouble: only its age matters here.
type RawInitiator = [u8; 24];
/// What is remembered of one: when it last had some, and how many SYNs came again.
type RawTrouble = [u64; 2];

/// How long an inbound attempt with a dropped packet is remembered, ns: a little over the hold.
const TROUBLED_NS: u64 = 10_000_000_000;

/// How long a connection that was closed while idle is remembered.
const CLOSED_FOR: Duration = Duration::from_mins(1);

/// The maps.
pub(super) struct KernelMaps {
    ports: Array<MapData, u32>,
    totals: PerCpuArray<MapData, RawTotals>,
    losses: PerCpuArray<MapData, u64>,
    suppressed: PerCpuArray<MapData, RawSuppressed>,
    connects: HashMap<MapData, u64, RawConnect>,
    troubled: HashMap<MapData, RawInitiator, RawTrouble>,
    unsent: HashMap<MapData, u32, u64>,
    unsent_marked: Array<MapData, u64>,
    netfilter_reset_packet: Array<MapData, u32>,
    drop_reasons: Array<MapData, u32>,
    servers: HashMap<MapData, u32, u64>,
    /// Processes that found no room among the servers.
    servers_lost: u64,
    flows: FlowMaps,
    checkers: Checkers,
    /// Port of each slot; 0 where a slot is free again.
    watched: Vec<u16>,
    last_totals: Vec<PortTotals>,
    last_losses: Vec<u64>,
    last_suppressed: BTreeMap<u32, Suppressed>,
}

/// A connect() that came back without a SYN.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnsentConnect {
    /// Thread group id of the caller.
    pub(super) pid: u32,
    /// What it asked for.
    pub(super) connect: PendingConnect,
}

impl KernelMaps {
    /// Takes the maps out of the loaded object, and the ring with them. `told` are the statuses of which
    /// each answer is told.
    ///
    /// # Errors
    /// [`LoadError`] if the object lacks one, or a namespace cannot be written.
    pub(super) fn take(
        ebpf: &mut Ebpf,
        ports: &[u16],
        netns: &[u32],
        told: &[u16],
    ) -> Result<(Self, RingBuf<MapData>), LoadError> {
        let mut namespaces: HashMap<MapData, u32, u8> = map(ebpf, "NAMESPACES")?;
        for inode in netns {
            namespaces.insert(inode, 1, 0).map_err(|source| LoadError::Map { name: "NAMESPACES", source })?;
        }
        let mut maps = Self {
            ports: map(ebpf, "PORTS")?,
            totals: map(ebpf, "PORT_TOTALS")?,
            losses: map(ebpf, "LOSSES")?,
            suppressed: map(ebpf, "SUPPRESSED")?,
            connects: map(ebpf, "CONNECTS")?,
            troubled: map(ebpf, "TROUBLED")?,
            unsent: map(ebpf, "UNSENT")?,
            unsent_marked: map(ebpf, "UNSENT_MARKED")?,
            netfilter_reset_packet: map(ebpf, "NETFILTER_RESET_PACKET")?,
            drop_reasons: map(ebpf, "DROP_REASONS")?,
            servers: map(ebpf, "SERVERS")?,
            servers_lost: 0,
            flows: FlowMaps::take(ebpf, told)?,
            checkers: Checkers::take(ebpf)?,
            watched: Vec::new(),
            last_totals: Vec::new(),
            last_losses: vec![0; loss::NAMES.len()],
            last_suppressed: BTreeMap::new(),
        };
        maps.set_ports(ports)?;
        Ok((maps, map(ebpf, "RECORDS")?))
    }

    /// Whether the kernel lets this thread use the maps, with the capabilities that it has just now.
    pub(super) fn can_be_read(&self) -> bool {
        self.losses.get(&0, 0).is_ok()
    }

    /// Watches these ports from now on, and no others. A port that is watched already keeps its slot,
    /// so nothing of it is missed. Returns what the ports have done until now.
    ///
    /// # Errors
    /// [`LoadError::Map`] if the kernel refuses.
    pub(super) fn set_ports(&mut self, ports: &[u16]) -> Result<Vec<PortCount>, LoadError> {
        for port in self.watched.iter().copied().filter(|port| *port != 0 && !ports.contains(port)) {
            set_port(&mut self.ports, port, 0)?;
        }
        let counts = self.port_counts();
        for port in self.watched.iter_mut().filter(|port| !ports.contains(port)) {
            *port = 0;
        }
        for port in ports {
            if !self.watched.contains(port) {
                self.take_slot(*port)?;
            }
        }
        Ok(counts)
    }

    /// Gives a port a slot whose totals are zero: one never used, so that a program that is still at
    /// work on a port just left counts nowhere else, and one that is free again only when there is none.
    fn take_slot(&mut self, port: u16) -> Result<(), LoadError> {
        let fresh = self.watched.len();
        let free = self.watched.iter().position(|port| *port == 0);
        let slot = if fresh < PORT_SLOTS as usize { fresh } else { free.unwrap_or(fresh) };
        let number = u32::try_from(slot).unwrap_or(PORT_SLOTS);
        if slot == fresh {
            self.watched.push(0);
            self.last_totals.push(PortTotals::default());
        } else {
            let failed = |source| LoadError::Map { name: "PORT_TOTALS", source };
            let cpus = self.totals.get(&number, 0).map_err(failed)?.len();
            let zero = PerCpuValues::try_from(vec![RawTotals::default(); cpus]);
            self.totals.set(number, zero.map_err(|source| failed(source.into()))?, 0).map_err(failed)?;
        }
        if let Some((watched, last)) = self.watched.get_mut(slot).zip(self.last_totals.get_mut(slot)) {
            *last = PortTotals::default();
            set_port(&mut self.ports, port, number.saturating_add(1))?;
            *watched = port;
        }
        Ok(())
    }

    /// Watches the self-test's port, or stops watching it.
    ///
    /// # Errors
    /// [`LoadError::Map`] if the kernel refuses.
    pub(super) fn watch_self_test(&mut self, port: u16, on: bool) -> Result<(), LoadError> {
        set_port(&mut self.ports, port, if on { SELF_TEST_SLOT.saturating_add(1) } else { 0 })
    }

    /// Tells the probes on netfilter's RSTs which argument is the packet, as far as BTF says it.
    ///
    /// # Errors
    /// [`LoadError::Map`] if the kernel refuses.
    pub(super) fn set_netfilter_reset_packet(&mut self, types: Option<&TypeFacts>) -> Result<(), LoadError> {
        for (element, function) in [(0, "nf_send_reset"), (1, "nf_send_reset6")] {
            let index = types.and_then(|types| types.packet_parameter(function)).unwrap_or(ABSENT);
            self.netfilter_reset_packet
                .set(element, index, 0)
                .map_err(|source| LoadError::Map { name: "NETFILTER_RESET_PACKET", source })?;
        }
        Ok(())
    }

    /// Tells the programs which drop reasons say more than that TCP had no use for a packet.
    ///
    /// # Errors
    /// [`LoadError::Map`] if the kernel refuses.
    pub(super) fn set_drop_reasons(&mut self, types: Option<&TypeFacts>) -> Result<(), LoadError> {
        let reasons = types.into_iter().flat_map(|types| &types.drop_reasons);
        let silent = |name: &str| matches!(name, "NOT_SPECIFIED" | "NO_SOCKET") || is_ordinary_drop(name);
        for (number, _name) in reasons.filter(|(number, name)| *number < DROP_REASON_SLOTS && !silent(name)) {
            self.drop_reasons.set(*number, 1, 0).map_err(|source| LoadError::Map { name: "DROP_REASONS", source })?;
        }
        Ok(())
    }

    /// Follows these processes: they serve a watched port.
    pub(super) fn add_servers(&mut self, pids: impl IntoIterator<Item = u32>, now: BootTime) {
        for pid in pids {
            // what is known of it stays, but that it is no farther away
            let value = self.servers.get(&pid, 0).map_or(now.as_ns() & server::TIME, |known| known & !server::DISTANCE);
            if let Err(error) = self.servers.insert(pid, value, 0) {
                log::debug!("process {pid} is not followed: {error}");
                self.servers_lost = self.servers_lost.saturating_add(1);
            }
        }
    }

    /// Follows this process no more.
    pub(super) fn remove_server(&mut self, pid: u32) {
        if let Err(error) = self.servers.remove(&pid) {
            log::debug!("process {pid} was not followed: {error}");
        }
    }

    /// What the watched ports did since the last call; only ports that moved.
    pub(super) fn port_counts(&mut self) -> Vec<PortCount> {
        let mut moved = Vec::new();
        for ((slot, port), last) in (0_u32..).zip(&self.watched).zip(&mut self.last_totals) {
            if *port == 0 {
                continue;
            }
            let Ok(values) = self.totals.get(&slot, 0) else { continue };
            let now = values.iter().filter_map(totals).fold(PortTotals::default(), add);
            if now != *last {
                moved.push(since(*port, &now, last));
                *last = now;
            }
        }
        moved
    }

    /// What the limits on floods left out since the last call; only ports that moved.
    pub(super) fn suppressed(&mut self) -> Vec<SuppressedCount> {
        let mut moved = Vec::new();
        for (slot, port) in (0_u32..).zip(&self.watched).filter(|(_slot, port)| **port != 0) {
            let Ok(values) = self.suppressed.get(&slot, 0) else { continue };
            let each = values.iter().filter_map(|raw| Suppressed::read_from_bytes(raw.as_bytes()).ok());
            let now = each.fold(Suppressed::default(), |sum, one| Suppressed {
                records: sum.records.saturating_add(one.records),
                refused: sum.refused.saturating_add(one.refused),
            });
            let last = self.last_suppressed.insert(slot, now).unwrap_or_default();
            if now != last {
                moved.push(SuppressedCount {
                    port: *port,
                    records: now.records.saturating_sub(last.records),
                    refused: now.refused.saturating_sub(last.refused),
                });
            }
        }
        moved
    }

    /// What the exchanges of the watched ports did since the last call; only ports that moved.
    pub(super) fn exchange_counts(&mut self) -> Vec<ExchangeCount> {
        let watched = (0_u32..).zip(&self.watched).filter(|(_slot, port)| **port != 0);
        watched.filter_map(|(slot, port)| self.flows.counts(slot, *port)).collect()
    }

    /// Requests that have waited for a response since before this time: socket and buffer, each told once.
    pub(super) fn take_waiting(&mut self, before: BootTime) -> Vec<(u64, u32)> {
        self.flows.take_waiting(before)
    }

    /// Health checkers by namespace, as they are now.
    pub(super) fn health_checkers(&mut self, now: BootTime) -> BTreeMap<u32, Vec<HealthChecker>> {
        self.checkers.seen(now)
    }

    /// Losses since the last call, by cause; only those that moved.
    pub(super) fn losses(&mut self) -> Vec<(&'static str, u64)> {
        let mut moved = Vec::new();
        for ((cause, name), last) in (0_u32..).zip(loss::NAMES).zip(&mut self.last_losses) {
            let Ok(values) = self.losses.get(&cause, 0) else { continue };
            let own = if cause == loss::SERVERS_FULL { self.servers_lost } else { 0 };
            let now = values.iter().fold(own, |sum, value| sum.saturating_add(*value));
            if now > *last {
                moved.push((name, now.saturating_sub(*last)));
                *last = now;
            }
        }
        moved
    }

    /// Takes out the connects that began before `before` and still have sent no SYN. Their process is
    /// marked, so that its next success is told.
    pub(super) fn take_unsent(&mut self, before: BootTime) -> Vec<UnsentConnect> {
        let stale: Vec<(u64, PendingConnect)> = self
            .connects
            .iter()
            .flatten()
            .filter_map(|(task, raw)| Some((task, PendingConnect::read_from_bytes(&raw).ok()?)))
            .filter(|(_, connect)| connect.flags & connect_flag::SYN_FOLLOWS == 0 && connect.time_ns < before.as_ns())
            .collect();
        let mut taken = Vec::with_capacity(stale.len());
        for (task, connect) in stale {
            // gone meanwhile: its SYN was sent after all
            if self.connects.remove(&task).is_ok() {
                let pid = u32::try_from(task >> 32).unwrap_or(0);
                let marked = self.unsent.insert(pid, connect.time_ns, 0);
                if let Err(error) = marked.and_then(|()| self.unsent_marked.set(0, 1, 0)) {
                    log::debug!("process {pid} cannot be marked: {error}");
                }
                taken.push(UnsentConnect { pid, connect });
            }
        }
        taken
    }

    /// Forgets attempts in trouble, marked processes and threads' connects of long ago.
    pub(super) fn forget_old(&mut self, now: BootTime) {
        self.flows.forget_closed(now.before(CLOSED_FOR));
        let old = now.as_ns().saturating_sub(TROUBLED_NS);
        self.forget_connects(old);
        let initiators: Vec<RawInitiator> =
            self.troubled.iter().flatten().filter(|(_, [at, _])| *at < old).map(|(key, _)| key).collect();
        for key in initiators {
            if let Err(error) = self.troubled.remove(&key) {
                log::debug!("an attempt in trouble is gone already: {error}");
            }
        }
        let pids: Vec<u32> = self.unsent.iter().flatten().filter(|(_, at)| *at < old).map(|(pid, _)| pid).collect();
        for pid in pids {
            if let Err(error) = self.unsent.remove(&pid) {
                log::debug!("a marked process is gone already: {error}");
            }
        }
        // before the look: a mark that comes in between is set anew
        if self.unsent_marked.set(0, 0, 0).is_ok() && self.unsent.keys().next().is_some() {
            drop(self.unsent_marked.set(0, 1, 0));
        }
    }

    /// Forgets threads whose last connect() was long ago.
    fn forget_connects(&mut self, old: u64) {
        let idle = self.connects.iter().flatten().filter(|(_, raw)| {
            PendingConnect::read_from_bytes(raw)
                .is_ok_and(|connect| connect.flags & connect_flag::SYN_FOLLOWS != 0 && connect.time_ns < old)
        });
        let idle: Vec<u64> = idle.map(|(task, _)| task).collect();
        for task in idle {
            if let Err(error) = self.connects.remove(&task) {
                log::debug!("a thread's connect is gone already: {error}");
            }
        }
    }
}

/// Takes a map of this type out of the object.
pub(super) fn map<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, LoadError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| LoadError::Missing(format!("map {name}")))?;
    T::try_from(map).map_err(|source| LoadError::Map { name, source })
}

fn set_port(ports: &mut Array<MapData, u32>, port: u16, slot_plus_one: u32) -> Result<(), LoadError> {
    ports.set(u32::from(port), slot_plus_one, 0).map_err(|source| LoadError::Map { name: "PORTS", source })
}

fn totals(raw: &RawTotals) -> Option<PortTotals> {
    PortTotals::read_from_bytes(zerocopy::IntoBytes::as_bytes(raw)).ok()
}

fn add(sum: PortTotals, one: PortTotals) -> PortTotals {
    PortTotals {
        syns: sum.syns.saturating_add(one.syns),
        accepted: sum.accepted.saturating_add(one.accepted),
        connected: sum.connected.saturating_add(one.connected),
        closed: sum.closed.saturating_add(one.closed),
        refused: sum.refused.saturating_add(one.refused),
        filtered: sum.filtered.saturating_add(one.filtered),
        last_syn_ns: sum.last_syn_ns.max(one.last_syn_ns),
        health_checks: sum.health_checks.saturating_add(one.health_checks),
    }
}

fn since(port: u16, now: &PortTotals, last: &PortTotals) -> PortCount {
    PortCount {
        port,
        syns: now.syns.saturating_sub(last.syns),
        accepted: now.accepted.saturating_sub(last.accepted),
        connected: now.connected.saturating_sub(last.connected),
        closed: now.closed.saturating_sub(last.closed),
        refused: now.refused.saturating_sub(last.refused),
        filtered: now.filtered.saturating_sub(last.filtered),
        last_syn_ns: now.last_syn_ns,
        health_checks: now.health_checks.saturating_sub(last.health_checks),
        open: 0,
    }
}
