//! Watched ports: their counts, and how others come to be watched.

use std::time::Duration;

use super::Session;
use crate::capture::clock::boot_time;
use crate::capture::load::LoadError;
use crate::capture::made_records::host_record;
use crate::record::{BootTime, ExchangeCounts, HostBody, PortCount, PortCounts, Record, SuppressedCounts, Watched};

/// What exchanges counted is told at the first tick that is so much later, which makes once a second: to
/// read it takes hundreds of calls.
const COUNT_EVERY: Duration = Duration::from_millis(900);

impl Session {
    /// Puts the connections into the stream that were there before the hooks.
    pub(super) fn count_connections(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        let open = self.lookups.connections();
        let mut ports = self.maps.port_counts();
        for (port, open) in open {
            if !ports.iter().any(|count| count.port == port) {
                ports.push(PortCount { port, ..PortCount::default() });
            }
            for count in ports.iter_mut().filter(|count| count.port == port) {
                // what began and ended since the hooks were attached is counted by them
                let since = count.accepted.saturating_add(count.connected);
                count.open = open.saturating_add(count.closed).saturating_sub(since);
            }
        }
        ports.sort_unstable_by_key(|count| count.port);
        if !ports.is_empty() {
            stream.push(host_record(now, HostBody::Ports(PortCounts { ports })));
        }
    }

    /// What exchanges have counted since this was last told.
    pub(super) fn count_exchanges(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        self.next_count = now.after(COUNT_EVERY);
        let ports = self.maps.exchange_counts();
        if !ports.is_empty() {
            stream.push(host_record(now, HostBody::Exchanges(ExchangeCounts { ports })));
        }
    }

    /// What the limits on floods have left out since this was last told.
    pub(super) fn count_suppressed(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        let ports = self.maps.suppressed();
        if !ports.is_empty() {
            stream.push(host_record(now, HostBody::Suppressed(SuppressedCounts { ports })));
        }
    }

    /// Has the programs watch these ports. What was counted of one that is left is told before: later it never would be.
    fn watch_in_kernel(
        &mut self,
        ports: &[u16],
        now: BootTime,
        stream: &mut Vec<Record>,
    ) -> Result<Vec<PortCount>, LoadError> {
        self.count_exchanges(now, stream);
        self.count_suppressed(now, stream);
        self.maps.set_ports(ports)
    }

    /// Namespaces came or went: a container that starts anew may have another address.
    pub(super) fn republish(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        let published = self.lookups.published(&self.start.ports);
        if published == self.published {
            return;
        }
        self.published = published;
        let ports = self.published.with_targets(&self.start.ports);
        match self.watch_in_kernel(&ports, now, stream) {
            Ok(counts) if counts.is_empty() => {}
            Ok(counts) => stream.push(host_record(now, HostBody::Ports(PortCounts { ports: counts }))),
            Err(error) => log::warn!("the sockets behind published ports are not all watched: {error}"),
        }
        stream.extend(self.published.records(now));
        self.lookups.set_ports(&ports, now, stream);
    }

    /// Watches these ports (ascending) from now on, and no others. Ports that were watched before go on
    /// without a gap. The stream says when, and who listens on the new ones.
    ///
    /// # Errors
    /// [`LoadError::Map`] if the kernel refuses.
    pub fn set_ports(&mut self, ports: &[u16], stream: &mut Vec<Record>) -> Result<(), LoadError> {
        // read first: nothing of a new port is older
        let now = boot_time();
        self.drain_what_is_there(stream);
        self.published = self.lookups.published(ports);
        let with_targets = self.published.with_targets(ports);
        let counts = self.watch_in_kernel(&with_targets, now, stream)?;
        if !counts.is_empty() {
            stream.push(host_record(now, HostBody::Ports(PortCounts { ports: counts })));
        }
        stream.push(host_record(now, HostBody::Watched(Watched { ports: ports.to_vec() })));
        stream.extend(self.published.records(now));
        self.lookups.set_ports(&with_targets, now, stream);
        self.follow_servers();
        self.start.ports = ports.to_vec();
        Ok(())
    }
}
