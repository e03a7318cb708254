//! Whole frames out of a byte stream, and what was damaged between them: docs/trace-format.md, sections 3
//! and 4.

use std::io::{self, Read};

use memchr::memmem;
use zstd::bulk::Decompressor;

use super::error::{Damage, DamageKind};
use super::format::{FRAME_HEADER_LEN, FRAME_RAW_MAX, Frame, MARKER, NoFrame};
use super::window::Window;

/// What comes next in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameItem {
    /// A frame; its records are in [`Frames::records`].
    Frame {
        /// Where it begins in the file.
        offset: u64,
        /// Bytes of it in the file.
        len: u64,
        /// Its number.
        sequence: u32,
    },
    /// A correct frame that this version does not understand, with so many records.
    Unknown(u32),
    /// Bytes that were passed over.
    Damage(Damage),
}

/// What is at the window's front.
enum Front {
    Frame(Frame),
    Bad(DamageKind),
    End,
}

/// A stream of frames.
pub(super) struct Frames<R> {
    window: Window<R>,
    decompressor: Decompressor<'static>,
    records: Vec<u8>,
    /// Sequence number that the next frame should have.
    expected: u32,
}

impl<R: Read> Frames<R> {
    /// Frames from the window's front on.
    pub(super) fn new(window: Window<R>) -> io::Result<Self> {
        Ok(Self { window, decompressor: Decompressor::new()?, records: Vec::with_capacity(FRAME_RAW_MAX), expected: 0 })
    }

    /// The records of the frame that was read last.
    pub(super) fn records(&self) -> &[u8] {
        &self.records
    }

    /// The next frame or damage; `None` at the end of the stream.
    pub(super) fn next(&mut self) -> io::Result<Option<FrameItem>> {
        let start = self.window.offset();
        let mut damaged: Option<DamageKind> = None;
        loop {
            match (self.front()?, damaged) {
                (Front::Frame(frame), kind) => {
                    let missing = u64::from(frame.sequence.saturating_sub(self.expected));
                    self.expected = frame.sequence;
                    // with a frame behind it the file was not torn here: the length must have been wrong
                    let kind = kind.map(|kind| if kind == DamageKind::Torn { DamageKind::Checksum } else { kind });
                    return Ok(Some(match kind {
                        Some(kind) => self.damage_since(start, missing.max(1), kind),
                        None if missing > 0 => self.damage_since(start, missing, DamageKind::Missing),
                        None => self.take(&frame),
                    }));
                }
                (Front::Bad(kind), before) => {
                    damaged = before.or(Some(kind));
                    self.skip_to_marker()?;
                }
                (Front::End, None) => return Ok(None),
                (Front::End, Some(kind)) => return Ok(Some(self.damage_since(start, 1, kind))),
            }
        }
    }

    /// Goes to the first whole frame that begins before `limit`; false if there is none.
    pub(super) fn find_first(&mut self, limit: u64) -> io::Result<bool> {
        while self.window.offset() < limit {
            match self.front()? {
                Front::Frame(_) => return Ok(true),
                Front::Bad(_) => self.skip_to_marker()?,
                Front::End => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Position in the file.
    pub(super) fn offset(&self) -> u64 {
        self.window.offset()
    }

    fn damage_since(&self, offset: u64, frames: u64, kind: DamageKind) -> FrameItem {
        FrameItem::Damage(Damage { offset, bytes: self.window.offset().saturating_sub(offset), frames, kind })
    }

    fn front(&mut self) -> io::Result<Front> {
        let bytes = self.window.fill(FRAME_HEADER_LEN)?;
        if bytes.is_empty() {
            return Ok(Front::End);
        }
        let frame = match Frame::parse(bytes) {
            Ok(frame) => frame,
            Err(NoFrame::Short) => return Ok(Front::Bad(DamageKind::Torn)),
            Err(NoFrame::Marker) => return Ok(Front::Bad(DamageKind::Marker)),
            Err(NoFrame::Length) => return Ok(Front::Bad(DamageKind::Length)),
        };
        Ok(match self.window.fill(frame.len())?.get(..frame.len()) {
            None => Front::Bad(DamageKind::Torn),
            Some(whole) if frame.intact(whole) => Front::Frame(frame),
            Some(_) => Front::Bad(DamageKind::Checksum),
        })
    }

    /// Takes the frame at the window's front, which is whole.
    fn take(&mut self, frame: &Frame) -> FrameItem {
        let offset = self.window.offset();
        let payload = self.window.bytes().get(frame.header_len..frame.len()).unwrap_or_default();
        self.records.clear();
        // no more than the capacity, FRAME_RAW_MAX, is written
        let decompressed = if frame.is_beyond_us() {
            Ok(0)
        } else {
            self.decompressor.decompress_to_buffer(payload, &mut self.records)
        };
        self.window.consume(frame.len());
        self.expected = frame.sequence.saturating_add(1);
        if frame.is_beyond_us() {
            return FrameItem::Unknown(frame.records);
        }
        if decompressed.is_ok_and(|len| len == frame.raw_len) {
            let len = self.window.offset().saturating_sub(offset);
            FrameItem::Frame { offset, len, sequence: frame.sequence }
        } else {
            self.records.clear();
            self.damage_since(offset, 1, DamageKind::Payload)
        }
    }

    /// Goes to the next marker, or to the end.
    fn skip_to_marker(&mut self) -> io::Result<()> {
        self.window.consume(1);
        loop {
            let bytes = self.window.fill(MARKER.len())?;
            if let Some(position) = memmem::find(bytes, &MARKER) {
                self.window.consume(position);
                return Ok(());
            }
            let loaded = bytes.len();
            if loaded < MARKER.len() {
                self.window.consume(loaded);
                return Ok(());
            }
            // a marker may begin in the last bytes
            self.window.consume(loaded.saturating_sub(MARKER.len()).saturating_add(1));
        }
    }
}
