//! Why a process failed a request: what it had asked of others for that request, and what came of it.
//!
//! A wrong cause is worse than none. A failed exchange fits a request if it has the same method and
//! path, or the same trace id; a failed attempt to connect says nothing of what it was for, and fits
//! only if nothing fits better. Whatever fits must lie within the time that the request took.
//!
//! long: one search: who fits a request, and which of them

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher as _, Hash};
use std::time::Duration;

use foldhash::quality::FixedState;

use super::attempt::Attempt;
use super::attempts::{HashMap, Id};
use super::flows::ExchangeId;
use super::rules;
use super::timing::{CAUSE_KEPT, CAUSE_SLACK};
use crate::record::{BootTime, Exchange as Heads};
use crate::verdict::{Slug, Verdict};

/// Processes that are followed; who did nothing for longest makes room.
const PROCESSES_MAX: usize = 64;
/// Failures, and requests, kept of one process.
const KEPT_OF_EACH: usize = 256;
/// More candidates than this are never told apart.
const CANDIDATES_MAX: usize = 8;

/// What tells one request from another: not the text itself but 128 bits of it, as it is compared with that of
/// many others and never shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// Method and path, if there is a path.
    line: Option<u128>,
    trace_id: Option<u128>,
}

impl Text {
    pub(super) fn of(heads: Option<&Heads>) -> Self {
        heads.map_or_else(Self::default, |heads| Self {
            line: heads.path.as_deref().map(|path| fingerprint(&(heads.method.as_deref(), path))),
            trace_id: heads.trace_id.as_deref().map(fingerprint),
        })
    }

    /// Whether their trace ids tell that they have nothing to do with each other.
    fn is_of_another(&self, other: &Self) -> bool {
        self.trace_id.is_some_and(|id| other.trace_id.is_some_and(|other| other != id))
    }

    /// Whether one may have been made of the other.
    fn fits(&self, other: &Self) -> bool {
        match (&self.trace_id, &other.trace_id) {
            (Some(one), Some(another)) => one == another,
            _ => self.line.is_some() && self.line == other.line,
        }
    }
}

/// Two hashes with seeds of their own: equal by chance once in 2^128. Whoever can choose texts to be taken for
/// another's can send that text itself.
fn fingerprint<T: Hash + ?Sized>(text: &T) -> u128 {
    const SEEDS: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
    let [high, low] = SEEDS.map(|seed| FixedState::with_seed(seed).hash_one(text));
    u128::from(high) << 64 | u128::from(low)
}

/// A time, its ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: BootTime,
    pub(super) to: BootTime,
}

impl Span {
    /// Whether the other was a part of this, or ended so little later.
    fn contains(self, other: Self, slack: Duration) -> bool {
        other.from >= self.from && other.to <= self.to.after(slack)
    }
}

/// What became of something that a process had asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not connect.
    Attempt {
        attempt: Box<Attempt>,
        finding: Box<rules::Finding>,
        /// It gave up so early that only a proxy's answer makes a failure of it.
        weak: bool,
    },
    /// Its request failed.
    Exchange(Box<Verdict>),
}

impl Failure {
    /// What it was, and at which remote end.
    fn name(&self) -> (Slug, Option<std::net::SocketAddr>) {
        match self {
            Self::Attempt { finding, .. } => (finding.slug, Some(finding.flow.responder.socket_addr())),
            Self::Exchange(verdict) => {
                let inbound = verdict.role == crate::verdict::Role::Inbound;
                (verdict.slug, if inbound { verdict.local } else { verdict.remote })
            }
        }
    }

    fn expected_status(&self) -> Option<u16> {
        match self {
            Self::Attempt { finding, .. } => finding.expected_status,
            Self::Exchange(verdict) => verdict.expected_status,
        }
    }

    /// Whether it may be why a request was answered so.
    fn may_cause(&self, request: &Request) -> bool {
        let by_gateway = request.by_proxy && request.is_gateway_error();
        match self {
            Self::Attempt { weak, .. } if *weak && !by_gateway => false,
            // a time-out of the proxy's is no refusal
            Self::Attempt { finding, .. } => {
                !(by_gateway && request.status == Some(504)) || finding.expected_status == Some(504)
            }
            // a proxy passes on what it was answered; if it answers otherwise, it was not answered so
            Self::Exchange(_) => !request.by_proxy || self.status().is_none(),
        }
    }

