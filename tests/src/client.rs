//! What clients do, one function each. All of them run on a thread that is in the client's namespace.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::wait::{Deadline, PATIENCE, wait_until};

/// How a connection attempt ended, as the client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a connection.
    Connected,
    /// `ECONNREFUSED`.
    Refused,
    /// Any other error of the socket.
    Failed,
    /// The client gave up.
    GaveUp,
}

/// One connection attempt from a port of the client's choice, given up after `patience`.
pub fn connect(to: SocketAddr, from_port: Option<u16>, patience: Duration) -> (Option<TcpStream>, Ended) {
    match try_connect(to, from_port, patience) {
        Ok(stream) => (Some(stream), Ended::Connected),
        Err(error) => (None, ended(&error)),
    }
}

fn ended(error: &std::io::Error) -> Ended {
    match error.kind() {
        ErrorKind::ConnectionRefused => Ended::Refused,
        // socket2 makes this one itself, without an errno; ETIMEDOUT of the kernel has one
        ErrorKind::TimedOut if error.raw_os_error().is_none() => Ended::GaveUp,
        _ => Ended::Failed,
    }
}

fn socket(to: SocketAddr) -> std::io::Result<Socket> {
    Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))
}

fn try_connect(to: SocketAddr, from_port: Option<u16>, patience: Duration) -> std::io::Result<TcpStream> {
    let socket = socket(to)?;
    if let Some(port) = from_port {
        socket.set_reuse_address(true)?;
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        socket.bind(&SocketAddr::new(any, port).into())?;
    }
    socket.connect_timeout(&to.into(), patience)?;
    Ok(socket.into())
}

/// Begins to connect and does not wait for the end of it.
///
/// # Errors
/// When the socket cannot be made.
pub fn begin(to: SocketAddr) -> Result<Socket> {
    let socket = socket(to)?;
    socket.set_nonblocking(true)?;
    // in progress, or refused at once: both are ways to begin
    drop(socket.connect(&to.into()));
    Ok(socket)
}

/// Many attempts at once, all given up together after `patience`; says how many connected.
///
/// # Errors
/// When sockets cannot be made.
pub fn connect_many(to: SocketAddr, count: u64, patience: Duration) -> Result<u64> {
    let mut waiting = Vec::new();
    for _ in 0..count {
        waiting.push(begin(to)?);
    }
    let deadline = Deadline::after(patience);
    let mut connected = 0;
    while !waiting.is_empty() && deadline.remaining().is_some() {
        let before = waiting.len();
        waiting.retain(|socket| socket.peer_addr().is_err());
        connected += (before - waiting.len()) as u64;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(connected)
}

/// How a client ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// FIN.
    Fin,
    /// RST.
    Rst,
}

/// A connection to an HTTP server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    to: SocketAddr,
}

impl Connection {
    /// Opens it.
    ///
    /// # Errors
    /// When it does not connect.
    pub fn open(to: SocketAddr) -> Result<Self> {
        let stream = try_connect(to, None, PATIENCE).with_context(|| format!("connecting to {to}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, to })
    }

    /// One whole HTTP exchange.
    ///
    /// # Errors
    /// When the response is not a whole 200.
    pub fn exchange(&mut self) -> Result<()> {
        let request = format!("GET /lab HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive\r\n\r\n", self.to);
        self.stream.write_all(request.as_bytes())?;
        let mut response = Vec::new();
        let mut chunk = [0; 4096];
        while !whole(&response) {
            let length = self.stream.read(&mut chunk).context("reading the response")?;
            if length == 0 {
                bail!("the response ended early: {}", String::from_utf8_lossy(&response));
            }
            response.extend(chunk.iter().take(length));
        }
        if !response.starts_with(b"HTTP/1.1 200") {
            bail!("unexpected response: {}", String::from_utf8_lossy(&response));
        }
        Ok(())
    }
}

/// One connection with one whole HTTP exchange.
///
/// # Errors
/// When it does not connect or the response is not a whole 200.
pub fn request(to: SocketAddr, goodbye: Goodbye) -> Result<()> {
    let mut connection = Connection::open(to)?;
    connection.exchange()?;
    close(connection.stream, goodbye)
}

/// What a balancer's TCP health check does: connect, and close without a word.
///
/// # Errors
/// When it does not connect.
pub fn health_check(to: SocketAddr, goodbye: Goodbye) -> Result<()> {
    let stream = try_connect(to, None, PATIENCE).with_context(|| format!("connecting to {to}"))?;
    close(stream, goodbye)
}

fn close(stream: TcpStream, goodbye: Goodbye) -> Result<()> {
    let socket = Socket::from(stream);
    if goodbye == Goodbye::Rst {
        socket.set_linger(Some(Duration::ZERO))?;
        return Ok(());
    }
    socket.shutdown(std::net::Shutdown::Write)?;
    // until the server has closed, too
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).context("waiting for the server to close")?;
    Ok(())
}

/// Whether head and body of a response have come.
fn whole(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.is_some_and(|length: usize| body.len() >= length)
}

/// Waits until a port answers with a connection.
///
/// # Errors
/// When it does not.
pub fn await_open(to: SocketAddr) -> Result<()> {
    wait_until(Deadline::after(PATIENCE), &format!("{to} to be open"), || {
        Ok(connect(to, None, Duration::from_secs(1)).1 == Ended::Connected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_with_its_body() {
        assert!(whole(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
        assert!(!whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"));
        assert!(!whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"));
        assert!(!whole(b"HTTP/1.1 200 OK\r\n\r\nok"));
    }

    #[test]
    fn a_closed_port_refuses() {
        // bound, and never listening
        let holder = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        holder.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = holder.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(connect(address, None, PATIENCE).1, Ended::Refused);
    }
}
