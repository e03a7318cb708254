//! Very many connections that stay open: each has had one request answered, and then nothing happens.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::netns::Namespace;
use crate::process::Running;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE};

/// The port that they go to.
pub(super) const PORT: u16 = 8081;
/// Most connections of one process, both ends of which it holds: fewer than there are ports to connect from.
const AT_MOST: u64 = 20_000;
/// Descriptors that are no connection's.
const OTHER_FILES: u64 = 64;
/// What a holder says once all its connections are open.
const HELD: &str = "held";
const REQUEST: &[u8] = b"GET /held HTTP/1.1\r\nHost: held\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

/// Opens so many connections to itself, one after the other, has a request answered on each, and keeps them
/// open until standard input ends.
///
/// # Errors
/// When one cannot be opened.
pub fn hold(listen: SocketAddr, connections: usize) -> Result<()> {
    raise_open_files();
    let listener = TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
    let (accepted, connected) = std::thread::scope(|scope| {
        let server = scope.spawn(|| (0..connections).map(|_| answer(&listener)).collect::<Result<Vec<_>>>());
        let connected: Result<Vec<_>> = (0..connections).map(|_| ask(listen)).collect();
        let connected = connected?;
        anyhow::Ok((server.join().map_err(|_panic| anyhow!("the server panicked"))??, connected))
    })?;
    writeln!(std::io::stdout(), "{HELD}")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop((accepted, connected));
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
    (files.saturating_sub(OTHER_FILES) / 2).min(AT_MOST)
}

/// Has so many connections open until what it gives is dropped.
///
/// # Errors
/// When they cannot be opened.
pub(super) fn open(tools: &Tools, namespace: &Namespace, connections: u64) -> Result<Vec<Running>> {
    let each = connections_of_one().max(1);
    let mut holders = Vec::new();
    let mut left = connections;
    for host in 1..=u8::MAX {
        let now = left.min(each);
        left -= now;
        let mut command = Command::new(&tools.app);
        let listen = SocketAddr::from(([127, 0, 1, host], PORT));
        command.args(["hold", "--listen", &listen.to_string(), "--connections", &now.to_string()]);
        holders.push(namespace.within(|| Running::start(&mut command))??);
        if left == 0 {
            break;
        }
    }
    if left > 0 {
        bail!("{left} connections more than {} processes can hold: raise `ulimit -n`", holders.len());
    }
    for holder in &holders {
        if !holder.stdout.wait(Deadline::after(PATIENCE), |lines| lines.iter().any(|line| line == HELD)) {
            bail!("connections cannot be held open: {}", holder.stderr.so_far().join(" | "));
        }
    }
    Ok(holders)
}