    /// What it was answered with.
    fn status(&self) -> Option<u16> {
        match self {
            Self::Exchange(verdict) if matches!(verdict.slug, Slug::AppStatus | Slug::HealthCheckFailed) => {
                verdict.http.status
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Failed {
    span: Span,
    /// How long after the request's answer it may have ended: not at all, if it was told by others.
    slack: Duration,
    /// `None`: it did not come to a request.
    text: Option<Text>,
    failure: Failure,
    /// The request that it was the cause of.
    claimed: bool,
}

impl Failed {
    /// Whether it lies within the time that a request took.
    fn is_part_of(&self, request: &Request) -> bool {
        request.span.contains(self.span, self.slack)
    }
}

/// A request that a process did not answer well.
#[derive(Clone, Debug)]
struct Request {
    id: ExchangeId,
    span: Span,
    text: Text,
    status: Option<u16>,
    /// The process is of a program whose purpose is to pass requests on.
    by_proxy: bool,
    /// The process makes HTTP requests of its own.
    forwards: bool,
    /// Its cause was looked for, and found.
    explained: bool,
}

impl Request {
    /// A failed connect explains a server's error, or no answer at all.
    fn may_come_of_attempt(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }

    fn is_gateway_error(&self) -> bool {
        matches!(self.status, Some(502..=504))
    }
}

/// Requests in the order in which they came.
#[derive(Debug, Default)]
struct Requests {
    queue: VecDeque<Request>,
    /// How many have left the queue at its front.
    gone: usize,
    /// By name: how many had come before it.
    places: HashMap<ExchangeId, usize>,
}

impl Requests {
    fn get(&self, id: ExchangeId) -> Option<&Request> {
        self.queue.get(self.places.get(&id)?.wrapping_sub(self.gone))
    }

    fn get_mut(&mut self, id: ExchangeId) -> Option<&mut Request> {
        self.queue.get_mut(self.places.get(&id)?.wrapping_sub(self.gone))
    }

    fn push(&mut self, request: Request) {
        self.places.insert(request.id, self.gone.wrapping_add(self.queue.len()));
        self.queue.push_back(request);
    }

    fn pop_front(&mut self) -> Option<Request> {
        let request = self.queue.pop_front()?;
        self.gone = self.gone.wrapping_add(1);
        self.places.remove(&request.id);
        Some(request)
    }
}

#[derive(Debug, Default)]
struct Process {
    failed: VecDeque<Failed>,
    requests: Requests,
    /// Attempts to connect that ended, and may not be decided.
    attempts: VecDeque<(Id, Span)>,
    /// Requests of its own that may not be decided, and when they began.
    exchanges: VecDeque<(ExchangeId, Text, BootTime)>,
    /// When it connected somewhere, having failed to before.
    connected: VecDeque<BootTime>,
    /// What ended by then may have been thrown out.
    forgotten_until: BootTime,
    last: BootTime,
}

/// A request that came to a process, and what it answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) id: ExchangeId,
    pub(super) span: Span,
    pub(super) text: Text,
    /// `None`: nothing.
    pub(super) status: Option<u16>,
    /// The process is of a program whose purpose is to pass requests on.
    pub(super) by_proxy: bool,
    /// The process makes HTTP requests of its own.
    pub(super) forwards: bool,
}

/// Whether a process had passed a request on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PassedOn {
    /// Nothing says so.
    #[default]
    No,
    /// It was answered the same to another request, which is nobody's, meanwhile.
    Perhaps,
    /// It had, and answered otherwise than it was answered.
    Yes,
    /// What it answered was answered to it.
    Relayed,
}

/// What was found of a request.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) cause: Option<&'a Failure>,
    /// How many would fit equally; 0 unless there are several.
    pub(super) equals: usize,
    /// What all of those were, if they were all the same.
    pub(super) alike: Option<(Slug, Option<std::net::SocketAddr>)>,
    pub(super) passed_on: PassedOn,
    /// The process asks others, for whatever requests.
    pub(super) asks_others: bool,
}

/// By process.
#[derive(Debug, Default)]
pub(super) struct Causes {
    processes: BTreeMap<u32, Process>,
}

impl Causes {
    /// Something that a process had asked for failed: it gave that up itself, or was told.
    pub(super) fn failed(&mut self, pid: u32, span: Span, text: Option<Text>, failure: Failure, given_up: bool) {
        let slack = if given_up { CAUSE_SLACK } else { Duration::ZERO };
        let process = self.process(pid, span.to);
        if process.failed.len() >= KEPT_OF_EACH
            && let Some(gone) = process.failed.pop_front()
        {
            process.forgotten_until = process.forgotten_until.max(gone.span.to);
        }
        process.failed.push_back(Failed { span, slack, text, failure, claimed: false });
    }

