//! Header lines, and what a whole head means for what follows it.

use super::Window;
use super::lines::{HIGHS, LOWER, bytes_before, name, nonzero};
use super::state::{Direction, Http, get, head_flag, method, phase, put};
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

/// Most blanks before a length.
const MOST_BLANKS: u32 = 4;

/// Reads the header line that the direction is at. Returns the `flow_flag` bits it sets.
#[inline(always)]
pub(super) fn header(direction: &mut Direction, window: &impl Window, base: u32) -> u32 {
    let at = base + u32::from(get(&direction.at));
    let key = window.word(at) | LOWER;
    let second = window.word(at + 8) | LOWER;
    put!(direction.at, (at - base + 8) as u16);
    let flags = get(&direction.flags) & !head_flag::LINE_START;
    put!(direction.flags, flags);
    if key == name::CONTENT {
        if is_length(second) {
            content_length(direction, window, at + 15);
        }
    } else if key == name::USER_AGENT {
        if is_agent(second) {
            return user_agent(window, at + 11);
        }
    } else if key == name::CONNECTION {
        if is_connection(second) {
            words(direction, window, at + 11);
        }
    } else if is_encoding(second) {
        words(direction, window, at + 17);
    }
    0
}

/// Whether `Content-Length:` goes on so.
#[inline(always)]
pub(super) fn is_length(second: u64) -> bool {
    (second | LOWER) & SEVEN == LENGTH
}

/// Whether `Connection:` goes on so.
#[inline(always)]
pub(super) fn is_connection(second: u64) -> bool {
    (second | LOWER) & THREE == ON
}

/// Whether `User-Agent:` goes on so.
#[inline(always)]
pub(super) fn is_agent(second: u64) -> bool {
    (second | LOWER) & THREE == AGENT
}

/// Whether `Transfer-Encoding:` goes on so. (The colon is 9 bytes behind `transfer`: it is not looked at.)
#[inline(always)]
pub(super) fn is_encoding(second: u64) -> bool {
    second | LOWER == ENCODING
}

#[inline(always)]
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// How many blanks a word begins with, up to [`MOST_BLANKS`].
#[inline(always)]
fn blanks(word: u64) -> u32 {
    const SPACES: u64 = 0x2020_2020_2020_2020;
    const TABS: u64 = 0x0909_0909_0909_0909;
    const END: u64 = 0x80 << (8 * MOST_BLANKS);
    bytes_before((nonzero(word ^ SPACES) & nonzero(word ^ TABS)) | END)
}

/// The decimal digits that a word begins with: how many, and their value. Without a branch a digit: the
/// verifier would follow each way.
#[inline(always)]
pub(super) fn decimal(word: u64) -> (u32, u64) {
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    const OVER_NINE: u64 = 0x7676_7676_7676_7676;
    let digits = word ^ ZEROS;
    let count = bytes_before(((digits & !HIGHS).wrapping_add(OVER_NINE) | digits) & HIGHS);
    // all of a word is shifted out in two
    let half = (32 - 4 * count) & 63;
    (count, value((digits << half) << half))
}

/// Value of eight digits, the first in the lowest byte.
#[inline(always)]
fn value(digits: u64) -> u64 {
    let pairs = (digits & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(2561) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32
}

/// `Content-Length`: a second one that differs, or one that is no number, cannot be right.
#[inline(always)]
pub(super) fn content_length(direction: &mut Direction, window: &impl Window, from: u32) {
    let at = from + blanks(window.word(from));
    let (count, mut length) = decimal(window.word(at));
    let mut digits = count;
    if count == 8 {
        let (more, low) = decimal(window.word(at + 8));
        length = length.wrapping_mul(power_of_ten(more)).wrapping_add(low);
        digits += more;
    }
    let behind = window.word(at + digits) as u8;
    let ends = behind == b'\r' || behind == b'\n' || is_blank(behind);
    let again = get(&direction.flags) & head_flag::LENGTH != 0 && get(&direction.left) != length;
    let bad = if digits == 0 || !ends || again { head_flag::BAD } else { 0 };
    set(direction, bad | head_flag::LENGTH);
    put!(direction.left, length);
}

#[inline(always)]
fn power_of_ten(exponent: u32) -> u64 {
    let bit = |bit: u32| u64::from((exponent >> bit) & 1);
    (1 + 9 * bit(0)) * (1 + 99 * bit(1)) * (1 + 9_999 * bit(2)) * (1 + 99_999_999 * bit(3))
}

#[inline(always)]
fn set(direction: &mut Direction, flags: u16) {
    let flags = get(&direction.flags) | flags;
    put!(direction.flags, flags);
}

/// The words of `Connection` and `Transfer-Encoding` that matter, which begin at `at`.
#[inline(always)]
pub(super) fn words(direction: &mut Direction, window: &impl Window, at: u32) {
    if !single_word(direction, window, at) {
        each_word(direction, window, at);
    }
}

/// The line's only word, if it is one of the usual ones.
#[inline(always)]
fn single_word(direction: &mut Direction, window: &impl Window, at: u32) -> bool {
    let at = at + u32::from(is_blank(window.word(at) as u8));
    let word = window.word(at);
    let low = word | LOWER;
    let (flag, behind) = if low == KEEP_ALIVE {
        let rest = window.word(at + 8);
        if (rest | LOWER) & 0xffff != u64::from(u16::from_le_bytes(*b"ve")) {
            return false;
        }
        (head_flag::KEEP_ALIVE, rest >> 16)
    } else if low & FIVE == CLOSE {
        (head_flag::CLOSE, word >> 40)
    } else if low & SEVEN == CHUNKED {
        (head_flag::CHUNKED, word >> 56)
    } else {
        return false;
    };
    let alone = behind as u8 == b'\r' || behind as u8 == b'\n';
    if alone {
        set(direction, flag);
    }
    alone
}

/// Not a loop, for the verifier's sake (see `lines::search`).
#[inline(always)]
fn each_word(direction: &mut Direction, window: &impl Window, at: u32) {
    macro_rules! steps {
        ($($step:literal)*) => {$(
            let word = window.word(at + $step);
            if word as u8 == b'\n' {
                return;
            }
            let low = word | LOWER;
            if low & FIVE == CLOSE {
                set(direction, head_flag::CLOSE);
            }
            if low & SEVEN == CHUNKED {
                set(direction, head_flag::CHUNKED);
            }
            if low == KEEP_ALIVE {
                set(direction, head_flag::KEEP_ALIVE);
            }
        )*};
    }
    steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
}

#[inline(always)]
pub(super) fn user_agent(window: &impl Window, at: u32) -> u32 {
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
    let flags = get(&direction.flags);
    if closes(flags) {
        http.request_flags |= flow_flag::CLOSE_ANNOUNCED;
    }
    if flags & head_flag::BAD != 0 {
        phase::LOST
    } else if flags & head_flag::CHUNKED != 0 {
        phase::CHUNK_SIZE
    } else if flags & head_flag::LENGTH != 0 && get(&direction.left) != 0 {
        phase::BODY
    } else {
        phase::HEAD_DUE
    }
}

/// A final response's head is whole. Returns the phase that follows; [`phase::HEAD_DUE`] if the response
/// is whole too.
#[inline(always)]
pub(super) fn response_follows(http: &mut Http, direction: &mut Direction) -> u8 {
    let flags = get(&direction.flags);
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
        http.body_expected = get(&direction.left);
        return if get(&direction.left) == 0 { phase::HEAD_DUE } else { phase::BODY };
    }
    http.body_expected = BODY_UNKNOWN;
    phase::UNTIL_CLOSE
}
