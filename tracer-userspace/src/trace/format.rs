//! Layout of a trace file: docs/trace-format.md, sections 2 and 3.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::record::HEADER_LEN;

/// Major version that is written. Newer ones are refused.
pub const MAJOR: u16 = 1;
/// Minor version that is written. Newer ones are read.
pub const MINOR: u16 = 0;

/// First bytes of a trace file.
pub(super) const MAGIC: [u8; 8] = *b"\x89WFT\r\n\x1a\n";
/// First bytes of a frame.
pub(super) const MARKER: [u8; 8] = [0xf3, b'W', b'f', b't', b'F', 0x8e, 0x01, 0xdb];
/// Written in the byte order of the records.
const BYTE_ORDER: u32 = 0x0102_0304;

/// Bytes of the file header before its body.
pub(super) const FILE_HEADER_LEN: usize = size_of::<FileHeader>();
/// Longest record: the greatest multiple of 8 that its 16-bit length holds.
pub(super) const RECORD_MAX: usize = 65_528;
/// Longest body of the file header: it must also fit into a `Start` record.
pub(super) const BODY_MAX: usize = RECORD_MAX - HEADER_LEN;
/// Where the first frame must begin for a damaged file header to be replaced by its copy.
pub(super) const RECOVERY_MAX: u64 = 131_072;

/// Bytes of a frame header as written.
pub(super) const FRAME_HEADER_LEN: usize = size_of::<FrameHeader>();
const FRAME_HEADER_MAX: usize = 256;
/// Most bytes of records in a frame, uncompressed.
pub(super) const FRAME_RAW_MAX: usize = 256 * 1024;
/// Most bytes of a payload: more than zstd makes of [`FRAME_RAW_MAX`] in the worst case.
pub(super) const PAYLOAD_MAX: usize = 264 * 1024;
/// Most bytes of a frame.
pub(super) const FRAME_MAX: usize = FRAME_HEADER_MAX + PAYLOAD_MAX;
/// Flags that make a frame unreadable to whoever does not know them.
const FLAGS_CRITICAL: u16 = 0xff00;

/// Where the CRC field is in the file header.
const FILE_CRC_OFFSET: usize = 28;
/// Where the CRC field is in a frame header.
const FRAME_CRC_OFFSET: usize = 44;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FileHeader {
    magic: [u8; 8],
    version: [u8; 4],
    version_check: [u8; 4],
    byte_order: [u8; 4],
    body_len: U32,
    reserved: U32,
    crc: U32,
}

/// A frame header, byte for byte.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FrameHeader {
    marker: [u8; 8],
    header_len: U16,
    flags: U16,
    sequence: U32,
    earliest_ns: U64,
    latest_ns: U64,
    records: U32,
    raw_len: U32,
    payload_len: U32,
    crc: U32,
}

const _: () = {
    assert!(FILE_HEADER_LEN == 32 && FRAME_HEADER_LEN == 48);
    assert!(std::mem::offset_of!(FileHeader, crc) == FILE_CRC_OFFSET);
    assert!(std::mem::offset_of!(FrameHeader, crc) == FRAME_CRC_OFFSET);
    assert!(BODY_MAX == 65_504 && RECORD_MAX < FRAME_RAW_MAX);
};

/// The file header and `body` as they are written; `None` if the body is too long.
pub(super) fn file_header(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() > BODY_MAX {
        return None;
    }
    let ([a, b], [c, d]) = (MAJOR.to_le_bytes(), MINOR.to_le_bytes());
    let mut header = FileHeader {
        magic: MAGIC,
        version: [a, b, c, d],
        version_check: [!a, !b, !c, !d],
        byte_order: BYTE_ORDER.to_ne_bytes(),
        body_len: U32::new(u32::try_from(body.len()).ok()?),
        reserved: U32::ZERO,
        crc: U32::ZERO,
    };
    header.crc = U32::new(crc32c::crc32c_append(crc32c::crc32c(header.as_bytes()), body));
    Some([header.as_bytes(), body].concat())
}

/// What the first 32 bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// A header of a version that is known: this many bytes with its body. The CRC is still to be checked.
    Header(usize),
    /// A newer major version.
    Newer(u16),
    /// Fewer bytes than a header has, but it may have been one.
    Cut,
    /// It begins like a trace, but cannot be one as it is.
    Damaged,
    /// No trace.
    Foreign,
}

/// Reads the fixed part of a file header.
pub(super) fn opening(bytes: &[u8]) -> Opening {
    let Ok((header, _body)) = FileHeader::read_from_prefix(bytes) else {
        let magic = bytes.get(..MAGIC.len()).unwrap_or(bytes);
        return if MAGIC.starts_with(magic) { Opening::Cut } else { Opening::Foreign };
    };
    if header.magic != MAGIC {
        return Opening::Foreign;
    }
    let [a, b, ..] = header.version;
    let major = u16::from_le_bytes([a, b]);
    if header.version_check != header.version.map(|byte| !byte) || major == 0 {
        return Opening::Damaged;
    }
    if major > MAJOR {
        return Opening::Newer(major);
    }
    match usize::try_from(header.body_len.get()) {
        Ok(body_len) if body_len <= BODY_MAX => Opening::Header(FILE_HEADER_LEN.saturating_add(body_len)),
        _ => Opening::Damaged,
    }
}

