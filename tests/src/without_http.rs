//! `record --no-http`: connections are told as ever, and no packet's content is looked at.
//!
//! It attaches the same programs as where a kernel refuses those that read HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::privileges::Check;
use crate::process::Running;
use crate::scratch;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// Every check of this module.
pub const CHECKS: &[Check] = &[("without-http", connections_only)];

/// Two ports that nothing else here uses: one is served, one is closed.
const PORTS: [u16; 2] = [18_491, 18_492];

fn connections_only(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let mut command = Command::new(&tools.wherefore);
    command.args(["record", "--json", "--no-http", "--port", "18491,18492", "--duration", "300s", "--out"]);
    let mut running = Running::start(command.arg(directory.path()))?;
    let ready = |lines: &[String]| lines.iter().any(|line| line.starts_with("ready:") && line.contains("app-status"));
    ensure!(running.stderr.wait(Deadline::after(PATIENCE), ready), "not ready: {:?}", running.stderr.so_far());
    let [served, closed] = PORTS.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let listener = TcpListener::bind(served).context("the served port is taken")?;
    let mut client = TcpStream::connect(served)?;
    client.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n")?;
    let (mut accepted, _) = listener.accept()?;
    ensure!(accepted.read(&mut [0; 64])? > 0, "no request came");
    accepted.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")?;
    ensure!(client.read(&mut [0; 64])? > 0, "no response came");
    drop((client, accepted, listener));
    ensure!(TcpStream::connect(closed).is_err(), "something listens on {closed}");
    ensure!(running.stop(Signal::INT)?.code() == Some(0), "{:?}", running.stderr.so_far());

    let lines = running.stdout.so_far();
    let values = lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
    let of_type = |kind: &'static str| values.iter().filter(move |value| value.get("type") == Some(&kind.into()));
    let told: Vec<_> = of_type("verdict").map(|verdict| (verdict.get("verdict"), verdict.get("local"))).collect();
    let (slug, local) = (Value::from("process-down"), Value::from(closed.to_string()));
    ensure!(told == [(Some(&slug), Some(&local))], "not the one refusal: {lines:?}");
    let summary = of_type("summary").next().context("no summary")?;
    for (key, count) in [("connections", 1), ("exchanges", 0)] {
        ensure!(summary.get(key) == Some(&Value::from(count)), "{key} is not {count}: {summary}");
    }
    let blind = of_type("start").next().and_then(|start| start.get("blind")?.as_array()).context("no start")?;
    ensure!(blind.contains(&Value::from("app-status")), "{blind:?}");
    Ok(())
}
