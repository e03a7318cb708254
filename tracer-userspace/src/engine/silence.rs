//! inbound-silence: the health checkers of a port have stopped, and nobody else comes, though the host
//! receives other things. No packet shows it: that none does is what is seen.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Engine;
use super::decide::with_losses;
use super::fold::Brief;
use super::listeners;
use super::output::Output;
use super::text;
use crate::record::{BootTime, HealthChecker, HealthCheckers};
use crate::verdict::{Confidence, Event, Evidence, Http, Role, Slug, Verdict};

/// Who has checked so often, at some period, is a health checker.
const CHECKS_MIN: u64 = 3;
/// Who says nothing is one only if the next came after the same time so often in a row.
const STEADY_MIN: u64 = 2;
/// Periods between checks: below this it is no checker, but a client that says nothing.
const PERIOD_MIN: Duration = Duration::from_millis(500);
/// And above, it is chance: load balancers take up to 300 s.
const PERIOD_MAX: Duration = Duration::from_secs(310);
/// So many periods without a check are a silence.
const PERIODS: u32 = 3;
/// Though checks are frequent, a shorter silence is none: a checker may be restarted.
const SILENCE_MIN: Duration = Duration::from_secs(10);
/// Packets that the host must have received meanwhile: with fewer it may be cut off altogether.
const OTHER_PACKETS_MIN: u64 = 10;
/// Ports of namespaces, and checkers of one, most that are kept.
const PORTS_MAX: usize = 1024;
const CHECKERS_MAX: usize = 64;
/// Checkers that are named in the evidence, at most.
const NAMED_MAX: usize = 6;

#[derive(Clone, Copy, Debug)]
struct Checker {
    checks: u64,
    last: BootTime,
    period: Duration,
    /// By its name, or for coming so regularly: others connect without a word, too.
    is_one: bool,
}

impl Checker {
    fn is_known(&self) -> bool {
        self.is_one && self.checks >= CHECKS_MIN && (PERIOD_MIN..=PERIOD_MAX).contains(&self.period)
    }
}

/// One port of one namespace.
#[derive(Debug, Default)]
struct Port {
    checkers: BTreeMap<IpAddr, Checker>,
    /// When it was first told of: what came before is not known.
    first: BootTime,
    /// What the namespace had received when the last check was told.
    received: Option<u64>,
    /// When the present silence was told.
    told: Option<BootTime>,
}

/// What is known of all.
#[derive(Debug, Default)]
pub(super) struct Silences {
    ports: BTreeMap<(u32, u16), Port>,
    /// When a SYN came to a port last, or an exchange ended there, in whatever namespace.
    busy: BTreeMap<u16, BootTime>,
}

/// A silence.
struct Silence {
    port: u16,
    /// When the last check came.
    since: BootTime,
    checkers: Vec<(IpAddr, Checker)>,
    received: u64,
}

impl Silences {
    /// Something came to this port.
    pub(super) fn busy(&mut self, port: u16, time: BootTime) {
        let last = self.busy.entry(port).or_default();
        *last = time.max(*last);
    }

    fn learn(&mut self, netns: u32, seen: &HealthChecker, received: Option<u64>, time: BootTime) {
        let key = (netns, seen.port);
        if self.ports.len() >= PORTS_MAX && !self.ports.contains_key(&key) {
            return;
        }
        let port = self.ports.entry(key).or_insert_with(|| Port { first: time, ..Port::default() });
        if port.checkers.len() >= CHECKERS_MAX && !port.checkers.contains_key(&seen.address) {
            let oldest = port.checkers.iter().min_by_key(|(_, checker)| checker.last).map(|(address, _)| *address);
            oldest.and_then(|oldest| port.checkers.remove(&oldest));
        }
        let (last, period) = (BootTime::from_ns(seen.last_ns), Duration::from_nanos(seen.period_ns));
        let is_one = seen.http || seen.steady >= STEADY_MIN;
        let known = port.checkers.insert(seen.address, Checker { checks: seen.checks, last, period, is_one });
        if known.is_none_or(|known| known.checks != seen.checks) {
            port.received = received;
            port.told = None;
        }
    }

