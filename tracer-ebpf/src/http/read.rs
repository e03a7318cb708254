//! One segment's new bytes, taken through the phases of a direction.
//!
//! long: one pass through a segment; its steps share their state and are verified together

use core::sync::atomic::{Ordering, compiler_fence};

use super::head::{header, request_follows, response_follows};
use super::lines::{found, is_there, make_room, search};
use super::start::{self, NO_METHOD, opening, opening_of};
use super::state::{Direction, Http, MAX_OUTSTANDING, RESPONSE, get, head_flag, phase, put};
use super::{HEAD_BYTES_MAX, LOAD_BYTES, RESPONSE_AT, Window};
use crate::{flow_event, flow_flag};

/// Most steps of one call: a load, a header line that matters, a head's end, a chunk.
const STEPS: u32 = 1;
/// Bytes loaded where a chunk's size is due: what follows it is body.
const CHUNK_LINE_BYTES: u32 = 32;
/// Where the addresses end in a PROXY protocol header of version 2, at the latest.
const PROXY_BINARY_NAMES: u32 = 52;
/// Most hexadecimal digits of a chunk's size.
const CHUNK_DIGITS: u32 = 15;

/// Who is told what was found.
pub trait Sink {
    /// Whether the present exchange must be told, whose final response has this status.
    fn wants(&self, http: &Http, status: u16, now: u64) -> bool;

    /// The present exchange is whole. It is not in `http.answered` yet: once it is, the next request may begin on
    /// another CPU, and what is known of this exchange is gone.
    fn answered(&mut self, http: &Http);

    /// Something is worth telling of exchange `number`, before that is in `http.answered`. `whole` says whether its
    /// response is.
    fn tell(&mut self, http: &Http, event: u8, number: u32, whole: bool);
}

/// A direction's part of the window.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Where in the window its bytes are.
    pub(super) base: u32,
    /// Bytes of text that are kept.
    pub(super) keep: u32,
    /// Bytes of it.
    capacity: u32,
}

impl Span {
    #[inline(always)]
    pub(super) fn of(way: u32) -> Self {
        Self { base: way * RESPONSE_AT, keep: 1024 - way * 640, capacity: 1280 - way * 512 }
    }
}

/// What one step came to.
#[derive(Clone, Copy, Default)]
pub(super) struct Step {
    /// The message is whole.
    pub(super) whole: bool,
    /// [`flow_event`], or 0.
    event: u8,
    /// More bytes are needed.
    more: bool,
    /// All that is in the window is used up: what of it was not searched is looked at again.
    give_back: bool,
}

impl Step {
    const WHOLE: u8 = 1 << 7;
    const MORE: u8 = 1 << 6;
    const GIVE_BACK: u8 = 1 << 5;

    /// The same step, of which the verifier does not know how it came about: it would follow each way on its own.
    #[inline(always)]
    fn forgotten(self, direction: &mut Direction) -> Self {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let packed = self.event
            | flag(self.whole, Self::WHOLE)
            | flag(self.more, Self::MORE)
            | flag(self.give_back, Self::GIVE_BACK);
        put!(direction.step, packed);
        let packed = get(&direction.step);
        Self {
            whole: packed & Self::WHOLE != 0,
            event: packed & !(Self::WHOLE | Self::MORE | Self::GIVE_BACK),
            more: packed & Self::MORE != 0,
            give_back: packed & Self::GIVE_BACK != 0,
        }
    }
}

/// Reads what is new in a segment, which begins at sequence number `seq` and has `len` bytes: from the
/// direction's `next` on. `way` is [`REQUEST`](super::REQUEST) or [`RESPONSE`], `other` the other direction's phase.
///
/// Where it is, and what it needs next, are in memory alone: whatever a step did, the next one begins the
/// same for the verifier.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would have to live on the kernel's small stack")]
pub fn read<W: Window, S: Sink>(
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
    let other = direction.forgotten(u32::from(other)) as u8;
    if other == phase::LOST {
        put!(direction.phase, phase::LOST);
    }
    for _ in 0..STEPS {
        compiler_fence(Ordering::SeqCst);
        let at = get(&direction.next).wrapping_sub(seq);
        let now_in = get(&direction.phase);
        if now_in >= phase::UNTIL_CLOSE {
            if now_in == phase::UNTIL_CLOSE {
                http.body_seen = http.body_seen.wrapping_add(u64::from(len.wrapping_sub(at)));
            }
            put!(direction.next, seq.wrapping_add(len));
            return true;
        }
        if get(&direction.more) != 0 && at >= len {
            return true;
        }
        step(http, direction, way, other, span, window, sink, (at, len), now);
    }
    put!(direction.unfinished, 1);
    false
}

