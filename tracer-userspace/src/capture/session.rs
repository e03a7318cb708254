//! A recording under way: from the ring and the look-ups to one stream of records.

mod config;
mod late;
mod loading;
mod ports;

use std::io;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};
use tracer_ebpf::{FlowWithHeads, RING_BYTES, WAKE_EVERY_NS};
use zerocopy::FromBytes;

use super::clock::{boot_time, clock_pair};
use super::facts::{Facts, Support};
use super::heads::{ClientHeader, split};
use super::host::{Host, raise_open_files};
use super::kernel_maps::KernelMaps;
use super::load::Loaded;
use super::lookups::Lookups;
use super::made_records::{hook_records, host_record, start_record, unsent_record};
use super::missed::{HOOK_MISSED, Missed};
use super::modules::ModuleEvents;
use super::plan::{HTTP_HEADS, HookState, Plan};
use super::polled::readable;
use super::privileges::Needs;
use super::published::Published;
use super::self_test::self_test;
use crate::record::{
    BootTime, Exchange, FlowRecord, Header, HealthCheckers, Hook, HostBody, HostRecord, Loss, PacketRecord, PortCounts,
    Record, Start, Tick, kind,
};
pub use config::{SessionConfig, SessionError};
use loading::{lift_memlock_limit, load_best, rule_finder};

/// While records come, what the programs have lost is looked at so often.
const LOSSES_EVERY: Duration = Duration::from_millis(50);

/// How long after it found records the reader looks into the ring again: those within [`WAKE_EVERY_NS`] do not wake it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_nanos(WAKE_EVERY_NS).saturating_add(Duration::from_millis(2));

/// Most kernel records taken from the ring before the stream gets its turn.
const DRAIN_AT_MOST: usize = 4096;

/// Drains that take all of a full ring: what was in it when a tick began is out after these, however
/// fast it fills again. Each record takes 8 bytes of the ring's own beside its smallest layout.
const DRAINS_PER_TICK: usize = RING_BYTES as usize / (size_of::<PacketRecord>() + 8) / DRAIN_AT_MOST + 1;

/// A connect() that has not sent its SYN this long after it was called never will: between the two the
/// kernel waits for nothing.
const UNSENT_AFTER: Duration = Duration::from_millis(250);

/// How often the programs' maps are cleared of what is old.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// Cause of a [`Loss`]: a module was loaded, and for the moment until its hook was attached nothing was
/// seen of what it did. Counted in hooks.
const HOOK_LATE: &str = "hook-late";

/// How many hooks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookCounts {
    /// Attached by now.
    pub attached: usize,
    /// To be attached when their module is loaded; before that there is nothing for them to see.
    pub waiting: usize,
    /// All that the plan would have.
    pub planned: usize,
}

/// A recording under way.
pub struct Session {
    loaded: Loaded,
    maps: KernelMaps,
    ring: AsyncFd<RingBuf<MapData>>,
    /// When the ring may have records that woke nobody.
    look_again: Option<Instant>,
    lookups: Lookups,
    plan: Plan,
    /// The programs' own diagnostics.
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    module_events: Option<AsyncFd<ModuleEvents>>,
    since: BootTime,
    /// Hooks that were attached since the last tick.
    attached_late: u64,
    start: Start,
    published: Published,
    next_forgetting: BootTime,
    next_count: BootTime,
    /// When it was last looked what the programs had lost.
    losses_told: BootTime,
    missed: Missed,
    /// When it was last looked what they had missed.
    missed_told: BootTime,
    client_header: Option<ClientHeader>,
    /// A request that waits for longer counts as unanswered.
    waits_after: Duration,
}

impl Session {
    /// Gathers facts, plans, loads, attaches and tests the hooks. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`SessionError`], one clear line.
    pub fn begin(config: &SessionConfig) -> Result<Self, SessionError> {
        lift_memlock_limit();
        // each watched namespace takes some sockets
        raise_open_files();
        let (mut facts, symbols) = Facts::gather_with_symbols();
        let host = Host::open(&config.netns, boot_time())?;
        let netns = host.selected_inodes();
        if config.no_http {
            facts.bpf.insert(HTTP_HEADS.to_owned(), Support::No);
        }
        let (plan, mut loaded) = load_best(&mut facts, config, !netns.is_empty())?;
        let logger = config.verbose.then(|| EbpfLogger::init(&mut loaded.ebpf).ok()).flatten();
        let rules = rule_finder(&facts);
        let published = Published::read(&host, &rules, &config.ports);
        let ports = published.with_targets(&config.ports);
        let (mut maps, mut ring) = KernelMaps::take(&mut loaded.ebpf, &ports, &netns, &config.watched_statuses)?;
        let missed = Missed::take(&mut loaded.ebpf)?;
        maps.set_netfilter_reset_packet(facts.types.as_ref())?;
        maps.set_drop_reasons(facts.types.as_ref())?;
        let lookups = Lookups::new(host, symbols, plan.icmp_sockets, ports, rules);
        self_test(&mut maps, &mut ring)?;
        let since = boot_time();
        let start = start_record(config, &facts, &plan, &loaded, netns);
        let mut session = Self {
            loaded,
            maps,
            ring: readable(ring).map_err(SessionError::Ring)?,
            look_again: None,
            lookups,
            plan,
            logger,
            module_events: None,
            since,
            attached_late: 0,
            start,
            published,
            next_forgetting: since,
            next_count: since,
            losses_told: since,
            missed,
            missed_told: since,
            client_header: config.client_header.clone(),
            waits_after: config.waits_after(),
        };
        session.expect_modules();
        // nothing is recorded yet
        session.attached_late = 0;
        Ok(session)
    }

