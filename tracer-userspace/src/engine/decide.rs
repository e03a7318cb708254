//! Decisions: an attempt whose time has come becomes a verdict, or is counted.

use super::Engine;
use super::attempt::Attempt;
use super::attempts::{Id, Outcome};
use super::causes::{Failure, Span};
use super::evidence::What;
use super::fold::{Brief, is_refusal};
use super::intake::is_no_way;
use super::output::Output;
use super::rules::{self, Case, Finding, Words};
use super::text;
use super::timing;
use super::world::World;
use crate::record::BootTime;
use crate::verdict::{Confidence, Event, Evidence, Http, MAX_EVIDENCE, Role, Slug, Verdict};

impl Engine {
    /// A timer's time has come.
    pub(super) fn look_at(&mut self, time: BootTime, id: Id, out: &mut Vec<Output>) {
        if !self.attempts.take_timer(time, id) {
            return;
        }
        let Some(attempt) = self.attempts.under_way(id) else { return };
        let due = timing::due(attempt);
        if due > self.now {
            self.attempts.schedule(id, due);
            self.timers.insert(due, id);
            return;
        }
        self.decide(id, out);
        let attempts = &self.attempts;
        self.timers.compact(attempts.under_way_count(), |time, id| attempts.is_current(time, id));
    }

    /// The stream ended.
    pub(super) fn decide_all(&mut self, out: &mut Vec<Output>) {
        for id in self.attempts.all_under_way() {
            let Some(attempt) = self.attempts.under_way(id) else { continue };
            if timing::decides_at_end(attempt, self.now) {
                self.decide(id, out);
            } else if attempt.own.is_some() && attempt.port.is_some() {
                self.totals.undecided = self.totals.undecided.saturating_add(1);
            }
        }
    }

    /// The watched ports change. At a port that is left nothing more will be seen, not even that an
    /// attempt succeeds: what is under way there stays undecided, and its listeners are forgotten.
    pub(super) fn watch(&mut self, ports: &[u16]) {
        self.world.watch(ports);
        for port in ports {
            self.counters.watch(*port);
        }
        let behind = self.world.published.target_ports();
        let kept: Vec<u16> = ports.iter().copied().chain(behind).collect();
        self.world.listeners.keep_ports(&kept);
        let world = &self.world;
        let gone = self.flows.keep(|port| world.watches(port));
        self.totals.undecided = self.totals.undecided.saturating_add(gone);
        for id in self.attempts.all_under_way() {
            let Some(attempt) = self.attempts.under_way(id) else { continue };
            if attempt.port.is_none_or(|port| self.world.watches(port)) {
                continue;
            }
            if attempt.own.is_some() {
                self.totals.undecided = self.totals.undecided.saturating_add(1);
            }
            self.attempts.forget(id);
        }
    }

    /// The slug of an attempt that came to a good end, had it not.
    pub(super) fn would_be(&self, attempt: &Attempt) -> Option<Slug> {
        attempt.port?;
        let case = Case { attempt, world: &self.world, now: self.now };
        rules::decide(&case).map(|finding| finding.slug)
    }

    fn decide(&mut self, id: Id, out: &mut Vec<Output>) {
        let Some(attempt) = self.attempts.under_way(id) else { return };
        let case = Case { attempt, world: &self.world, now: self.now };
        // at a port that is not watched it can only be the cause of something, and has to be somebody's
        let nobodys = attempt.port.is_none() && attempt.own.as_ref().is_none_or(|own| own.task.is_none());
        let weak = is_given_up_by_server(&case);
        let finding = if nobodys || (is_abandoned(&case) && !weak) { None } else { rules::decide(&case) };
        let Some(finding) = finding else {
            if attempt.own.is_none() || attempt.port.is_none() {
                self.attempts.forget(id);
                return;
            }
            let abandoned = attempt.closed().is_some_and(|_| !attempt.was_long_enough()) || unsent(attempt).is_some();
            let count = if abandoned { &mut self.totals.abandoned } else { &mut self.totals.undecided };
            *count = count.saturating_add(1);
            self.attempts.close(id, Outcome::Decided { by_reset: false });
            return;
        };
        let by_reset = matches!(finding.slug, Slug::ProcessDown | Slug::WrongBindAddress);
        let Some(attempt) = self.attempts.settle(id, Outcome::Decided { by_reset }) else { return };
        let mut finding = finding;
        if self.world.losses_between(attempt.may_miss_since(), self.now).next().is_some() {
            finding.confidence = Confidence::Likely;
        }
        if attempt.port.is_some() {
            self.totals.verdict(finding.slug);
            self.say(&attempt, &finding, out);
        }
        if let Some(task) = attempt.own.as_ref().and_then(|own| own.task) {
            let given_up = attempt.first_answer().is_none();
            let closed = || attempt.closed().map_or(finding.time, |closed| closed.min(finding.time));
            // connect() had come back by then, though it was found out later
            let to = if unsent(&attempt).is_some() { attempt.started } else { closed() };
            let span = Span { from: attempt.started, to };
            let failure = Failure::Attempt { attempt, finding: Box::new(finding), weak };
            self.causes.failed(task.pid, span, None, failure, given_up);
        } else {
            self.attempts.recycle(attempt);
        }
    }

