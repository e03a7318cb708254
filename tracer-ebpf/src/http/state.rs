//! What is remembered of a connection between segments.

/// Values of [`Direction::phase`].
pub mod phase {
    /// Nothing has been seen: what the first bytes are decides. Of a response: a head is due.
    pub const START: u8 = 0;
    /// A head is due.
    pub const HEAD_DUE: u8 = 1;
    /// In a head.
    pub const HEAD: u8 = 2;
    /// In a line that tells a chunk's size.
    pub const CHUNK_SIZE: u8 = 3;
    /// Behind the last chunk.
    pub const TRAILER: u8 = 4;
    /// In a PROXY protocol header, version 1.
    pub const PROXY_LINE: u8 = 5;
    /// In a body; `left` bytes are to come.
    pub const BODY: u8 = 6;
    /// In a chunk; `left` bytes are to come, its line end included.
    pub const CHUNK: u8 = 7;
    /// In a PROXY protocol header, version 2; `left` bytes are to come.
    pub const PROXY_BINARY: u8 = 8;
    /// In a body that ends with the connection; with no request outstanding, behind bytes that nobody saw: what
    /// follows begins with the next request.
    pub const UNTIL_CLOSE: u8 = 9;
    /// Never looked at again.
    pub const OPAQUE: u8 = 10;
    /// Out of step.
    pub const LOST: u8 = 11;
}

/// Bits of [`Direction::flags`]: where in its lines a direction is, and what the head said so far.
pub(crate) mod head_flag {
    /// What comes next begins a line.
    pub(crate) const LINE_START: u16 = 1 << 0;
    /// In the first line of a head.
    pub(crate) const FIRST_LINE: u16 = 1 << 1;
    /// `Content-Length` was there: `left`.
    pub(crate) const LENGTH: u16 = 1 << 2;
    /// `Transfer-Encoding: chunked`
    pub(crate) const CHUNKED: u16 = 1 << 3;
    /// `Connection: close`
    pub(crate) const CLOSE: u16 = 1 << 4;
    /// `Connection: keep-alive`
    pub(crate) const KEEP_ALIVE: u16 = 1 << 5;
    /// HTTP/1.0
    pub(crate) const OLD: u16 = 1 << 6;
    /// 1xx other than 101
    pub(crate) const INTERIM: u16 = 1 << 7;
    /// What it said cannot be right.
    pub(crate) const BAD: u16 = 1 << 8;
    /// The search stops behind any line.
    pub(crate) const SINGLE: u16 = 1 << 9;
}

/// Number of the direction that requests take.
pub const REQUEST: u32 = 0;
/// Number of the direction that responses take.
pub const RESPONSE: u32 = 1;

/// Most requests under way on one connection; with more it loses step.
pub const MAX_OUTSTANDING: u32 = 32;

/// Writes a value that the verifier shall forget: it knows what is in a register, and would follow each way
/// with each value; what is in memory it does not know.
macro_rules! put {
    ($field:expr, $value:expr $(,)?) => {{
        let value = $value;
        let at = &raw mut $field;
        // SAFETY: a field of a reference's target
        unsafe { at.write_volatile(value) }
    }};
}
pub(crate) use put;

/// Reads such a value.
#[inline(always)]
pub(crate) fn get<T: Copy>(field: &T) -> T {
    let at = &raw const *field;
    // SAFETY: a reference's target
    unsafe { at.read_volatile() }
}

/// One direction of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Bytes to come in this phase.
    pub left: u64,
    /// Sequence number of the next byte.
    pub next: u32,
    /// Bytes of the head so far.
    pub head: u32,
    /// How far the window is searched.
    pub(crate) at: u16,
    /// How far it is filled.
    pub fill: u16,
    /// [`head_flag`]
    pub(crate) flags: u16,
    /// [`phase`]
    pub phase: u8,
    /// 1 if the step to come needs more bytes.
    pub(crate) more: u8,
    /// 1 if the present segment is not read to its end yet.
    pub(crate) unfinished: u8,
    /// Left to who keeps the direction.
    pub noted: u8,
    /// What the present step came to, as `read` packs it.
    pub(crate) step: u8,
    /// What its search stopped at.
    pub(crate) found: u8,
    /// Zero, which the verifier does not know where it is read anew: what it is added to is forgotten.
    pub(crate) zero: u32,
    /// Where that begins which came before its turn.
    pub(crate) ahead: u32,
    /// Where it ends; the same if nothing has.
    pub(crate) ahead_end: u32,
}

