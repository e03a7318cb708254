//! The demo: a real nginx, broken in five ways, and what the program says of each on both sides.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::{self, Ended, Goodbye};
use crate::firewall::{Action, Chain, Rule, Tool};
use crate::lab::{Family, Lab, Place, WATCHED};
use crate::nginx::{self, Nginx};
use crate::process::Running;
use crate::recorder::only_trace;
use crate::scratch;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// One way to break it.
struct Case {
    heading: &'static str,
    /// What an operator would have typed.
    typed: &'static str,
    /// Nothing: nginx is stopped.
    rule: Option<Rule>,
    /// What the server's side and the client's side must say; `None`: there is nothing to see.
    server: Option<&'static str>,
    client: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        heading: "nginx is stopped",
        typed: "server# systemctl stop nginx",
        rule: None,
        server: Some("process-down"),
        client: "process-down",
    },
    Case {
        heading: "the server's firewall rejects",
        typed: "server# iptables -A INPUT -p tcp --dport 8080 -j REJECT",
        rule: Some(Rule {
            place: Place::Server,
            tool: Tool::IptablesNft,
            action: Action::Reject(Chain::Input, "icmp-port-unreachable"),
        }),
        server: Some("firewall-reject"),
        client: "firewall-reject",
    },
    Case {
        heading: "the server's firewall rejects, and looks like a stopped server",
        typed: "server# iptables -A INPUT -p tcp --dport 8080 -j REJECT --reject-with tcp-reset",
        rule: Some(Rule {
            place: Place::Server,
            tool: Tool::IptablesNft,
            action: Action::Reject(Chain::Input, "tcp-reset"),
        }),
        server: Some("firewall-reject"),
        client: "process-down",
    },
    Case {
        heading: "the server's firewall drops",
        typed: "server# iptables -A INPUT -p tcp --dport 8080 -j DROP",
        rule: Some(Rule { place: Place::Server, tool: Tool::IptablesNft, action: Action::Drop(Chain::Input) }),
        server: Some("firewall-drop"),
        client: "security-group-drop",
    },
    Case {
        heading: "something between the two drops, as a security group does",
        typed: "router# nft add rule inet filter forward tcp dport 8080 drop",
        rule: Some(Rule { place: Place::Router, tool: Tool::Nft, action: Action::Drop(Chain::Forward) }),
        server: None,
        client: "security-group-drop",
    },
];

/// Shows all five, and ends.
///
/// # Errors
/// When the lab cannot be built, or the program does not say what it must.
pub fn run(tools: &Tools, out: &mut impl Write) -> Result<()> {
    if let Some(reason) = nginx::missing() {
        bail!(reason);
    }
    writeln!(out, "One nginx, broken in five ways; each time a client asks it for a page and fails.")?;
    writeln!(out, "\n    client 10.9.1.2  --  router  --  server 10.9.2.2, nginx on port {WATCHED}")?;
    writeln!(
        out,
        "\nEach is a network namespace of its own. `wherefore record` watches the server's and the client's."
    )?;
    for (case, number) in CASES.iter().zip(1..) {
        show(tools, case, number, out).with_context(|| format!("while showing that {}", case.heading))?;
    }
    writeln!(out, "\nAll five told apart, live and from their traces. On a server of yours:")?;
    writeln!(out, "    wherefore record --port {WATCHED}")?;
    Ok(())
}

fn show(tools: &Tools, case: &Case, number: usize, out: &mut impl Write) -> Result<()> {
    writeln!(out, "\n\n{number} of {}: {}\n", CASES.len(), case.heading)?;
    let lab = Lab::new(Family::V4)?;
    let nginx = Nginx::start(&lab)?;
    let server = Watcher::start(tools, &lab, Place::Server)?;
    let client = Watcher::start(tools, &lab, Place::Client)?;
    server.running.await_ready()?;
    client.running.await_ready()?;
    let address = SocketAddr::new(lab.server_address(), WATCHED);
    lab.at(Place::Client).within(|| client::request(address, Goodbye::Fin))??;
    writeln!(out, "    client$ curl http://{address}/\n    ok")?;
    let nginx = match case.rule {
        Some(rule) => {
            rule.load(&lab)?;
            Some(nginx)
        }
        None => nginx.stop().map(|()| None)?,
    };
    writeln!(out, "    {}", case.typed)?;
    let (_, ended) = lab.at(Place::Client).within(|| client::connect(address, None, Duration::from_millis(2500)))?;
    writeln!(out, "    client$ curl http://{address}/\n    {}", failure(ended)?)?;
    server.await_word(case.server)?;
    client.await_word(Some(case.client))?;
    for (watcher, said) in [(server, case.server), (client, Some(case.client))] {
        watcher.finish(tools, said, out)?;
    }
    drop(nginx);
    Ok(())
}

fn failure(ended: Ended) -> Result<&'static str> {
    Ok(match ended {
        Ended::Connected => bail!("the client connected"),
        Ended::Refused => "connection refused",
        Ended::Failed => "no route to host",
        Ended::GaveUp => "timed out",
    })
}

/// A `wherefore record` as a person runs it.
struct Watcher {
    running: Running,
    directory: TempDir,
    place: Place,
}

impl Watcher {
    fn start(tools: &Tools, lab: &Lab, place: Place) -> Result<Self> {
        let directory = scratch::directory()?;
        let mut command = Command::new(&tools.wherefore);
        command.args(["record", "--port", &WATCHED.to_string(), "--netns", lab.at(place).name(), "--out"]);
        command.arg(directory.path()).args(["--duration", "300s"]);
        Ok(Self { running: Running::start(&mut command)?, directory, place })
    }

    fn await_word(&self, said: Option<&'static str>) -> Result<()> {
        let Some(slug) = said else { return Ok(()) };
        let has = |lines: &[String]| lines.iter().any(|line| line.contains(slug));
        if self.running.stdout.wait(Deadline::after(PATIENCE), has) {
            return Ok(());
        }
        bail!("nobody says {slug}: {}", self.running.stdout.so_far().join(" | "))
    }

    /// Ends it, and shows what it said, live and replayed.
    fn finish(mut self, tools: &Tools, said: Option<&str>, out: &mut impl Write) -> Result<()> {
        let side = if self.place == Place::Server { "server" } else { "client" };
        let seen = self.running.stdout.so_far();
        self.running.stop(Signal::INT)?;
        writeln!(out, "\n    {side}# wherefore record --port {WATCHED}")?;
        print(&seen, out)?;
        if said.is_none() {
            writeln!(out, "    | (no verdict: the SYN has not reached this host)")?;
        }
        let trace = only_trace(self.directory.path())?;
        let replayed = replay(tools, &trace)?;
        writeln!(out, "\n    {side}# wherefore replay {}", trace.file_name().unwrap_or_default().to_string_lossy())?;
        print(&replayed, out)?;
        match said {
            Some(slug) if !replayed.iter().any(|line| line.contains(slug)) => bail!("replay does not say {slug}"),
            _ => Ok(()),
        }
    }
}

fn replay(tools: &Tools, trace: &Path) -> Result<Vec<String>> {
    let mut replay = Running::start(Command::new(&tools.wherefore).arg("replay").arg(trace))?;
    let status = replay.wait()?;
    if !status.success() {
        bail!("replay ended with {status}: {}", replay.stderr.so_far().join(" | "));
    }
    Ok(replay.stdout.so_far())
}

fn print(lines: &[String], out: &mut impl Write) -> Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "    | {line}"))?;
    Ok(())
}
