//! What must be said of a scenario, from each vantage.
//!
//! long: one word for each thing that a scenario may expect

use std::ops::RangeInclusive;

use crate::lab::{Host, WATCHED};
use crate::scenario::Vantage;

/// What must be said, from each vantage.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// From the server's namespace.
    pub server: View,
    /// From the client's.
    pub client: View,
    /// From both.
    pub both: View,
    /// From both and the router's; only where that makes a difference.
    pub all: Option<View>,
}

impl Expect {
    /// The vantages and what each must say.
    pub fn views(&self) -> Vec<(Vantage, &View)> {
        let mut views =
            vec![(Vantage::Server, &self.server), (Vantage::Client, &self.client), (Vantage::Both, &self.both)];
        if let Some(all) = &self.all {
            views.push((Vantage::All, all));
        }
        views
    }

    /// Whether numbers are expected that a recorder counts for all that it watches together.
    pub fn counts(&self) -> bool {
        self.views().iter().any(|(_, view)| view.exchanges == Exchanges::AsCounted)
    }

    /// From where the verdicts are seen that its recorded trace must always give: where both ends tell nothing, from
    /// one of them, if that does.
    pub fn telling(&self) -> Vantage {
        let mut tell =
            [Vantage::Both, Vantage::Server, Vantage::Client].into_iter().zip([&self.both, &self.server, &self.client]);
        tell.find(|(_, view)| !view.verdicts.is_empty()).map_or(Vantage::Both, |(vantage, _)| vantage)
    }

    /// What is said where everything is watched.
    pub fn widest(&self) -> &View {
        self.all.as_ref().unwrap_or(&self.both)
    }
}

/// Status, list, what a value of it begins with, and its count.
pub type Top = (&'static str, &'static str, &'static str, u64);

/// What must be said from one vantage. Anything else is wrong.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The verdicts.
    pub verdicts: Vec<Want>,
    /// The summary's `connections`; `None`: not looked at.
    pub connections: Option<RangeInclusive<u64>>,
    /// The summary's `recovered`, all slugs together.
    pub recovered: u64,
    /// The summary's `abandoned`; `None`: not looked at.
    pub abandoned: Option<u64>,
    /// What the counters must sum up to.
    pub exchanges: Exchanges,
    /// How often an exchange may be counted: twice where both ends are watched.
    pub times: u64,
    /// The counters' `slow`.
    pub slow: u64,
    /// `open` in the last counters line of the port; `None`: not looked at.
    pub open: Option<u64>,
    /// The port's `health_check_syn`; `None`: not looked at.
    pub health_checks: Option<u64>,
    /// Verdicts stand for exactly as many failures as the load generators counted.
    pub failures_as_counted: bool,
    /// What the summary's `top` must hold.
    pub top: &'static [Top],
    /// The port's `syn`; `None`: not looked at.
    pub syns: Option<u64>,
    /// Whether limits on floods must have left something out; else nothing may be left out.
    pub suppresses: bool,
    /// What `ready:` must say; `None`: not looked at.
    pub ready: Option<&'static str>,
    /// Causes of loss that must be counted; if there are any, others may be as well.
    pub lost: &'static [&'static str],
}

/// What the counters of the watched port must sum up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exchanges {
    /// Not looked at.
    #[default]
    Any,
    /// Statuses and how many exchanges had each; 0: none was seen.
    Exactly(&'static [(u16, u64)]),
    /// What the load generators counted.
    AsCounted,
}

impl View {
    /// One verdict, or several alike.
    pub fn of(want: Want) -> Self {
        Self { verdicts: vec![want], ..Self::default() }
    }

    /// No verdict.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Several kinds of verdicts.
    pub fn all(wants: Vec<Want>) -> Self {
        Self { verdicts: wants, ..Self::default() }
    }

    /// The counters sum up to this.
    #[must_use]
    pub fn exchanges(mut self, exchanges: Exchanges) -> Self {
        self.exchanges = exchanges;
        self
    }

    /// `ready:` says this.
    #[must_use]
    pub fn ready(mut self, words: &'static str) -> Self {
        self.ready = Some(words);
        self
    }

    /// So many connections are left open.
    #[must_use]
    pub fn open(mut self, count: u64) -> Self {
        self.open = Some(count);
        self
    }

    /// So many connections were health checks.
    #[must_use]
    pub fn health_checks(mut self, count: u64) -> Self {
        self.health_checks = Some(count);
        self
    }

