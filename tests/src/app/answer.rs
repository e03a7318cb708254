//! What the app answers, by the request's path.

use std::io::{BufRead as _, BufReader, ErrorKind, Result, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::request::{self, Request, Start};
use super::server::Client;
use super::{Foreign, Options};

/// Length of the answer to `/big`.
const BIG: usize = 1 << 20;
/// A fatal TLS alert: unexpected message.
const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 10];

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next request.
    Next,
    /// FIN.
    Fin,
    /// RST.
    Rst,
    /// Nothing, until the client has closed.
    Hold,
    /// FIN, if no request has come before that.
    FinAfter(Duration),
}

/// Serves a connection to its end.
pub(super) fn connection(stream: TcpStream, client: &Client<'_>, options: &Options) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut then = begin(&mut reader, options)?;
    while then == Then::Next {
        if reader.fill_buf()?.is_empty() {
            return Ok(());
        }
        client.busy(true);
        let Some(request) = request::read(&mut reader)? else { return Ok(()) };
        then = respond(&mut reader, &request, client)?;
        if let Then::FinAfter(patience) = then {
            client.busy(false);
            then = rest(&mut reader, patience)?;
        }
        if then == Then::Next && (client.busy(false) || request.closes) {
            then = Then::Fin;
        }
    }
    client.release();
    match then {
        Then::Hold => request::skip(&mut reader, u64::MAX).or(Ok(())),
        Then::Rst => SockRef::from(reader.get_ref()).set_linger(Some(Duration::ZERO)),
        Then::Next | Then::Fin | Then::FinAfter(_) => Ok(()),
    }
}

/// Deals with what comes before the first request.
fn begin(reader: &mut BufReader<TcpStream>, options: &Options) -> Result<Then> {
    match request::start(reader)? {
        Start::Nothing => return Ok(Then::Fin),
        Start::Proxy(version) if options.proxy_protocol => {
            request::skip_proxy(reader, version)?;
            return Ok(Then::Next);
        }
        Start::Request if !options.tls => return Ok(Then::Next),
        Start::Request | Start::Proxy(_) | Start::Foreign => {}
    }
    // what has come is read, or closing would reset
    let length = reader.buffer().len();
    reader.consume(length);
    let mut stream = reader.get_ref();
    Ok(match options.foreign {
        Foreign::BadRequest => {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            Then::Fin
        }
        Foreign::Alert => {
            stream.write_all(ALERT)?;
            Then::Fin
        }
        Foreign::Fin => Then::Fin,
        Foreign::Rst => Then::Rst,
    })
}

/// Waits so long for the next request.
fn rest(reader: &mut BufReader<TcpStream>, patience: Duration) -> Result<Then> {
    reader.get_ref().set_read_timeout(Some(patience))?;
    let came = reader.fill_buf().map(|bytes| !bytes.is_empty());
    reader.get_ref().set_read_timeout(None)?;
    match came {
        Ok(true) => Ok(Then::Next),
        Ok(false) => Ok(Then::Fin),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Then::Fin),
        Err(error) => Err(error),
    }
}

