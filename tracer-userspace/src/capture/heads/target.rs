//! The request line: method and path, of a line that may be cut short.

use super::{is_token, split_line};

/// Longest method that is taken for one.
const METHOD_BYTES: usize = 32;

/// What is read of a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    /// Without query, scheme, authority; `None` where the bytes end before it.
    pub(super) path: Option<&'a [u8]>,
    /// What follows the line; empty if it is cut.
    pub(super) rest: &'a [u8],
}

impl<'a> RequestLine<'a> {
    /// Reads it off the front of `head`; `None` if this is no HTTP/1 request.
    pub(super) fn read(head: &'a [u8]) -> Option<Self> {
        // empty lines before it are to be ignored (RFC 9112, 2.2)
        let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let head = head.get(start..)?;
        let (line, rest, whole) = match split_line(head) {
            Some((line, rest)) => (line, rest, true),
            None => (head, &[][..], false),
        };
        let end = line.iter().position(|byte| is_space(*byte))?;
        let (method, after) = line.split_at_checked(end)?;
        if method.is_empty() || method.len() > METHOD_BYTES || !method.iter().all(|byte| is_token(*byte)) {
            return None;
        }
        let method = std::str::from_utf8(method).ok()?;
        let after = after.trim_ascii_start();
        let after = if whole { after.trim_ascii_end() } else { after };
        let target = if whole { before_version(after)? } else { until_space(after) };
        let whole_target = target.len() < after.len();
        let connect = method.eq_ignore_ascii_case("CONNECT");
        if !whole && !connect && !begins_like_a_target(target) {
            return None;
        }
        let path = if connect { authority(target).filter(|_| whole_target) } else { path(target, whole_target) };
        Some(Self { method, path, rest })
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn until_space(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| is_space(*byte)).next().unwrap_or_default()
}

/// What stands before ` HTTP/1.1`, spaces included; `None` if no version of HTTP/1 ends the line.
fn before_version(bytes: &[u8]) -> Option<&[u8]> {
    let space = bytes.iter().rposition(|byte| is_space(*byte))?;
    let (target, version) = bytes.split_at_checked(space)?;
    let version = version.trim_ascii_start();
    let http = version.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/1."));
    http.then(|| target.trim_ascii_end())
}

fn begins_like_a_target(target: &[u8]) -> bool {
    target.first().is_none_or(|first| matches!(first, b'/' | b'*')) || scheme_end(target).is_some()
}

/// Where the authority of an absolute target begins.
fn scheme_end(target: &[u8]) -> Option<usize> {
    let name = target.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte))?;
    (name > 0 && target.get(name..)?.starts_with(b"://")).then_some(name.saturating_add(3))
}

/// The path of a target, cut or whole. Query and fragment end it; scheme, user and host are left out.
fn path(target: &[u8], whole: bool) -> Option<&[u8]> {
    let query = target.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let before = query.map_or(Some(target), |end| target.get(..end))?;
    if matches!(before.first(), Some(b'/' | b'*')) {
        return Some(before);
    }
    let after_scheme = before.get(scheme_end(before)?..)?;
    match after_scheme.iter().position(|byte| *byte == b'/') {
        Some(slash) => after_scheme.get(slash..),
        None => (whole || query.is_some()).then_some(b"/"),
    }
}

/// Host and port that CONNECT asks for, without a user before them.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#' | b'/')).unwrap_or(target.len());
    let host = target.get(..end)?.rsplit(|byte| *byte == b'@').next()?;
    (!host.is_empty()).then_some(host)
}
