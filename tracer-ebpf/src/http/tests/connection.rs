//! A connection in ordinary memory: what the kernel side does with a segment.
//!
//! The fuzz target of segments is made of this file, too: all that it names comes from its parent.

use super::*;

/// A window in ordinary memory.
struct Buffer<'a> {
    bytes: Vec<u8>,
    segment: &'a [u8],
    unseen: bool,
    proxied: Option<[u8; PROXY_HEADER_BYTES]>,
}

impl Window for Buffer<'_> {
    fn word(&self, at: u32) -> u64 {
        let at = at as usize;
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    fn peek(&self, base: u32, at: u32, ahead: u32) -> u64 {
        assert!(at < LOAD_BYTES && ahead <= 56);
        self.word(base + at + ahead)
    }

    fn put(&mut self, at: u32, word: u64) {
        let at = at as usize;
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn load(&mut self, from: u32, at: u32, len: u32) -> bool {
        let (from, at, len) = (from as usize, at as usize, len as usize);
        self.bytes[at..at + len].copy_from_slice(&self.segment[from..from + len]);
        true
    }

    fn begin(&mut self, _number: u32) -> bool {
        true
    }

    fn repeat<T: Repeated>(times: u32, what: &mut T) {
        let _all_or_fewer = (0..times).all(|number| what.once(number));
    }

    fn proxied(&mut self) {
        self.proxied = self.bytes.first_chunk().copied();
    }

    fn is_there(&self) -> bool {
        true
    }

    fn is_unseen(&self) -> bool {
        self.unseen
    }
}

/// What was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Heard {
    /// Status of each whole exchange.
    pub(super) answered: Vec<u16>,
    /// Events, exchanges and their statuses.
    pub(super) told: Vec<(u8, u32, u16)>,
}

impl Sink for Heard {
    fn wants(&self, _http: &Http, status: u16, _now: u64) -> bool {
        status >= 400
    }

    fn answered(&mut self, http: &Http) {
        assert_ne!(http.outstanding(), 0, "the next request may begin already");
        self.answered.push(http.status);
    }

    fn tell(&mut self, http: &Http, event: u8, number: u32, whole: bool) {
        assert!(!whole || http.answered.wrapping_add(1) == number, "the next request may begin already");
        self.told.push((event, number, http.status));
    }
}

/// A connection.
pub(super) struct Connection {
    /// Whether segments are passed in one go where they can.
    pub(super) quick: bool,
    pub(super) http: Http,
    pub(super) directions: [Direction; 2],
    window: Vec<u8>,
    pub(super) heard: Heard,
    pub(super) now: u64,
    /// What is kept of a PROXY protocol header.
    pub(super) proxied: Option<[u8; PROXY_HEADER_BYTES]>,
    /// Whether a segment took more steps than the kernel allows (`MAX_TAIL_CALL_CNT`).
    pub(super) exhausted: bool,
}

impl Connection {
    pub(super) fn new() -> Self {
        let mut directions = [Direction::default(); 2];
        directions[0].next = 1000;
        directions[1].next = u32::MAX - 3;
        let window = vec![0xee; (WINDOW_BYTES + LOAD_BYTES + 16) as usize];
        Self {
            quick: true,
            http: Http::default(),
            directions,
            window,
            heard: Heard::default(),
            now: 0,
            proxied: None,
            exhausted: false,
        }
    }

    pub(super) fn step_by_step() -> Self {
        Self { quick: false, ..Self::new() }
    }

    /// A segment that is sent.
    pub(super) fn segment(&mut self, way: u32, seq: u32, bytes: &[u8]) {
        self.packet(way, seq, bytes, None);
    }

    /// A segment. Of one that is received, `arrived` says whether TCP has had all that comes before it.
    pub(super) fn packet(&mut self, way: u32, seq: u32, bytes: &[u8], arrived: Option<bool>) {
        self.now += 1;
        let len = u32::try_from(bytes.len()).unwrap();
        self.finds_step(way, seq, bytes);
        let window = std::mem::take(&mut self.window);
        let mut window = Buffer { bytes: window, segment: bytes, unseen: false, proxied: None };
        let mut through = self.quick && self.pass(way, (seq, len), &mut window);
        for _ in 0..33 {
            if through {
                break;
            }
            through = self.step(way, (seq, len), arrived, &mut window);
        }
        if !through {
            self.exhausted = true;
            self.directions[way as usize].lose(seq, len);
        }
        self.proxied = window.proxied.or(self.proxied);
        self.window = window.bytes;
    }

    /// As the kernel side does it where the end of a message was not seen (silence finds step too, there).
    fn finds_step(&mut self, way: u32, seq: u32, bytes: &[u8]) {
        let [request, response] = &mut self.directions;
        let unseen = [request.phase, response.phase].contains(&phase::UNTIL_CLOSE) && request.phase != phase::LOST;
        let first = bytes.first_chunk().copied().map(u64::from_le_bytes);
        if way != REQUEST || !unseen || self.http.outstanding() != 0 || !first.is_some_and(is_request) {
            return;
        }
        if request.phase == phase::UNTIL_CLOSE {
            request.again(seq);
        }
        if response.phase == phase::UNTIL_CLOSE {
            response.again(response.next);
        }
    }

    /// What `programs/traffic.rs` does.
    fn pass(&mut self, way: u32, (seq, len): (u32, u32), window: &mut Buffer<'_>) -> bool {
        let other = self.directions[(way ^ 1) as usize].phase;
        let direction = &mut self.directions[way as usize];
        if !direction.follows(seq) {
            return false;
        }
        !direction.take(seq, len)
            || pass(&mut self.http, direction, way, other, window, &mut self.heard, (seq, len), self.now)
    }

    /// What `programs/heads.rs` does.
    fn step(&mut self, way: u32, (seq, len): (u32, u32), arrived: Option<bool>, window: &mut Buffer<'_>) -> bool {
        let other = self.directions[(way ^ 1) as usize].phase;
        let direction = &mut self.directions[way as usize];
        let part = match arrived {
            None if !direction.take(seq, len) => return true,
            None => Part { kind: part::BYTES, seq, len },
            Some(arrived) => direction.part(seq, len, arrived),
        };
        if part.kind == part::NOTHING || part.kind == part::THROUGH {
            return true;
        }
        window.unseen = part.kind == part::UNSEEN;
        let bytes = (part.seq, part.len);
        let done = read(&mut self.http, direction, way, other, window, &mut self.heard, bytes, self.now);
        if arrived.is_some() && (window.unseen || !direction.follows(seq)) {
            direction.goes_on();
            return false;
        }
        done
    }

    pub(super) fn send_text(&mut self, way: u32, text: &str) {
        self.send(way, text.as_bytes());
    }

    pub(super) fn send(&mut self, way: u32, bytes: &[u8]) {
        self.segment(way, self.directions[way as usize].next, bytes);
    }
}
