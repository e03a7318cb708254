//! An app whose accept queue fills: it listens with a backlog of its own, and accepts only once it is told.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Namespace;
use crate::process::Running;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// What the app says once it listens.
const LISTENING: &str = "listening";

/// Listens, and accepts nothing before a first line comes; the end of standard input ends it.
///
/// # Errors
/// When it cannot listen there.
pub fn serve(address: SocketAddr, backlog: i32) -> Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| format!("binding to {address}"))?;
    socket.listen(backlog)?;
    writeln!(std::io::stdout(), "{LISTENING}")?;
    let mut lines = std::io::stdin().lock().lines();
    // the first line lets it accept, the end of them ends it
    if lines.next().transpose()?.is_some() {
        std::thread::spawn(move || {
            while let Ok((stream, _peer)) = socket.accept() {
                drop(stream);
            }
        });
        for line in lines {
            line?;
        }
    }
    Ok(())
}

/// A running one.
#[derive(Debug)]
pub struct Stuck(Running);

impl Stuck {
    /// Starts one in a namespace and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(tools: &Tools, namespace: &Namespace, address: SocketAddr, backlog: i32) -> Result<Self> {
        let mut command = Command::new(&tools.app);
        command.args(["stuck", "--listen", &address.to_string(), "--backlog", &backlog.to_string()]);
        let running = namespace.within(|| Running::start(&mut command))??;
        let ready = running.stdout.wait(Deadline::after(PATIENCE), |lines| lines.iter().any(|line| line == LISTENING));
        if !ready {
            bail!("the app does not listen on {address}: {}", running.stderr.so_far().join(" | "));
        }
        Ok(Self(running))
    }

    /// Lets it accept from now on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn accept(&mut self) -> Result<()> {
        self.0.say("accept")
    }
}
