//! The record stream: kernel records and host records, in the order of the ring.

mod drop_reason;
mod exchange;
mod host;
mod pressure;
mod time;
mod view;

pub use drop_reason::is_ordinary_drop;
pub use exchange::{Exchange, ExchangeCount, ExchangeCounts, HealthChecker, HealthCheckers};
pub use host::{
    ClockPair, Hook, HostBody, Listener, ListenerEvent, Loss, Namespace, Neighbour, PathReport, PortCount, PortCounts,
    ProcessInfo, Start, Symbol, Tick, Watched,
};
pub use pressure::{Pressure, Publication, Publications, Rule, SuppressedCount, SuppressedCounts};
pub use time::BootTime;
pub use tracer_ebpf::{
    BODY_CHUNKED, BODY_UNKNOWN, FlowRecord, HandshakeRecord, Header, IcmpRecord, PacketRecord, ProcessRecord,
    SocketRecord, Tuple, UNIX_CONNECT_FAILURES, UnixConnectRecord, flow_event, flow_flag, handshake_flag, kind,
    packet_flag, process_flag, record_flag, socket_flag, stage, tcp_flag, tcp_state,
};
pub use view::{RecordView, Unread};

use thiserror::Error;
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a record's header.
pub const HEADER_LEN: usize = size_of::<Header>();

/// One record of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// What a socket of a watched port went through.
    Socket(SocketRecord),
    /// A TCP packet that was dropped or answered with a RST.
    Packet(PacketRecord),
    /// An ICMP error and the packet it quotes.
    Icmp(IcmpRecord),
    /// An established connection at a telling moment.
    Flow(FlowRecord),
    /// A handshake that a listener takes part in.
    Handshake(HandshakeRecord),
    /// A process that serves a watched port.
    Process(ProcessRecord),
    /// A connect() on a unix socket that failed.
    UnixConnect(UnixConnectRecord),
    /// What the capture side looked up.
    Host(HostRecord),
}

/// A host record: a fact that user space put into the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRecord {
    /// When it was read; `netns` where it speaks of one.
    pub time: BootTime,
    /// Inode of the namespace it speaks of; 0 if none.
    pub netns: u32,
    /// The fact.
    pub body: HostBody,
}

/// Why bytes are no record.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than a header, or than the header's length says.
    #[error("record needs {needed} bytes, {available} are left")]
    Truncated {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        available: usize,
    },
    /// A length that no record can have.
    #[error("record length {0} is impossible")]
    BadLength(u16),
    /// The body of a host record is damaged.
    #[error("host record of kind {kind}: {message}")]
    BadHostBody {
        /// Record kind.
        kind: u16,
        /// What the decoder said.
        message: String,
    },
}

/// A record cut off the front of a buffer.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// The record; `None` if its kind is not known to this version.
    pub record: Option<Record>,
    /// Its bytes, header and padding included.
    pub len: usize,
}

impl Record {
    /// Reads the record at the front of `bytes`. A longer layout than this version knows is
    /// shortened, a shorter one is filled with zeros.
    ///
    /// # Errors
    /// [`DecodeError`] if there is no whole record, or a host record's body cannot be read.
    pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let (header, whole) = cut(bytes)?;
        let record = if header.kind >= kind::HOST_KIND_FIRST {
            HostRecord::decode(&header, whole)?.map(Self::Host)
        } else {
            RecordView::of_kernel(header.kind, whole).map(Self::from)
        };
        Ok(Decoded { record, len: whole.len() })
    }

    /// Appends the record's bytes to `out`.
    ///
    /// # Errors
    /// [`DecodeError::BadLength`] for a host record over 64 KiB.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Socket(record) => out.extend_from_slice(record.as_bytes()),
            Self::Packet(record) => out.extend_from_slice(record.as_bytes()),
            Self::Icmp(record) => out.extend_from_slice(record.as_bytes()),
            Self::Flow(record) => out.extend_from_slice(record.as_bytes()),
            Self::Handshake(record) => out.extend_from_slice(record.as_bytes()),
            Self::Process(record) => out.extend_from_slice(record.as_bytes()),
            Self::UnixConnect(record) => out.extend_from_slice(record.as_bytes()),
            Self::Host(record) => return record.encode(out),
        }
        Ok(())
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> BootTime {
        BootTime::from_ns(match self {
            Self::Socket(record) => record.header.time_ns,
            Self::Packet(record) => record.header.time_ns,
            Self::Icmp(record) => record.header.time_ns,
            Self::Flow(record) => record.header.time_ns,
            Self::Handshake(record) => record.header.time_ns,
            Self::Process(record) => record.header.time_ns,
            Self::UnixConnect(record) => record.header.time_ns,
            Self::Host(record) => return record.time,
        })
    }
}

/// The header of the record at the front of `bytes`, and all of it.
///
/// # Errors
/// [`DecodeError`] if there is no whole record.
#[inline]
pub fn cut(bytes: &[u8]) -> Result<(Header, &[u8]), DecodeError> {
    let truncated = |needed| DecodeError::Truncated { needed, available: bytes.len() };
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_short| truncated(HEADER_LEN))?;
    let len = usize::from(header.len);
    if len < HEADER_LEN || !len.is_multiple_of(8) {
        return Err(DecodeError::BadLength(header.len));
    }
    let whole = bytes.get(..len).ok_or_else(|| truncated(len))?;
    Ok((header, whole))
}

impl HostRecord {
    /// Reads a whole record with this header; `None` if its kind is not known to this version.
    ///
    /// # Errors
    /// [`DecodeError::BadHostBody`] if its body cannot be read.
    pub fn decode(header: &Header, whole: &[u8]) -> Result<Option<Self>, DecodeError> {
        let body = whole.get(HEADER_LEN..).unwrap_or_default();
        let body = HostBody::decode(header.kind, body)
            .map_err(|error| DecodeError::BadHostBody { kind: header.kind, message: error.to_string() })?;
        let (time, netns) = (BootTime::from_ns(header.time_ns), header.netns);
        Ok(body.map(|body| Self { time, netns, body }))
    }

    /// Appends the record's bytes to `out`.
    ///
    /// # Errors
    /// [`DecodeError::BadLength`] if they would exceed 64 KiB; `out` is as before then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let start = out.len();
        out.resize(start.saturating_add(HEADER_LEN), 0);
        let kind = match self.body.encode(out) {
            Ok(kind) => kind,
            Err(error) => {
                out.truncate(start);
                return Err(DecodeError::BadHostBody { kind: 0, message: error.to_string() });
            }
        };
        let body_end = out.len();
        out.resize(body_end.next_multiple_of(8), 0);
        let Ok(len) = u16::try_from(out.len().saturating_sub(start)) else {
            out.truncate(start);
            return Err(DecodeError::BadLength(u16::MAX));
        };
        let header = Header { kind, len, cpu: u32::MAX, time_ns: self.time.as_ns(), netns: self.netns, reserved: 0 };
        if let Some(slot) = out.get_mut(start..start.saturating_add(HEADER_LEN)) {
            slot.copy_from_slice(header.as_bytes());
        }
        Ok(())
    }
}
