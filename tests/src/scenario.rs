//! What a scenario is: steps, and what must be said about them from each vantage ([`crate::expect`]).

use rustix::process::Signal;

use crate::client::{Ended, Goodbye};
pub use crate::expect::{Cause, Exchanges, Expect, Grade, Http, Remote, Top, View, Want};
use crate::firewall::{Rule, Tool};
use crate::handshake::Deed;
use crate::lab::{Family, Host, Place, WATCHED};
use crate::load::Load;
use crate::program::Program;
use crate::talk::{Move, Talk};
use crate::ways::Way;

/// One way to fail, or not to; over one protocol.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called; together with the family, unique.
    pub name: String,
    /// Protocol.
    pub family: Family,
    /// In order. Exactly one of them is [`Step::Record`].
    pub steps: Vec<Step>,
    /// More flags of the recorders.
    pub flags: &'static [&'static str],
    /// What must be said.
    pub expect: Expect,
    /// Whether it is one of those that run on other kernels with every change: each verdict once.
    pub ci: bool,
    /// Whether it must have recorders of its own: it does to its port what others must not see.
    pub alone: bool,
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

    /// With something more that the server must say.
    #[must_use]
    pub fn server(mut self, more: impl FnOnce(View) -> View) -> Self {
        self.expect.server = more(self.expect.server);
        self
    }

    /// What a trace of it is called, from this vantage.
    pub fn trace_name(&self, vantage: Vantage) -> String {
        format!("{}.{}.{}", self.name, self.family.label(), vantage.name())
    }

    /// Whether it can share its recorder with others of the same flags.
    pub fn shares_recorder(&self) -> bool {
        !self.alone
    }

    /// With recorders of its own.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Whether its recorders watch this port: [`WATCHED`], if `--port` names no others.
    #[must_use]
    pub fn watches(&self, port: u16) -> bool {
        let named = self.flags.iter().skip_while(|flag| **flag != "--port").nth(1);
        named.map_or(port == WATCHED, |ports| ports.split(',').any(|named| named.parse() == Ok(port)))
    }

    /// With these flags of the recorders.
    #[must_use]
    pub fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// The test app listens.
    Serve(Bind),
    /// The test app listens on every address, with these flags of its own.
    ServeAs(&'static [&'static str]),
    /// The test app ends.
    StopApp,
    /// The test app ends so.
    EndApp(Ending),
    /// The test app has ended by itself.
    AppEnded,
    /// The test app gets no more memory than this, in MiB.
    LimitMemory(u64),
    /// The test app is drained.
    DrainApp,
    /// Another test app listens beside the first one, which is then drained.
    HandOver(&'static [&'static str]),
    /// Another test app listens on this port of the server's loopback address.
    Upstream(u16),
    /// A server of another make runs on the server.
    Program(Program),
    /// The server of another make has ended by itself.
    ProgramEnded,
    /// The servers of other makes re-read their configuration.
    Reload,
    /// nginx listens on every address.
    Nginx,
    /// nginx is stopped.
    StopNginx,
    /// A firewall rule is loaded.
    Rule(Rule),
    /// A script of nft is loaded.
    Nft(Place, &'static str),
    /// Lines of `ip` in a namespace.
    Ip(Place, &'static str),
    /// Kernel parameters below /proc/sys/net.
    Sysctl(Place, &'static [(&'static str, &'static str)]),
    /// The server becomes a container of the router, whose published port is the watched one's.
    Contain,
    /// From here on every vantage records.
    Record,
    /// The recorders stand still, or go on.
    Hold(bool),
    /// The client opens a connection that goes on to the end.
    Flow,
    /// Something is done to a handshake.
    Handshake(Deed),
    /// The client connects in an unusual way.
    Connect(Way),
    /// The client acts.
    Client(Act),
    /// Another host acts.
    From(Place, Act),
    /// The client acts so often, so many milliseconds apart.
    Every(u64, u32, Act),
    /// The client talks.
    Talk(Talk),
    /// The client talks while the next steps are taken; they wait for its first [`Move::Mark`].
    Meanwhile(Talk),
    /// Everything that is said meanwhile has been said.
    AwaitTalks,
    /// The client asks for much, to its end.
    Load(Load),
    /// The client begins to ask for much.
    BeginLoad(Load),
    /// So many more requests of it have been answered.
    AwaitLoad(u64),
    /// It stops.
    EndLoad,
}

impl Step {
    /// Whether it is traffic.
    pub fn is_traffic(&self) -> bool {
        matches!(
            self,
            Self::Client(_)
                | Self::From(..)
                | Self::Every(..)
                | Self::Handshake(_)
                | Self::Connect(_)
                | Self::Talk(_)
                | Self::Meanwhile(_)
                | Self::Load(_)
                | Self::BeginLoad(_)
        )
    }
}

/// How the test app ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By this exit code.
    Code(u8),
    /// By this signal.
    Signal(Signal),
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
        /// Address.
        to: Host,
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

/// A scenario of the table.
pub fn scenario(name: impl Into<String>, family: Family, steps: Vec<Step>, expect: Expect) -> Scenario {
    Scenario { name: name.into(), family, steps, flags: &[], expect, ci: false, alone: false }
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

/// The client acts so often, at this period: what a checker of health does.
pub fn every(period_ms: u64, count: u32, act: Act) -> Step {
    Step::Every(period_ms, count, act)
}

/// Plain requests to a port of the server.
pub fn requests(port: u16, count: u32) -> Step {
    Step::Client(Act::Request { to: Host::Server, port, goodbye: Goodbye::Fin, count })
}

/// The client talks to the watched port on one connection.
pub fn talk(moves: &'static [Move]) -> Step {
    Step::Talk(to_watched(moves))
}

/// The client talks to the watched port while the next steps are taken.
pub fn meanwhile(moves: &'static [Move]) -> Step {
    Step::Meanwhile(to_watched(moves))
}

/// What is said to the watched port on one connection.
pub fn to_watched(moves: &'static [Move]) -> Talk {
    Talk { port: WATCHED, from_port: None, count: 1, moves }
}
