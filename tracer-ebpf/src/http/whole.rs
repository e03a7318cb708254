//! The usual segment, in one pass: a head that lies whole in it, and what there is of a body. All else is
//! left to [`read`](super::read()), which goes on where this ends; both come to the same.

use super::head::{self, request_follows, response_follows};
use super::lines::{self, LOWER, name};
use super::read::{Sink, Span, begin_request, begin_window, final_begins, pass_over};
use super::start::{self, NO_METHOD};
use super::state::{Direction, Http, MAX_OUTSTANDING, REQUEST, get, head_flag, phase, put};
use super::{LOAD_BYTES, Repeated, Window};

/// Bytes of a response's head that are looked at: what follows is body.
const RESPONSE_BYTES: u32 = 512;
/// Shorter, nothing is whole: what a request's and a response's first line take at least.
const SHORTEST: u32 = 16;

/// Takes what is new in a segment as [`read`](super::read()) does. False if that must go on.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would have to live on the kernel's small stack")]
pub fn pass<W: Window, S: Sink>(
    http: &mut Http,
    direction: &mut Direction,
    way: u32,
    other: u8,
    window: &mut W,
    sink: &mut S,
    (seq, len): (u32, u32),
    now: u64,
) -> bool {
    let span = Span::of(way);
    if other == phase::LOST {
        direction.phase = phase::LOST;
    }
    let mut whole = false;
    let at = direction.next.wrapping_sub(seq);
    if direction.phase <= phase::HEAD_DUE {
        let bytes = (at, len.wrapping_sub(at));
        match message(http, direction, way, other, span, window, sink, bytes, now) {
            Message::Odd => {
                direction.unfinished = 1;
                return false;
            }
            Message::Head => {}
            Message::Whole => whole = true,
        }
    }
    let left = len.wrapping_sub(direction.next.wrapping_sub(seq));
    if direction.phase >= phase::UNTIL_CLOSE {
        if direction.phase == phase::UNTIL_CLOSE {
            http.body_seen = http.body_seen.wrapping_add(u64::from(left));
        }
        direction.next = seq.wrapping_add(len);
    } else if (direction.phase == phase::BODY || direction.phase == phase::CHUNK) && direction.left >= u64::from(left) {
        let step = pass_over(http, direction, way, len.wrapping_sub(left), len);
        whole |= step.whole;
        if direction.left == 0 {
            begin_window(direction, span.keep);
        }
    }
    if whole {
        if way == REQUEST {
            http.ended = http.ended.wrapping_add(1);
        } else {
            sink.answered(http);
            put!(http.answered, http.answered.wrapping_add(1));
        }
    }
    let through = direction.next == seq.wrapping_add(len);
    direction.more = 1;
    direction.unfinished = u8::from(!through);
    through
}

/// What a message's beginning is.
enum Message {
    /// Something that is not told here. Nothing has changed.
    Odd,
    /// A head, and a body is to come.
    Head,
    /// All of it.
    Whole,
}

/// Reads a head where one is due, if it begins at `at` and lies whole in the bytes that are left.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would have to live on the kernel's small stack")]
fn message<W: Window, S: Sink>(
    http: &mut Http,
    direction: &mut Direction,
    way: u32,
    other: u8,
    span: Span,
    window: &mut W,
    sink: &S,
    (at, left): (u32, u32),
    now: u64,
) -> Message {
    let most = if way == REQUEST { LOAD_BYTES } else { RESPONSE_BYTES };
    let loaded = if left < most { left } else { most };
    let number = if way == REQUEST { http.begun } else { http.answered };
    if direction.fill != 0 || loaded < SHORTEST || !window.begin(number.wrapping_add(1)) {
        return Message::Odd;
    }
    if !window.load(at, span.base, loaded) {
        return Message::Odd;
    }
    let first = window.word(span.base);
    let second = window.word(span.base + 8);
    let kind = start::request(first);
    let status = start::status(second);
    let expected = if way == REQUEST {
        kind != NO_METHOD && http.outstanding() < MAX_OUTSTANDING
    } else {
        start::is_response(first)
            && status >= 200
            && other != phase::OPAQUE
            && http.outstanding() != 0
            && !sink.wants(http, status, now)
    };
    if !expected {
        return Message::Odd;
    }
    let Found { second_line, end } = Search::all(direction, window, span.base, loaded);
    let old = if way == REQUEST { version(window, span.base, second_line) } else { Some(start::is_old(first)) };
    let (marks, twice) = (get(&direction.left), get(&direction.head));
    put!(direction.left, 0);
    let whole = end != 0 && end <= loaded && twice == 0;
    let (Some(old), true) = (old, whole) else {
        begin_window(direction, span.keep);
        return Message::Odd;
    };
    if way == REQUEST {
        begin_request(http, kind, now);
    } else {
        final_begins(http, status, now);
    }
    put!(direction.flags, if old { head_flag::OLD } else { 0 });
    let flags = headers(direction, window, span.base, marks);
    let kept = if end < span.keep { end } else { span.keep };
    http.text[(way & 1) as usize] = kept as u16;
    direction.next = direction.next.wrapping_add(end);
    direction.phase = if way == REQUEST {
        http.request_flags |= flags;
        request_follows(http, direction)
    } else {
        response_follows(http, direction)
    };
    let whole = direction.phase == phase::HEAD_DUE || (way != REQUEST && direction.phase == phase::OPAQUE);
    begin_window(direction, span.keep);
    if whole { Message::Whole } else { Message::Head }
}

