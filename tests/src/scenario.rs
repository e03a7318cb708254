//! What a scenario is: steps, and what must be said about them from each vantage.

use std::ops::RangeInclusive;

use crate::client::{Ended, Goodbye};
use crate::firewall::{Rule, Tool};
use crate::handshake::Deed;
use crate::lab::{Family, Host, Place, WATCHED};

/// One way to fail, or not to; over one protocol.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called; together with the family, unique.
    pub name: String,
    /// Protocol.
    pub family: Family,
    /// In order. Exactly one of them is [`Step::Record`].
    pub steps: Vec<Step>,
    /// What must be said.
    pub expect: Expect,
    /// Whether it is one of those that run on other kernels with every change: each verdict once.
    pub ci: bool,
}

impl Scenario {
    /// Runs it on other kernels with every change, if it is chosen: one protocol is enough.
    #[must_use]
    pub fn in_ci(mut self, chosen: bool) -> Self {
        self.ci |= chosen;
        self
    }

    /// Name and family: what `run` takes and reports.
    pub fn title(&self) -> String {
        format!("{}/{}", self.name, self.family.label())
    }
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// The test app listens.
    Serve(Bind),
    /// The test app ends.
    StopApp,
    /// nginx listens on every address.
    Nginx,
    /// nginx is stopped.
    StopNginx,
    /// A firewall rule is loaded.
    Rule(Rule),
    /// Lines of `ip` in a namespace.
    Ip(Place, &'static str),
    /// Kernel parameters below /proc/sys/net.
    Sysctl(Place, &'static [(&'static str, &'static str)]),
    /// From here on every vantage records.
    Record,
    /// The client opens a connection that goes on to the end.
    Flow,
    /// Something is done to a handshake.
    Handshake(Deed),
    /// The client acts.
    Client(Act),
}

/// Where the test app listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// On every address of the scenario's family (an IPv6 socket takes IPv4 as well).
    Any,
    /// On an IPv6 socket that takes IPv6 only.
    V6Only,
    /// On every IPv4 address, and no IPv6 one.
    V4,
    /// On the loopback address.
    Loopback,
    /// On the server's second address.
    Other,
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Tries to connect, again and again, `count` times.
    Connect {
        /// Address.
        to: Host,
        /// Port.
        port: u16,
        /// Source port; `None`: the kernel's choice.
        from_port: Option<u16>,
        /// Milliseconds after which the client gives up.
        patience_ms: u64,
        /// How often.
        count: u32,
        /// How every attempt must end: one of these ways.
        ended: &'static [Ended],
    },
    /// Tries to connect `count` times at once; none may succeed.
    ConnectMany {
        /// Milliseconds after which the client gives up.
        patience_ms: u64,
        /// How many.
        count: u64,
    },
    /// Whole HTTP exchanges, one connection each.
    Request {
        /// Port.
        port: u16,
        /// How the client ends each connection.
        goodbye: Goodbye,
        /// How many.
        count: u32,
    },
    /// TCP health checks: connect, and close without a word.
    HealthCheck {
        /// How.
        goodbye: Goodbye,
        /// How many.
        count: u32,
    },
}

/// Which namespaces a recorder watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vantage {
    /// The server's alone.
    Server,
    /// The client's alone.
    Client,
    /// The server's and the client's.
    Both,
    /// The router's as well.
    All,
}

impl Vantage {
    /// The namespaces.
    pub fn places(self) -> &'static [Place] {
        match self {
            Self::Server => &[Place::Server],
            Self::Client => &[Place::Client],
            Self::Both => &[Place::Server, Place::Client],
            Self::All => &[Place::Server, Place::Client, Place::Router],
        }
    }

    /// In file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
            Self::All => "all",
        }
    }

    /// In messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Server => "seen from the server",
            Self::Client => "seen from the client",
            Self::Both => "seen from both ends",
            Self::All => "seen from both ends and the router",
        }
    }
}

/// With a connection.
pub const CONNECTED: &[Ended] = &[Ended::Connected];
/// `ECONNREFUSED`.
pub const REFUSED: &[Ended] = &[Ended::Refused];
/// By the client's own patience.
pub const GIVEN_UP: &[Ended] = &[Ended::GaveUp];
/// With an error other than `ECONNREFUSED`.
pub const FAILED: &[Ended] = &[Ended::Failed];
/// Any way but with a connection: which one is a matter of the kernel's version and of luck.
pub const UNANSWERED: &[Ended] = &[Ended::Refused, Ended::Failed, Ended::GaveUp];

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

    /// What is said where everything is watched.
    pub fn widest(&self) -> &View {
        self.all.as_ref().unwrap_or(&self.both)
    }
}

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
    /// `process.comm`; `None`: not looked at.
    pub process: Option<&'static str>,
}

/// How sure a verdict is, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grade {
    /// `confidence`.
    pub confidence: &'static str,
    /// `alternatives`.
    pub alternatives: &'static [&'static str],
    /// `expected_status`.
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
        Self { slug, role, grades: vec![grade], count: 1..=1, to: Host::Server, port: WATCHED, process: None }
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

/// A scenario of the table.
pub fn scenario(name: impl Into<String>, family: Family, steps: Vec<Step>, expect: Expect) -> Scenario {
    Scenario { name: name.into(), family, steps, expect, ci: false }
}

/// A rule of the table.
pub fn rule(place: Place, tool: Tool, action: crate::firewall::Action) -> Step {
    Step::Rule(Rule { place, tool, action })
}

/// An attempt at the watched port of the server that ends so.
pub fn attempt(patience_ms: u64, ended: &'static [Ended]) -> Step {
    attempt_at(Host::Server, WATCHED, patience_ms, ended)
}

/// An attempt that ends so.
pub fn attempt_at(to: Host, port: u16, patience_ms: u64, ended: &'static [Ended]) -> Step {
    Step::Client(Act::Connect { to, port, from_port: None, patience_ms, count: 1, ended })
}

/// Plain requests to a port of the server.
pub fn requests(port: u16, count: u32) -> Step {
    Step::Client(Act::Request { port, goodbye: Goodbye::Fin, count })
}