    /// Ports of this namespace where a silence has lasted for long enough by now, and was not told.
    fn due(&mut self, netns: u32, received: Option<u64>, now: BootTime) -> Vec<Silence> {
        let mut due = Vec::new();
        for (key, port) in self.ports.range_mut((netns, 0)..=(netns, u16::MAX)) {
            let known = || port.checkers.iter().filter(|(_, checker)| checker.is_known());
            let Some(since) = known().map(|(_, checker)| checker.last).max() else { continue };
            let Some(period) = known().map(|(_, checker)| checker.period).max() else { continue };
            let limit = period.saturating_mul(PERIODS).max(SILENCE_MIN);
            let busy = self.busy.get(&key.1).copied().unwrap_or_default();
            if port.told.is_some_and(|told| busy > told) {
                port.told = None;
            }
            let meanwhile = received.zip(port.received).map_or(0, |(now, then)| now.saturating_sub(then));
            if now.since(since.max(port.first)) < limit
                || now.since(busy) < limit
                || port.told.is_some()
                || meanwhile < OTHER_PACKETS_MIN
            {
                continue;
            }
            let checkers = known().map(|(address, checker)| (*address, *checker)).collect();
            due.push(Silence { port: key.1, since, checkers, received: meanwhile });
            port.told = Some(now);
        }
        due
    }
}

impl Engine {
    /// Who has checked, and what that says of who has not.
    pub(super) fn health_checkers(&mut self, netns: u32, seen: &HealthCheckers, time: BootTime, out: &mut Vec<Output>) {
        for checker in &seen.checkers {
            self.silences.learn(netns, checker, seen.received, time);
        }
        for silence in self.silences.due(netns, seen.received, time) {
            let listener = self.world.listeners.present(netns, silence.port).next().cloned();
            if let Some(listener) = listener
                && self.world.watches(silence.port)
            {
                self.say_silence(netns, &silence, &listener, time, out);
            }
        }
    }

    fn say_silence(
        &mut self,
        netns: u32,
        silence: &Silence,
        listener: &listeners::Entry,
        time: BootTime,
        out: &mut Vec<Output>,
    ) {
        self.totals.verdict(Slug::InboundSilence);
        let local = SocketAddr::new(listener.address, silence.port);
        let (confidence, alternatives) = (Confidence::Likely, [Slug::SecurityGroupDrop]);
        let brief = Brief { local, remote: local, time, confidence, alternatives: &alternatives, comm: None };
        let key = (Slug::InboundSilence, Role::Inbound, netns, silence.port);
        let world = &self.world;
        let build = || {
            let process = text::process(world, listener.pid, listener.comm);
            let mut added = world.pressures.evidence(Slug::InboundSilence, netns, (silence.since, time));
            added.push(listening(listener, silence, time));
            let enter = world.namespaces.enter(netns);
            let lasted = text::duration(time.since(silence.since));
            Verdict {
                slug: Slug::InboundSilence,
                confidence,
                alternatives: alternatives.to_vec(),
                time,
                started: silence.since,
                role: Role::Inbound,
                netns,
                local: Some(local),
                remote: None,
                unix: None,
                port: silence.port,
                isn: None,
                count: 1,
                stage: None,
                health_check: false,
                expected_status: Some(504),
                http: Http::default(),
                cause: None,
                evidence: with_losses(evidence(silence, time), added, world, silence.since, time),
                summary: format!(
                    "No health check and no other SYN has reached port {} for {lasted}, though {} listens and the host \
                     receives other packets.",
                    silence.port,
                    text::name(process.as_ref()),
                ),
                next: format!(
                    "See first whether the target was deregistered, or is draining; if not, look at the security group \
                     and the network ACL of this host, and with `{enter}ss -ltn 'sport = :{}'` at the listener.",
                    silence.port
                ),
                process,
            }
        };
        self.fold.add(key, brief, build, out);
    }
}

fn evidence(silence: &Silence, now: BootTime) -> Vec<Evidence> {
    let mut items: Vec<Evidence> = silence
        .checkers
        .iter()
        .rev()
        .take(NAMED_MAX)
        .map(|(address, checker)| {
            let (every, ago) = (text::duration(checker.period), text::duration(now.since(checker.last)));
            let detail = format!("health checker {address} came every {every}, and last {ago} ago");
            Evidence { time: checker.last, event: Event::HealthCheckersStopped, detail }
        })
        .collect();
    let unnamed = silence.checkers.len().saturating_sub(NAMED_MAX);
    if unnamed > 0 {
        let detail = format!("{unnamed} more health checkers stopped");
        items.push(Evidence { time: silence.since, event: Event::HealthCheckersStopped, detail });
    }
    items
}

fn listening(listener: &listeners::Entry, silence: &Silence, time: BootTime) -> Evidence {
    let detail = format!(
        "a socket listens on {}; the host has received {} packets since the last check",
        text::bound(listener, silence.port),
        silence.received
    );
    Evidence { time, event: Event::Listener, detail }
}

#[cfg(test)]
#[path = "silence_tests.rs"]
mod tests;