/// Takes one step.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would have to live on the kernel's small stack")]
fn step<W: Window, S: Sink>(
    http: &mut Http,
    direction: &mut Direction,
    way: u32,
    other: u8,
    span: Span,
    window: &mut W,
    sink: &mut S,
    (at, len): (u32, u32),
    now: u64,
) {
    let step = if get(&direction.phase) >= phase::BODY {
        pass_over(http, direction, way, at, len)
    } else if window.is_unseen() {
        put!(direction.next, get(&direction.next).wrapping_add(len.wrapping_sub(at)));
        unseen(http, direction, way)
    } else if (get(&direction.more) != 0 && !load(http, direction, way, span, window, at, len)) || !window.is_there() {
        put!(direction.phase, phase::LOST);
        Step { more: true, ..Step::default() }
    } else {
        lines(http, direction, way, other, span, window, now)
    };
    let step = step.forgotten(direction);
    if step.give_back {
        let back = u32::from(get(&direction.fill).wrapping_sub(get(&direction.at)));
        put!(direction.next, get(&direction.next).wrapping_sub(back));
        begin_window(direction, span.keep);
    }
    put!(direction.more, u8::from(step.more || step.give_back));
    let number = http.answered.wrapping_add(1);
    let mut answers = false;
    if step.whole {
        if direction.asks(way) {
            http.ended = http.ended.wrapping_add(1);
        } else {
            answers = true;
            sink.answered(http);
        }
    }
    if step.event != 0 && (step.event != flow_event::RESPONSE || sink.wants(http, http.status, now)) {
        sink.tell(http, step.event, number, answers);
    }
    if answers {
        put!(http.answered, number);
    }
}

/// Sets the window to where this phase's lines go.
#[inline(always)]
pub(super) fn begin_window(direction: &mut Direction, keep: u32) {
    let at = if get(&direction.phase) <= phase::HEAD || get(&direction.phase) == phase::PROXY_LINE {
        0
    } else {
        keep as u16
    };
    put!(direction.at, at);
    put!(direction.fill, at);
    put!(direction.head, 0);
    put!(direction.flags, if get(&direction.phase) == phase::TRAILER { head_flag::LINE_START } else { 0 });
}

/// Bytes that nobody looks at.
#[inline(always)]
pub(super) fn pass_over(http: &mut Http, direction: &mut Direction, way: u32, at: u32, len: u32) -> Step {
    let available = u64::from(len.wrapping_sub(at));
    let left = get(&direction.left);
    let taken = if available < left { available } else { left };
    put!(direction.left, left - taken);
    put!(direction.next, get(&direction.next).wrapping_add(taken as u32));
    let now_in = get(&direction.phase);
    if !direction.asks(way) {
        // a chunk's line end is no body
        let end = if now_in == phase::CHUNK { 2 } else { 0 };
        let body_left = left.saturating_sub(end);
        http.body_seen = http.body_seen.wrapping_add(if taken < body_left { taken } else { body_left });
    }
    if get(&direction.left) != 0 {
        return Step { more: true, ..Step::default() };
    }
    let whole = now_in == phase::BODY;
    put!(
        direction.phase,
        match now_in {
            phase::CHUNK => phase::CHUNK_SIZE,
            phase::PROXY_BINARY => phase::START,
            _ => phase::HEAD_DUE,
        },
    );
    // the window is empty in these phases: nothing is given back
    put!(direction.at, get(&direction.fill));
    Step { whole, give_back: true, ..Step::default() }
}

/// Bytes have passed unseen where lines are due. Of a message whose head is known so far only the end is unknown:
/// it counts as whole, and the next one is looked for where the next request begins.
#[inline(always)]
fn unseen(http: &Http, direction: &mut Direction, way: u32) -> Step {
    let now_in = get(&direction.phase);
    let in_message = matches!(now_in, phase::HEAD | phase::CHUNK_SIZE | phase::TRAILER);
    let of_interim = now_in == phase::HEAD && get(&direction.flags) & head_flag::INTERIM != 0;
    let whole = in_message && !of_interim;
    let of_request = direction.asks(way);
    let alone = http.outstanding() == u32::from(whole && !of_request);
    let known = (whole && (of_request || alone)) || (now_in == phase::HEAD_DUE && of_request && alone);
    put!(direction.phase, if known { phase::UNTIL_CLOSE } else { phase::LOST });
    let told = known && !of_request && now_in == phase::HEAD;
    Step { whole: whole && known, event: if told { flow_event::RESPONSE } else { 0 }, more: true, give_back: false }
}