/// Answers one request.
fn respond(reader: &mut BufReader<TcpStream>, request: &Request, client: &Client<'_>) -> Result<Then> {
    let mut words = request.path.split('/').skip(1);
    let (verb, argument) = (words.next().unwrap_or_default(), words.next());
    let number: u64 = argument.and_then(|text| text.parse().ok()).unwrap_or_default();
    match verb {
        // before its body
        "early" => {
            write(reader, request, client, 413, &[b'-'; 3])?;
            request::skip(reader, request.body)?;
            return Ok(Then::Next);
        }
        "early-shut" => {
            write(reader, request, client, 413, &[b'-'; 3])?;
            reader.get_ref().shutdown(Shutdown::Write)?;
            request::skip(reader, request.body)?;
            return Ok(Then::Fin);
        }
        // closed with more to read than the reader holds, which makes it a RST
        "reset-unread" => {
            reader.get_ref().peek(&mut [0])?;
            return Ok(Then::Fin);
        }
        _ => request::skip(reader, request.body)?,
    }
    if verb == "slow" {
        std::thread::sleep(Duration::from_millis(number));
    }
    let mut stream = reader.get_ref();
    match verb {
        "status" => write(reader, request, client, u16::try_from(number).unwrap_or_default(), b"said\n")?,
        "big" => write(reader, request, client, 200, &vec![b'b'; BIG])?,
        "continue" => stream.write_all(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
        )?,
        "chunked" => stream.write_all(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nHTTP\r\n1b\r\n/1.1 500 no head is\r\n\
              this\r\n\r\n0\r\nTrailer: a\r\n\r\n",
        )?,
        "pieces" => pieces(stream, number)?,
        "drip" => drip(stream)?,
        "crash" => std::process::abort(),
        "hog" => hog(),
        #[expect(clippy::exit, reason = "the end of the process is what is asked for")]
        "exit" => std::process::exit(i32::try_from(number).unwrap_or(1)),
        _ => {
            return fail(stream, verb, number).transpose().unwrap_or_else(|| {
                write(reader, request, client, 200, b"ok\n")?;
                Ok(match verb {
                    "then-reset" => Then::Rst,
                    "then-close" => Then::Fin,
                    "close-idle" => Then::FinAfter(Duration::from_millis(number)),
                    _ => Then::Next,
                })
            });
        }
    }
    Ok(Then::Next)
}

/// The answers that are none, or not whole; `None` if this is not one of them.
fn fail(mut stream: &TcpStream, verb: &str, number: u64) -> Result<Option<Then>> {
    let (bytes, then): (&[u8], Then) = match verb {
        "hang" => (b"", Then::Hold),
        "reset" => (b"", Then::Rst),
        "close" => (b"", Then::Fin),
        "short" => (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", Then::Fin),
        "short-reset" => (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", Then::Rst),
        "stall" => (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", Then::Hold),
        "chunked-cut" => (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n", Then::Fin),
        "chunked-stall" => (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n", Then::Hold),
        "until-close" => (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end\n", Then::Fin),
        "garbage" => (b"SSH-2.0-OpenSSH_9.6 is not what was asked for\r\n", Then::Fin),
        "upgrade" => (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", Then::Hold),
        "close-after" => {
            std::thread::sleep(Duration::from_millis(number));
            (b"", Then::Fin)
        }
        _ => return Ok(None),
    };
    stream.write_all(bytes)?;
    Ok(Some(then))
}

/// A whole response with its length, and without a body where there is none.
fn write(
    reader: &BufReader<TcpStream>,
    request: &Request,
    client: &Client<'_>,
    status: u16,
    body: &[u8],
) -> Result<()> {
    let mut text = format!("HTTP/1.1 {status} Said\r\nServer: lab\r\n").into_bytes();
    let bodiless = matches!(status, 204 | 304);
    if !bodiless {
        text.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
    }
    // the app may have begun to drain since the request came
    if client.busy(true) || request.closes {
        text.extend(b"Connection: close\r\n");
    }
    text.extend(b"\r\n");
    if !bodiless && request.method != "HEAD" {
        text.extend(body);
    }
    reader.get_ref().write_all(&text)
}

/// Takes memory until there is no more, or more than any limit here.
fn hog() {
    const MIB: usize = 1 << 20;
    let taken: Vec<Vec<u8>> = (0..256).map(|_| vec![b'm'; MIB]).collect();
    drop(taken);
}

/// A chunked response, each chunk a segment.
fn pieces(mut stream: &TcpStream, count: u64) -> Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b"2bc\r\n", [b'p'; 700].as_slice(), b"\r\n"].concat();
    for _ in 0..count {
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"0\r\n\r\n")
}

/// A response of one byte a segment: the head, too.
fn drip(mut stream: &TcpStream) -> Result<()> {
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHTTP/1.1 500" {
        stream.write_all(&[*byte])?;
    }
    Ok(())
}
