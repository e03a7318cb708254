//! The one function that runs a scenario.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::app::{self, App};
use crate::check::{Scene, faults};
use crate::client;
use crate::container;
use crate::firewall::{self, Tool};
use crate::flow::Flow;
use crate::group::Group;
use crate::handshake::Props;
use crate::lab::{Family, Host, Lab, Place, WATCHED};
use crate::load::{Generator, Tally};
use crate::nginx::{self, Nginx};
use crate::program::Served;
use crate::recorder::{Recorder, Recording, VERDICT_PATIENCE};
use crate::scenario::{Act, Bind, Scenario, Step, Vantage};
use crate::scratch;
use crate::talk::Talk;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// Why a scenario cannot run on this machine; `None` if it can.
pub fn missing(scenario: &Scenario) -> Option<String> {
    scenario.steps.iter().find_map(|step| match step {
        Step::Rule(rule) => firewall::missing(rule.tool, scenario.family),
        Step::Nft(..) | Step::Contain => firewall::missing(Tool::Nft, scenario.family),
        Step::ServeAs(flags) => app::missing(flags),
        Step::Nginx => nginx::missing(),
        Step::LimitMemory(_) => Group::missing_memory(),
        Step::Program(program) => program.make.missing(),
        Step::Handshake(deed) => deed.missing(),
        Step::Connect(way) => way.missing(),
        _ => None,
    })
}

