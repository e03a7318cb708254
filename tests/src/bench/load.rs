//! The load: wrk against nginx, both in one namespace of their own.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::watcher::group_ticks;
use crate::netns::{Namespace, fresh_name, ip_batch};
use crate::process::Running;
use crate::{client, scratch};

/// The port that nginx serves and the tracers watch.
pub const PORT: u16 = 8080;

/// How wrk asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Over connections that are kept.
    KeepAlive,
    /// Over a new connection for each request.
    Connections,
    /// Over kept connections, and one request in a hundred is answered with 503.
    Failures,
}

impl Load {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::KeepAlive, Self::Connections, Self::Failures];

    /// In the report.
    pub fn label(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Connections => "connection per request",
            Self::Failures => "keep-alive, 1% 503",
        }
    }
}

/// A namespace with an nginx in it.
#[derive(Debug)]
pub struct Stage {
    // dropped first: nginx lives in the namespace
    nginx: Running,
    directory: TempDir,
    /// Where everything happens.
    pub namespace: Namespace,
}

impl Stage {
    /// Makes the namespace and starts nginx in it.
    ///
    /// # Errors
    /// When nginx or `ip` is missing or refused.
    pub fn new() -> Result<Self> {
        let name = fresh_name(0, 'b');
        ip_batch(None, &format!("netns add {name}\n"))?;
        let namespace = Namespace::adopt(name)?;
        namespace.ip("link set lo up\n")?;
        let directory = scratch::directory()?;
        let configuration = directory.path().join("nginx.conf");
        fs::write(&configuration, CONFIGURATION.replace("PORT", &PORT.to_string()))?;
        fs::write(directory.path().join("failures.lua"), FAILURES)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&configuration).args(["-e", "stderr"]);
        let nginx = namespace.within(|| Running::start(&mut command))??;
        let address = SocketAddr::from(([127, 0, 0, 1], PORT));
        namespace
            .within(|| client::await_open(address))?
            .with_context(|| format!("nginx: {}", nginx.stderr.so_far().join(" | ")))?;
        Ok(Self { nginx, directory, namespace })
    }

    /// Runs wrk for so many seconds and says how many requests were answered.
    ///
    /// # Errors
    /// When wrk is missing, or reports errors of its sockets.
    pub fn run(&self, load: Load, seconds: u32) -> Result<u64> {
        let mut command = Command::new("wrk");
        command.args(["-t", "1", "-c", "32", "-d", &format!("{seconds}s")]);
        match load {
            Load::KeepAlive => {}
            Load::Connections => {
                command.args(["-H", "Connection: close"]);
            }
            Load::Failures => {
                command.arg("-s").arg(self.directory.path().join("failures.lua"));
            }
        }
        command.arg(format!("http://127.0.0.1:{PORT}/"));
        let mut wrk = self.namespace.within(|| Running::start(&mut command))??;
        let status = wrk.wait()?;
        let said = wrk.stdout.so_far();
        if !status.success() {
            bail!("wrk ended with {status}: {}", wrk.stderr.so_far().join(" | "));
        }
        if let Some(errors) = said.iter().find(|line| line.contains("Socket errors")) {
            bail!("wrk: {}", errors.trim());
        }
        requests(&said).with_context(|| format!("wrk says no number of requests: {}", said.join(" | ")))
    }

    /// Processor time of nginx and of every wrk so far, in clock ticks (1/100 s).
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn ticks(&self) -> Result<u64> {
        group_ticks(self.nginx.id())
    }

    /// Asks every process of nginx to end.
    ///
    /// # Errors
    /// When it has ended by itself.
    pub fn end(self) -> Result<()> {
        self.nginx.signal(Signal::TERM)
    }
}

/// Why the load cannot be made here; `None` if it can.
pub fn missing() -> Option<String> {
    // wrk has no command that does nothing and succeeds
    let wrk = Command::new("wrk").arg("-v").output().err().map(|error| format!("wrk is needed: {error}"));
    crate::nginx::missing().or(wrk)
}

/// Reads `  123456 requests in 2.00s, 28.61MB read`.
fn requests(lines: &[String]) -> Option<u64> {
    lines.iter().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
}

const FAILURES: &str = "\
local n = 0
request = function()
  n = n + 1
  if n % 100 == 0 then return wrk.format('GET', '/fail') end
  return wrk.format('GET', '/')
end
";

const CONFIGURATION: &str = "\
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen PORT backlog=4096 reuseport;
        location / { return 200 \"ok\\n\"; }
        location /fail { return 503 \"busy\\n\"; }
    }
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_says() {
        let said = ["Running 2s test @ http://127.0.0.1:8080/", "  123456 requests in 2.00s, 28.61MB read"];
        assert_eq!(requests(&said.map(str::to_owned)), Some(123_456));
        assert_eq!(requests(&["unable to connect".to_owned()]), None);
    }
}