/// Loads the next bytes into the window.
#[inline(always)]
fn load<W: Window>(
    http: &mut Http,
    direction: &mut Direction,
    way: u32,
    span: Span,
    window: &mut W,
    at: u32,
    len: u32,
) -> bool {
    let now_in = get(&direction.phase);
    if now_in <= phase::HEAD_DUE && get(&direction.fill) == 0 {
        let number = if direction.asks(way) { http.begun } else { http.answered };
        if !window.begin(number.wrapping_add(1)) {
            return false;
        }
        http.text[(way & 1) as usize] = 0;
    }
    if u32::from(get(&direction.fill)) >= span.capacity {
        if now_in == phase::CHUNK_SIZE || now_in == phase::PROXY_LINE {
            return false;
        }
        make_room(direction, window, span.base, span.keep);
    }
    let fill = u32::from(get(&direction.fill));
    let mut wanted = span.capacity.wrapping_sub(fill);
    let most = if now_in == phase::CHUNK_SIZE { CHUNK_LINE_BYTES } else { LOAD_BYTES };
    if wanted > most {
        wanted = most;
    }
    let available = len.wrapping_sub(at);
    if wanted > available {
        wanted = available;
    }
    put!(http.wanted[(way & 1) as usize], wanted as u16);
    let wanted = u32::from(get(&http.wanted[(way & 1) as usize]));
    if wanted == 0 || wanted > LOAD_BYTES || !window.load(at, span.base + fill, wanted) {
        return false;
    }
    put!(direction.next, get(&direction.next).wrapping_add(wanted));
    put!(direction.fill, (fill + wanted) as u16);
    let head = get(&direction.head).wrapping_add(wanted);
    put!(direction.head, head);
    if now_in <= phase::HEAD {
        let text = if fill + wanted < span.keep { fill + wanted } else { span.keep };
        http.text[(way & 1) as usize] = text as u16;
    }
    get(&direction.head) <= HEAD_BYTES_MAX
}

/// A step inside lines.
#[inline(always)]
fn lines<W: Window>(
    http: &mut Http,
    direction: &mut Direction,
    way: u32,
    other: u8,
    span: Span,
    window: &mut W,
    now: u64,
) -> Step {
    let now_in = get(&direction.phase);
    if now_in <= phase::HEAD_DUE {
        return if direction.asks(way) {
            request_begins(http, direction, other, window, now)
        } else {
            response_begins(http, direction, other, window, now)
        };
    }
    let single =
        (now_in != phase::HEAD && now_in != phase::TRAILER) || get(&direction.flags) & head_flag::FIRST_LINE != 0;
    let flags = get(&direction.flags) & !head_flag::SINGLE;
    put!(direction.flags, if single { flags | head_flag::SINGLE } else { flags });
    put!(direction.found, search(direction, window, span.base));
    match get(&direction.found) {
        found::NOTHING => Step { more: true, ..Step::default() },
        found::HEADER => {
            if now_in == phase::TRAILER {
                put!(direction.at, get(&direction.at).wrapping_add(8));
                put!(direction.flags, get(&direction.flags) & (!head_flag::LINE_START));
            } else if is_there(direction, window, span.base) {
                let flags = header(direction, window, span.base);
                if direction.asks(way) {
                    http.request_flags |= flags;
                }
            } else {
                return Step { more: true, ..Step::default() };
            }
            Step::default()
        }
        found::LINE => line(http, direction, way, span, window),
        found::EMPTY_LINE => message_or_body(http, direction, way, span),
        _ => Step::default(),
    }
}

/// Behind a single line.
#[inline(always)]
fn line<W: Window>(http: &mut Http, direction: &mut Direction, way: u32, span: Span, window: &mut W) -> Step {
    match get(&direction.phase) {
        phase::CHUNK_SIZE => {
            chunk_size(direction, window, span);
            Step { give_back: true, ..Step::default() }
        }
        phase::PROXY_LINE => {
            window.proxied();
            put!(direction.phase, phase::START);
            Step { give_back: true, ..Step::default() }
        }
        _ => {
            put!(direction.flags, (get(&direction.flags) & !head_flag::FIRST_LINE) | head_flag::LINE_START);
            if direction.asks(way) {
                request_line(http, direction, span, window);
            }
            Step::default()
        }
    }
}

