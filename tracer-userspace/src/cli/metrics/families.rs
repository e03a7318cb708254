//! The metrics: their names, labels and what they mean. Labels are slugs, roles, ports, statuses,
//! causes and hooks, all of closed sets; never a peer.

use std::borrow::Cow;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::exchanges::ExchangeFamilies;

/// Labels of a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VerdictLabels {
    pub(super) slug: &'static str,
    pub(super) role: &'static str,
    pub(super) port: Cow<'static, str>,
}

/// Label of what a port did.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PortLabel {
    pub(super) port: u16,
}

/// Labels of connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ConnectionLabels {
    pub(super) port: u16,
    pub(super) role: &'static str,
}

/// Label of a loss.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CauseLabel {
    pub(super) cause: Cow<'static, str>,
}

/// Label of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HookLabel {
    pub(super) hook: String,
}

/// All that is counted while recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Families {
    pub(super) verdicts: Family<VerdictLabels, Counter>,
    pub(super) syns: Family<PortLabel, Counter>,
    pub(super) syns_refused: Family<PortLabel, Counter>,
    pub(super) syns_filtered: Family<PortLabel, Counter>,
    pub(super) connections: Family<ConnectionLabels, Counter>,
    pub(super) connections_open: Family<PortLabel, Gauge>,
    pub(super) exchanges: ExchangeFamilies,
    pub(super) losses: Family<CauseLabel, Counter>,
    pub(super) records: Counter,
    pub(super) trace_written: Counter,
    pub(super) trace_files: Counter,
    pub(super) trace_files_dropped: Counter,
    pub(super) hook_attached: Family<HookLabel, Gauge>,
}

impl Families {
    /// Registers them all; a counter's name gets `_total` when it is printed.
    pub(super) fn register(&self, registry: &mut Registry, version: &str) {
        let build = Info::new(vec![("version", version.to_owned())]);
        registry.register("build", "The program's version", build);
        registry.register("verdicts", "Failed attempts and exchanges, by verdict", self.verdicts.clone());
        registry.register("syns", "SYNs that reached this host", self.syns.clone());
        registry.register("syns_refused", "SYNs that found no socket", self.syns_refused.clone());
        registry.register("syns_filtered", "SYNs that netfilter dropped", self.syns_filtered.clone());
        registry.register(
            "connections",
            "Connections made: inbound ones accepted, outbound ones connected",
            self.connections.clone(),
        );
        registry.register(
            "connections_open",
            "Connections open now, as far as they began while recording",
            self.connections_open.clone(),
        );
        self.exchanges.register(registry);
        registry.register("losses", "What was lost, by cause", self.losses.clone());
        registry.register("records", "Records from the kernel", self.records.clone());
        registry.register_with_unit("trace_written", "Written to trace files", Unit::Bytes, self.trace_written.clone());
        registry.register("trace_files", "Trace files begun", self.trace_files.clone());
        registry.register(
            "trace_files_dropped",
            "Trace files that retention has removed",
            self.trace_files_dropped.clone(),
        );
        registry.register("hook_attached", "Whether a hook is attached: 1 or 0", self.hook_attached.clone());
    }
}