    /// So many responses were slow.
    #[must_use]
    pub fn slow(mut self, count: u64) -> Self {
        self.slow = count;
        self
    }

    /// So many SYNs reached the port, and not all of them are told of.
    #[must_use]
    pub fn flooded(mut self, count: u64) -> Self {
        self.syns = Some(count);
        self.suppresses = true;
        self
    }

    /// Something is lost, for these reasons.
    #[must_use]
    pub fn lost(mut self, causes: &'static [&'static str]) -> Self {
        self.lost = causes;
        self
    }

    /// The verdicts stand for exactly what failed of the load.
    #[must_use]
    pub fn failures_as_counted(mut self) -> Self {
        self.failures_as_counted = true;
        self
    }

    /// The summary's `top` holds these.
    #[must_use]
    pub fn top(mut self, top: &'static [Top]) -> Self {
        self.top = top;
        self
    }

    /// So many connections were made. They must have been counted, or silence would prove nothing.
    #[must_use]
    pub fn connections(mut self, range: RangeInclusive<u64>) -> Self {
        self.connections = Some(range);
        self
    }

    /// So many attempts were delayed and then succeeded.
    #[must_use]
    pub fn recovered(mut self, count: u64) -> Self {
        self.recovered = count;
        self
    }

    /// So many attempts were given up too early to tell.
    #[must_use]
    pub fn abandoned(mut self, count: u64) -> Self {
        self.abandoned = Some(count);
        self
    }

    /// The fewest attempts that verdicts must stand for.
    pub fn least(&self) -> u64 {
        self.verdicts.iter().map(|want| *want.count.start()).sum()
    }
}

/// Verdicts that must be given.
#[derive(Clone, Debug)]
pub struct Want {
    /// `verdict`.
    pub slug: &'static str,
    /// `role`.
    pub role: &'static str,
    /// Any of these fits.
    pub grades: Vec<Grade>,
    /// For so many attempts.
    pub count: RangeInclusive<u64>,
    /// The server's end.
    pub to: Host,
    /// Its port.
    pub port: u16,
    /// Instead of both: the path of a unix socket.
    pub unix: Option<&'static str>,
    /// `process.comm`; `None`: not looked at.
    pub process: Option<&'static str>,
    /// `process.exit`; `None`: not looked at.
    pub exit: Option<&'static str>,
    /// An item of the evidence: its `event`, and what its `detail` must hold; `None` for the latter: there
    /// must be no such item. Not looked at if there is none here.
    pub evidence: Option<(&'static str, Option<&'static str>)>,
    /// `stage`; `None`: not looked at.
    pub stage: Option<&'static str>,
    /// `health_check`.
    pub health_check: bool,
    /// `http`; `None`: not looked at.
    pub http: Option<Http>,
    /// `http.origin`; `None`: not looked at.
    pub origin: Option<&'static [&'static str]>,
    /// `http.client`: there must be this one, or, with an inner `None`, none; `None`: not looked at.
    pub client: Option<Option<&'static str>>,
    /// `cause`.
    pub cause: Cause,
    /// The client's end may be anybody's.
    pub of_anybody: bool,
}

/// What must be known of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// `method` and `path`; `None`: null.
    pub request: Option<(&'static str, &'static str)>,
    /// `status`; `None`: null.
    pub status: Option<u64>,
}

/// What must be the cause of a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// None: `cause` is null.
    #[default]
    Null,
    /// It is not looked at.
    Any,
    /// Null, or this one.
    Perhaps(Box<Self>),
    /// A verdict.
    Verdict {
        /// Its slug.
        slug: &'static str,
        /// Its server's end: `remote`, or `local` where it is inbound.
        remote: Remote,
        /// Its own cause.
        cause: Box<Self>,
    },
}

impl Cause {
    /// A verdict that has no cause itself.
    pub fn of(slug: &'static str, remote: Remote) -> Self {
        Self::Verdict { slug, remote, cause: Box::new(Self::Null) }
    }
}

/// The other end of a server's own connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A port of the loopback address.
    Loopback(u16),
    /// A port of a host.
    At(Host, u16),
    /// A unix socket.
    Unix(&'static str),
}

/// How sure a verdict is, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grade {
    /// `confidence`.
    pub confidence: &'static str,
    /// `alternatives`.
    pub alternatives: &'static [&'static str],
    /// `expected_status`; `None`: null.
    pub status: Option<u64>,
}

