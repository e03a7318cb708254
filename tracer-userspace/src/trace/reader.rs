//! The records of one trace file.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use super::error::{Damage, DamageKind, TraceError};
use super::format::{FILE_HEADER_LEN, Opening, RECOVERY_MAX, header_body, opening};
use super::frames::{FrameItem, Frames};
use super::window::Window;
use crate::record::{self, DecodeError, Header, HostBody, HostRecord, Record, RecordView, Start, kind, record_flag};

/// One element of a trace.
#[derive(Debug, PartialEq)]
pub enum TraceItem {
    /// A record.
    Record(Record),
    /// A record that the file begins with, so that it can be read without the file before it.
    Repeated(Record),
    /// Something between the records could not be read.
    Damage(Damage),
}

/// The same, with a record as it lies in the reader's memory.
#[derive(Debug)]
pub enum TraceView<'a> {
    /// A record, and the time of its header, nanoseconds.
    Record(u64, RecordView<'a>),
    /// As in [`TraceItem::Repeated`]. Boxed, as it is rare and large.
    Repeated(Box<Record>),
    /// As in [`TraceItem::Damage`].
    Damage(Damage),
}

/// What comes next. It borrows nothing, so that a reader can go on if that is not what is looked for.
#[derive(Debug)]
pub(super) enum Step {
    /// A record of the kernel side at this place of the frame.
    Kernel(Header, Range<usize>),
    Host(HostRecord),
    Repeated(Box<Record>),
    Damage(Damage),
}

/// What a reader has met so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Records handed out.
    pub records: u64,
    /// Records of a kind that this version does not know.
    pub unknown: u64,
    /// Host records whose body could not be decoded.
    pub undecodable: u64,
    /// Frames that are damaged or missing.
    pub damaged_frames: u64,
    /// Bytes that were passed over.
    pub damaged_bytes: u64,
    /// Records of them that the file only repeats.
    pub repeated: u64,
    /// Whether the record handed out last is `End`: the recording ended in order.
    pub ended: bool,
    /// Whether the file ends in order and says that the recording goes on in the next one.
    pub continued: bool,
}

/// Reads one trace: an iterator of [`TraceItem`]. After an error it ends.
pub struct TraceReader<R> {
    start: Start,
    frames: Frames<R>,
    /// The current frame in the file.
    offset: u64,
    len: u64,
    /// Bytes of the current frame's records that were handed out.
    position: usize,
    /// The next record may be the copy of the file header.
    copy_expected: bool,
    pending: Option<Damage>,
    reading: Reading,
    failed: bool,
}

impl TraceReader<File> {
    /// Opens a trace file.
    ///
    /// # Errors
    /// [`TraceError`] if it is no trace, or nothing in it can be used.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        Self::from_reader(File::open(path)?)
    }
}

impl<R: Read> TraceReader<R> {
    /// Reads a trace from any stream. It is read in large pieces: needs no buffer of its own.
    ///
    /// # Errors
    /// [`TraceError`] if it is no trace, or nothing in it can be used.
    pub fn from_reader(inner: R) -> Result<Self, TraceError> {
        let mut window = Window::new(inner);
        let fixed = window.fill(FILE_HEADER_LEN)?;
        if fixed.is_empty() {
            return Err(TraceError::Empty);
        }
        let len = match opening(fixed) {
            Opening::Newer(file) => return Err(TraceError::newer(file)),
            Opening::Foreign => return Self::recover(window, TraceError::Foreign),
            Opening::Damaged => return Self::recover(window, TraceError::HeaderDamaged),
            Opening::Cut => FILE_HEADER_LEN,
            Opening::Header(len) => len,
        };
        let loaded = window.fill(len)?;
        let Some(header) = loaded.get(..len) else {
            let bytes = loaded.len();
            return Self::recover(window, TraceError::HeaderCut { bytes });
        };
        let Some((body, same_order)) = header_body(header) else {
            return Self::recover(window, TraceError::HeaderDamaged);
        };
        if !same_order {
            return Err(TraceError::ByteOrder);
        }
        let start = minicbor::decode(body).map_err(|_message| TraceError::HeaderDamaged)?;
        window.consume(len);
        Ok(Self::new(start, Frames::new(window)?))
    }