impl Direction {
    /// A direction of which nothing has been seen, and which begins at this sequence number.
    #[inline(always)]
    pub const fn starts(next: u32) -> Self {
        let mut direction = Self::due(next);
        direction.phase = phase::START;
        direction
    }

    /// A direction where a head is due at this sequence number.
    #[inline(always)]
    pub const fn due(next: u32) -> Self {
        Self {
            left: 0,
            next,
            head: 0,
            at: 0,
            fill: 0,
            flags: 0,
            phase: phase::HEAD_DUE,
            more: 0,
            unfinished: 0,
            noted: 0,
            step: 0,
            found: 0,
            zero: 0,
            ahead: 0,
            ahead_end: 0,
        }
    }
}

/// Values of [`Part::kind`].
pub mod part {
    /// Nothing of the segment is new, or its turn has not come.
    pub const NOTHING: u32 = 0;
    /// All of it is read.
    pub const THROUGH: u32 = 1;
    /// These bytes of the segment are read next.
    pub const BYTES: u32 = 2;
    /// These bytes have passed, and can be read no more.
    pub const UNSEEN: u32 = 3;
}

/// What comes next of a direction's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// [`part`]
    pub kind: u32,
    /// Sequence number of the first byte.
    pub seq: u32,
    /// Bytes.
    pub len: u32,
}

impl Direction {
    /// A segment begins that this end sends, or one that [follows](Self::follows) what was read, if none is under
    /// way: whether it has new bytes. `len` bytes from sequence number `seq` on. What is missing before it will not
    /// pass: it is passed over inside a body; where a head may be in it, the direction loses step.
    #[inline(always)]
    pub fn take(&mut self, seq: u32, len: u32) -> bool {
        if self.unfinished != 0 {
            self.unfinished = 0;
            return true;
        }
        self.more = 1;
        let behind = self.next.wrapping_sub(seq) as i32;
        if behind >= 0 {
            return (behind as u32) < len;
        }
        let gap = u64::from(behind.unsigned_abs());
        self.next = seq;
        if self.phase == phase::BODY || self.phase == phase::CHUNK {
            if self.left > gap {
                self.left -= gap;
            } else {
                self.phase = phase::LOST;
            }
        } else if self.phase < phase::UNTIL_CLOSE {
            self.phase = phase::LOST;
        }
        true
    }

    /// The same number, of which the verifier knows nothing any more. What was known of it would be followed to the end,
    /// each way on its own. (A truth is put here as a number: as such the compiler would make it known again, by a
    /// branch.)
    #[inline(always)]
    pub fn forgotten(&self, number: u32) -> u32 {
        number.wrapping_add(get(&self.zero))
    }

    /// Whether this is the way of requests: each time the verifier learns nothing of it for the next time.
    #[inline(always)]
    pub fn asks(&self, way: u32) -> bool {
        self.forgotten(way) & 1 == REQUEST
    }

    /// Whether nothing is missing between what was read and a segment, and nothing has come before its turn; or
    /// nobody cares.
    #[inline(always)]
    pub fn follows(&self, seq: u32) -> bool {
        let in_turn = self.ahead == self.ahead_end && self.next.wrapping_sub(seq) as i32 >= 0;
        in_turn || self.phase >= phase::OPAQUE
    }

    /// What is to be read next, of a segment of `len` bytes from `seq` on that is received, or of what is missing before it.
    /// `arrived` says whether all that comes before the segment has passed here, seen or unseen: else it waits.
    #[inline(always)]
    pub fn part(&mut self, seq: u32, len: u32, arrived: bool) -> Part {
        let nothing = Part { kind: part::NOTHING, seq, len };
        let bytes = Part { kind: part::BYTES, ..nothing };
        let next = get(&self.next);
        let under_way = get(&self.unfinished) != 0;
        let used_up = Part { kind: if under_way { part::THROUGH } else { part::NOTHING }, ..nothing };
        let behind = next.wrapping_sub(seq) as i32;
        put!(self.unfinished, 0);
        if self.phase >= phase::OPAQUE {
            put!(self.more, 1);
            put!(self.ahead, get(&self.ahead_end));
            if behind < 0 {
                put!(self.next, seq);
            }
            return if behind < len as i32 { bytes } else { used_up };
        }
        if behind < 0 {
            if !arrived {
                self.came_early(seq, len);
                return nothing;
            }
            put!(self.more, 1);
            return Part { kind: part::UNSEEN, seq: next, len: behind.unsigned_abs() };
        }
        if under_way && get(&self.more) == 0 {
            return bytes;
        }
        put!(self.more, 1);
        if behind < len as i32 {
            return bytes;
        }
        let (ahead, end) = (get(&self.ahead), get(&self.ahead_end));
        if ahead == end || (next.wrapping_sub(ahead) as i32) < 0 {
            return used_up;
        }
        let left = end.wrapping_sub(next) as i32;
        if left <= 0 {
            put!(self.ahead, end);
            return used_up;
        }
        Part { kind: part::UNSEEN, seq: next, len: left as u32 }
    }

