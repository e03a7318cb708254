//! What the first bytes of a message are.

use super::state::method;

const fn word(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes)
}

/// No request method.
pub(super) const NO_METHOD: u64 = 3;

const FOUR: u64 = 0xffff_ffff;
const FIVE: u64 = 0x00ff_ffff_ffff;
const SIX: u64 = 0xffff_ffff_ffff;
const SEVEN: u64 = 0x00ff_ffff_ffff_ffff;

/// Kind of the request that begins so, or [`NO_METHOD`]: a method and the blank behind it. Compared one
/// by one, the usual ones first: a table would have to live on the kernel's small stack.
#[inline(always)]
pub(super) fn request(first: u64) -> u64 {
    if first & FOUR == word(*b"GET \0\0\0\0") || first & FIVE == word(*b"POST \0\0\0") {
        return method::OTHER;
    }
    if first & FIVE == word(*b"HEAD \0\0\0") {
        return method::HEAD;
    }
    if first == word(*b"CONNECT ") {
        return method::CONNECT;
    }
    let known = first & FOUR == word(*b"PUT \0\0\0\0")
        || first & SIX == word(*b"PATCH \0\0")
        || first & SIX == word(*b"TRACE \0\0")
        || first & SIX == word(*b"PURGE \0\0")
        || first & SIX == word(*b"QUERY \0\0")
        || first & SIX == word(*b"MKCOL \0\0")
        || first & FIVE == word(*b"COPY \0\0\0")
        || first & FIVE == word(*b"MOVE \0\0\0")
        || first & FIVE == word(*b"LOCK \0\0\0")
        || first & SEVEN == word(*b"UNLOCK \0")
        || first & SEVEN == word(*b"DELETE \0")
        || first & SEVEN == word(*b"REPORT \0")
        || first & SEVEN == word(*b"SEARCH \0")
        || first == word(*b"OPTIONS ")
        || first == word(*b"PROPFIND")
        || first == word(*b"PROPPATC");
    if known { method::OTHER } else { NO_METHOD }
}

/// Whether a request begins with these 8 bytes.
#[inline(always)]
pub fn is_request(first: u64) -> bool {
    request(first) != NO_METHOD
}

/// What a connection begins with, if not with a request.
pub(super) mod opening {
    pub(crate) const OTHER: u32 = 0;
    pub(crate) const TLS: u32 = 1;
    pub(crate) const HTTP2: u32 = 2;
    pub(crate) const PROXY_LINE: u32 = 3;
    pub(crate) const PROXY_BINARY: u32 = 4;
}

#[inline(always)]
pub(super) fn opening_of(first: u64) -> u32 {
    if first & 0xffff == 0x0316 {
        opening::TLS
    } else if first == word(*b"PRI * HT") {
        opening::HTTP2
    } else if first & 0xffff_ffff_ffff == word(*b"PROXY \0\0") {
        opening::PROXY_LINE
    } else if first == word(*b"\r\n\r\n\0\r\nQ") {
        opening::PROXY_BINARY
    } else {
        opening::OTHER
    }
}

/// Whether a response begins so.
#[inline(always)]
pub(super) fn is_response(first: u64) -> bool {
    first == word(*b"HTTP/1.1") || first == word(*b"HTTP/1.0")
}

/// Whether the word is `HTTP/1.0`.
#[inline(always)]
pub(super) fn is_old(version: u64) -> bool {
    version == word(*b"HTTP/1.0")
}

/// Whether the word is `HTTP/1.` and a digit.
#[inline(always)]
pub(super) fn is_version(version: u64) -> bool {
    version & 0x00ff_ffff_ffff_ffff == word(*b"HTTP/1.\0") && ((version >> 56) as u8).wrapping_sub(b'0') < 10
}

/// A TLS alert record.
#[inline(always)]
pub(super) fn is_alert(first: u64) -> bool {
    first & 0xffff == 0x0315
}

/// Status code in ` NNN`; 0 if there is none.
#[inline(always)]
pub(super) fn status(second: u64) -> u16 {
    let digit = |index: u32| ((second >> (8 * index)) as u8).wrapping_sub(b'0');
    let (hundreds, tens, ones) = (digit(1), digit(2), digit(3));
    let behind = (second >> 32) as u8;
    let ends = behind == b' ' || behind == b'\r' || behind == b'\n';
    if second as u8 != b' ' || !ends || !(1..=9).contains(&hundreds) || tens > 9 || ones > 9 {
        return 0;
    }
    u16::from(hundreds) * 100 + u16::from(tens) * 10 + u16::from(ones)
}
