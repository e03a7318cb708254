//! `--metrics`: what a recording counts, in OpenMetrics text or Prometheus' older one, for scrapers.

mod address;
mod exchanges;
mod families;
mod own;
mod plain;
mod server;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tracer_ebpf::loss;

pub use address::{MetricsAddress, MetricsAddressError};

use super::tee::Told;
use crate::record::{Hook, HostBody, PortCount, Record, Start};
use crate::verdict::Role;
use families::{CauseLabel, ConnectionLabels, Families, HookLabel, PortLabel, VerdictLabels};

/// Loss of records that the trace file has not got.
const FILE_LOSS: &str = "trace-write";

/// What a recording counts.
pub(super) struct Metrics {
    families: Families,
    registry: Arc<Registry>,
    /// Connections open, by watched port.
    open: BTreeMap<u16, u64>,
}

impl Metrics {
    /// Everything at zero: what may come is there from the first scrape on.
    pub(super) fn new(start: &Start) -> Self {
        let families = Families::default();
        let mut registry = Registry::default();
        families.register(registry.sub_registry_with_prefix("wherefore"), &start.version);
        registry.register_collector(Box::new(own::OwnCost));
        for cause in loss::NAMES.into_iter().chain([FILE_LOSS]) {
            families.losses.get_or_create_owned(&CauseLabel { cause: Cow::Borrowed(cause) });
        }
        let mut metrics = Self { families, registry: Arc::new(registry), open: BTreeMap::new() };
        metrics.watch(&start.ports);
        metrics.hooks(&start.hooks);
        metrics
    }

    /// Serves them at this address from now on, in the runtime that this is called in. Returns the
    /// address, with the port that the kernel chose if none was asked for.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub(super) fn serve(&self, address: MetricsAddress) -> anyhow::Result<SocketAddr> {
        let failed = || format!("metrics cannot be served on {}: give another address with --metrics", address.0);
        let listener = std::net::TcpListener::bind(address.0).with_context(failed)?;
        listener.set_nonblocking(true).with_context(failed)?;
        let bound = listener.local_addr().with_context(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).with_context(failed)?;
        tokio::spawn(server::serve(listener, Arc::clone(&self.registry)));
        Ok(bound)
    }

    /// These ports are watched from now on. Counts of others stay as they are.
    pub(super) fn watch(&mut self, ports: &[u16]) {
        for left in self.open.keys().filter(|port| !ports.contains(port)) {
            self.families.exchanges.leave(*left);
        }
        for port in ports {
            self.open.entry(*port).or_default();
            self.count(&PortCount { port: *port, ..PortCount::default() });
            self.families.exchanges.watch(*port);
        }
    }

    /// The hooks as they are now.
    pub(super) fn hooks(&self, hooks: &[Hook]) {
        for hook in hooks {
            let gauge = self.families.hook_attached.get_or_create_owned(&HookLabel { hook: hook.name.clone() });
            gauge.set(i64::from(hook.attached));
        }
    }

    /// Takes up what the records tell; `shown_as` says under which port.
    pub(super) fn note(&mut self, records: &[Record], shown_as: impl Fn(u16) -> u16) {
        for record in records {
            let Record::Host(host) = record else {
                self.families.records.inc();
                continue;
            };
            match &host.body {
                HostBody::Ports(moved) => {
                    for count in &moved.ports {
                        self.count(&PortCount { port: shown_as(count.port), ..*count });
                    }
                }
                HostBody::Exchanges(moved) => {
                    for count in &moved.ports {
                        self.families.exchanges.count(shown_as(count.port), count);
                    }
                }
                HostBody::Loss(loss) => {
                    let cause = CauseLabel { cause: Cow::Owned(loss.cause.clone()) };
                    self.families.losses.get_or_create_owned(&cause).inc_by(loss.count);
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, count: &PortCount) {
        let label = PortLabel { port: count.port };
        let families = &self.families;
        families.syns.get_or_create_owned(&label).inc_by(count.syns);
        families.syns_refused.get_or_create_owned(&label).inc_by(count.refused);
        families.syns_filtered.get_or_create_owned(&label).inc_by(count.filtered);
        for (role, made) in [(Role::Inbound, count.accepted), (Role::Outbound, count.connected)] {
            let labels = ConnectionLabels { port: count.port, role: name(role) };
            families.connections.get_or_create_owned(&labels).inc_by(made);
        }
        let open = self.open.entry(count.port).or_default();
        let more = count.open.saturating_add(count.accepted).saturating_add(count.connected);
        *open = open.saturating_add(more).saturating_sub(count.closed);
        families.connections_open.get_or_create_owned(&label).set(i64::try_from(*open).unwrap_or(i64::MAX));
    }

    /// A verdict was given.
    pub(super) fn verdict(&self, verdict: &Told) {
        let port = if self.open.contains_key(&verdict.port) {
            Cow::Owned(verdict.port.to_string())
        } else {
            Cow::Borrowed("other")
        };
        let labels = VerdictLabels { slug: verdict.slug.as_str(), role: name(verdict.role), port };
        self.families.verdicts.get_or_create_owned(&labels).inc_by(verdict.count);
    }

    /// The trace files since the start: bytes written, records that they have not got, files begun, and
    /// files that retention has removed.
    pub(super) fn files(&self, bytes: u64, lost: u64, begun: u64, dropped: u64) {
        raise(&self.families.trace_written, bytes);
        raise(&self.families.trace_files, begun);
        raise(&self.families.trace_files_dropped, dropped);
        let cause = CauseLabel { cause: Cow::Borrowed(FILE_LOSS) };
        raise(&self.families.losses.get_or_create_owned(&cause), lost);
    }
}

/// Raises a counter to a total that is counted elsewhere; it never goes back.
fn raise(counter: &Counter, total: u64) {
    counter.inner().fetch_max(total, Ordering::Relaxed);
}

/// A role as in the JSON lines.
const fn name(role: Role) -> &'static str {
    match role {
        Role::Inbound => "inbound",
        Role::Outbound => "outbound",
        Role::Forwarded => "forwarded",
    }
}
