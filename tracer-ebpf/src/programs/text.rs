//! Buffers for the heads of exchanges. One belongs to a connection from its request's first byte to its
//! response's last, or until the connection ends: no two ever write the same, and as they are handed out
//! in turn, one that was given back lies idle for long.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_skb_load_bytes};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, Queue};
use aya_ebpf::programs::SkBuffContext;
use tracer_ebpf::http::{LOAD_BYTES, Repeated, WINDOW_BYTES, Window};
use tracer_ebpf::{OpenExchange, TEXTS, TEXTS_KEPT, loss};

use super::flow::Flow;
use super::ports::lost;
use super::proxied;

/// What is known of one exchange's heads.
#[repr(C)]
pub(super) struct Text {
    /// The window, and room for a load that begins at its last byte.
    bytes: [u8; (WINDOW_BYTES + LOAD_BYTES) as usize],
    /// Number of the exchange whose request this is.
    pub(super) number: u32,
    /// Never written: a look at the last bytes ends in it.
    _room: [u32; 15],
}

const _: () = assert!(size_of::<Text>() >= (WINDOW_BYTES + LOAD_BYTES + 64) as usize);

/// The buffers.
#[map]
static TEXTS_MAP: Array<Text> = Array::with_max_entries(TEXTS, 0);

/// Numbers of the free ones, from [`TEXTS_KEPT`] on; user space puts them in.
#[map]
static FREE_TEXTS: Queue<u32> = Queue::with_max_entries(TEXTS - TEXTS_KEPT, 0);

/// Numbers of the free ones below: taken first, and kept until the connection ends. That spares most
/// exchanges the way to the queue and back.
#[map]
static FREE_KEPT_TEXTS: Queue<u32> = Queue::with_max_entries(TEXTS_KEPT, 0);

/// Whose they are: what user space looks through for requests that wait.
#[map]
static OPEN_EXCHANGES: Array<OpenExchange> = Array::with_max_entries(TEXTS, 0);

/// A connection's buffer, if it has one.
#[inline(always)]
pub(super) fn of(flow: &Flow) -> Option<*mut Text> {
    if flow.text == 0 { None } else { TEXTS_MAP.get_ptr_mut(flow.text - 1) }
}

#[inline(always)]
fn claim(flow: &mut Flow) -> bool {
    let free = if let Ok(Some(free)) = FREE_KEPT_TEXTS.pop() {
        free
    } else if let Ok(Some(free)) = FREE_TEXTS.pop() {
        free
    } else {
        lost(loss::HEADS_FULL);
        return false;
    };
    flow.text = free.wrapping_add(1);
    if let Some(text) = of(flow) {
        // SAFETY: the buffer is this connection's alone
        unsafe { (*text).number = 0 };
    }
    true
}

/// The connection's buffer was another element's until now.
#[inline(always)]
pub(super) fn belongs_to(flow: &Flow, key: u64) {
    if flow.text != 0
        && let Some(open) = OPEN_EXCHANGES.get_ptr_mut(flow.text - 1)
    {
        // SAFETY: the buffer is this connection's alone
        unsafe { (*open).sock = key };
    }
}

/// Says since when a buffer's exchange is under way; none is with `sock` 0.
#[inline(always)]
fn open(number: u32, sock: u64, since_ns: u64) {
    if let Some(open) = OPEN_EXCHANGES.get_ptr_mut(number) {
        // SAFETY: the buffer is one connection's alone
        unsafe { *open = OpenExchange { sock, since_ns } };
    }
}

/// No exchange of the connection is under way.
#[inline(always)]
pub(super) fn rest(flow: &mut Flow) {
    if flow.text > TEXTS_KEPT {
        release(flow);
    } else if flow.text != 0 {
        open(flow.text - 1, 0, 0);
    }
}

/// Gives the connection's buffer back.
#[inline(always)]
pub(super) fn release(flow: &mut Flow) {
    if flow.text == 0 {
        return;
    }
    let number = flow.text - 1;
    flow.text = 0;
    open(number, 0, 0);
    let free = if number < TEXTS_KEPT { &FREE_KEPT_TEXTS } else { &FREE_TEXTS };
    // it came out of the queue, so there is room
    let _always_room = free.push(number, 0);
}

/// The bytes of one segment, and where they are looked at.
pub(super) struct SegmentWindow<'a> {
    pub(super) ctx: &'a SkBuffContext,
    pub(super) flow: *mut Flow,
    /// The buffer; null if there is none (yet).
    pub(super) text: *mut Text,
    /// Address of the socket.
    pub(super) key: u64,
    /// Where the payload begins in the packet.
    pub(super) payload: u32,
    pub(super) way: u32,
    pub(super) now: u64,
    /// Not 0 if the bytes to be read have passed before.
    pub(super) unseen: u32,
}