/// The version at a request line's end.
#[inline(always)]
fn request_line<W: Window>(http: &mut Http, direction: &mut Direction, span: Span, window: &mut W) {
    let at = u32::from(get(&direction.at));
    let in_sight = if get(&direction.head) <= span.capacity { 0 } else { span.keep };
    // the line went over the window's end: its last word is not in sight
    if at < in_sight + 12 {
        return;
    }
    let end = window.word(span.base + at - 8);
    // the byte before the newline
    let back = if (end >> 48) as u8 == b'\r' { 10 } else { 9 };
    let version = window.word(span.base + at - back);
    if start::is_old(version) {
        put!(direction.flags, get(&direction.flags) | head_flag::OLD);
    } else if !start::is_version(version) {
        http.begun = http.begun.wrapping_sub(1);
        if http.begun == 0 {
            http.request_flags = (http.request_flags & !flow_flag::HTTP) | flow_flag::NOT_HTTP;
            put!(direction.phase, phase::OPAQUE);
        } else {
            put!(direction.phase, phase::LOST);
        }
    }
}

/// Behind a head, or behind the last chunk's trailer.
#[inline(always)]
fn message_or_body(http: &mut Http, direction: &mut Direction, way: u32, span: Span) -> Step {
    if get(&direction.phase) == phase::TRAILER {
        put!(direction.phase, phase::HEAD_DUE);
        return Step { whole: true, give_back: true, ..Step::default() };
    }
    if get(&direction.head) <= span.capacity {
        let at = u32::from(get(&direction.at));
        let text = if at < span.keep { at } else { span.keep };
        http.text[(way & 1) as usize] = text as u16;
    }
    if direction.asks(way) {
        put!(direction.phase, request_follows(http, direction));
        return Step { whole: get(&direction.phase) == phase::HEAD_DUE, give_back: true, ..Step::default() };
    }
    if get(&direction.flags) & head_flag::INTERIM != 0 {
        put!(direction.phase, phase::HEAD_DUE);
        return Step { give_back: true, ..Step::default() };
    }
    put!(direction.phase, response_follows(http, direction));
    let whole = get(&direction.phase) == phase::HEAD_DUE || get(&direction.phase) == phase::OPAQUE;
    Step { whole, event: flow_event::RESPONSE, give_back: true, ..Step::default() }
}

/// The number at the line's beginning, hexadecimal.
#[inline(always)]
fn chunk_size<W: Window>(direction: &mut Direction, window: &W, span: Span) {
    let mut value = 0_u64;
    let mut digits = 0_u32;
    let mut step = 0;
    while step <= CHUNK_DIGITS {
        let byte = window.word(span.base + span.keep + step) as u8;
        let low = byte | 0x20;
        let digit = if byte.wrapping_sub(b'0') < 10 {
            byte.wrapping_sub(b'0')
        } else if low.wrapping_sub(b'a') < 6 {
            low.wrapping_sub(b'a') + 10
        } else {
            break;
        };
        value = (value << 4) | u64::from(digit);
        digits += 1;
        step += 1;
    }
    let digits = direction.forgotten(digits);
    put!(direction.left, value.wrapping_add(2));
    put!(
        direction.phase,
        if digits == 0 || digits > CHUNK_DIGITS {
            phase::LOST
        } else if value == 0 {
            phase::TRAILER
        } else {
            phase::CHUNK
        },
    );
}

/// Where a request is due.
#[inline(always)]
fn request_begins<W: Window>(http: &mut Http, direction: &mut Direction, other: u8, window: &mut W, now: u64) -> Step {
    let fill = u32::from(get(&direction.fill));
    if fill < 8 {
        return Step { more: true, ..Step::default() };
    }
    let first = window.word(0);
    let kind = start::request(first);
    if kind != NO_METHOD {
        // nobody knows where its response will begin
        let unmatched = other == phase::UNTIL_CLOSE && http.outstanding() == 0;
        if unmatched || http.outstanding() >= MAX_OUTSTANDING {
            put!(direction.phase, phase::LOST);
            return Step { more: true, ..Step::default() };
        }
        begin_request(http, kind, now);
        put!(direction.phase, phase::HEAD);
        put!(direction.flags, head_flag::FIRST_LINE);
        return Step::default();
    }
    let opening = if get(&direction.phase) == phase::START { opening_of(first) } else { opening::OTHER };
    match opening {
        opening::PROXY_BINARY => {
            let len = 16 + u32::from(((window.word(8) >> 48) as u16).swap_bytes());
            let named = if len < PROXY_BINARY_NAMES { len } else { PROXY_BINARY_NAMES };
            if fill < 16 || fill < named {
                return Step { more: true, ..Step::default() };
            }
            window.proxied();
            http.request_flags |= flow_flag::PROXY_HEADER;
            // what of it is here may have come in an earlier segment, and is not given back
            let here = if fill < len { fill } else { len };
            put!(direction.left, u64::from(len - here));
            put!(direction.phase, if fill < len { phase::PROXY_BINARY } else { phase::START });
            put!(direction.at, here as u16);
            Step { give_back: true, ..Step::default() }
        }
        opening::PROXY_LINE => {
            http.request_flags |= flow_flag::PROXY_HEADER;
            put!(direction.phase, phase::PROXY_LINE);
            Step::default()
        }
        _ if is_line_end(first) => {
            // an empty line before a request is passed over (RFC 9112, section 2.2)
            put!(direction.at, if first as u8 == b'\n' || first & 0xffff != 0x0a0d { 1 } else { 2 });
            Step { give_back: true, ..Step::default() }
        }
        _ => {
            let known = match opening {
                opening::TLS => flow_flag::TLS,
                opening::HTTP2 => flow_flag::HTTP2,
                _ => flow_flag::NOT_HTTP,
            };
            if get(&direction.phase) == phase::START {
                http.request_flags |= known;
                put!(direction.phase, phase::OPAQUE);
            } else {
                put!(direction.phase, phase::LOST);
            }
            Step { more: true, ..Step::default() }
        }
    }
}

