//! Buffers for the heads of exchanges. One belongs to a connection from its request's first byte to its
//! response's last: no two ever write the same, and as they are handed out in turn, one that was given
//! back lies idle for long.

use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, Queue};
use aya_ebpf::programs::SkBuffContext;
use tracer_ebpf::http::{LOAD_BYTES, REQUEST, WINDOW_BYTES, Window};
use tracer_ebpf::{OpenExchange, TEXTS, loss};

use super::flow::Flow;
use super::ports::{boot_ns, lost};

/// What is known of one exchange's heads.
#[repr(C)]
pub(super) struct Text {
    /// The window, and room for a load that begins at its last byte.
    bytes: [u8; (WINDOW_BYTES + LOAD_BYTES) as usize],
    /// A PROXY protocol header's first bytes.
    pub(super) proxy: [u8; 112],
    /// Number of the exchange whose request this is.
    pub(super) number: u32,
    pub(super) proxy_len: u32,
}

/// The buffers.
#[map]
static TEXTS_MAP: Array<Text> = Array::with_max_entries(TEXTS, 0);

/// Numbers of the free ones; user space puts them in.
#[map]
static FREE_TEXTS: Queue<u32> = Queue::with_max_entries(TEXTS, 0);

/// Whose they are: what user space looks through for requests that wait.
#[map]
static OPEN_EXCHANGES: Array<OpenExchange> = Array::with_max_entries(TEXTS, 0);

/// A connection's buffer, if it has one.
#[inline(always)]
pub(super) fn of(flow: &Flow) -> Option<*mut Text> {
    if flow.text == 0 { None } else { TEXTS_MAP.get_ptr_mut(flow.text - 1) }
}

#[inline(always)]
fn claim(flow: &mut Flow, key: u64) -> bool {
    let Ok(Some(free)) = FREE_TEXTS.pop() else {
        lost(loss::HEADS_FULL);
        return false;
    };
    flow.text = free.wrapping_add(1);
    if let Some(open) = OPEN_EXCHANGES.get_ptr_mut(free) {
        // SAFETY: the buffer is this connection's alone
        unsafe { *open = OpenExchange { sock: key, since_ns: boot_ns() } };
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

/// Gives the connection's buffer back.
#[inline(always)]
pub(super) fn release(flow: &mut Flow) {
    if flow.text == 0 {
        return;
    }
    let number = flow.text - 1;
    flow.text = 0;
    if let Some(open) = OPEN_EXCHANGES.get_ptr_mut(number) {
        // SAFETY: the buffer is still this connection's alone
        unsafe { *open = OpenExchange { sock: 0, since_ns: 0 } };
    }
    // it came out of the queue, so there is room
    let _always_room = FREE_TEXTS.push(number, 0);
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
}

/// Keeps the compiler from knowing what an index is: what it can prove, the verifier cannot.
#[inline(always)]
fn index(at: u32) -> usize {
    (core::hint::black_box(at) & (WINDOW_BYTES - 1)) as usize
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

    #[inline(always)]
    fn begin(&mut self, number: u32) -> bool {
        // SAFETY: the map's element; two directions do not claim at once, since a response follows its request
        let flow = unsafe { &mut *self.flow };
        if flow.text == 0 && !claim(flow, self.key) {
            return false;
        }
        let Some(text) = of(flow) else { return false };
        self.text = text;
        if self.way == REQUEST {
            // SAFETY: the buffer is this connection's alone
            unsafe { (*text).number = number };
        }
        true
    }
}