    /// A process's attempt to connect came to nothing.
    pub(super) fn gave_up(&mut self, pid: u32, id: Id, span: Span) {
        keep(&mut self.process(pid, span.to).attempts, (id, span));
    }

    /// Something is known of a request that a process made.
    pub(super) fn asks(&mut self, pid: u32, id: ExchangeId, text: Text, span: Span) {
        let exchanges = &mut self.process(pid, span.to).exchanges;
        match exchanges.iter_mut().rev().find(|(known, ..)| *known == id) {
            Some(known) => *known = (id, text, span.from),
            None => keep(exchanges, (id, text, span.from)),
        }
    }

    /// The process's attempts to connect that came to nothing while it worked on this request.
    pub(super) fn attempts_during(&self, pid: u32, id: ExchangeId) -> impl Iterator<Item = Id> {
        let request = self.request(pid, id).filter(|(_, request)| request.may_come_of_attempt());
        request.into_iter().flat_map(|(process, request)| {
            let during = process.attempts.iter().filter(|(_, span)| request.span.contains(*span, CAUSE_SLACK));
            during.map(|(id, _)| *id)
        })
    }

    /// The process's own requests that it may have made for this one; they began later.
    pub(super) fn exchanges_during(&self, pid: u32, id: ExchangeId) -> impl Iterator<Item = ExchangeId> {
        self.request(pid, id).into_iter().flat_map(|(process, request)| {
            let Span { from, to } = request.span;
            let during = process.exchanges.iter().filter(move |(_, _, began)| *began > from && *began <= to);
            during.filter(|(_, text, _)| text.fits(&request.text)).map(|(id, ..)| *id)
        })
    }

    /// From when to when a process worked on a request.
    pub(super) fn took(&self, pid: u32, id: ExchangeId) -> Option<Span> {
        self.request(pid, id).map(|(_, request)| request.span)
    }

    fn request(&self, pid: u32, id: ExchangeId) -> Option<(&Process, &Request)> {
        let process = self.processes.get(&pid)?;
        Some((process, process.requests.get(id)?))
    }

    /// A process that had failed to connect did.
    pub(super) fn connected(&mut self, pid: u32, time: BootTime) {
        let process = self.process(pid, time);
        keep(&mut process.connected, time);
    }

    /// A process answered a request with what is worth telling, or not at all.
    pub(super) fn asked(&mut self, pid: u32, asked: Asked) {
        let Asked { id, span, text, status, by_proxy, forwards } = asked;
        let process = self.process(pid, span.to);
        if let Some(known) = process.requests.get_mut(id) {
            *known = Request { id, span, text, status, by_proxy, forwards, explained: known.explained };
            return;
        }
        if process.requests.queue.len() >= KEPT_OF_EACH
            && let Some(gone) = process.requests.pop_front()
            && !gone.explained
        {
            process.forgotten_until = process.forgotten_until.max(gone.span.from);
        }
        process.requests.push(Request { id, span, text, status, by_proxy, forwards, explained: false });
    }

    /// Whether a process has answered a server's error for the request that it made this of: of those that fit,
    /// the one that ended with it.
    pub(super) fn answered_for(&self, pid: u32, span: Span, text: &Text) -> bool {
        let Some(process) = self.processes.get(&pid) else { return false };
        let fits = |request: &&Request| request.span.contains(span, CAUSE_SLACK) && request.text.fits(text);
        let apart = |request: &Request| request.span.to.since(span.to).max(span.to.since(request.span.to));
        let failed = |request: &Request| request.status.is_some_and(|status| status >= 500);
        let all = process.requests.queue.iter().filter(fits);
        // of two at one moment it is not known which it was
        let nearest = all.min_by_key(|request| (apart(request), failed(request)));
        nearest.is_some_and(failed)
    }

