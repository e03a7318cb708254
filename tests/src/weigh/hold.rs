//! Very many connections that stay open: each has had one request answered, and then nothing happens.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::netns::Namespace;
use crate::process::Running;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// The port that they go to.
pub(super) const PORT: u16 = 8081;
/// Most connections of one process: a third of the ports that there are to connect from, as to find one that
/// is free takes long where most are taken.
const AT_MOST: u64 = 9_000;
/// Descriptors that are no connection's.
const OTHER_FILES: u64 = 64;
/// What the accepting end says first.
const LISTENING: &str = "listening";
/// What the connecting end says once all of its connections are open.
const HELD: &str = "held";
const REQUEST: &[u8] = b"GET /held HTTP/1.1\r\nHost: held\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// Which end of the connections. They are two processes, as what a server connects to is followed as well.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// It accepts them.
    Server,
    /// It makes them.
    Client,
}

/// Opens so many connections, one after the other, has a request answered on each, and keeps them open until
/// standard input ends.
///
/// # Errors
/// When one cannot be opened.
pub fn hold(end: End, address: SocketAddr, connections: usize) -> Result<()> {
    raise_open_files();
    let mut held = Vec::with_capacity(connections);
    match end {
        End::Server => {
            let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
            writeln!(std::io::stdout(), "{LISTENING}")?;
            for _ in 0..connections {
                held.push(answer(&listener)?);
            }
        }
        End::Client => {
            for _ in 0..connections {
                held.push(ask(address)?);
            }
            writeln!(std::io::stdout(), "{HELD}")?;
        }
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn answer(listener: &TcpListener) -> Result<TcpStream> {
    let (mut stream, _peer) = listener.accept()?;
    let mut request = [0; REQUEST.len()];
    stream.read_exact(&mut request)?;
    stream.write_all(RESPONSE)?;
    Ok(stream)
}

fn ask(to: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
    stream.write_all(REQUEST)?;
    let mut response = [0; RESPONSE.len()];
    stream.read_exact(&mut response)?;
    Ok(stream)
}

/// As far as this process may.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // what it has may do
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap_or_default();
}

/// How many connections one process can hold.
fn connections_of_one() -> u64 {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    files.saturating_sub(OTHER_FILES).min(AT_MOST)
}

/// Has so many connections open until what it gives is dropped.
///
/// # Errors
/// When they cannot be opened.
pub(super) fn open(tools: &Tools, namespace: &Namespace, connections: u64) -> Result<Vec<Running>> {
    let each = connections_of_one().max(1);
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    let mut left = connections;
    for host in 1..=u8::MAX {
        let now = left.min(each);
        left -= now;
        let address = SocketAddr::from(([127, 0, 1, host], PORT)).to_string();
        let start = |end: &str| {
            let mut command = Command::new(&tools.app);
            command.args(["hold", end, &address, "--connections", &now.to_string()]);
            namespace.within(|| Running::start(&mut command))?
        };
        let server = start("--listen")?;
        await_line(&server, LISTENING)?;
        servers.push(server);
        clients.push(start("--connect")?);
        if left == 0 {
            break;
        }
    }
    if left > 0 {
        bail!("{left} connections more than {} processes can hold: raise `ulimit -n`", clients.len());
    }
    for client in &clients {
        await_line(client, HELD)?;
    }
    clients.extend(servers);
    Ok(clients)
}

fn await_line(holder: &Running, wanted: &str) -> Result<()> {
    if !holder.stdout.wait(Deadline::after(PATIENCE), |lines| lines.iter().any(|line| line == wanted)) {
        bail!("connections cannot be held open: {}", holder.stderr.so_far().join(" | "));
    }
    Ok(())
}
