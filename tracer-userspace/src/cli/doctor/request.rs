//! One HTTP/1.1 request over plain TCP, and what its answer looks like.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::local::{CONNECT_TIMEOUT, Cover, attempt, connect_failure, micros, span};
use super::report::Attempt;
use crate::capture::clock;
use crate::record::BootTime;
use crate::verdict::Slug;

/// From the request's last byte to the end of the status line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A status line is shorter; what is not is none.
const HEAD_MAX: usize = 4096;

/// Sends the request and reads up to the end of the status line.
pub(super) fn send(to: SocketAddr, path: &str, cover: Cover) -> Attempt {
    let connection = match TcpStream::connect_timeout(&to, CONNECT_TIMEOUT) {
        Ok(connection) => connection,
        Err(error) => return connect_failure(to, &error, cover),
    };
    match exchange(connection, to, path) {
        Ok((head, waited)) => answered(to, &head, waited),
        Err(error) => broken(to, &error),
    }
}

fn request(to: SocketAddr, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: wherefore-doctor/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// The answer's bytes up to the first line's end, and how long its first byte took.
fn exchange(mut connection: TcpStream, to: SocketAddr, path: &str) -> io::Result<(Vec<u8>, Duration)> {
    connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    connection.write_all(request(to, path).as_bytes())?;
    let sent = clock::boot_time();
    let mut head = Vec::new();
    let mut first_byte = None;
    let mut buffer = [0; 1024];
    while head.len() < HEAD_MAX && !head.contains(&b'\n') {
        connection.set_read_timeout(Some(remaining(sent)?))?;
        let read = match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // bytes that came before the connection broke are an answer
            Err(_) if !head.is_empty() => break,
            Err(error) => return Err(error),
        };
        first_byte.get_or_insert_with(|| clock::boot_time().since(sent));
        head.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    Ok((head, first_byte.unwrap_or_default()))
}

fn remaining(sent: BootTime) -> io::Result<Duration> {
    let left = ANSWER_TIMEOUT.saturating_sub(clock::boot_time().since(sent));
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// What the first bytes of the answer are.
pub(super) fn answered(to: SocketAddr, head: &[u8], waited: Duration) -> Attempt {
    let failed = |slug, detail: &str| Attempt { verdict: Some(slug), ..attempt(to, false, detail) };
    if head.is_empty() {
        return failed(Slug::PrematureClose, "the app closed the connection without an answer");
    }
    // a TLS record that carries an alert
    if head.starts_with(&[0x15, 0x03]) {
        return failed(Slug::ProtocolMismatch, "the app answered with a TLS alert: it speaks TLS on this port");
    }
    let Some((status, reason)) = status_line(head) else {
        return failed(Slug::MalformedResponse, "the answer does not begin with an HTTP status line");
    };
    let words = format!("{status} {reason}");
    let detail = format!("{} after {}", words.trim_end(), span(waited));
    let ok = status < 500;
    Attempt {
        status: Some(status),
        duration_us: Some(micros(waited)),
        verdict: (!ok).then_some(Slug::AppStatus),
        ..attempt(to, ok, &detail)
    }
}

/// Status and reason (RFC 9112, section 4; the reason may be empty).
fn status_line(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let text = String::from_utf8_lossy(line);
    let rest = text.trim_end().strip_prefix("HTTP/1.")?;
    let (minor, rest) = rest.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let well_formed = matches!(minor, "0" | "1") && code.len() == 3;
    let status = code.parse().ok().filter(|status| (100..=999).contains(status))?;
    well_formed.then(|| (status, reason.chars().take(60).collect()))
}

fn broken(to: SocketAddr, error: &io::Error) -> Attempt {
    let (verdict, detail) = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            (Some(Slug::AppTimeout), "connected, but no answer within 10 s".to_owned())
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            (Some(Slug::AppReset), "the app cut the connection with a RST before it had answered".to_owned())
        }
        _ => (None, error.to_string()),
    };
    Attempt { verdict, ..attempt(to, false, &detail) }
}