    /// Whether anything fits a request that a gateway answered for; true of other requests.
    pub(super) fn may_explain(&self, pid: u32, id: ExchangeId) -> bool {
        let Some((process, request)) = self.request(pid, id) else { return true };
        !request.is_gateway_error() || !process.pool(request).is_empty()
    }

    /// The cause of a request's failure, if exactly one fits. It is taken: it explains no other.
    pub(super) fn take(&mut self, pid: u32, id: ExchangeId) -> Found<'_> {
        let Some(process) = self.processes.get_mut(&pid) else { return Found::default() };
        let mut found = Found { asks_others: !process.failed.is_empty(), ..Found::default() };
        let Some(request) = process.requests.get(id).cloned() else {
            return found;
        };
        let pool = process.pool(&request);
        found.passed_on = process.passed_on(&request, &pool);
        let chosen = process.choose(&request, &pool);
        let Some(chosen) = chosen else {
            found.equals = pool.len();
            found.alike = process.alike(&pool);
            return found;
        };
        if let Some(request) = process.requests.get_mut(id) {
            request.explained = true;
        }
        if let Some(failed) = process.failed.get_mut(chosen) {
            failed.claimed = true;
            found.cause = Some(&failed.failure);
        }
        found
    }

    fn process(&mut self, pid: u32, time: BootTime) -> &mut Process {
        if self.processes.len() >= PROCESSES_MAX && !self.processes.contains_key(&pid) {
            let oldest = self.processes.iter().min_by_key(|(_, process)| process.last).map(|(pid, _)| *pid);
            if let Some(oldest) = oldest {
                self.processes.remove(&oldest);
            }
        }
        let process = self.processes.entry(pid).or_default();
        process.last = process.last.max(time);
        let kept = process.last.before(CAUSE_KEPT);
        while process.failed.front().is_some_and(|failed| failed.span.to < kept) {
            process.failed.pop_front();
        }
        while process.connected.front().is_some_and(|time| *time < kept) {
            process.connected.pop_front();
        }
        while process.requests.queue.front().is_some_and(|request| request.span.to < kept) {
            process.requests.pop_front();
        }
        process
    }
}

/// Keeps the newest.
fn keep<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() >= KEPT_OF_EACH {
        queue.pop_front();
    }
    queue.push_back(value);
}

impl Process {
    /// The failures that fit a request best, by their places: what was relayed; else what had the same
    /// text; else what could not connect.
    fn pool(&self, request: &Request) -> Vec<usize> {
        let within = |fits: &dyn Fn(usize, &Failed) -> bool| -> Vec<usize> {
            let all = self.failed.iter().enumerate();
            let open = all.filter(|(_, failed)| !failed.claimed && failed.is_part_of(request));
            open.filter(|(at, failed)| fits(*at, failed)).map(|(at, _)| at).collect()
        };
        let relayed = within(&|at, _| self.relays(request, at));
        if !relayed.is_empty() {
            return relayed;
        }
        if !request.may_come_of_attempt() {
            return Vec::new();
        }
        let fits = |failed: &Failed| failed.text.as_ref().is_some_and(|text| text.fits(&request.text));
        let same = within(&|_, failed| fits(failed) && failed.failure.may_cause(request));
        if !same.is_empty() {
            return same;
        }
        let mut attempts = within(&|_, failed| {
            failed.text.is_none() && failed.failure.may_cause(request) && !self.connected_elsewhere(failed, request)
        });
        if attempts.iter().any(|at| self.is_expected(request.status, *at)) {
            attempts.retain(|at| self.is_expected(request.status, *at));
        }
        attempts
    }

    /// Whether the process connected after this failure and before it answered: perhaps in its stead. Had an
    /// HTTP proxy's request failed there too, that would be known of the request itself.
    fn connected_elsewhere(&self, failed: &Failed, request: &Request) -> bool {
        if request.by_proxy && request.forwards && request.is_gateway_error() {
            return false;
        }
        self.connected.iter().any(|time| *time >= failed.span.to && *time <= request.span.to)
    }