    /// What the trace is.
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// What was met so far.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Bytes of the stream that are read and done with.
    pub fn bytes_read(&self) -> u64 {
        self.frames.offset()
    }

    fn new(start: Start, frames: Frames<R>) -> Self {
        Self {
            start,
            frames,
            offset: 0,
            len: 0,
            position: 0,
            copy_expected: true,
            pending: None,
            reading: Reading::default(),
            failed: false,
        }
    }

    /// The header cannot be read, which is `error` unless its copy is found: the first record of the first frame.
    fn recover(window: Window<R>, error: TraceError) -> Result<Self, TraceError> {
        let mut frames = Frames::new(window)?;
        if !frames.find_first(RECOVERY_MAX)? {
            return Err(error);
        }
        let header_end = frames.offset();
        let first = frames.next()?;
        let (Some(FrameItem::Frame { offset, len, sequence: 0 }), Some((start, copy_len))) =
            (first, leading_start(frames.records()))
        else {
            return Err(TraceError::HeaderDamaged);
        };
        let damage = Damage { offset: 0, bytes: header_end, frames: 0, kind: DamageKind::Header };
        let reader = Self::new(start, frames);
        Ok(Self { offset, len, position: copy_len, copy_expected: false, pending: Some(damage), ..reader })
    }

    /// The next item; records are borrowed until then.
    ///
    /// # Errors
    /// What reading says. After an error it ends.
    pub fn next_view(&mut self) -> Option<Result<TraceView<'_>, TraceError>> {
        match self.advance() {
            Ok(step) => self.view(step?).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// What [`TraceReader::advance`] has found.
    pub(super) fn view(&self, step: Step) -> Option<TraceView<'_>> {
        Some(match step {
            Step::Kernel(header, place) => {
                let whole = self.frames.records().get(place).unwrap_or_default();
                TraceView::Record(header.time_ns, RecordView::of_kernel(header.kind, whole)?)
            }
            Step::Host(record) => TraceView::Record(record.time.as_ns(), RecordView::Host(record)),
            Step::Repeated(record) => TraceView::Repeated(record),
            Step::Damage(damage) => TraceView::Damage(damage),
        })
    }

    /// Goes to the next item; `None` at the end, and after an error.
    pub(super) fn advance(&mut self) -> Result<Option<Step>, TraceError> {
        if self.failed {
            return Ok(None);
        }
        let step = self.find();
        self.failed = step.is_err();
        step
    }