/// Runs a scenario from its first step to the replay of every trace. If it passes, its traces are left in the folder
/// `keep`, as [`Scenario::trace_name`] calls them.
///
/// # Errors
/// When something was said that is not expected, or not said that is; or a step fails.
pub fn run(tools: &Tools, scenario: &Scenario, keep: Option<&Path>) -> Result<()> {
    let mut stage = Stage::new(scenario)?;
    for step in &scenario.steps {
        stage.walk(tools, scenario, step).with_context(|| format!("step {step:?}"))?;
    }
    if stage.recorders.is_empty() {
        bail!("the scenario never records");
    }
    let deadline = Deadline::after(VERDICT_PATIENCE);
    for ((_, view), recorder) in scenario.expect.views().into_iter().zip(&stage.recorders) {
        recorder.await_verdicts(view.least(), deadline);
    }
    for recorder in &stage.recorders {
        recorder.interrupt()?;
    }
    let mut wrong = Vec::new();
    let mut recordings = Vec::new();
    for ((vantage, view), recorder) in scenario.expect.views().into_iter().zip(std::mem::take(&mut stage.recorders)) {
        let recording = recorder.finish()?;
        let verdicts = recording.verdicts.iter().map(|line| serde_json::from_str(line));
        let verdicts = verdicts.collect::<Result<Vec<Value>, _>>()?;
        let mut found = faults(&verdicts, &recording.counters, &recording.summary, view, &stage.scene(vantage));
        found.extend(stage.listener_fault(scenario, &recording.summary, vantage));
        found.extend(view.ready.and_then(|words| recording.ready_fault(words)));
        found.extend(recording.check_replay(tools).err().map(|error| error.to_string()));
        if !found.is_empty() {
            scratch::leave_failed(&recording.trace, &scenario.trace_name(vantage))?;
            report(&recording, &found, &mut wrong);
        }
        recordings.push(recording);
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    let traces = recordings.iter().map(|recording| (scenario.trace_name(recording.vantage), &recording.trace));
    keep.map_or(Ok(()), |folder| keep_traces(folder, traces))
}

/// Leaves copies of traces in a folder, by name.
///
/// # Errors
/// When one cannot be copied.
pub(crate) fn keep_traces<P: AsRef<Path>>(folder: &Path, traces: impl Iterator<Item = (String, P)>) -> Result<()> {
    for (name, trace) in traces {
        let trace = trace.as_ref();
        fs::copy(trace, folder.join(format!("{name}.wft"))).with_context(|| format!("keeping {}", trace.display()))?;
    }
    Ok(())
}

/// Collects what is wrong from one vantage, with what helps to find out why.
fn report(recording: &Recording, found: &[String], wrong: &mut Vec<String>) {
    wrong.extend(found.iter().map(|fault| format!("{}: {fault}", recording.vantage.label())));
    wrong.push(format!("    {}", recording.summary));
    wrong.extend(recording.stderr.iter().map(|line| format!("    {line}")));
}

/// What a running scenario consists of. Fields drop in this order: recorders before the lab.
pub(crate) struct Stage {
    recorders: Vec<Recorder>,
    flows: Vec<Flow>,
    app: Option<App>,
    upstreams: Vec<App>,
    nginx: Option<Nginx>,
    programs: Vec<Served>,
    talks: Vec<JoinHandle<Result<()>>>,
    load: Option<Generator>,
    counted: Tally,
    /// Whether something listens on the watched port.
    listens: bool,
    props: Props,
    group: Option<Group>,
    pub(crate) lab: Lab,
}

impl Stage {
    pub(crate) fn new(scenario: &Scenario) -> Result<Self> {
        let lab = Lab::new(scenario.family)?;
        Ok(Self {
            recorders: Vec::new(),
            flows: Vec::new(),
            app: None,
            upstreams: Vec::new(),
            nginx: None,
            programs: Vec::new(),
            talks: Vec::new(),
            load: None,
            counted: Tally::default(),
            listens: false,
            props: Props::default(),
            group: None,
            lab,
        })
    }

    /// What a verdict from this vantage must be about.
    pub(crate) fn scene(&self, vantage: Vantage) -> Scene {
        Scene {
            client: self.lab.client_address(),
            host: Host::address,
            family: self.lab.family(),
            watched: vantage.places().iter().map(|place| self.lab.at(*place).inode()).collect(),
            counted: self.counted.clone(),
        }
    }

    pub(crate) fn walk(&mut self, tools: &Tools, scenario: &Scenario, step: &Step) -> Result<()> {
        match step {
            Step::Serve(bind) => {
                let (address, v6_only) = bound(*bind, scenario.family);
                let flags: &[&str] = if v6_only { &["--v6-only"] } else { &[] };
                self.app = Some(self.serve(tools, address, flags)?);
            }
            Step::ServeAs(flags) => self.app = Some(self.serve(tools, everywhere(), flags)?),
            Step::Handshake(deed) => self.props.act(tools, &self.lab, *deed)?,
            Step::Connect(way) => way.go(&self.lab)?,
            Step::StopApp => self.app.take().context("no app runs")?.stop()?,
            Step::EndApp(ending) => self.app.take().context("no app runs")?.end(*ending)?,
            Step::AppEnded => self.app.take().context("no app runs")?.await_end()?,
            Step::LimitMemory(mib) => {
                let group = Group::with_memory(mib << 20)?;
                group.take(self.app.as_ref().context("no app runs")?.id())?;
                self.group = Some(group);
            }
            Step::DrainApp => self.app.take().context("no app runs")?.drain()?,
            Step::HandOver(flags) => {
                let next = self.serve(tools, everywhere(), flags)?;
                self.app.replace(next).context("no app runs")?.drain()?;
            }
            Step::Upstream(port) => {
                let app = self.serve(tools, (scenario.family.loopback(), *port).into(), &[])?;
                self.upstreams.push(app);
            }
            Step::Program(program) => self.programs.push(Served::start(&self.lab, *program)?),
            Step::ProgramEnded => self.programs.pop().context("no program runs")?.await_end()?,
            Step::Reload => self.programs.iter().try_for_each(Served::reload)?,
            Step::Nginx => self.nginx = Some(Nginx::start(&self.lab)?),
            Step::StopNginx => self.nginx.take().context("no nginx runs")?.stop()?,
            Step::Rule(rule) => rule.load(&self.lab)?,
            Step::Nft(place, script) => drop(self.lab.at(*place).run(Command::new("nft").arg(script))?),
            Step::Ip(place, lines) => self.lab.at(*place).ip(lines)?,
            Step::Sysctl(place, settings) => self.lab.at(*place).sysctl(settings)?,
            Step::Contain => container::contain(&self.lab)?,
            Step::Record => self.record(tools, scenario)?,
            Step::Hold(still) => self.recorders.iter().try_for_each(|recorder| recorder.hold(*still))?,
            _ => return self.walk_as_client(scenario, step),
        }
        self.listens = self.listens_now();
        Ok(())
    }

    fn serve(&self, tools: &Tools, address: SocketAddr, flags: &[&str]) -> Result<App> {
        App::start(tools, self.lab.at(Place::Server), address, flags)
    }

    fn walk_as_client(&mut self, scenario: &Scenario, step: &Step) -> Result<()> {
        let client = self.lab.at(Place::Client);
        let server = |port| SocketAddr::new(Host::Server.address(scenario.family), port);
        match step {
            Step::Flow => self.flows.push(client.within(|| Flow::open(server(WATCHED)))??),
            Step::From(place, act) => self.lab.at(*place).within(|| perform(*act, scenario.family))??,
            Step::Client(act) => client.within(|| perform(*act, scenario.family))??,
            Step::Every(period_ms, count, act) => client.within(|| {
                (0..*count).try_for_each(|_| {
                    perform(*act, scenario.family)?;
                    std::thread::sleep(Duration::from_millis(*period_ms));
                    Ok::<(), anyhow::Error>(())
                })
            })??,
            Step::Talk(talk) => client.within(|| talk.run(server(talk.port), || {}))??,
            Step::Meanwhile(talk) => self.talks.push(client.within(|| begin(*talk, server(talk.port)))??),
            Step::AwaitTalks => {
                for talk in self.talks.drain(..) {
                    talk.join().map_err(|_panic| anyhow!("a talk panicked"))??;
                }
            }
            Step::Load(load) => {
                let generator = client.within(|| Generator::start(*load, server(load.port)))??;
                self.counted.add(&generator.finish(false)?);
            }
            Step::BeginLoad(load) => {
                self.load = Some(client.within(|| Generator::start(*load, server(load.port)))??);
            }
            Step::AwaitLoad(count) => self.load.as_ref().context("there is no load")?.await_more(*count)?,
            Step::EndLoad => {
                let tally = self.load.take().context("there is no load")?.finish(true)?;
                self.counted.add(&tally);
            }
            step => bail!("not a client's step: {step:?}"),
        }
        Ok(())
    }

    fn listens_now(&self) -> bool {
        let own = self.app.is_some() || self.nginx.is_some() || self.props.listens();
        own || self.programs.iter().any(|program| program.port == WATCHED)
    }

    /// The summary must know whether something listens in the end.
    pub(crate) fn listener_fault(&self, scenario: &Scenario, summary: &Value, vantage: Vantage) -> Option<String> {
        let said = summary.pointer("/ports/8080/listener").and_then(Value::as_bool);
        let expected = Some(self.listens && vantage != Vantage::Client);
        (scenario.watches(WATCHED) && said != expected)
            .then(|| format!("whether something listens on the port: {said:?}, not {expected:?}"))
    }

    fn record(&mut self, tools: &Tools, scenario: &Scenario) -> Result<()> {
        for (vantage, _) in scenario.expect.views() {
            self.recorders.push(Recorder::start(tools, &self.lab, vantage, scenario.flags)?);
        }
        self.recorders.iter().try_for_each(Recorder::await_ready)
    }
}

/// Every address, of both families.
fn everywhere() -> SocketAddr {
    ([0u16; 8], WATCHED).into()
}

/// Begins a talk on a thread of its own, from the namespace of the calling thread. Returns once it
/// has come to its mark, or to its end.
fn begin(talk: Talk, to: SocketAddr) -> Result<JoinHandle<Result<()>>> {
    let (marked, mark) = sync_channel(1);
    let thread = std::thread::spawn(move || talk.run(to, || marked.try_send(()).unwrap_or_default()));
    mark.recv_timeout(PATIENCE).or_else(|error| match error {
        RecvTimeoutError::Disconnected => Ok(()),
        RecvTimeoutError::Timeout => Err(error).context("waiting for a talk's mark"),
    })?;
    Ok(thread)
}

fn bound(bind: Bind, family: Family) -> (SocketAddr, bool) {
    let any = everywhere();
    match (bind, family) {
        (Bind::Any, _) => (any, false),
        (Bind::V6Only, _) => (any, true),
        (Bind::V4, _) => (([0; 4], WATCHED).into(), false),
        (Bind::Loopback, Family::V4) => (([127, 0, 0, 1], WATCHED).into(), false),
        (Bind::Loopback, Family::V6) => (([0, 0, 0, 0, 0, 0, 0, 1], WATCHED).into(), false),
        (Bind::Other, family) => ((Host::ServerOther.address(family), WATCHED).into(), false),
    }
}

/// Does what a client does, on a thread in its namespace, and makes sure that it ended as it must.
fn perform(act: Act, family: Family) -> Result<()> {
    let server = |port| SocketAddr::new(Host::Server.address(family), port);
    match act {
        Act::Connect { to, port, from_port, patience_ms, count, ended } => {
            let to = SocketAddr::new(to.address(family), port);
            for _ in 0..count {
                let (_stream, how) = client::connect(to, from_port, Duration::from_millis(patience_ms));
                if !ended.contains(&how) {
                    bail!("the attempt at {to} ended {how:?}, not {ended:?}");
                }
            }
        }
        Act::ConnectMany { patience_ms, count } => {
            let connected = client::connect_many(server(WATCHED), count, Duration::from_millis(patience_ms))?;
            if connected > 0 {
                bail!("{connected} attempts connected");
            }
        }
        Act::Request { to, port, goodbye, count } => {
            let to = SocketAddr::new(to.address(family), port);
            (0..count).try_for_each(|_| client::request(to, goodbye))?;
        }
        Act::HealthCheck { goodbye, count } => {
            (0..count).try_for_each(|_| client::health_check(server(WATCHED), goodbye))?;
        }
    }
    Ok(())
}
