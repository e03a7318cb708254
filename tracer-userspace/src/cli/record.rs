//! `wherefore record` and `wherefore watch`: the live line, from session to output.
//!
//! long: one command from its arguments to its exit code

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::analysis::Analysis;
use super::args::{CaptureArgs, RecordArgs, WatchArgs};
use super::config::{Reload, Reloaded};
use super::console;
use super::failure::Failure;
use super::live_status::LiveStatus;
use super::metrics::{Metrics, MetricsAddress};
use super::notify::Watchdog;
use super::published_ports::PublishedPorts;
use super::tee::Tee;
use super::unread::UnreadNotes;
use super::watched_ports::watched_ports;
use crate::capture::clock::{boot_time, clock_pair};
use crate::capture::heap;
use crate::capture::load::Room;
use crate::capture::privileges::{Files, give_up, names};
use crate::capture::session::{Session, SessionConfig};
use crate::output::{HumanOptions, Printer, plain, ready::Ready, ready::ReadyPort, replay_command};
use crate::record::{HostBody, Record, Start, tcp_state};
use crate::trace::{Policy, TraceDirectory, refuse_if_taken, sudo_group};

/// How often the stream gets a tick.
const TICK: Duration = Duration::from_millis(250);
/// How often the file gets what waits for it: at least once a second.
const FLUSH_EVERY_TICKS: u32 = 2;
/// How often the status line is shown on a terminal.
const STATUS_EVERY_TICKS: u32 = 40;

/// `wherefore record`.
pub(super) fn run(flags: &RecordArgs) -> Result<(), Failure> {
    let args = &flags.with_config()?;
    let printer = if args.json {
        Printer::json()
    } else {
        let color = console::stdout_takes_color();
        Printer::human(HumanOptions { color, quiet: args.quiet, recording: true })
    };
    let status = !args.quiet && console::stderr_is_terminal();
    let reload = Reload::new(flags, args);
    if let Err(busy) = refuse_if_taken(&args.out()) {
        return Err(anyhow::Error::from(busy).into());
    }
    // people find the path in the summary; programs read that too, but people start them
    let name_trace = args.json && !args.quiet;
    let out = Some((args.out(), args.rotation.policy()));
    let edges = Edges { out, metrics: args.metrics, reload, status, name_trace };
    capture(&args.capture, edges, printer)
}

/// `wherefore watch`.
pub(super) fn watch(args: &WatchArgs) -> Result<(), Failure> {
    let color = console::stdout_takes_color();
    let printer = Printer::human(HumanOptions { color, ..HumanOptions::default() });
    let edges = Edges { status: console::stderr_is_terminal(), ..Edges::default() };
    capture(&args.capture, edges, printer)
}

/// Where a recording meets its surroundings.
#[derive(Default)]
struct Edges {
    /// Directory of the trace files and how they are kept; none for `watch`.
    out: Option<(PathBuf, Policy)>,
    metrics: Option<MetricsAddress>,
    /// What SIGHUP does; without it SIGHUP ends the recording.
    reload: Option<Reload>,
    /// Whether the status line is shown.
    status: bool,
    /// Whether the trace is named on standard error at the end.
    name_trace: bool,
}

