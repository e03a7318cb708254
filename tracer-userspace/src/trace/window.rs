//! A sliding window over a byte stream: memory stays the same however long the stream is.

use std::io::{ErrorKind, Read, Result};

use super::format::{BODY_MAX, FILE_HEADER_LEN, FRAME_MAX};

/// Four of the largest frames, so that bytes are moved rarely.
const CAPACITY: usize = 4 * FRAME_MAX;
const _: () = assert!(FILE_HEADER_LEN + BODY_MAX <= CAPACITY);

/// The bytes of a stream from `offset` on, as far as they are loaded.
pub(super) struct Window<R> {
    inner: R,
    buffer: Vec<u8>,
    /// The loaded bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    offset: u64,
    at_end: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; CAPACITY], start: 0, end: 0, offset: 0, at_end: false }
    }

    /// Position of the first loaded byte in the stream.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The loaded bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Loads until `wanted` bytes are there or the stream ends, and returns all that is loaded. No more than the
    /// capacity is ever loaded.
    pub(super) fn fill(&mut self, wanted: usize) -> Result<&[u8]> {
        let wanted = wanted.min(CAPACITY);
        if self.start.saturating_add(wanted) > CAPACITY {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        while !self.at_end && self.end.saturating_sub(self.start) < wanted {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.inner.read(room) {
                Ok(0) => self.at_end = true,
                Ok(read) => self.end = self.end.saturating_add(read).min(CAPACITY),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.bytes())
    }

    /// Leaves the first `count` loaded bytes behind.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end.saturating_sub(self.start));
        self.start = self.start.saturating_add(count);
        self.offset = self.offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