    /// What is still done from here on that takes capabilities; tries what works without.
    pub fn needs(&self) -> Needs {
        Needs { guarded_maps: !self.maps.can_be_read(), waiting_hooks: self.late_hooks().next().is_some() }
    }

    /// What the stream begins with; the hooks as they are attached now.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// What recording has to do without here, a sentence each.
    pub fn lacks(&self) -> &[String] {
        &self.plan.lacks
    }

    /// How many hooks there are.
    pub fn hooks(&self) -> HookCounts {
        let wanted = self.plan.hooks.iter().filter(|hook| hook.state != HookState::Unneeded);
        HookCounts { attached: self.loaded.attached.len(), waiting: self.late_hooks().count(), planned: wanted.count() }
    }

    /// The hooks as they are now.
    pub fn hook_records(&self) -> Vec<Hook> {
        hook_records(&self.plan, &self.loaded)
    }

    /// Opens what the namespaces need and puts the first host records into the stream.
    pub fn snapshot(&mut self, stream: &mut Vec<Record>) {
        let now = boot_time();
        stream.extend(self.published.records(now));
        self.lookups.snapshot(now, stream);
        self.follow_servers();
        self.count_connections(now, stream);
    }

    /// Follows the processes that were found to serve a watched port.
    fn follow_servers(&mut self) {
        let changes = self.lookups.take_servers();
        for pid in changes.gone {
            self.maps.remove_server(pid);
        }
        self.maps.add_servers(changes.new, boot_time());
    }

    /// Waits until the ring or the kernel's announcements have something, or the ring may have.
    ///
    /// # Errors
    /// What the runtime says.
    pub async fn ready(&mut self) -> io::Result<()> {
        let module_event = async {
            match &self.module_events {
                Some(events) => {
                    let mut guard = events.readable().await?;
                    guard.clear_ready();
                    io::Result::Ok(())
                }
                None => std::future::pending().await,
            }
        };
        let look_again = async {
            match self.look_again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            guard = self.ring.readable() => guard?.clear_ready(),
            () = look_again => self.look_again = None,
            event = module_event => event?,
        }
        if self.module_events.as_ref().is_some_and(|events| events.get_ref().module_added()) {
            self.attach_late();
        }
        Ok(())
    }

    /// Takes records out of the ring, adds the look-ups they ask for, and says whether there is more.
    pub fn drain(&mut self, stream: &mut Vec<Record>) -> bool {
        let now = boot_time();
        if now >= self.losses_told.after(LOSSES_EVERY) {
            self.tell_losses(now, stream);
        }
        let taken = self.take_from_ring(stream);
        let more = taken == DRAIN_AT_MOST;
        if taken > 0 {
            self.look_again = Some(Instant::now() + if more { Duration::ZERO } else { LOOK_AGAIN_AFTER });
        }
        self.lookups.take_rules(stream);
        self.follow_servers();
        more
    }

    /// Says what the programs could not tell since the last time: ahead of what is in the ring, so that nothing that
    /// it may concern is decided before.
    fn tell_losses(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        let since = std::mem::replace(&mut self.losses_told, now);
        for (cause, count) in self.maps.losses() {
            let loss = Loss { cause: cause.to_owned(), count, until_ns: now.as_ns() };
            stream.push(host_record(since, HostBody::Loss(loss)));
        }
    }

    /// Says what the kernel kept from the programs since the last time.
    fn tell_missed(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        let since = std::mem::replace(&mut self.missed_told, now);
        let count = self.missed.since_last(&self.loaded.ebpf);
        if count > 0 {
            let loss = Loss { cause: HOOK_MISSED.to_owned(), count, until_ns: now.as_ns() };
            stream.push(host_record(since, HostBody::Loss(loss)));
        }
    }

