//! The test app: serves HTTP/1.1 until its standard input ends, so that it cannot outlive its lab.
//!
//! It is a program of its own (`wherefore-lab app`), since verdicts name processes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Namespace;
use crate::process::Running;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// What the app says once it listens.
const LISTENING: &str = "listening";

/// Serves on an address until standard input ends.
///
/// # Errors
/// When it cannot listen there.
pub fn serve(address: SocketAddr, v6_only: bool) -> Result<()> {
    let listener = listen(address, v6_only).with_context(|| format!("listening on {address}"))?;
    writeln!(std::io::stdout(), "{LISTENING}")?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || drop(answer(&stream)));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn listen(address: SocketAddr, v6_only: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    Ok(socket.into())
}

/// Answers each request of a connection with 200.
fn answer(stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")?;
        }
    }
}

/// A running app.
#[derive(Debug)]
pub struct App(Running);

impl App {
    /// Starts one in a namespace and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(tools: &Tools, namespace: &Namespace, address: SocketAddr, v6_only: bool) -> Result<Self> {
        let mut command = Command::new(&tools.app);
        command.args(["app", "--listen", &address.to_string()]);
        if v6_only {
            command.arg("--v6-only");
        }
        let running = namespace.within(|| Running::start(&mut command))??;
        let ready = running.stdout.wait(Deadline::after(PATIENCE), |lines| lines.iter().any(|line| line == LISTENING));
        if !ready {
            bail!("the app does not listen on {address}: {}", running.stderr.so_far().join(" | "));
        }
        Ok(Self(running))
    }

    /// Ends it, and waits until its listener is gone with it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<()> {
        self.0.stop(Signal::KILL).map(drop)
    }
}