    fn find(&mut self) -> Result<Option<Step>, TraceError> {
        if let Some(damage) = self.pending.take() {
            return Ok(Some(self.report(damage)));
        }
        loop {
            let rest = self.frames.records().get(self.position..).unwrap_or_default();
            if rest.is_empty() {
                match self.frames.next()? {
                    None => return Ok(None),
                    Some(FrameItem::Damage(damage)) => {
                        self.position = usize::MAX;
                        return Ok(Some(self.report(damage)));
                    }
                    Some(FrameItem::Unknown(records)) => {
                        self.reading.unknown = self.reading.unknown.saturating_add(u64::from(records));
                    }
                    Some(FrameItem::Frame { offset, len, sequence }) => {
                        (self.offset, self.len, self.position) = (offset, len, 0);
                        self.copy_expected = sequence == 0;
                    }
                }
                continue;
            }
            let Ok((header, whole)) = record::cut(rest) else {
                self.position = usize::MAX;
                let damage = Damage { offset: self.offset, bytes: self.len, frames: 1, kind: DamageKind::Record };
                return Ok(Some(self.report(damage)));
            };
            let end = self.position.saturating_add(whole.len());
            let place = std::mem::replace(&mut self.position, end)..end;
            let is_first = std::mem::take(&mut self.copy_expected);
            let step = if header.kind < kind::HOST_KIND_FIRST {
                self.kernel(header, place)
            } else {
                let decoded = HostRecord::decode(&header, whole);
                self.host(decoded, header.reserved, is_first)
            };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    /// A record of the kernel side; `None` if its kind is not known.
    fn kernel(&mut self, header: Header, place: Range<usize>) -> Option<Step> {
        let whole = self.frames.records().get(place.clone()).unwrap_or_default();
        let Some(view) = RecordView::of_kernel(header.kind, whole) else {
            self.reading.unknown = self.reading.unknown.saturating_add(1);
            return None;
        };
        let repeated = (header.reserved & record_flag::REPEATED != 0).then(|| without_flags(view.into()));
        (self.reading.ended, self.reading.continued) = (false, false);
        self.reading.records = self.reading.records.saturating_add(1);
        Some(match repeated {
            None => Step::Kernel(header, place),
            Some(record) => self.repeated(record),
        })
    }

    /// A host record; `None` if there is nothing to hand out.
    fn host(&mut self, decoded: Result<Option<HostRecord>, DecodeError>, flags: u32, is_first: bool) -> Option<Step> {
        let record = match decoded {
            Ok(Some(HostRecord { body: HostBody::Start(_), .. })) if is_first => return None,
            Ok(Some(record)) => record,
            Ok(None) => {
                self.reading.unknown = self.reading.unknown.saturating_add(1);
                return None;
            }
            Err(_bad_body) => {
                self.reading.undecodable = self.reading.undecodable.saturating_add(1);
                return None;
            }
        };
        let is_end = matches!(record.body, HostBody::End);
        self.reading.continued = is_end && flags & record_flag::CONTINUED != 0;
        self.reading.ended = is_end && !self.reading.continued;
        if self.reading.continued {
            // it only seals the file
            return None;
        }
        self.reading.records = self.reading.records.saturating_add(1);
        let repeats = flags & record_flag::REPEATED != 0;
        Some(if repeats { self.repeated(Record::Host(record)) } else { Step::Host(record) })
    }

    fn repeated(&mut self, record: Record) -> Step {
        self.reading.repeated = self.reading.repeated.saturating_add(1);
        Step::Repeated(Box::new(record))
    }

    fn report(&mut self, damage: Damage) -> Step {
        self.reading.damaged_frames = self.reading.damaged_frames.saturating_add(damage.frames);
        self.reading.damaged_bytes = self.reading.damaged_bytes.saturating_add(damage.bytes);
        // what is torn off may have been more records
        self.reading.ended = false;
        self.reading.continued = false;
        Step::Damage(damage)
    }
}

impl<R: Read> Iterator for TraceReader<R> {
    type Item = Result<TraceItem, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let view = self.next_view()?;
        Some(view.map(|view| match view {
            TraceView::Record(_time, record) => TraceItem::Record(record.into()),
            TraceView::Repeated(record) => TraceItem::Repeated(*record),
            TraceView::Damage(damage) => TraceItem::Damage(damage),
        }))
    }
}

/// The start record at the front of `records`, and its length.
fn leading_start(records: &[u8]) -> Option<(Start, usize)> {
    let decoded = Record::decode(records).ok()?;
    match decoded.record {
        Some(Record::Host(HostRecord { body: HostBody::Start(start), .. })) => Some((*start, decoded.len)),
        _ => None,
    }
}

/// The record as it was in the stream.
fn without_flags(mut record: Record) -> Record {
    match &mut record {
        Record::Socket(record) => record.header.reserved &= !record_flag::REPEATED,
        Record::Packet(record) => record.header.reserved &= !record_flag::REPEATED,
        Record::Icmp(record) => record.header.reserved &= !record_flag::REPEATED,
        Record::Flow(record) => record.header.reserved &= !record_flag::REPEATED,
        Record::Handshake(record) => record.header.reserved &= !record_flag::REPEATED,
        Record::Process(record) => record.header.reserved &= !record_flag::REPEATED,
        Record::UnixConnect(record) => record.header.reserved &= !record_flag::REPEATED,
        Record::Host(_) => {}
    }
    record
}