    /// Prints a verdict, or counts it where there are too many.
    fn say(&mut self, attempt: &Attempt, finding: &Finding, out: &mut Vec<Output>) {
        let case = Case { attempt, world: &self.world, now: self.now };
        let decided = finding.flow.responder.port;
        let port = if case.world.watches(decided) { decided } else { attempt.port.unwrap_or(decided) };
        let (local, remote) = ends(finding);
        let key = (finding.slug, finding.role, finding.netns, port);
        let (time, confidence, alternatives) = (finding.time, finding.confidence, finding.alternatives);
        let comm = attempt.own.as_ref().and_then(|own| own.task).map(|task| task.comm);
        let brief = Brief { local, remote, time, confidence, alternatives, comm };
        self.fold.add(key, brief, || verdict(&case, finding, port), out);
        let unseen = if is_refusal(key) { self.unseen.take(port, self.now) } else { 0 };
        if unseen > 0 {
            self.totals.verdicts(finding.slug, unseen);
            self.fold.add_unseen_like(key, unseen, || verdict(&case, finding, port));
        }
    }

    /// SYNs were refused of which no more is known.
    pub(super) fn unseen_refused(&mut self, port: u16, count: u64, time: BootTime) {
        if count == 0 {
            return;
        }
        match self.fold.add_unseen(port, count, time) {
            Some(slug) => self.totals.verdicts(slug, count),
            None => self.unseen.learn(port, count, time),
        }
    }
}

/// Whether the initiator gave up too early to tell, or went elsewhere.
fn is_abandoned(case: &Case<'_>) -> bool {
    let Some(own) = &case.attempt.own else { return false };
    if let Some(time) = unsent(case.attempt) {
        let (end, world) = (own.flow.responder, case.world);
        let elsewhere = own.task.is_some_and(|task| world.connected_elsewhere(task.pid, end, time));
        let known = case.attempt.refused_connect().is_some() || no_way_known(case, time);
        return elsewhere || !known;
    }
    if case.attempt.lacked_a_port() {
        return false;
    }
    if case.attempt.port.is_some()
        && let (Some(task), Some(closed)) = (own.task, case.attempt.closed())
        && case.world.fell_back(task.pid, own.flow.responder, closed)
    {
        return true;
    }
    let silent = case.attempt.first_answer().is_none() && case.attempt.drops().next().is_none();
    silent && case.attempt.closed().is_some() && !case.attempt.was_long_enough()
}

/// Whether a process that serves a watched port gave this up itself, early: a proxy with a short time-out
/// does, if nothing answers.
fn is_given_up_by_server(case: &Case<'_>) -> bool {
    let (attempt, own) = (case.attempt, case.attempt.own.as_ref());
    let started = own.filter(|_| attempt.port.is_none()).and_then(|own| own.started);
    let lasted = started.and_then(|started| attempt.closed().map(|closed| closed.since(started)));
    !attempt.was_long_enough() && lasted.is_some_and(|lasted| lasted >= timing::PROXY_PATIENCE_MIN)
}

/// When connect() came back without a SYN, if it did.
fn unsent(attempt: &Attempt) -> Option<BootTime> {
    attempt.first(|what| matches!(what, What::ConnectUnsent { .. }))
}

