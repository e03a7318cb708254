//! Header lines, and what a whole head means for what follows it.

use super::lines::{LOWER, name};
use super::state::{Direction, Http, head_flag, method, phase};
use super::{LINE_BYTES, Window};
use crate::{BODY_CHUNKED, BODY_UNKNOWN, flow_flag};

/// Lower-case words of header names (behind their first) and values, and how many bytes of each count.
const LENGTH: u64 = u64::from_le_bytes(*b"length:\0");
const ENCODING: u64 = u64::from_le_bytes(*b"-encodin");
const ON: u64 = u64::from_le_bytes(*b"on:\0\0\0\0\0");
const AGENT: u64 = u64::from_le_bytes(*b"nt:\0\0\0\0\0");
const CLOSE: u64 = u64::from_le_bytes(*b"close\0\0\0");
const KEEP_ALIVE: u64 = u64::from_le_bytes(*b"keep-ali");
const CHUNKED: u64 = u64::from_le_bytes(*b"chunked\0");
/// `ELB-HealthChecker`, `kube-probe`, `GoogleHC`
const CHECKERS: [u64; 3] =
    [u64::from_le_bytes(*b"elb-heal"), u64::from_le_bytes(*b"kube-pro"), u64::from_le_bytes(*b"googlehc")];

const THREE: u64 = 0x00ff_ffff;
const FIVE: u64 = 0x00ff_ffff_ffff;
const SEVEN: u64 = 0x00ff_ffff_ffff_ffff;

/// Most digits of a number: more do not fit 64 bits, or are no length.
const DIGITS: u32 = 18;

/// Reads the header line at `at`. Returns the `flow_flag` bits it sets.
#[inline(always)]
pub(super) fn header(direction: &mut Direction, window: &impl Window, base: u32) -> u32 {
    let at = base + u32::from(direction.at);
    let key = window.word(at) | LOWER;
    let second = window.word(at + 8) | LOWER;
    direction.at += 8;
    direction.flags &= !head_flag::LINE_START;
    if key == name::CONTENT {
        if second & SEVEN == LENGTH {
            content_length(direction, window, at + 15);
        }
    } else if key == name::USER_AGENT {
        if second & THREE == AGENT {
            return user_agent(window, at + 11);
        }
    } else if key == name::CONNECTION {
        if second & THREE == ON {
            words(direction, window, at + 11);
        }
    } else if second == ENCODING {
        words(direction, window, at + 17);
    }
    0
}

#[inline(always)]
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `Content-Length`: a second one that differs, or one that is no number, cannot be right.
#[inline(always)]
fn content_length(direction: &mut Direction, window: &impl Window, at: u32) {
    let mut value = 0_u64;
    let mut digits = 0_u32;
    let mut bad = false;
    let mut step = 0;
    while step < LINE_BYTES - 16 {
        let byte = window.word(at + step) as u8;
        step += 1;
        if byte.wrapping_sub(b'0') < 10 {
            value = value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
            digits += 1;
        } else if is_blank(byte) && digits == 0 {
        } else {
            bad = byte != b'\r' && byte != b'\n' && !is_blank(byte);
            break;
        }
    }
    let again = direction.flags & head_flag::LENGTH != 0 && direction.left != value;
    if digits == 0 || digits > DIGITS || bad || again {
        direction.flags |= head_flag::BAD;
    }
    direction.flags |= head_flag::LENGTH;
    direction.left = value;
}

/// The words of `Connection` and `Transfer-Encoding` that matter.
#[inline(always)]
fn words(direction: &mut Direction, window: &impl Window, at: u32) {
    let mut flags = 0;
    let mut step = 0;
    while step < LINE_BYTES - 24 {
        let word = window.word(at + step);
        if word as u8 == b'\n' {
            break;
        }
        let low = word | LOWER;
        if low & FIVE == CLOSE {
            flags |= head_flag::CLOSE;
        }
        if low & SEVEN == CHUNKED {
            flags |= head_flag::CHUNKED;
        }
        if low == KEEP_ALIVE {
            flags |= head_flag::KEEP_ALIVE;
        }
        step += 1;
    }
    direction.flags |= flags;
}

#[inline(always)]
fn user_agent(window: &impl Window, at: u32) -> u32 {
    let blank = u32::from(is_blank(window.word(at) as u8));
    let low = window.word(at + blank) | LOWER;
    if low == CHECKERS[0] || low == CHECKERS[1] || low == CHECKERS[2] { flow_flag::HEALTH_CHECK } else { 0 }
}

/// Whether this head announces the connection's end.
#[inline(always)]
fn closes(flags: u16) -> bool {
    flags & head_flag::CLOSE != 0 || flags & (head_flag::OLD | head_flag::KEEP_ALIVE) == head_flag::OLD
}

/// A request's head is whole. Returns the phase that follows; [`phase::HEAD_DUE`] if the request is whole too.
#[inline(always)]
pub(super) fn request_follows(http: &mut Http, direction: &mut Direction) -> u8 {
    let flags = direction.flags;
    if closes(flags) {
        http.request_flags |= flow_flag::CLOSE_ANNOUNCED;
    }
    if flags & head_flag::BAD != 0 {
        phase::LOST
    } else if flags & head_flag::CHUNKED != 0 {
        phase::CHUNK_SIZE
    } else if flags & head_flag::LENGTH != 0 && direction.left != 0 {
        phase::BODY
    } else {
        phase::HEAD_DUE
    }
}

/// A final response's head is whole. Returns the phase that follows; [`phase::HEAD_DUE`] if the response
/// is whole too.
#[inline(always)]
pub(super) fn response_follows(http: &mut Http, direction: &mut Direction) -> u8 {
    let flags = direction.flags;
    let status = http.status;
    if closes(flags) {
        http.response_flags |= flow_flag::CLOSE_ANNOUNCED;
    }
    let method = http.method();
    if status == 101 || (method == method::CONNECT && status / 100 == 2) {
        http.response_flags |= flow_flag::UPGRADED;
        http.body_expected = 0;
        return phase::OPAQUE;
    }
    if method == method::HEAD || status == 204 || status == 304 {
        http.body_expected = 0;
        return phase::HEAD_DUE;
    }
    if flags & head_flag::CHUNKED != 0 {
        http.body_expected = BODY_CHUNKED;
        return phase::CHUNK_SIZE;
    }
    if flags & head_flag::BAD != 0 {
        return phase::LOST;
    }
    if flags & head_flag::LENGTH != 0 {
        http.body_expected = direction.left;
        return if direction.left == 0 { phase::HEAD_DUE } else { phase::BODY };
    }
    http.body_expected = BODY_UNKNOWN;
    phase::UNTIL_CLOSE
}