fn capture(args: &CaptureArgs, edges: Edges, printer: Printer) -> Result<(), Failure> {
    let command = if edges.out.is_some() { "record" } else { "watch" };
    let ports = watched_ports(args, command, super::listeners_hint::rows)?;
    super::log::init(args.verbose);
    heap::return_large_blocks();
    let config = SessionConfig {
        ports,
        netns: args.netns.clone(),
        slow_ns: u64::try_from(args.slow().as_nanos()).unwrap_or(u64::MAX),
        slow_given: args.slow.is_some(),
        statuses: args.statuses(),
        watched_statuses: args.watched_statuses(),
        client_header: args.client_header.clone(),
        unix_upstreams: args.unix_upstreams,
        no_http: args.no_http,
        room: Room { map_entries: args.map_entries, ring_bytes: args.ring_bytes },
        verbose: args.verbose,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime cannot start")?;
    runtime.block_on(async {
        let session = Session::begin(&config).map_err(anyhow::Error::from)?;
        let files = Files {
            directory: edges.out.as_ref().map(|(directory, _policy)| directory.clone()),
            take_group: sudo_group().is_some(),
        };
        let traces = edges.out.map(|(directory, policy)| traces(&directory, policy, session.start())).transpose()?;
        let metrics = edges.metrics.map(|address| serve_metrics(address, &session)).transpose()?;
        let published = PublishedPorts::new(&config.ports);
        let live = Live {
            session,
            tee: Tee::new(traces, Analysis::new(printer)),
            records: Vec::new(),
            status: edges.status.then(LiveStatus::default),
            metrics,
            reload: edges.reload,
            unread: UnreadNotes::default(),
            published,
        };
        let kept = give_up(&files, || live.session.needs()).map_err(anyhow::Error::from)?;
        log::info!("capabilities kept: {}", names(kept).join(", "));
        let files = Box::pin(live.run(args.duration)).await?;
        if edges.name_trace && !files.is_empty() {
            console::error_line(&format!("recorded: {}", replay_command(&files)));
        }
        Ok(())
    })
}

/// The directory's files; with what there is to say about it.
fn traces(directory: &Path, policy: Policy, start: &Start) -> anyhow::Result<TraceDirectory> {
    let (traces, torn) = TraceDirectory::create(directory, start, sudo_group(), policy)?;
    if let Some(error) = traces.group_error() {
        console::error_line(&format!("wherefore: the trace file keeps root's group: {error}"));
    }
    for torn in torn {
        let path = torn.path.display().to_string();
        let path = plain(&path);
        let done = if torn.removed {
            format!("{path} had not one whole record, its recorder was killed: it is removed")
        } else {
            format!("{path} was torn when its recorder was killed: its last {} bytes are cut off", torn.cut)
        };
        console::error_line(&format!("wherefore: {done}"));
    }
    Ok(traces)
}

/// A recording and where it goes.
struct Live {
    session: Session,
    tee: Tee,
    records: Vec<Record>,
    status: Option<LiveStatus>,
    metrics: Option<Metrics>,
    reload: Option<Reload>,
    unread: UnreadNotes,
    published: PublishedPorts,
}

/// Serves metrics from now on, and says where.
fn serve_metrics(address: MetricsAddress, session: &Session) -> anyhow::Result<Metrics> {
    let metrics = Metrics::new(session.start());
    let bound = metrics.serve(address)?;
    console::error_line(&format!("wherefore: metrics are at http://{bound}/metrics"));
    if !address.is_loopback() {
        log::warn!("the metrics are open to whoever reaches {bound}");
    }
    Ok(metrics)
}

impl Live {
    /// Until it is to end; returns the trace files.
    async fn run(mut self, duration: Option<Duration>) -> Result<Vec<String>, Failure> {
        let mut stop = pin!(stop_signal(duration, self.reload.is_none())?);
        let mut reload = self.reload.is_some().then(|| listen(SignalKind::hangup())).transpose()?;
        let watchdog = Watchdog::new(TICK);
        self.begin()?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0_u32;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = received(&mut reload) => self.reload()?,
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    watchdog.tick(ticks);
                    self.session.tick(&mut self.records);
                    self.pass()?;
                    if ticks.is_multiple_of(FLUSH_EVERY_TICKS) {
                        self.tee.flush(clock_pair());
                        self.meter();
                    }
                    if ticks.is_multiple_of(STATUS_EVERY_TICKS) {
                        self.show_status();
                    }
                }
                ready = self.session.ready() => {
                    ready.context("waiting for records")?;
                    self.session.drain(&mut self.records);
                    self.pass()?;
                }
            }
        }
        self.end()
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let mut out = console::stdout();
        self.tee.begin(self.session.start(), &mut out).map_err(Failure::output)?;
        out.flush().map_err(Failure::output)?;
        drop(out);
        self.session.snapshot(&mut self.records);
        let ready = ready(&self.session, &self.records);
        self.pass()?;
        for lack in self.session.lacks() {
            console::error_line(&format!("wherefore: {lack}"));
        }
        heap::return_what_is_free();
        // from here on a kill leaves a trace that can be replayed
        self.tee.flush(clock_pair());
        console::error_line(&ready.line());
        super::notify::ready();
        Ok(())
    }

    /// Records to the tee, and what follows from them to standard output.
    fn pass(&mut self) -> Result<(), Failure> {
        self.published.note(&self.records);
        let shown_as = |port| self.published.shown_as(port);
        if let Some(status) = &mut self.status {
            status.note(&self.records, shown_as);
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.note(&self.records, shown_as);
        }
        for line in self.unread.note(&self.records, shown_as) {
            console::error_line(&line);
        }
        let mut out = console::stdout();
        self.tee.pass(&mut self.records, &mut out).map_err(Failure::output)?;
        out.flush().map_err(Failure::output)?;
        for mut told in self.tee.told.drain(..) {
            told.port = self.published.shown_as(told.port);
            if let Some(status) = &mut self.status {
                status.failed(told.port, told.count);
            }
            if let Some(metrics) = &self.metrics {
                metrics.verdict(&told);
            }
        }
        Ok(())
    }

    /// The configuration is read again. If it makes no sense, all stays as it is.
    fn reload(&mut self) -> Result<(), Failure> {
        let Some(reload) = &self.reload else { return Ok(()) };
        let Reloaded { ports, policy, later } = match reload.read() {
            Ok(reloaded) => reloaded,
            Err(failure) => {
                let line = failure.line().unwrap_or_default();
                console::error_line(&format!("{line}; recording goes on as before"));
                return Ok(());
            }
        };
        self.tee.set_policy(policy);
        self.session.set_ports(&ports, &mut self.records).map_err(anyhow::Error::from)?;
        if let Some(metrics) = &mut self.metrics {
            metrics.watch(&ports);
        }
        self.pass()?;
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        console::error_line(&format!("wherefore: reloaded: watching {}", ports.join(",")));
        if !later.is_empty() {
            let later = later.join(", ");
            console::error_line(&format!("wherefore: changed, but used only when recording begins anew: {later}"));
        }
        Ok(())
    }

    /// What the metrics cannot see in the stream.
    fn meter(&self) {
        if let Some(metrics) = &self.metrics {
            let (begun, dropped) = self.tee.file_counts();
            metrics.files(self.tee.bytes_written(), self.tee.lost(), begun, dropped);
            metrics.hooks(&self.session.hook_records());
        }
    }

    fn show_status(&mut self) {
        if let Some(status) = &mut self.status {
            let text = status.render(self.session.start(), boot_time(), self.tee.lost());
            console::error_text(&text);
        }
    }

    fn end(mut self) -> Result<Vec<String>, Failure> {
        super::notify::stopping();
        self.session.end(&mut self.records);
        self.pass()?;
        self.tee.finish(clock_pair(), &mut console::stdout())
    }
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("signals cannot be received")
}