    /// Whether this was the answer that the request got in the end.
    fn relays(&self, request: &Request, at: usize) -> bool {
        let Some(failed) = self.failed.get(at) else { return false };
        let same = failed.text.as_ref().is_some_and(|text| text.fits(&request.text));
        same && request.status.is_some() && failed.failure.status() == request.status
    }

    fn passed_on(&self, request: &Request, pool: &[usize]) -> PassedOn {
        let was_request = |at: &usize| self.failed.get(*at).is_some_and(|failed| failed.text.is_some());
        match pool {
            [] if self.may_relay(request) => PassedOn::Perhaps,
            [] => PassedOn::No,
            _ if pool.iter().all(|at| self.relays(request, *at)) => PassedOn::Relayed,
            _ if pool.iter().any(was_request) => PassedOn::Yes,
            _ => PassedOn::No,
        }
    }

    /// Whether something was answered the same meanwhile that is no other request's: a proxy may ask for other
    /// paths than it is asked for.
    fn may_relay(&self, request: &Request) -> bool {
        let all = self.failed.iter().filter(|failed| !failed.claimed && failed.is_part_of(request));
        let mut same =
            all.filter(|failed| failed.failure.status().is_some_and(|status| request.status == Some(status)));
        same.any(|failed| {
            let Some(text) = &failed.text else { return false };
            let others = || self.requests.queue.iter().filter(|other| other.id != request.id);
            let is_others = || others().any(|other| other.text.fits(text) && failed.is_part_of(other));
            !text.is_of_another(&request.text) && !is_others()
        })
    }

    /// The one that it was, if that is certain.
    fn choose(&self, request: &Request, pool: &[usize]) -> Option<usize> {
        if pool.is_empty() || pool.len() > CANDIDATES_MAX || self.forgotten_until >= request.span.from {
            return None;
        }
        // what is another request's only candidate is that one's
        let others = self.rivals(request, pool);
        let taken = |at: &usize| {
            let equal = |status| self.is_expected(status, *at) >= self.is_expected(request.status, *at);
            others.iter().any(|(status, other)| other.as_slice() == [*at] && equal(*status))
        };
        let left: Vec<usize> = pool.iter().copied().filter(|at| !taken(at)).collect();
        let contested = |at: &usize| others.iter().any(|(_, other)| other.contains(at));
        match left.as_slice() {
            [one] => Some(*one),
            [.., last] if self.follow_each_other(&left) && !left.iter().any(contested) => Some(*last),
            _ => None,
        }
    }

    /// Whether a failure is usually answered with this status.
    fn is_expected(&self, status: Option<u16>, at: usize) -> bool {
        status.is_some() && self.failed.get(at).is_some_and(|failed| failed.failure.expected_status() == status)
    }

    /// Other unexplained requests whose candidates share some with these: their statuses and those.
    fn rivals(&self, request: &Request, pool: &[usize]) -> Vec<(Option<u16>, Vec<usize>)> {
        let shares = |other: &&Request| {
            let overlaps = |at: &usize| self.failed.get(*at).is_some_and(|failed| failed.is_part_of(other));
            other.id != request.id && !other.explained && pool.iter().any(overlaps)
        };
        let pools = self.requests.queue.iter().filter(shares).map(|other| (other.status, self.pool(other)));
        pools.filter(|(_, other)| other.iter().any(|at| pool.contains(at))).collect()
    }

    /// Whether each began when the one before it was over: one request, tried again.
    fn follow_each_other(&self, places: &[usize]) -> bool {
        let mut spans: Vec<Span> = places.iter().filter_map(|at| Some(self.failed.get(*at)?.span)).collect();
        spans.sort_unstable_by_key(|span| span.to);
        let in_order = places.iter().filter_map(|at| Some(self.failed.get(*at)?.span.to)).is_sorted();
        in_order && spans.iter().zip(spans.iter().skip(1)).all(|(one, next)| next.from >= one.to)
    }

    fn alike(&self, pool: &[usize]) -> Option<(Slug, Option<std::net::SocketAddr>)> {
        let mut names = pool.iter().filter_map(|at| Some(self.failed.get(*at)?.failure.name()));
        let first = names.next()?;
        names.all(|name| name == first).then_some(first)
    }
}
