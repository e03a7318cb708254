//! Records into a trace file: frames, and what happens when a frame cannot be written.

use std::fs::File;
use std::io::{self, ErrorKind, Write};

use zerocopy::FromBytes;
use zstd::bulk::Compressor;

use super::error::WriteError;
use super::format::{FRAME_HEADER_LEN, FRAME_RAW_MAX, Frame, PAYLOAD_MAX, RECORD_MAX, file_header};
use super::start_record;
use crate::record::{BootTime, DecodeError, HEADER_LEN, Header, HostBody, HostRecord, Loss, Record, Start};

/// zstd's own default: three times as fast to write as level 6, and little larger.
const LEVEL: i32 = 3;
/// Cause of a [`Loss`] for records that could not be written.
const CAUSE: &str = "trace-write";

/// Where a trace is written to.
pub trait Sink: Write {
    /// Cuts back to `len` bytes what was written, so that the next byte goes there.
    ///
    /// # Errors
    /// What the system says, or that the sink cannot: the rest of a torn frame stays then, and readers pass over it.
    fn cut_back(&mut self, len: u64) -> io::Result<()>;

    /// Makes what was written outlast a crash of the machine.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file must be open for appending.
impl Sink for File {
    fn cut_back(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Sink for Vec<u8> {
    fn cut_back(&mut self, len: u64) -> io::Result<()> {
        self.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one trace.
pub struct TraceWriter<W> {
    pub(super) out: W,
    compressor: Compressor<'static>,
    /// The copy of the file header, until a frame holds it.
    start: Vec<u8>,
    /// The frame to come, uncompressed.
    records: Vec<u8>,
    /// How many records of the caller it holds, and how many in all.
    own: u64,
    all: u32,
    earliest_ns: u64,
    latest_ns: u64,
    /// As `earliest_ns`, of the caller's records alone.
    own_earliest_ns: u64,
    sequence: u32,
    /// Room for a whole frame as it is written.
    frame: Vec<u8>,
    /// Bytes of `out`.
    len: u64,
    lost: u64,
    /// Lost records that no frame tells of yet.
    untold: u64,
    /// Times of the first and the last of them.
    untold_ns: (u64, u64),
}

impl<W: Sink> TraceWriter<W> {
    /// Begins a trace: writes the file header. The first frame will begin with the start record, which the caller
    /// must not append.
    ///
    /// # Errors
    /// [`WriteError`] if the start record cannot be encoded or the header cannot be written.
    pub fn create(out: W, start: &Start) -> Result<Self, WriteError> {
        let mut record = Vec::new();
        start_record(start).encode(&mut record).map_err(WriteError::Start)?;
        let body = record.get(HEADER_LEN..).unwrap_or_default();
        let header = file_header(body).ok_or(WriteError::Start(DecodeError::BadLength(u16::MAX)))?;
        let compressor = Compressor::new(LEVEL).map_err(|source| WriteError::Compress { lost: 0, source })?;
        let mut writer = Self {
            out,
            compressor,
            start: record,
            records: Vec::with_capacity(FRAME_RAW_MAX),
            own: 0,
            all: 0,
            earliest_ns: u64::MAX,
            latest_ns: 0,
            own_earliest_ns: u64::MAX,
            sequence: 0,
            frame: Vec::with_capacity(FRAME_HEADER_LEN.saturating_add(PAYLOAD_MAX)),
            len: 0,
            lost: 0,
            untold: 0,
            untold_ns: (u64::MAX, 0),
        };
        writer.write_or_cut_back(&header).map_err(|source| WriteError::Write { lost: 0, source })?;
        writer.begin_frame();
        Ok(writer)
    }

    /// Adds one record to the frame to come, and writes that frame first if it has no room left.
    ///
    /// # Errors
    /// [`WriteError::NoRecord`] if `record` is not exactly one record; it is not written then. Any other error
    /// speaks of the frame before: it is lost and counted, `record` is in the next one.
    pub fn append(&mut self, record: &[u8]) -> Result<(), WriteError> {
        let no_record = || WriteError::NoRecord { len: record.len() };
        let (header, _body) = Header::read_from_prefix(record).map_err(|_short| no_record())?;
        if usize::from(header.len) != record.len() || !record.len().is_multiple_of(8) {
            return Err(no_record());
        }
        let flushed =
            if self.records.len().saturating_add(record.len()) > FRAME_RAW_MAX { self.flush() } else { Ok(()) };
        self.push(record, header.time_ns);
        self.own_earliest_ns = self.own_earliest_ns.min(header.time_ns);
        self.own = self.own.saturating_add(1);
        flushed
    }

    /// Writes the records that wait, if any, as a frame. To be called at least once a second.
    ///
    /// # Errors
    /// [`WriteError`] if that fails: these records are lost and counted, and the next frame says so. The file stays
    /// readable.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        if self.records.is_empty() {
            return Ok(());
        }
        let written = self.compress().and_then(|()| {
            let frame = std::mem::take(&mut self.frame);
            let written = self.write_or_cut_back(&frame);
            self.frame = frame;
            written.map_err(|source| WriteError::Write { lost: 0, source })
        });
        if written.is_ok() {
            self.sequence = self.sequence.wrapping_add(1);
            self.start = Vec::new();
            (self.untold, self.untold_ns) = (0, (u64::MAX, 0));
        } else {
            self.lost = self.lost.saturating_add(self.own);
            self.untold = self.untold.saturating_add(self.own);
            let (first_ns, last_ns) = self.untold_ns;
            self.untold_ns = (first_ns.min(self.own_earliest_ns), last_ns.max(self.latest_ns));
        }
        self.begin_frame();
        written.map_err(|error| match error {
            WriteError::Write { source, .. } => WriteError::Write { lost: self.lost, source },
            WriteError::Compress { source, .. } => WriteError::Compress { lost: self.lost, source },
            other => other,
        })
    }

    /// Writes what waits and makes the file outlast a crash. The caller appends the record `End` before.
    ///
    /// # Errors
    /// [`WriteError`] as of [`TraceWriter::flush`], or if the sync fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.flush()?;
        self.out.sync().map_err(|source| WriteError::Write { lost: self.lost, source })?;
        Ok(self.out)
    }

    /// Records that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// What is written to.
    pub fn sink(&self) -> &W {
        &self.out
    }

    /// Bytes of the file so far.
    pub fn bytes_written(&self) -> u64 {
        self.len
    }

    /// Begins a frame with what the file still has to be told by the writer itself.
    fn begin_frame(&mut self) {
        self.records.clear();
        (self.own, self.all, self.earliest_ns, self.latest_ns) = (0, 0, u64::MAX, 0);
        self.own_earliest_ns = u64::MAX;
        if !self.start.is_empty() {
            let start = std::mem::take(&mut self.start);
            self.push(&start, time_of(&start));
            self.start = start;
        }
        // at both ends of what is missing: whatever was under way at either is not whole
        let (first_ns, last_ns) = self.untold_ns;
        match self.untold {
            0 => {}
            1 => self.push_loss(first_ns, 1),
            count => {
                self.push_loss(first_ns, 1);
                self.push_loss(last_ns, count.saturating_sub(1));
            }
        }
    }

    fn push_loss(&mut self, time_ns: u64, count: u64) {
        let body = HostBody::Loss(Loss::now(CAUSE, count));
        let record = Record::Host(HostRecord { time: BootTime::from_ns(time_ns), netns: 0, body });
        let mut bytes = Vec::new();
        // a loss takes some 60 bytes: only a record over 64 KiB fails
        if record.encode(&mut bytes).is_ok() {
            self.push(&bytes, time_ns);
        }
    }

    fn push(&mut self, record: &[u8], time_ns: u64) {
        self.records.extend_from_slice(record);
        self.all = self.all.saturating_add(1);
        self.earliest_ns = self.earliest_ns.min(time_ns);
        self.latest_ns = self.latest_ns.max(time_ns);
    }

    /// Makes `frame` of `records`.
    fn compress(&mut self) -> Result<(), WriteError> {
        let failed = |source| WriteError::Compress { lost: 0, source };
        self.frame.clear();
        self.frame.resize(FRAME_HEADER_LEN.saturating_add(PAYLOAD_MAX), 0);
        let room = self.frame.get_mut(FRAME_HEADER_LEN..).unwrap_or_default();
        let payload_len = self.compressor.compress_to_buffer(&self.records, room).map_err(failed)?;
        self.frame.truncate(FRAME_HEADER_LEN.saturating_add(payload_len));
        let frame = Frame::new(self.sequence, (self.earliest_ns, self.latest_ns), self.all, self.records.len());
        if frame.seal(&mut self.frame) { Ok(()) } else { Err(failed(ErrorKind::InvalidData.into())) }
    }

    /// Writes all of `bytes`, or as good as nothing.
    fn write_or_cut_back(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.len;
        let written = self.write_counting(bytes);
        if written.is_err() && self.len > before && self.out.cut_back(before).is_ok() {
            self.len = before;
        }
        written
    }

    /// As `write_all`, but `len` is right also after an error.
    fn write_counting(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.len = self.len.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.flush()
    }
}

fn time_of(record: &[u8]) -> u64 {
    Header::read_from_prefix(record).map_or(0, |(header, _body)| header.time_ns)
}

const _: () = assert!(HEADER_LEN < RECORD_MAX && 2 * RECORD_MAX < FRAME_RAW_MAX);