/// Ends when this signal is received; never without one.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Ends when a signal asks to stop, or the time is up.
fn stop_signal(duration: Option<Duration>, hangup_stops: bool) -> anyhow::Result<Pin<Box<dyn Future<Output = ()>>>> {
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = hangup_stops.then(|| listen(SignalKind::hangup())).transpose()?;
    let deadline = duration.and_then(|duration| Instant::now().checked_add(duration));
    Ok(Box::pin(async move {
        let time_is_up = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = received(&mut hangup) => {}
            () = time_is_up => {}
        }
    }))
}

/// What the `ready:` line says, from the start record and the snapshot.
fn ready(session: &Session, snapshot: &[Record]) -> Ready {
    let start = session.start();
    let mut processes = BTreeMap::new();
    let mut names = BTreeMap::new();
    let mut listeners: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    let mut published: BTreeMap<u16, Vec<SocketAddr>> = BTreeMap::new();
    for record in snapshot {
        let Record::Host(host) = record else { continue };
        match &host.body {
            HostBody::Process(process) => {
                processes.insert(process.pid, process.comm.clone());
            }
            HostBody::Namespace(namespace) => {
                names.insert(host.netns, namespace.name.clone());
            }
            HostBody::Listener(listener) => {
                let who = processes.get(&listener.pid).map_or_else(
                    || format!("on {}", listener.address),
                    |comm| format!("{comm}[{}] on {}", listener.pid, listener.address),
                );
                let place = names.get(&host.netns).filter(|name| !name.is_empty());
                let line = place.map_or(who.clone(), |name| format!("{who} in {name}"));
                listeners.entry(listener.port).or_default().push(line);
            }
            HostBody::Publications(publications) => {
                for one in &publications.publications {
                    published.entry(one.port).or_default().push(one.target);
                }
            }
            _ => {}
        }
    }
    let hooks = session.hooks();
    let name_of = |inode: &u32| match names.get(inode) {
        Some(name) if !name.is_empty() => name.clone(),
        Some(_) => "host".to_owned(),
        None => inode.to_string(),
    };
    Ready {
        version: start.version.clone(),
        ports: start
            .ports
            .iter()
            .map(|port| {
                let behind = published.remove(port).unwrap_or_default();
                let own = std::iter::once(*port).chain(behind.iter().map(SocketAddr::port));
                ReadyPort {
                    port: *port,
                    listeners: own.filter_map(|port| listeners.get(&port)).flatten().cloned().collect(),
                    published: behind.iter().map(ToString::to_string).collect(),
                }
            })
            .collect(),
        namespaces: start.netns.iter().map(name_of).collect(),
        hooks_attached: hooks.attached,
        hooks_waiting: hooks.waiting,
        hooks_planned: hooks.planned,
        blind: start.blind.clone(),
    }
}

/// Whether a socket record tells of a listener.
#[must_use]
pub(super) fn is_listener_change(old: u8, new: u8) -> bool {
    old == tcp_state::LISTEN || new == tcp_state::LISTEN
}