/// Whether a request line that ends before `end` is HTTP/1.0's; `None` if no version of HTTP/1 is there.
#[inline(always)]
fn version(window: &impl Window, base: u32, end: u32) -> Option<bool> {
    if end < SHORTEST - 2 {
        return None;
    }
    let back = if window.word(base + end - 2) as u8 == b'\r' { 10 } else { 9 };
    let version = window.word(base + end - back);
    if start::is_version(version) { Some(start::is_old(version)) } else { None }
}

/// Numbers of the names of lines that say something about the message's end.
const LENGTH: u32 = 0;
const CONNECTION: u32 = 1;
const AGENT: u32 = 2;
const ENCODING: u32 = 3;

/// Bytes of a head that one look takes in, a bit of a word each.
const LOOK_BYTES: u32 = 64;
/// Looks that take in all that can be loaded.
const LOOKS: u32 = LOAD_BYTES / LOOK_BYTES;

/// A head in the window while its lines are looked for. All that changes meanwhile is in memory, in fields
/// of the direction that mean nothing yet: so every way that leads to a place is the same for the verifier.
struct Search<'a, W> {
    direction: &'a mut Direction,
    window: &'a W,
    base: u32,
    /// Bytes that are there.
    fill: u32,
}

/// Where a head's second line begins, and where the head ends.
struct Found {
    second_line: u32,
    end: u32,
}

impl<'a, W: Window> Search<'a, W> {
    /// Finds a head's lines, marks those that say something, and says where it ends; 0 if that is not in sight.
    #[inline(always)]
    fn all(direction: &'a mut Direction, window: &'a W, base: u32, loaded: u32) -> Found {
        // what the compiler knows of these, the verifier would not
        put!(direction.at, 0);
        put!(direction.flags, 0);
        put!(direction.left, 0);
        put!(direction.head, 0);
        let (base, fill) = (direction.forgotten(base), direction.forgotten(loaded));
        let mut search = Search { direction, window, base, fill };
        W::repeat(LOOKS, &mut search);
        let direction = search.direction;
        Found { second_line: u32::from(get(&direction.flags)), end: u32::from(get(&direction.at)) }
    }

    /// A bit for each of the bytes from `at` on that is a newline.
    #[inline(always)]
    fn newlines(&self, at: u32) -> u64 {
        macro_rules! words {
            ($($step:literal)*) => {
                0 $(| lines::newlines(self.window.peek(self.base, at, 8 * $step)) << (8 * $step))*
            };
        }
        words!(0 1 2 3 4 5 6 7)
    }

    /// Looks at a line's beginning. True if this is the empty line.
    #[inline(always)]
    fn line(&mut self, at: u32) -> bool {
        let line = self.window.peek(self.base, at, 0);
        if line as u8 == b'\n' {
            put!(self.direction.at, (at + 1) as u16);
            return true;
        }
        if line as u16 == u16::from_le_bytes(*b"\r\n") {
            put!(self.direction.at, (at + 2) as u16);
            return true;
        }
        let key = line | LOWER;
        let name = match key as u8 {
            b'c' if key == name::CONNECTION => CONNECTION,
            b'c' if key == name::CONTENT && head::is_length(self.window.peek(self.base, at, 8)) => LENGTH,
            b't' if key == name::TRANSFER => ENCODING,
            b'u' if key == name::USER_AGENT => AGENT,
            _ => return false,
        };
        // 16 bits for each name, and a note of those that are there twice
        let mark = 16 * name;
        let marks = get(&self.direction.left);
        let twice = get(&self.direction.head) | ((marks >> mark) as u32 & 0xffff);
        put!(self.direction.head, twice);
        put!(self.direction.left, marks | u64::from(at) << mark);
        false
    }
}

impl<W: Window> Repeated for Search<'_, W> {
    /// Goes through the lines that begin behind the newlines of the next bytes. They are taken from a word of bits,
    /// so that no look waits for the one before it.
    #[inline(always)]
    fn once(&mut self, number: u32) -> bool {
        let from = (number * LOOK_BYTES) & (LOAD_BYTES - 1);
        if from >= self.fill {
            return false;
        }
        let mut newlines = self.newlines(from);
        macro_rules! lines {
            ($($step:literal)*) => {$(
                let _: u8 = $step;
                if newlines == 0 {
                    return true;
                }
                let at = from + newlines.trailing_zeros() + 1;
                newlines &= newlines - 1;
                if at >= self.fill {
                    return false;
                }
                if get(&self.direction.flags) == 0 {
                    put!(self.direction.flags, at as u16);
                }
                if self.line(at) {
                    return false;
                }
            )*};
        }
        // where more begin in so few bytes, the head is left to the long way
        lines!(1 2 3 4 5 6 7 8);
        newlines == 0
    }
}

/// Reads the marked lines. Returns the `flow_flag` bits that they set.
#[inline(always)]
fn headers(direction: &mut Direction, window: &impl Window, base: u32, marks: u64) -> u32 {
    let at = |name: u32| match (marks >> (16 * name)) as u32 & 0xffff {
        0 => None,
        at => Some(base.wrapping_add(at)),
    };
    if let Some(at) = at(LENGTH) {
        head::content_length(direction, window, at + 15);
    }
    if let Some(at) = at(CONNECTION)
        && head::is_connection(window.word(at + 8))
    {
        head::words(direction, window, at + 11);
    }
    if let Some(at) = at(ENCODING)
        && head::is_encoding(window.word(at + 8))
    {
        head::words(direction, window, at + 17);
    }
    match at(AGENT) {
        Some(at) if head::is_agent(window.word(at + 8)) => head::user_agent(window, at + 11),
        _ => 0,
    }
}