    /// How many there were, up to [`DRAIN_AT_MOST`].
    fn take_from_ring(&mut self, stream: &mut Vec<Record>) -> usize {
        for taken in 0..DRAIN_AT_MOST {
            let Some(item) = self.ring.get_mut().next() else { return taken };
            if let Some((exchange, flow)) = with_heads(&item, self.client_header.as_ref()) {
                drop(item);
                self.pass_flow(exchange, flow, stream);
                continue;
            }
            let decoded = Record::decode(&item);
            drop(item);
            match decoded {
                Ok(decoded) => {
                    if let Some(record) = decoded.record.filter(|record| record.time() >= self.since) {
                        self.lookups.pass(record, stream);
                    }
                }
                Err(error) => {
                    log::warn!("a record of the kernel's cannot be read: {error}");
                    stream.push(host_record(boot_time(), HostBody::Loss(Loss::now("unreadable", 1))));
                }
            }
        }
        DRAIN_AT_MOST
    }

    /// Says who checks health, and what else the host receives.
    fn tell_health_checkers(&mut self, now: BootTime, stream: &mut Vec<Record>) {
        for (netns, checkers) in self.maps.health_checkers(now) {
            let body = HostBody::HealthCheckers(HealthCheckers { checkers, received: self.lookups.received(netns) });
            stream.push(Record::Host(HostRecord { time: now, netns, body }));
        }
    }

    /// Has the requests told that have waited for long.
    fn tell_waiting(&mut self, now: BootTime) {
        for (sock, text) in self.maps.take_waiting(now.before(self.waits_after)) {
            if let Err(error) = self.loaded.tell_waiting(sock, text) {
                log::info!("a request that waits cannot be told: {error}");
            }
        }
    }

    /// What was read of a flow's heads goes first.
    fn pass_flow(&mut self, exchange: Option<Exchange>, flow: FlowRecord, stream: &mut Vec<Record>) {
        let time = BootTime::from_ns(flow.header.time_ns);
        if time < self.since {
            return;
        }
        if let Some(exchange) = exchange {
            let body = HostBody::Exchange(Box::new(exchange));
            self.lookups.pass(Record::Host(HostRecord { time, netns: flow.header.netns, body }), stream);
        }
        self.lookups.pass(Record::Flow(flow), stream);
    }

    /// Takes all that was in the ring at the call, and never more than it holds: a flood that fills it
    /// faster than it is emptied must not keep this from ending.
    fn drain_what_is_there(&mut self, stream: &mut Vec<Record>) {
        for _ in 0..DRAINS_PER_TICK {
            if !self.drain(stream) {
                return;
            }
        }
    }

    /// What is due now and then: all of the ring up to this moment, connects that came back without a
    /// SYN, totals, losses, new namespaces; then the tick itself, with the time from before all that.
    pub fn tick(&mut self, stream: &mut Vec<Record>) {
        let clock = clock_pair();
        let now = BootTime::from_ns(clock.boot_ns);
        self.tell_losses(now, stream);
        self.tell_missed(now, stream);
        self.drain_what_is_there(stream);
        for unsent in self.maps.take_unsent(now.before(UNSENT_AFTER)) {
            self.lookups.pass(Record::Socket(unsent_record(&unsent, now)), stream);
        }
        let ports = self.maps.port_counts();
        if !ports.is_empty() {
            stream.push(host_record(now, HostBody::Ports(PortCounts { ports })));
        }
        if now >= self.next_count {
            self.count_exchanges(now, stream);
        }
        self.count_suppressed(now, stream);
        for (cause, count) in self.lookups.take_losses() {
            stream.push(host_record(now, HostBody::Loss(Loss::now(cause, count))));
        }
        if now >= self.next_forgetting {
            self.next_forgetting = now.after(FORGET_EVERY);
            self.maps.forget_old(now);
            self.tell_waiting(now);
            self.tell_health_checkers(now, stream);
        }
        if self.lookups.rescan(now, stream) {
            self.republish(now, stream);
        }
        self.follow_servers();
        self.attach_late();
        let late = std::mem::take(&mut self.attached_late);
        if late > 0 {
            // whatever it would have seen before is missing from what is under way
            stream.push(host_record(now, HostBody::Loss(Loss::now(HOOK_LATE, late))));
        }
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        // of what this tick took itself
        self.tell_losses(boot_time(), stream);
        stream.push(host_record(now, HostBody::Tick(Tick { clock })));
    }

    /// The last records of a stream that ends in order.
    pub fn end(&mut self, stream: &mut Vec<Record>) {
        self.next_count = BootTime::default();
        self.tick(stream);
        stream.push(host_record(boot_time(), HostBody::End));
    }
}

/// A flow record that has its heads with it, split.
fn with_heads(item: &[u8], client: Option<&ClientHeader>) -> Option<(Option<Exchange>, FlowRecord)> {
    let (header, _body) = Header::read_from_prefix(item).ok()?;
    if header.kind != kind::FLOW_WITH_HEADS {
        return None;
    }
    let (record, _rest) = FlowWithHeads::read_from_prefix(item).ok()?;
    Some(split(&record, client))
}
