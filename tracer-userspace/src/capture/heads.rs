//! The kept bytes of an exchange's heads, read into a host record. Only what is named here is ever
//! read out of them: whatever else stood there ends in this module.
//!
//! Heads are cut anywhere (only their first bytes are kept) and written by anybody. What is not whole,
//! or no HTTP, is left out; nothing is guessed.

mod fields;
mod proxy;
mod target;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use thiserror::Error;
pub use tracer_ebpf::FlowWithHeads;
use tracer_ebpf::{FlowRecord, flow_event, kind};

use crate::record::Exchange;
use fields::Fields;
use target::RequestLine;

/// Longest value of a header in a record, bytes.
const VALUE_BYTES: usize = 256;
/// Longest path in a record, bytes.
const PATH_BYTES: usize = 1024;
/// Bytes that are told of what is no response head.
const MALFORMED_BYTES: usize = 32;

/// Headers of which only the presence is told, sorted.
const PRESENCE: [&str; 5] = ["authorization", "cookie", "origin", "referer", "www-authenticate"];

/// Headers whose values are secrets: never a client's name.
const SECRET: [&str; 7] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-csrf-token",
];

/// Name of the header that says who the client is, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHeader(String);

/// Why a header cannot be `--client-header`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClientHeaderError {
    /// Not a header's name.
    #[error("{0:?} is no header name: give one like X-Forwarded-For, without colon and value")]
    NoName(String),
    /// Its value is a secret.
    #[error(
        "the value of {0} is a secret and is never recorded: name a header that identifies clients, such as X-Forwarded-For"
    )]
    Secret(String),
}

impl FromStr for ClientHeader {
    type Err = ClientHeaderError;

    fn from_str(text: &str) -> Result<Self, ClientHeaderError> {
        let name = text.trim().to_ascii_lowercase();
        if name.is_empty() || name.len() > VALUE_BYTES || !name.bytes().all(is_token) {
            return Err(ClientHeaderError::NoName(text.to_owned()));
        }
        if SECRET.contains(&name.as_str()) {
            return Err(ClientHeaderError::Secret(text.trim().to_owned()));
        }
        Ok(Self(name))
    }
}

impl ClientHeader {
    /// The name, lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Splits what the ring holds into the host record that goes first, if the heads tell anything, and
/// the flow record that follows it.
#[must_use]
pub fn split(from_ring: &FlowWithHeads, client: Option<&ClientHeader>) -> (Option<Exchange>, FlowRecord) {
    let mut flow = from_ring.flow;
    flow.header.kind = kind::FLOW;
    flow.header.len = u16::try_from(size_of::<FlowRecord>()).unwrap_or(0);
    let request = kept(&from_ring.request, from_ring.request_len);
    let response = kept(&from_ring.response, from_ring.response_len);
    let told = exchange(request, response, &from_ring.proxy, flow.event == flow_event::MALFORMED, client);
    let exchange = (told != Exchange::default()).then_some(Exchange { id: flow.id, number: flow.exchange, ..told });
    (exchange, flow)
}

fn exchange(request: &[u8], response: &[u8], proxy: &[u8], malformed: bool, client: Option<&ClientHeader>) -> Exchange {
    let mut exchange = Exchange { proxied_for: proxy::client(proxy), ..Exchange::default() };
    if let Some(line) = RequestLine::read(request) {
        exchange.method = Some(line.method.to_owned());
        exchange.path = line.path.map(|path| text(path, PATH_BYTES));
        let fields = Fields::read(line.rest);
        let value = |name: &str| fields.value(name).map(|value| text(value, VALUE_BYTES));
        exchange.host = value("host");
        exchange.user_agent = value("user-agent");
        exchange.trace_id = value("x-amzn-trace-id");
        exchange.via = value("via");
        exchange.client = client.and_then(|client| value(client.name()));
        note_presence(&mut exchange, &fields);
    }
    if malformed {
        let first = response.get(..MALFORMED_BYTES).unwrap_or(response);
        exchange.malformed = (!first.is_empty()).then(|| printable(first));
    } else if let Some(rest) = after_status_line(response) {
        let fields = Fields::read(rest);
        exchange.server = fields.value("server").map(|value| text(value, VALUE_BYTES));
        exchange.via = fields.value("via").map(|value| text(value, VALUE_BYTES)).or(exchange.via);
        note_presence(&mut exchange, &fields);
    }
    exchange.has.sort_unstable();
    exchange.has.dedup();
    exchange
}

fn note_presence(exchange: &mut Exchange, fields: &Fields) {
    let there = PRESENCE.iter().filter(|name| fields.contains(name));
    exchange.has.extend(there.map(|name| (*name).to_owned()));
}

/// The bytes of a head that are there.
fn kept(bytes: &[u8], len: u32) -> &[u8] {
    usize::try_from(len).ok().and_then(|len| bytes.get(..len)).unwrap_or(bytes)
}

/// What follows the status line; `None` if this is no response head or the line is not whole.
fn after_status_line(head: &[u8]) -> Option<&[u8]> {
    let (line, rest) = split_line(head)?;
    line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/")).then_some(rest)
}

/// The first line, without its end, and what follows; `None` if it is not whole.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default()))
}

/// A character of a method or a header's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Bytes as text: what is not UTF-8 becomes `\xNN`. At most `most` bytes, whole characters.
fn text(bytes: &[u8], most: usize) -> String {
    let mut out = String::with_capacity(bytes.len().min(most));
    for chunk in bytes.utf8_chunks() {
        let escapes = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        let pieces = chunk.valid().chars().map(String::from).chain(escapes);
        for piece in pieces {
            if out.len().saturating_add(piece.len()) > most {
                return out;
            }
            out.push_str(&piece);
        }
    }
    out
}

/// Printable ASCII as it is, all else as an escape.
fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
