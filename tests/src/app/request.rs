//! Reading requests.

use std::io::{BufRead, Error, ErrorKind, Read as _, Result};

/// The first line of an HTTP/2 connection.
const HTTP2_PREFACE: &str = "PRI * HTTP/2.0\r\n";
/// How a PROXY protocol header of version 2 begins.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The content type of a TLS handshake record.
const TLS_HANDSHAKE: u8 = 22;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing: it ended.
    Nothing,
    /// What may be a request.
    Request,
    /// TLS or the HTTP/2 preface.
    Foreign,
    /// A PROXY protocol header of version 1 or 2.
    Proxy(u8),
}

/// Looks at a connection's first bytes.
pub(super) fn start(reader: &mut impl BufRead) -> Result<Start> {
    let bytes = reader.fill_buf()?;
    Ok(match bytes {
        [] => Start::Nothing,
        [TLS_HANDSHAKE, ..] => Start::Foreign,
        _ if bytes.starts_with(HTTP2_PREFACE.as_bytes()) => Start::Foreign,
        _ if bytes.starts_with(b"PROXY ") => Start::Proxy(1),
        _ if bytes.starts_with(PROXY_V2) => Start::Proxy(2),
        _ => Start::Request,
    })
}

/// Reads a PROXY protocol header.
pub(super) fn skip_proxy(reader: &mut impl BufRead, version: u8) -> Result<()> {
    if version == 1 {
        return reader.read_line(&mut String::new()).map(drop);
    }
    let mut fixed = [0; 16];
    reader.read_exact(&mut fixed)?;
    let [.., high, low] = fixed;
    skip(reader, u64::from(u16::from_be_bytes([high, low])))
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: u64,
    /// Whether the client wants the connection closed.
    pub(super) closes: bool,
}

/// Reads a head; `None` at the end of the connection.
pub(super) fn read(reader: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(ErrorKind::InvalidData.into());
    };
    let mut request = Request {
        method,
        path: target.split('?').next().unwrap_or_default().to_owned(),
        body: 0,
        closes: version == "HTTP/1.0",
    };
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => request.body = value.trim().parse().map_err(Error::other)?,
            "connection" if value.trim().eq_ignore_ascii_case("close") => request.closes = true,
            _ => {}
        }
    }
    Ok(Some(request))
}

/// Reads and forgets so many bytes.
pub(super) fn skip(reader: &mut impl BufRead, length: u64) -> Result<()> {
    if std::io::copy(&mut reader.take(length), &mut std::io::sink())? < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_bodies_are_read_to_their_ends() {
        let mut reader: &[u8] = b"POST /a?b HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\nabcGET /c HTTP/1.0\r\n\r\n";
        let post = read(&mut reader).unwrap().unwrap();
        assert_eq!((post.method.as_str(), post.path.as_str(), post.body, post.closes), ("POST", "/a", 3, false));
        skip(&mut reader, post.body).unwrap();
        let get = read(&mut reader).unwrap().unwrap();
        assert_eq!((get.path.as_str(), get.body, get.closes), ("/c", 0, true));
        assert!(read(&mut reader).unwrap().is_none());
    }

    #[test]
    fn other_protocols_are_recognised() {
        assert_eq!(start(&mut &b"\x16\x03\x01"[..]).unwrap(), Start::Foreign);
        assert_eq!(start(&mut &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]).unwrap(), Start::Foreign);
        assert_eq!(start(&mut &b"GET / HTTP/1.1\r\n"[..]).unwrap(), Start::Request);
        assert_eq!(start(&mut &b""[..]).unwrap(), Start::Nothing);
        let mut v2 = PROXY_V2.to_vec();
        v2.extend([0x21, 0x11, 0, 2, 1, 2, b'G']);
        let mut reader = v2.as_slice();
        assert_eq!(start(&mut reader).unwrap(), Start::Proxy(2));
        skip_proxy(&mut reader, 2).unwrap();
        assert_eq!(reader, b"G");
    }
}
