//! A real nginx, with everything it writes in a directory of its own.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::lab::{Lab, Place, WATCHED};
use crate::process::Running;
use crate::{client, netns, scratch};

/// A running nginx on the watched port of the lab's server.
#[derive(Debug)]
pub struct Nginx {
    running: Running,
    _directory: TempDir,
}

impl Nginx {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it does not; with its own words.
    pub fn start(lab: &Lab) -> Result<Self> {
        let directory = scratch::directory()?;
        let path = directory.path().join("nginx.conf");
        fs::write(&path, configuration(&PLAIN.replace("PORT", &WATCHED.to_string())))?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&path).args(["-e", "stderr"]);
        let running = lab.at(Place::Server).within(|| Running::start(&mut command))??;
        let address = SocketAddr::new(lab.server_address(), WATCHED);
        lab.at(Place::Server)
            .within(|| client::await_open(address))?
            .with_context(|| format!("nginx: {}", running.stderr.so_far().join(" | ")))?;
        Ok(Self { running, _directory: directory })
    }

    /// Stops it, as `systemctl stop` does, and waits until it is gone.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(mut self) -> Result<()> {
        self.running.stop(Signal::TERM).map(drop)
    }
}

/// Why there is no nginx here; `None` if there is one.
pub fn missing() -> Option<String> {
    netns::output(Command::new("nginx").arg("-v")).err().map(|error| format!("nginx is needed: {error}"))
}

/// A whole configuration around what stands inside `http`.
pub fn configuration(servers: &str) -> String {
    CONFIGURATION.replace("SERVERS", servers)
}

const CONFIGURATION: &str = "\
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000;
    keepalive_timeout 1h;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    SERVERS
}
";

const PLAIN: &str = "
    server {
        listen PORT;
        listen [::]:PORT;
        location / { return 200 \"ok\\n\"; }
    }
";