    /// A segment has come before its turn. What is behind it in the stream will come, it will not come again.
    #[inline(always)]
    fn came_early(&mut self, seq: u32, len: u32) {
        let end = seq.wrapping_add(len);
        let (ahead, ahead_end) = (get(&self.ahead), get(&self.ahead_end));
        let first = ahead == ahead_end;
        if first || seq.wrapping_sub(ahead) as i32 <= 0 {
            put!(self.ahead, seq);
        }
        if first || end.wrapping_sub(ahead_end) as i32 >= 0 {
            put!(self.ahead_end, end);
        }
    }

    /// A head is due at this sequence number, behind what was not seen. What came before its turn still counts.
    #[inline(always)]
    pub fn again(&mut self, next: u32) {
        let (ahead, ahead_end) = (self.ahead, self.ahead_end);
        *self = Self::due(next);
        self.ahead = ahead;
        self.ahead_end = ahead_end;
    }

    /// Goes on with the next run.
    #[inline(always)]
    pub fn goes_on(&mut self) {
        put!(self.unfinished, 1);
    }

    /// The segment is given up, and step with it.
    #[inline(always)]
    pub fn lose(&mut self, seq: u32, len: u32) {
        self.unfinished = 0;
        self.phase = phase::LOST;
        self.next = seq.wrapping_add(len);
    }
}

/// HTTP on one connection, its two [`Direction`]s apart. Requests and responses write fields of their own:
/// the two may pass at the same time on two CPUs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// First byte of the last request that began with nothing outstanding.
    pub request_start_ns: u64,
    /// Last byte of the last request so far.
    pub request_end_ns: u64,
    /// When payload last passed before the request began.
    pub idle_since_ns: u64,
    /// First byte of the final response.
    pub response_start_ns: u64,
    /// Last payload from the responding end.
    pub response_end_ns: u64,
    /// As in the flow record.
    pub body_expected: u64,
    /// Body bytes of the response so far.
    pub body_seen: u64,
    /// Kinds of the outstanding requests, 2 bits each, by number modulo [`MAX_OUTSTANDING`].
    pub(crate) methods: u64,
    /// Requests that have begun.
    pub begun: u32,
    /// Requests that are whole.
    pub ended: u32,
    /// Responses that are whole.
    pub answered: u32,
    /// `flow_flag` bits that requests set.
    pub request_flags: u32,
    /// `flow_flag` bits that responses set.
    pub response_flags: u32,
    /// Status of the present exchange; 0 if none was seen.
    pub status: u16,
    /// Bytes of the request's and the response's text that are kept.
    pub text: [u16; 2],
    /// Bytes that each direction loads next.
    pub(crate) wanted: [u16; 2],
    /// Zero.
    pub(crate) pad: u16,
}

/// Kinds of requests: what decides whether their response has a body.
pub(crate) mod method {
    pub(crate) const OTHER: u64 = 0;
    pub(crate) const HEAD: u64 = 1;
    pub(crate) const CONNECT: u64 = 2;
}

impl Http {
    /// Requests whose response is not whole.
    #[inline(always)]
    pub fn outstanding(&self) -> u32 {
        self.begun.wrapping_sub(self.answered)
    }

    /// When payload last passed, either way.
    #[inline(always)]
    pub fn last_payload_ns(&self) -> u64 {
        if self.request_end_ns > self.response_end_ns { self.request_end_ns } else { self.response_end_ns }
    }

    #[inline(always)]
    pub(crate) fn set_method(&mut self, kind: u64) {
        let shift = (self.begun % MAX_OUTSTANDING) * 2;
        self.methods = (self.methods & !(3 << shift)) | (kind << shift);
    }

    /// Kind of the oldest outstanding request.
    #[inline(always)]
    pub(crate) fn method(&self) -> u64 {
        (self.methods >> ((self.answered % MAX_OUTSTANDING) * 2)) & 3
    }
}

const _: () = {
    assert!(size_of::<Direction>() == 40);
    assert!(size_of::<Http>() == 96);
};
