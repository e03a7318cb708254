//! The test app: serves HTTP/1.1, and fails as the request's path or its own flags say, until its
//! standard input ends, so that it cannot outlive its lab.
//!
//! It is a program of its own (`wherefore-lab app`), since verdicts name processes.

mod answer;
mod request;
mod ring;
mod server;

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use rustix::process::Signal;

use crate::netns::Namespace;
use crate::process::Running;
use crate::scenario::Ending;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

pub use server::serve;

/// What the app says once it listens.
const LISTENING: &str = "listening";
/// What it is told to end as a graceful restart does.
const DRAIN: &str = "drain";

/// What it is told, with a number, to end with that exit code.
const EXIT: &str = "exit";

/// How the app serves.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Options {
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// An IPv6 socket takes no IPv4.
    #[arg(long)]
    pub v6_only: bool,
    /// Others may listen there, too.
    #[arg(long)]
    pub reuse_port: bool,
    /// It takes multipath TCP.
    #[arg(long)]
    pub multipath: bool,
    /// Length of the accept queue.
    #[arg(long, default_value = "128")]
    pub backlog: i32,
    /// It listens and accepts nothing.
    #[arg(long)]
    pub never_accept: bool,
    /// It accepts and reads nothing.
    #[arg(long)]
    pub never_read: bool,
    /// It works by `io_uring`, and answers every path alike but `/close`.
    #[arg(long)]
    pub io_uring: bool,
    /// A PROXY protocol header comes first on every connection.
    #[arg(long)]
    pub proxy_protocol: bool,
    /// What it does with bytes that are not what it speaks.
    #[arg(long, value_enum, default_value = "bad-request")]
    pub foreign: Foreign,
    /// It speaks TLS: anything else is foreign to it, and it has nothing to say over TLS.
    #[arg(long)]
    pub tls: bool,
}

/// An answer to bytes of another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Foreign {
    /// 400 and FIN.
    BadRequest,
    /// A TLS alert and FIN.
    Alert,
    /// FIN.
    Fin,
    /// RST.
    Rst,
}

/// Why the app cannot serve with these flags here; `None` if it can.
pub fn missing(flags: &[&str]) -> Option<String> {
    flags.contains(&"--io-uring").then(ring::missing).flatten()
}

/// A running app.
#[derive(Debug)]
pub struct App(Running);

impl App {
    /// Starts one in a namespace, with more flags than its address, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(tools: &Tools, namespace: &Namespace, address: SocketAddr, flags: &[&str]) -> Result<Self> {
        let mut command = Command::new(&tools.app);
        command.args(["app", "--listen", &address.to_string()]).args(flags);
        let running = namespace.within(|| Running::start(&mut command))??;
        let ready = running.stdout.wait(Deadline::after(PATIENCE), |lines| lines.iter().any(|line| line == LISTENING));
        if !ready {
            bail!("the app does not listen on {address}: {}", running.stderr.so_far().join(" | "));
        }
        Ok(Self(running))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it, and waits until its listener is gone with it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<()> {
        self.0.stop(Signal::KILL).map(drop)
    }

    /// Has it end so, and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub fn end(mut self, ending: Ending) -> Result<()> {
        match ending {
            Ending::Code(code) => {
                self.0.say(&format!("{EXIT} {code}"))?;
                self.0.wait().map(drop)
            }
            Ending::Signal(signal) => self.0.stop(signal).map(drop),
        }
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn await_end(mut self) -> Result<()> {
        self.0.await_end()
    }

    /// Has it end as a graceful restart does: no new connections, those with a request in hand are
    /// answered, idle ones closed. Waits until it has ended.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn drain(mut self) -> Result<()> {
        self.0.say(DRAIN)?;
        let status = self.0.wait()?;
        if !status.success() {
            bail!("the app ended with {status} when it was drained: {}", self.0.stderr.so_far().join(" | "));
        }
        Ok(())
    }
}