/// Keeps the compiler from knowing what an index is: what it can prove, the verifier cannot.
#[inline(always)]
fn index(at: u32) -> usize {
    (core::hint::black_box(at) & (WINDOW_BYTES - 1)) as usize
}

/// What `bpf_loop` calls: 0 to go on.
unsafe extern "C" fn once<T: Repeated>(number: u64, what: *mut c_void) -> u64 {
    // SAFETY: the helper passes on what it was given
    u64::from(!unsafe { (*what.cast::<T>()).once(number as u32) })
}

impl Window for SegmentWindow<'_> {
    #[inline(always)]
    fn word(&self, at: u32) -> u64 {
        let text = self.text;
        if text.is_null() {
            return 0;
        }
        // SAFETY: the index is less than WINDOW_BYTES, and 8 bytes more are there. Loads of the eBPF
        // machine need no alignment
        unsafe { (&raw const (*text).bytes).cast::<u8>().add(index(at)).cast::<u64>().read_volatile() }
    }

    #[inline(always)]
    fn peek(&self, base: u32, at: u32, ahead: u32) -> u64 {
        let text = self.text;
        if text.is_null() {
            return 0;
        }
        let (base, at) = ((base & (WINDOW_BYTES - 1)) as usize, (at & (LOAD_BYTES - 1)) as usize);
        // SAFETY: what is added is less than the element's size, by the assertion below
        unsafe { text.cast::<u8>().add(base).add(at).add(ahead as usize).cast::<u64>().read_volatile() }
    }

    #[inline(always)]
    fn put(&mut self, at: u32, word: u64) {
        let text = self.text;
        if text.is_null() {
            return;
        }
        // SAFETY: as above
        unsafe { (&raw mut (*text).bytes).cast::<u8>().add(index(at)).cast::<u64>().write_volatile(word) };
    }

    #[inline(always)]
    fn load(&mut self, from: u32, at: u32, len: u32) -> bool {
        let text = self.text;
        if text.is_null() {
            return false;
        }
        // 1 to LOAD_BYTES, in a way that every verifier follows
        let len = (core::hint::black_box(len.wrapping_sub(1)) & (LOAD_BYTES - 1)) + 1;
        // SAFETY: the index is less than WINDOW_BYTES, and LOAD_BYTES more are there
        unsafe {
            let to = (&raw mut (*text).bytes).cast::<u8>().add(index(at));
            bpf_skb_load_bytes(self.ctx.skb.skb.cast(), self.payload.wrapping_add(from), to.cast(), len) == 0
        }
    }

    /// Only what a kernel since 6.8 runs comes here; the helper is there since 5.17.
    #[inline(always)]
    fn repeat<T: Repeated>(times: u32, what: &mut T) {
        // SAFETY: the function takes what it is passed here, and has returned before this does
        unsafe { bpf_loop(times, once::<T> as *mut c_void, (&raw mut *what).cast(), 0) };
    }

    #[inline(always)]
    fn begin(&mut self, number: u32) -> bool {
        // SAFETY: the map's element; two directions do not claim at once, since a response follows its request
        let flow = unsafe { &mut *self.flow };
        if flow.text == 0 && !claim(flow) {
            return false;
        }
        let Some(text) = of(flow) else { return false };
        self.text = text;
        if flow.directions[0].asks(self.way) {
            // SAFETY: the buffer is this connection's alone
            unsafe { (*text).number = number };
            let buffer = flow.text.wrapping_sub(1);
            // SAFETY: as above
            if OPEN_EXCHANGES.get_ptr(buffer).is_some_and(|open| unsafe { (*open).sock } == 0) {
                open(buffer, self.key, self.now);
            }
        }
        true
    }

    #[inline(always)]
    fn is_there(&self) -> bool {
        !self.text.is_null()
    }

    #[inline(always)]
    fn proxied(&mut self) {
        if !self.text.is_null() {
            // SAFETY: the window is longer than a header
            let header = unsafe { &*self.text.cast_const().cast::<proxied::Header>() };
            // SAFETY: elements stay where they are
            proxied::keep(unsafe { (*self.flow).id }, header);
        }
    }

    #[inline(always)]
    fn is_unseen(&self) -> bool {
        self.unseen != 0
    }
}