impl Grade {
    /// Without alternatives.
    pub const fn certain(status: u64) -> Self {
        Self { confidence: "certain", alternatives: &[], status: Some(status) }
    }

    /// Without alternatives, and nobody was answered.
    pub const fn without_status() -> Self {
        Self { confidence: "certain", alternatives: &[], status: None }
    }

    /// With alternatives.
    pub const fn likely(status: u64, alternatives: &'static [&'static str]) -> Self {
        Self { confidence: "likely", alternatives, status: Some(status) }
    }

    /// No client sees a status.
    #[must_use]
    pub const fn unseen(mut self) -> Self {
        self.status = None;
        self
    }
}

impl Want {
    /// One verdict of role inbound.
    pub fn inbound(slug: &'static str, grade: Grade) -> Self {
        Self::new(slug, "inbound", grade)
    }

    /// One verdict of role outbound.
    pub fn outbound(slug: &'static str, grade: Grade) -> Self {
        Self::new(slug, "outbound", grade)
    }

    fn new(slug: &'static str, role: &'static str, grade: Grade) -> Self {
        Self {
            slug,
            role,
            grades: vec![grade],
            count: 1..=1,
            to: Host::Server,
            port: WATCHED,
            unix: None,
            process: None,
            exit: None,
            evidence: None,
            stage: None,
            health_check: false,
            http: None,
            origin: None,
            client: None,
            cause: Cause::Null,
            of_anybody: false,
        }
    }

    /// Of clients of any address.
    #[must_use]
    pub fn of_anybody(mut self) -> Self {
        self.of_anybody = true;
        self
    }

    /// At this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// At this unix socket.
    #[must_use]
    pub fn unix(mut self, path: &'static str) -> Self {
        self.unix = Some(path);
        self
    }

    /// About this exchange, whose status was not seen.
    #[must_use]
    pub fn unanswered(mut self, method: &'static str, path: &'static str) -> Self {
        self.http = Some(Http { request: Some((method, path)), status: None });
        self
    }

    /// About this exchange.
    #[must_use]
    pub fn answered(mut self, method: &'static str, path: &'static str, status: u64) -> Self {
        self.http = Some(Http { request: Some((method, path)), status: Some(status) });
        self
    }

    /// About an exchange whose request was not read here, and whose status was not seen.
    #[must_use]
    pub fn unread(mut self) -> Self {
        self.http = Some(Http { request: None, status: None });
        self
    }

    /// Answered by one of these.
    #[must_use]
    pub fn origin(mut self, origins: &'static [&'static str]) -> Self {
        self.origin = Some(origins);
        self
    }

    /// For this client behind the peer, or for none that is known.
    #[must_use]
    pub fn client(mut self, client: Option<&'static str>) -> Self {
        self.client = Some(client);
        self
    }

    /// At this stage.
    #[must_use]
    pub fn stage(mut self, stage: &'static str) -> Self {
        self.stage = Some(stage);
        self
    }

    /// Whose process ended so.
    #[must_use]
    pub fn exit(mut self, exit: &'static str) -> Self {
        self.exit = Some(exit);
        self
    }

    /// With this in its evidence.
    #[must_use]
    pub fn evidence(mut self, event: &'static str, detail: &'static str) -> Self {
        self.evidence = Some((event, Some(detail)));
        self
    }

    /// Without any such evidence.
    #[must_use]
    pub fn no_evidence(mut self, event: &'static str) -> Self {
        self.evidence = Some((event, None));
        self
    }

    /// For this reason.
    #[must_use]
    pub fn cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// A health check's own failure.
    #[must_use]
    pub fn health_check(mut self) -> Self {
        self.health_check = true;
        self
    }

    /// Another grade that fits as well.
    #[must_use]
    pub fn or(mut self, grade: Grade) -> Self {
        self.grades.push(grade);
        self
    }

    /// For so many attempts.
    #[must_use]
    pub fn times(mut self, count: RangeInclusive<u64>) -> Self {
        self.count = count;
        self
    }

    /// Towards this address.
    #[must_use]
    pub fn to(mut self, host: Host) -> Self {
        self.to = host;
        self
    }

    /// About this process.
    #[must_use]
    pub fn process(mut self, comm: &'static str) -> Self {
        self.process = Some(comm);
        self
    }
}
