//! Real servers and proxies, with everything they write in a directory of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::lab::{Family, Lab, Place};
use crate::process::Running;
use crate::{client, netns, nginx, scratch};

/// A server of another make, and what it is told.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Which one.
    pub make: Make,
    /// The port on which it listens.
    pub port: u16,
    /// Its configuration or program. `LOOPBACK`, `LISTEN` and `CLIENT` stand for addresses, the
    /// second for all of this host.
    pub text: &'static str,
}

/// Who made a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// nginx; its text is the inside of `http`.
    Nginx,
    /// `HAProxy`; its text follows some defaults.
    Haproxy,
    /// gunicorn; its text is a module with an `app`. A worker may take a second.
    Gunicorn,
    /// Node.js; its text is a program.
    Node,
}

impl Make {
    fn program(self) -> PathBuf {
        match self {
            Self::Nginx => "nginx".into(),
            Self::Haproxy => "haproxy".into(),
            Self::Gunicorn => gunicorn(),
            Self::Node => "node".into(),
        }
    }

    /// Why there is none here; `None` if there is one.
    pub fn missing(self) -> Option<String> {
        let flag = if matches!(self, Self::Nginx | Self::Haproxy) { "-v" } else { "--version" };
        let program = self.program();
        let failed = netns::output(Command::new(&program).arg(flag)).err();
        failed.map(|error| format!("{} is needed: {error}", program.display()))
    }
}

/// Where `cargo xtask setup` installs it, if it is there; else wherever `PATH` says.
fn gunicorn() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = home.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let installed = cache.map(|cache| cache.join("wherefore/tools/gunicorn/bin/gunicorn"));
    installed.filter(|path| path.exists()).unwrap_or_else(|| "gunicorn".into())
}

/// A server that is running.
#[derive(Debug)]
pub struct Served {
    /// The port on which it listens.
    pub port: u16,
    running: Running,
    _directory: TempDir,
}

impl Served {
    /// Starts it on the lab's server and waits until it answers.
    ///
    /// # Errors
    /// When it does not; with its own words.
    pub fn start(lab: &Lab, program: Program) -> Result<Self> {
        let directory = scratch::directory()?;
        let text = place(program.text, lab);
        let mut command = Command::new(program.make.program());
        command.current_dir(directory.path());
        prepare(&mut command, directory.path(), program, &text, lab)?;
        let running = lab.at(Place::Server).within(|| Running::start(&mut command))??;
        let address = SocketAddr::new(lab.family().loopback(), program.port);
        lab.at(Place::Server)
            .within(|| client::await_open(address))?
            .with_context(|| format!("{program:?}: {}", running.stderr.so_far().join(" | ")))?;
        Ok(Self { port: program.port, running, _directory: directory })
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn await_end(mut self) -> Result<()> {
        self.running.await_end()
    }

    /// Has it read its configuration again.
    ///
    /// # Errors
    /// When it is gone.
    pub fn reload(&self) -> Result<()> {
        self.running.signal(Signal::HUP)
    }
}

fn prepare(command: &mut Command, directory: &Path, program: Program, text: &str, lab: &Lab) -> Result<()> {
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    match program.make {
        Make::Nginx => {
            let file = write("nginx.conf", &nginx::configuration(text))?;
            command.arg("-p").arg(directory).arg("-c").arg(file).args(["-e", "stderr"]);
        }
        Make::Haproxy => {
            command.args(["-db", "-f"]).arg(write("haproxy.cfg", &format!("{HAPROXY}{text}"))?);
        }
        Make::Gunicorn => {
            write("lab.py", text)?;
            let bind = SocketAddr::new(any(lab.family()), program.port).to_string();
            command.args(["--bind", &bind, "--workers", "2", "--timeout", "1", "--graceful-timeout", "1"]);
            command.args(["--worker-tmp-dir", ".", "lab:app"]);
        }
        Make::Node => {
            command.arg(write("lab.js", text)?);
        }
    }
    Ok(())
}

fn any(family: Family) -> std::net::IpAddr {
    match family {
        Family::V4 => [0; 4].into(),
        Family::V6 => [0u16; 8].into(),
    }
}

/// The text with the addresses of the lab's family.
fn place(text: &str, lab: &Lab) -> String {
    let bracketed = |address: std::net::IpAddr| match lab.family() {
        Family::V4 => address.to_string(),
        Family::V6 => format!("[{address}]"),
    };
    text.replace("LOOPBACK", &bracketed(lab.family().loopback()))
        .replace("LISTEN", &bracketed(any(lab.family())))
        .replace("CLIENT", &bracketed(lab.client_address()))
}

const HAPROXY: &str = "\
global
    maxconn 1000
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 1s
    retries 0
";