#[inline(always)]
fn is_line_end(first: u64) -> bool {
    first as u8 == b'\r' || first as u8 == b'\n'
}

#[inline(always)]
pub(super) fn begin_request(http: &mut Http, kind: u64, now: u64) {
    const OF_ONE: u32 = flow_flag::HEALTH_CHECK | flow_flag::CLOSE_ANNOUNCED;
    http.set_method(kind);
    if http.outstanding() == 0 {
        http.idle_since_ns = http.last_payload_ns();
        http.request_start_ns = now;
        http.request_end_ns = now;
        http.response_start_ns = 0;
        http.status = 0;
        http.body_seen = 0;
        http.body_expected = 0;
        http.text[RESPONSE as usize] = 0;
        http.response_flags &= !OF_ONE;
        http.request_flags &= !OF_ONE;
    }
    http.request_flags |= flow_flag::HTTP;
    http.begun = http.begun.wrapping_add(1);
}

/// Where a response is due.
#[inline(always)]
fn response_begins<W: Window>(http: &mut Http, direction: &mut Direction, other: u8, window: &mut W, now: u64) -> Step {
    let fill = u32::from(get(&direction.fill));
    let first = window.word(RESPONSE_AT);
    let second = window.word(RESPONSE_AT + 8);
    let is_response = start::is_response(first);
    // an alert is shorter than any status line
    let is_whole_alert = fill == 7 && start::is_alert(first);
    if (fill < 8 && !is_whole_alert) || (is_response && fill < 13) {
        return Step { more: true, ..Step::default() };
    }
    let status = if is_response { start::status(second) } else { 0 };
    if other == phase::OPAQUE {
        // to what is no HTTP: only an error in HTTP means something
        put!(direction.phase, phase::OPAQUE);
        if status < 400 {
            if start::is_alert(first) {
                http.response_flags |= flow_flag::ALERT_SENT;
            }
            return Step { more: true, ..Step::default() };
        }
        http.status = status;
        http.response_start_ns = now;
        return Step { event: flow_event::RESPONSE, more: true, ..Step::default() };
    }
    if http.outstanding() == 0 {
        put!(direction.phase, phase::LOST);
        return Step { more: true, ..Step::default() };
    }
    if status == 0 {
        if start::is_alert(first) {
            http.response_flags |= flow_flag::ALERT_SENT;
        }
        http.response_start_ns = now;
        put!(direction.phase, phase::OPAQUE);
        return Step { event: flow_event::MALFORMED, more: true, ..Step::default() };
    }
    put!(direction.phase, phase::HEAD);
    put!(direction.flags, head_flag::FIRST_LINE | if start::is_old(first) { head_flag::OLD } else { 0 });
    if status < 200 && status != 101 {
        put!(direction.flags, get(&direction.flags) | head_flag::INTERIM);
        return Step::default();
    }
    final_begins(http, status, now);
    Step::default()
}

/// A final response begins.
#[inline(always)]
pub(super) fn final_begins(http: &mut Http, status: u16, now: u64) {
    // a pipelined request's own times were not kept
    if http.status != 0 {
        http.request_start_ns = http.request_end_ns;
        http.body_seen = 0;
    }
    http.status = status;
    http.response_start_ns = now;
}
