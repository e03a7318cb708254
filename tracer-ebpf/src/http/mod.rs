//! HTTP/1 as it passes: where heads are due, what they say about where the message ends, and which
//! response belongs to which request.
//!
//! The same code runs in the kernel and in tests. It is written for the verifier: all that survives a
//! step is kept in memory, so that the verifier forgets its value and sees every step as the same one;
//! loops have constant bounds, and what exceeds them makes the direction lose step.

#![expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "the verifier follows no calls; lengths are bounded and bytes are cut out of words on purpose; an index \
              is masked to the array's length, and a bounds check would be a panic that eBPF has not"
)]

mod head;
mod lines;
mod read;
mod start;
mod state;
#[cfg(test)]
mod tests;
mod whole;

pub use read::{Sink, read};
pub use start::is_request;
pub use state::{Direction, Http, MAX_OUTSTANDING, Part, REQUEST, RESPONSE, part, phase};
pub use whole::pass;

/// Where the bytes of heads are looked at: a buffer that belongs to one exchange. A request's begin at
/// 0, a response's at [`RESPONSE_AT`]. What is kept of a head stays where it is; longer ones go on behind
/// it, again and again in the same place.
pub trait Window {
    /// The 8 bytes at `at`, the first one lowest. Behind the buffer's end they are anything.
    fn word(&self, at: u32) -> u64;

    /// The word that is `ahead` bytes behind `base + at`, with `at` less than [`LOAD_BYTES`], `ahead` at most 56. In
    /// one pass through many words it costs less than [`Window::word`].
    fn peek(&self, base: u32, at: u32, ahead: u32) -> u64;

    /// Replaces the 8 bytes at `at`.
    fn put(&mut self, at: u32, word: u64);

    /// Copies `len` (1 to [`LOAD_BYTES`]) bytes of the segment, from `from` on, to `at`.
    fn load(&mut self, from: u32, at: u32, len: u32) -> bool;

    /// Takes a step at most so many times.
    fn repeat<T: Repeated>(times: u32, what: &mut T);

    /// The exchange whose request begins is number `number`: its text is what comes next. False if there
    /// is no buffer.
    fn begin(&mut self, number: u32) -> bool;

    /// Whether there is a buffer.
    fn is_there(&self) -> bool;

    /// A PROXY protocol header is at the window's beginning, as far as it names the client.
    fn proxied(&mut self);

    /// Whether the bytes to be read have passed before, and can be loaded no more.
    fn is_unseen(&self) -> bool;
}

/// What is done again and again. Where it is, is in memory that the verifier knows nothing of.
pub trait Repeated {
    /// One step, counted from 0. False if it was the last.
    fn once(&mut self, number: u32) -> bool;
}

/// Where a response's bytes begin in a [`Window`].
pub const RESPONSE_AT: u32 = 1280;
/// Bytes of a [`Window`].
pub const WINDOW_BYTES: u32 = 2048;
/// Most bytes loaded at a time.
pub const LOAD_BYTES: u32 = 1024;
/// A line's name and value are looked for in this many bytes of it.
pub(crate) const LINE_BYTES: u32 = 64;
/// A longer head makes its direction lose step.
pub const HEAD_BYTES_MAX: u32 = 64 * 1024;
