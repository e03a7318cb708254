//! Clients that say exactly what a scenario wants said.

use std::io::{BufRead, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::SockRef;

use crate::client;
use crate::wait::PATIENCE;

/// One move of a client on a connection.
#[derive(Clone, Copy, Debug)]
pub enum Move {
    /// A GET request for a path, kept alive.
    Get(&'static str),
    /// A HEAD request: its response has no body.
    Head(&'static str),
    /// A GET request with this User-Agent.
    GetAs(&'static str, &'static str),
    /// The next response has no body: it answers a HEAD request that was sent before.
    Bodiless,
    /// These bytes, in one write.
    Send(&'static [u8]),
    /// So many bytes of a body; the server may reset before it has them all, and nothing else goes on then.
    Body(usize),
    /// A whole response comes, with this status. Interim ones before it are passed over.
    Status(u16),
    /// So many bytes at least have come since the last response.
    Bytes(usize),
    /// The server ends the connection with FIN, whatever came before.
    Ended,
    /// The server ends the connection with RST, whatever came before.
    Reset,
    /// The server ends the connection, one way or the other, or the scenario does.
    Over,
    /// Here the steps go on that wait for this talk.
    Mark,
    /// The client does nothing for so many milliseconds.
    Pause(u64),
    /// The client closes its half.
    HalfClose,
    /// The client resets the connection.
    Abort,
}

/// What a client says on each of `count` connections, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Talk {
    /// Port.
    pub port: u16,
    /// Source port; `None`: the kernel's choice.
    pub from_port: Option<u16>,
    /// How many connections.
    pub count: u32,
    /// In order; at the end the client closes what is still open.
    pub moves: &'static [Move],
}

impl Talk {
    /// Talks on every connection.
    ///
    /// # Errors
    /// When something does not happen as the moves say.
    pub fn run(&self, to: SocketAddr, mark: impl Fn()) -> Result<()> {
        (0..self.count).try_for_each(|_| {
            let (stream, how) = client::connect(to, self.from_port, PATIENCE);
            let stream = stream.with_context(|| format!("connecting to {to}: {how:?}"))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut line = Line { reader: BufReader::new(stream), bodiless: false, reset: false };
            self.moves.iter().try_for_each(|step| match step {
                Move::Mark => {
                    mark();
                    Ok(())
                }
                step => line.walk(step).with_context(|| format!("{step:?}")),
            })
        })
    }
}

struct Line {
    reader: BufReader<TcpStream>,
    /// Whether the next response has no body.
    bodiless: bool,
    /// Whether the server reset the connection while a body was being sent.
    reset: bool,
}

impl Line {
    fn walk(&mut self, step: &Move) -> Result<()> {
        match *step {
            Move::Get(path) => self.send(get(path, None).as_bytes())?,
            Move::GetAs(path, agent) => self.send(get(path, Some(agent)).as_bytes())?,
            Move::Head(path) => {
                self.bodiless = true;
                self.send(get(path, None).replacen("GET", "HEAD", 1).as_bytes())?;
            }
            Move::Bodiless => self.bodiless = true,
            Move::Send(bytes) => self.send(bytes)?,
            Move::Body(length) => match self.reader.get_mut().write_all(&vec![b'x'; length]) {
                Err(error) if is_reset(&error) => self.reset = true,
                sent => sent.context("sending")?,
            },
            Move::Status(wanted) => {
                let status = read_response(&mut self.reader, std::mem::take(&mut self.bodiless))?;
                if status.map(|answer| answer.status) != Some(wanted) {
                    bail!("the answer is {status:?}");
                }
            }
            Move::Bytes(length) => self.reader.read_exact(&mut vec![0; length])?,
            Move::Ended => drop(self.reader.read_to_end(&mut Vec::new())?),
            Move::Reset if self.reset => {}
            Move::Reset => match self.reader.read_to_end(&mut Vec::new()) {
                Ok(_) => bail!("the server sent a FIN"),
                Err(error) if is_reset(&error) => {}
                Err(error) => return Err(error.into()),
            },
            Move::Over => match self.reader.read_to_end(&mut Vec::new()) {
                Err(error) if !is_reset(&error) => return Err(error.into()),
                _ => {}
            },
            Move::Mark => {}
            Move::Pause(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Move::HalfClose => self.reader.get_ref().shutdown(Shutdown::Write)?,
            Move::Abort => SockRef::from(self.reader.get_ref()).set_linger(Some(Duration::ZERO))?,
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.reader.get_mut().write_all(bytes).context("sending")
    }
}

/// Whether the other end has reset the connection, or gave no answer for too long.
pub fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::TimedOut)
}

/// A GET request.
pub fn get(path: &str, agent: Option<&str>) -> String {
    let agent = agent.map(|agent| format!("User-Agent: {agent}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: lab\r\n{agent}\r\n")
}

/// A whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Whether it announces the connection's end.
    pub closes: bool,
}

/// Reads a final response and its body; `None` at the end of the connection before it.
///
/// # Errors
/// When the connection fails or ends inside the response, or what comes is none.
pub fn read_response(reader: &mut impl BufRead, bodiless: bool) -> Result<Option<Answer>> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
        let status = status.with_context(|| format!("no status line: {line:?}"))?;
        let (body, closes) = read_headers(reader)?;
        if status < 200 && status != 101 {
            continue;
        }
        if !bodiless && !matches!(status, 101 | 204 | 304) {
            read_body(reader, body)?;
        }
        return Ok(Some(Answer { status, closes }));
    }
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

fn read_headers(reader: &mut impl BufRead) -> Result<(Body, bool)> {
    let (mut body, mut closes) = (Body::UntilClose, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            bail!("the connection ended inside a head");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            return Ok((body, closes));
        }
        match line.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", length)) => body = Body::Length(length.parse()?),
            Some(("connection", "close")) => closes = true,
            Some(("transfer-encoding", "chunked")) => body = Body::Chunked,
            _ => {}
        }
    }
}

fn read_body(reader: &mut impl BufRead, body: Body) -> Result<()> {
    match body {
        Body::UntilClose => drop(std::io::copy(reader, &mut std::io::sink())?),
        Body::Length(length) => forget(reader, length)?,
        Body::Chunked => loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let digits = line.trim_end().split(';').next().unwrap_or_default();
            let length = u64::from_str_radix(digits, 16).with_context(|| format!("no chunk: {line:?}"))?;
            if length == 0 {
                return read_headers(reader).map(drop);
            }
            forget(reader, length + 2)?;
        },
    }
    Ok(())
}

fn forget(reader: &mut impl BufRead, length: u64) -> Result<()> {
    let read = std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    if read < length {
        bail!("the connection ended {} bytes early", length - read);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_body_ends_where_it_ends() {
        let mut reader: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
            HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: a\r\n\r\n\
            HTTP/1.1 304 Same\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 201 OK\r\n\r\nrest";
        for (bodiless, status) in [(false, 200), (false, 500), (false, 304), (true, 200), (false, 201)] {
            assert_eq!(read_response(&mut reader, bodiless).unwrap().map(|answer| answer.status), Some(status));
        }
        assert_eq!(read_response(&mut reader, false).unwrap(), None);
    }

    #[test]
    fn what_is_short_is_an_error() {
        for text in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n"] {
            assert!(read_response(&mut text.as_bytes(), false).is_err(), "{text}");
        }
    }
}
