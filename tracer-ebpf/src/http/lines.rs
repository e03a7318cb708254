//! Lines found eight bytes at a time.

use super::state::{Direction, get, head_flag, put};
use super::{LINE_BYTES, Window};

/// A newline in each byte.
const NEWLINES: u64 = 0x0a0a_0a0a_0a0a_0a0a;
const ONES: u64 = 0x0101_0101_0101_0101;
pub(super) const HIGHS: u64 = 0x8080_8080_8080_8080;
/// What makes ASCII letters lower case.
pub(super) const LOWER: u64 = 0x2020_2020_2020_2020;

/// What a search stopped at.
pub(super) mod found {
    /// At the end of what is in the window.
    pub(crate) const NOTHING: u8 = 0;
    /// Behind a line.
    pub(crate) const LINE: u8 = 1;
    /// Behind the empty line.
    pub(crate) const EMPTY_LINE: u8 = 2;
    /// At the beginning of a line that may say where the message ends.
    pub(crate) const HEADER: u8 = 3;
    /// Not through yet: search on.
    pub(crate) const UNFINISHED: u8 = 4;
}

/// First words of the header lines that are read, lower case.
pub(super) mod name {
    pub(crate) const CONTENT: u64 = u64::from_le_bytes(*b"content-");
    pub(crate) const TRANSFER: u64 = u64::from_le_bytes(*b"transfer");
    pub(crate) const CONNECTION: u64 = u64::from_le_bytes(*b"connecti");
    pub(crate) const USER_AGENT: u64 = u64::from_le_bytes(*b"user-age");
}

/// The highest bit of each byte of a word that is not 0.
#[inline(always)]
pub(super) fn nonzero(word: u64) -> u64 {
    ((word & !HIGHS).wrapping_add(!HIGHS) | word) & HIGHS
}

/// How many bytes of a word come before the first whose highest bit is set, in a word that has no other bits; 8 if none
/// is.
#[inline(always)]
pub(super) fn bytes_before(marks: u64) -> u32 {
    // the bits below the lowest mark, one counted in each whole byte; without a mark all of them
    let lowest = marks >> 7;
    let below = (lowest & lowest.wrapping_neg()).wrapping_sub(1) & ONES;
    (below.wrapping_mul(ONES) >> 56) as u32
}

/// A bit for each byte of a word that is a newline, the first byte's lowest.
#[inline(always)]
pub(super) fn newlines(word: u64) -> u64 {
    // the product puts bit 8 n of its factor to bit 56 + n; nothing else meets there
    const GATHER: u64 = 0x0102_0408_1020_4080;
    ((nonzero(word ^ NEWLINES) ^ HIGHS) >> 7).wrapping_mul(GATHER) >> 56
}

/// Index of the first newline in a word; 8 if there is none.
#[inline(always)]
pub(super) fn newline(word: u64) -> u32 {
    let other = word ^ NEWLINES;
    // what this marks too much lies behind the first
    bytes_before(other.wrapping_sub(ONES) & !other & HIGHS)
}

/// Takes one word: what the search stopped at, or [`found::UNFINISHED`]. Where it is stays in memory: in
/// registers the verifier would follow each way that words can take to the end.
#[inline(always)]
fn word(direction: &mut Direction, window: &impl Window, base: u32) -> u8 {
    let (at, fill) = (u32::from(get(&direction.at)), u32::from(get(&direction.fill)));
    if at >= fill {
        put!(direction.at, fill as u16);
        return found::NOTHING;
    }
    let word = window.word(base + at);
    let newline = newline(word);
    // one behind what is filled is left from an earlier head
    let newline = if at + newline >= fill { 8 } else { newline };
    let flags = get(&direction.flags);
    if flags & (head_flag::LINE_START | head_flag::SINGLE) == head_flag::LINE_START {
        if newline == 0 || (newline == 1 && word & 0xff == 0x0d) {
            put!(direction.at, (at + newline + 1) as u16);
            return found::EMPTY_LINE;
        }
        // a name is seen whole or waited for; a newline behind the fill is an older one
        if fill - at < 8 && at + newline >= fill {
            return found::NOTHING;
        }
        let key = word | LOWER;
        if key == name::CONTENT || key == name::TRANSFER || key == name::CONNECTION || key == name::USER_AGENT {
            return found::HEADER;
        }
    }
    if newline == 8 {
        put!(direction.flags, flags & !head_flag::LINE_START);
        put!(direction.at, (at + 8) as u16);
        return found::UNFINISHED;
    }
    put!(direction.at, (at + newline + 1) as u16);
    put!(direction.flags, flags | head_flag::LINE_START);
    if flags & head_flag::SINGLE != 0 { found::LINE } else { found::UNFINISHED }
}

/// Searches on from `at`. With [`head_flag::SINGLE`] it stops behind any line, else it passes over lines that say
/// nothing about the message's end. Not a loop: the verifier keeps too few of a loop's states to see that
/// its ways meet again.
#[inline(always)]
pub(super) fn search(direction: &mut Direction, window: &impl Window, base: u32) -> u8 {
    macro_rules! words {
        ($($step:literal)*) => {$(
            let _: u8 = $step;
            let stopped = word(direction, window, base);
            if stopped != found::UNFINISHED {
                return stopped;
            }
        )*};
    }
    words!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    found::UNFINISHED
}

/// Whether the line that begins at `at` is in the window as far as it is read.
#[inline(always)]
pub(super) fn is_there(direction: &Direction, window: &impl Window, base: u32) -> bool {
    let (at, fill) = (u32::from(get(&direction.at)), u32::from(get(&direction.fill)));
    if fill >= at + LINE_BYTES {
        return true;
    }
    let mut step = 0;
    while step < LINE_BYTES {
        let newline = newline(window.word(base + at + step));
        if newline < 8 {
            return at + step + newline < fill;
        }
        step += 8;
    }
    false
}

/// Makes room in a full window: what is not searched yet goes to `keep`, behind what is kept.
#[inline(always)]
pub(super) fn make_room(direction: &mut Direction, window: &mut impl Window, base: u32, keep: u32) {
    let (at, fill) = (u32::from(get(&direction.at)), u32::from(get(&direction.fill)));
    let mut step = 0;
    while step < LINE_BYTES {
        let word = window.word(base + at + step);
        window.put(base + keep + step, word);
        step += 8;
    }
    let rest = fill.saturating_sub(at);
    // a rest is shorter than what a line is read by, or the search would have passed it
    let rest = if rest > LINE_BYTES { LINE_BYTES } else { rest };
    put!(direction.at, keep as u16);
    put!(direction.fill, (keep + rest) as u16);
}