/// Whether it is known that connect() came back for want of a way.
fn no_way_known(case: &Case<'_>, since: BootTime) -> bool {
    let said = case.attempt.first(|what| matches!(what, What::ConnectUnsent { error } if is_no_way(*error)));
    let Some(own) = &case.attempt.own else { return false };
    let path = case.world.path_to(own.netns, own.flow.responder, since);
    said.is_some() || path.is_some_and(|(_, path)| is_no_way(path.route_error))
}

/// This host's end, and the other. A forwarded attempt's local end is the destination of its SYN.
fn ends(finding: &Finding) -> (std::net::SocketAddr, std::net::SocketAddr) {
    let (initiator, responder) = (finding.flow.initiator.socket_addr(), finding.flow.responder.socket_addr());
    match finding.role {
        Role::Inbound | Role::Forwarded => (responder, initiator),
        Role::Outbound => (initiator, responder),
    }
}

/// A finding with its words.
pub(super) fn verdict(case: &Case<'_>, finding: &Finding, port: u16) -> Verdict {
    let Words { evidence, process, summary, next } = (finding.words)(case, finding);
    let (local, remote) = ends(finding);
    Verdict {
        slug: finding.slug,
        confidence: finding.confidence,
        alternatives: finding.alternatives.to_vec(),
        time: finding.time,
        started: case.attempt.started,
        role: finding.role,
        netns: finding.netns,
        local: Some(local),
        remote: Some(remote),
        unix: None,
        port,
        isn: (case.attempt.isn != 0).then_some(case.attempt.isn),
        count: 1,
        stage: None,
        health_check: false,
        expected_status: finding.expected_status,
        process,
        http: Http::default(),
        cause: None,
        evidence: all_evidence(case, finding, evidence),
        summary,
        next,
    }
}

/// What was seen and looked up, in order; if there is too much, the middle of what was seen goes.
fn all_evidence(case: &Case<'_>, finding: &Finding, mut added: Vec<Evidence>) -> Vec<Evidence> {
    added.extend(original_destination(case, finding));
    added.extend(case.world.pressures.evidence(finding.slug, finding.netns, (case.attempt.started, finding.time)));
    with_losses(text::evidence(case), added, case.world, case.attempt.may_miss_since(), case.now)
}

/// Where the attempt was sent before destination NAT, if its end stands behind a published port.
fn original_destination(case: &Case<'_>, finding: &Finding) -> Option<Evidence> {
    let end = finding.flow.responder;
    let published = case.world.published.port_of(finding.netns, end)?;
    let address = published.address.map(|address| format!("{address}:")).unwrap_or_default();
    let detail = format!("{} stands behind the published port {address}{}", end.socket_addr(), published.port);
    Some(Evidence { time: case.attempt.started, event: Event::OriginalDestination, detail })
}

/// Evidence, what was added to it, and what was lost in that time; at most as much as a verdict holds.
pub(super) fn with_losses(
    mut evidence: Vec<Evidence>,
    mut added: Vec<Evidence>,
    world: &World,
    from: BootTime,
    to: BootTime,
) -> Vec<Evidence> {
    evidence.sort_by_key(|item| item.time);
    added.extend(lost(world, from, to));
    let room = MAX_EVIDENCE.saturating_sub(added.len());
    if evidence.len() > room {
        let first = room / 2;
        let last = room.saturating_sub(first);
        evidence.drain(first..evidence.len().saturating_sub(last));
    }
    evidence.extend(added);
    evidence.sort_by_key(|item| item.time);
    evidence
}

/// What was lost meanwhile, a line a cause.
fn lost(world: &World, from: BootTime, to: BootTime) -> Vec<Evidence> {
    let mut causes = std::collections::BTreeMap::<&str, (BootTime, u64)>::new();
    for lost in world.losses_between(from, to) {
        let time = lost.from.max(from);
        let total = causes.entry(&lost.cause).or_insert((time, 0));
        *total = (total.0.max(time), total.1.saturating_add(lost.count));
    }
    let line = |(cause, (time, count)): (&str, (BootTime, u64))| Evidence {
        time,
        event: Event::RecordsLost,
        detail: format!("{count} records lost meanwhile: {cause}"),
    };
    causes.into_iter().map(line).collect()
}