/// The body of a whole file header, if its CRC holds; beside it whether its records have this machine's byte order.
pub(super) fn header_body(header: &[u8]) -> Option<(&[u8], bool)> {
    let (fixed, body) = FileHeader::read_from_prefix(header).ok()?;
    (crc_without_field(header, FILE_CRC_OFFSET) == fixed.crc.get())
        .then_some((body, fixed.byte_order == BYTE_ORDER.to_ne_bytes()))
}

/// What a frame header says, checked against the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) earliest_ns: u64,
    pub(super) latest_ns: u64,
    pub(super) records: u32,
    pub(super) header_len: usize,
    pub(super) raw_len: usize,
    pub(super) payload_len: usize,
    crc: u32,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoFrame {
    Short,
    Marker,
    Length,
}

impl Frame {
    /// A frame without flags; its CRC is made by [`Frame::seal`].
    pub(super) fn new(sequence: u32, times: (u64, u64), records: u32, raw_len: usize) -> Self {
        Self {
            flags: 0,
            sequence,
            earliest_ns: times.0,
            latest_ns: times.1,
            records,
            header_len: FRAME_HEADER_LEN,
            raw_len,
            payload_len: 0,
            crc: 0,
        }
    }

    /// Reads the header at the front of `bytes`. Lengths are within their limits then; the CRC is still to be
    /// checked.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NoFrame> {
        let start = bytes.get(..MARKER.len()).unwrap_or(bytes);
        if !MARKER.starts_with(start) {
            return Err(NoFrame::Marker);
        }
        let (header, _rest) = FrameHeader::read_from_prefix(bytes).map_err(|_short| NoFrame::Short)?;
        let frame = Self {
            flags: header.flags.get(),
            sequence: header.sequence.get(),
            earliest_ns: header.earliest_ns.get(),
            latest_ns: header.latest_ns.get(),
            records: header.records.get(),
            header_len: usize::from(header.header_len.get()),
            raw_len: usize::try_from(header.raw_len.get()).map_err(|_wide| NoFrame::Length)?,
            payload_len: usize::try_from(header.payload_len.get()).map_err(|_wide| NoFrame::Length)?,
            crc: header.crc.get(),
        };
        let fits = (FRAME_HEADER_LEN..=FRAME_HEADER_MAX).contains(&frame.header_len)
            && frame.raw_len <= FRAME_RAW_MAX
            && frame.payload_len <= PAYLOAD_MAX;
        if fits { Ok(frame) } else { Err(NoFrame::Length) }
    }

    /// Bytes of header and payload.
    pub(super) fn len(&self) -> usize {
        self.header_len.saturating_add(self.payload_len)
    }

    /// Whether the CRC holds; `whole` is the frame, [`Frame::len`] bytes.
    pub(super) fn intact(&self, whole: &[u8]) -> bool {
        crc_without_field(whole, FRAME_CRC_OFFSET) == self.crc
    }

    /// Whether it has flags that this version would have to know.
    pub(super) fn is_beyond_us(&self) -> bool {
        self.flags & FLAGS_CRITICAL != 0
    }

    /// Puts the header in front of the payload: `out` holds [`FRAME_HEADER_LEN`] bytes of room, then the payload.
    /// False, and `out` unchanged, if a length is over its limit.
    pub(super) fn seal(&self, out: &mut [u8]) -> bool {
        let payload_len = out.len().saturating_sub(FRAME_HEADER_LEN);
        if payload_len > PAYLOAD_MAX || self.raw_len > FRAME_RAW_MAX {
            return false;
        }
        let (Ok(raw_len), Ok(payload_len)) = (u32::try_from(self.raw_len), u32::try_from(payload_len)) else {
            return false;
        };
        let Some((room, payload)) = out.split_first_chunk_mut::<FRAME_HEADER_LEN>() else { return false };
        let mut header = FrameHeader {
            marker: MARKER,
            // a constant of 48
            header_len: U16::new(u16::try_from(FRAME_HEADER_LEN).unwrap_or_default()),
            flags: U16::new(self.flags),
            sequence: U32::new(self.sequence),
            earliest_ns: U64::new(self.earliest_ns),
            latest_ns: U64::new(self.latest_ns),
            records: U32::new(self.records),
            raw_len: U32::new(raw_len),
            payload_len: U32::new(payload_len),
            crc: U32::ZERO,
        };
        header.crc = U32::new(crc32c::crc32c_append(crc32c::crc32c(header.as_bytes()), payload));
        room.copy_from_slice(header.as_bytes());
        true
    }
}

/// CRC-32C of `bytes`, the four bytes at `field` taken as zero.
fn crc_without_field(bytes: &[u8], field: usize) -> u32 {
    let before = bytes.get(..field).unwrap_or(bytes);
    let after = bytes.get(field.saturating_add(4)..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]), after)
}
