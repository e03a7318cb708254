//! The one function that runs a scenario.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::app::App;
use crate::check::{Scene, faults};
use crate::client;
use crate::firewall;
use crate::flow::Flow;
use crate::handshake::Props;
use crate::lab::{Family, Host, Lab, Place, WATCHED};
use crate::nginx::{self, Nginx};
use crate::recorder::{Recorder, Recording};
use crate::scenario::{Act, Bind, Scenario, Step, Vantage};
use crate::tools::Tools;

/// Why a scenario cannot run on this machine; `None` if it can.
pub fn missing(scenario: &Scenario) -> Option<String> {
    scenario.steps.iter().find_map(|step| match step {
        Step::Rule(rule) => firewall::missing(rule.tool, scenario.family),
        Step::Nginx => nginx::missing(),
        Step::Handshake(deed) => deed.missing(scenario.family),
        _ => None,
    })
}

/// Runs a scenario from its first step to the replay of every trace.
///
/// # Errors
/// When something was said that is not expected, or not said that is; or a step fails.
pub fn run(tools: &Tools, scenario: &Scenario) -> Result<()> {
    let mut stage = Stage::new(scenario)?;
    for step in &scenario.steps {
        stage.walk(tools, scenario, step).with_context(|| format!("step {step:?}"))?;
    }
    if stage.recorders.is_empty() {
        bail!("the scenario never records");
    }
    for ((_, view), recorder) in scenario.expect.views().into_iter().zip(&stage.recorders) {
        recorder.await_verdicts(view.least());
    }
    for recorder in &stage.recorders {
        recorder.interrupt()?;
    }
    let mut wrong = Vec::new();
    for ((vantage, view), recorder) in scenario.expect.views().into_iter().zip(std::mem::take(&mut stage.recorders)) {
        let recording = recorder.finish()?;
        let verdicts = recording.verdicts.iter().map(|line| serde_json::from_str(line));
        let verdicts = verdicts.collect::<Result<Vec<Value>, _>>()?;
        let mut found = faults(&verdicts, &recording.summary, view, &scene(&stage.lab, vantage));
        found.extend(stage.listener_fault(&recording.summary, vantage));
        found.extend(recording.check_replay(tools).err().map(|error| error.to_string()));
        report(&recording, &found, &mut wrong);
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// Collects what is wrong from one vantage, with what helps to find out why.
fn report(recording: &Recording, found: &[String], wrong: &mut Vec<String>) {
    if found.is_empty() {
        return;
    }
    wrong.extend(found.iter().map(|fault| format!("{}: {fault}", recording.vantage.label())));
    wrong.push(format!("    {}", recording.summary));
    wrong.extend(recording.stderr.iter().map(|line| format!("    {line}")));
}

/// What a verdict from this vantage must be about.
pub(crate) fn scene(lab: &Lab, vantage: Vantage) -> Scene {
    Scene {
        client: lab.client_address(),
        host: Host::address,
        family: lab.family(),
        watched: vantage.places().iter().map(|place| lab.at(*place).inode()).collect(),
    }
}

/// What a running scenario consists of. Fields drop in this order: recorders before the lab.
pub(crate) struct Stage {
    recorders: Vec<Recorder>,
    flows: Vec<Flow>,
    app: Option<App>,
    nginx: Option<Nginx>,
    props: Props,
    pub(crate) lab: Lab,
}

impl Stage {
    pub(crate) fn new(scenario: &Scenario) -> Result<Self> {
        let lab = Lab::new(scenario.family)?;
        Ok(Self { lab, flows: Vec::new(), app: None, nginx: None, props: Props::default(), recorders: Vec::new() })
    }

    pub(crate) fn walk(&mut self, tools: &Tools, scenario: &Scenario, step: &Step) -> Result<()> {
        match step {
            Step::Serve(bind) => {
                let (address, v6_only) = bound(*bind, scenario.family);
                self.app = Some(App::start(tools, self.lab.at(Place::Server), address, v6_only)?);
            }
            Step::StopApp => self.app.take().context("no app runs")?.stop()?,
            Step::Nginx => self.nginx = Some(Nginx::start(&self.lab)?),
            Step::StopNginx => self.nginx.take().context("no nginx runs")?.stop()?,
            Step::Rule(rule) => rule.load(&self.lab)?,
            Step::Ip(place, lines) => self.lab.at(*place).ip(lines)?,
            Step::Sysctl(place, settings) => self.lab.at(*place).sysctl(settings)?,
            Step::Record => self.record(tools, scenario)?,
            Step::Flow => {
                let to = SocketAddr::new(self.lab.server_address(), WATCHED);
                self.flows.push(self.lab.at(Place::Client).within(|| Flow::open(to))??);
            }
            Step::Handshake(deed) => self.props.act(tools, &self.lab, *deed)?,
            Step::Client(act) => self.lab.at(Place::Client).within(|| perform(*act, scenario.family))??,
        }
        Ok(())
    }

    /// The summary must know whether something listens in the end.
    pub(crate) fn listener_fault(&self, summary: &Value, vantage: Vantage) -> Option<String> {
        let listens = self.app.is_some() || self.nginx.is_some() || self.props.listens();
        let said = summary.pointer("/ports/8080/listener").and_then(Value::as_bool);
        let expected = Some(listens && vantage != Vantage::Client);
        (said != expected).then(|| format!("whether something listens on the port: {said:?}, not {expected:?}"))
    }

    fn record(&mut self, tools: &Tools, scenario: &Scenario) -> Result<()> {
        for (vantage, _) in scenario.expect.views() {
            self.recorders.push(Recorder::start(tools, &self.lab, vantage)?);
        }
        self.recorders.iter().try_for_each(Recorder::await_ready)
    }
}

fn bound(bind: Bind, family: Family) -> (SocketAddr, bool) {
    let any = ([0u16; 8], WATCHED).into();
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
        Act::Request { port, goodbye, count } => {
            (0..count).try_for_each(|_| client::request(server(port), goodbye))?;
        }
        Act::HealthCheck { goodbye, count } => {
            (0..count).try_for_each(|_| client::health_check(server(WATCHED), goodbye))?;
        }
    }
    Ok(())
}
