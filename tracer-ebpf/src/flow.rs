//! What is told of an established connection.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Tuple};

/// Values of [`FlowRecord::event`]: what happened.
pub mod flow_event {
    /// The head of a final response was seen, and its exchange is worth telling: a watched status, a
    /// health check answered badly, or a response where none should be.
    pub const RESPONSE: u8 = 1;
    /// This end sent its FIN with an exchange open, or with data unanswered.
    pub const FIN_SENT: u8 = 2;
    /// This end sent a RST.
    pub const RESET_SENT: u8 = 3;
    /// The peer's FIN came with an exchange open, or with data unanswered.
    pub const FIN_RECEIVED: u8 = 4;
    /// The peer's RST came.
    pub const RESET_RECEIVED: u8 = 5;
    /// The socket gave up: retransmissions or probes stayed unanswered.
    pub const TIMED_OUT: u8 = 6;
    /// The request has waited for so long that it counts as unanswered; told by user space.
    pub const WAITING: u8 = 7;
    /// Data was sent again for the third time: nothing comes back.
    pub const UNANSWERED: u8 = 8;
    /// Data came to a connection that this end had closed, its `TIME_WAIT` included.
    pub const LATE_DATA: u8 = 9;
    /// What the app sent where a response was due is no HTTP head.
    pub const MALFORMED: u8 = 10;
    /// The socket reached CLOSE with an exchange open and none of the above told.
    pub const CLOSED: u8 = 11;
}

/// Bits of [`FlowRecord::flags`].
pub mod flow_flag {
    /// This end accepted the connection; else it connected.
    pub const INBOUND: u32 = 1 << 0;
    /// The connection was there before recording began, or its beginning was not seen.
    pub const MID_STREAM: u32 = 1 << 1;
    /// An HTTP/1 head was seen on it.
    pub const HTTP: u32 = 1 << 2;
    /// It began with a TLS record.
    pub const TLS: u32 = 1 << 3;
    /// It began with the HTTP/2 preface.
    pub const HTTP2: u32 = 1 << 4;
    /// HTTP ended on it: 101, or 2xx to CONNECT.
    pub const UPGRADED: u32 = 1 << 5;
    /// What the client sent first is none of these.
    pub const NOT_HTTP: u32 = 1 << 6;
    /// A PROXY protocol header came first.
    pub const PROXY_HEADER: u32 = 1 << 7;
    /// The request's `User-Agent` is a known health checker's.
    pub const HEALTH_CHECK: u32 = 1 << 8;
    /// The exchange's request is whole.
    pub const REQUEST_COMPLETE: u32 = 1 << 9;
    /// The exchange's response is whole.
    pub const RESPONSE_COMPLETE: u32 = 1 << 10;
    /// This end had sent its FIN before.
    pub const FIN_SENT: u32 = 1 << 11;
    /// The peer's FIN had come before.
    pub const FIN_RECEIVED: u32 = 1 << 12;
    /// The task at whose hands it happened is dying (`PF_EXITING`, or its group is).
    pub const TASK_EXITING: u32 = 1 << 13;
    /// The port is not watched: the process serves one that is.
    pub const CHAINED: u32 = 1 << 14;
    /// When this end closed, unread data was thrown away; of an initiator that waits: it has not read all that came.
    pub const UNREAD_DATA: u32 = 1 << 15;
    /// Request or response announced the connection's end (`Connection: close`, HTTP/1.0).
    pub const CLOSE_ANNOUNCED: u32 = 1 << 16;
    /// This end sent a TLS alert.
    pub const ALERT_SENT: u32 = 1 << 17;
    /// Another protocol than plain HTTP plays a part, and this peer has been served on this port before: in the
    /// protocol that it began with, whichever that was.
    pub const SUCCEEDED_BEFORE: u32 = 1 << 18;
    /// The process has made HTTP requests of its own on followed connections.
    pub const FORWARDS: u32 = 1 << 19;
    /// This end had data that it had not been able to send: the peer took no more.
    pub const UNSENT_DATA: u32 = 1 << 20;
}

/// Values of [`FlowRecord::stage`]: how far the exchange's request got on this host.
pub mod stage {
    /// Not known, or it does not apply.
    pub const UNKNOWN: u8 = 0;
    /// The app has not accepted the connection (no file holds the socket).
    pub const NOT_ACCEPTED: u8 = 1;
    /// The app has not read all of the request.
    pub const NOT_READ: u8 = 2;
    /// The app has read it.
    pub const PROCESSING: u8 = 3;
}

/// [`FlowRecord::body_expected`] of a response that ends with the connection, or whose head was not seen.
pub const BODY_UNKNOWN: u64 = u64::MAX;
/// [`FlowRecord::body_expected`] of a chunked response.
pub const BODY_CHUNKED: u64 = u64::MAX - 1;

/// A connection of a watched port at a moment that may explain a failure. "Request" and "response" are
/// those of [`FlowRecord::exchange`]; where no HTTP was recognised, what the initiator sent last and
/// what was sent back since.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct FlowRecord {
    /// Kind is `FLOW` (in the ring also `FLOW_WITH_HEADS`).
    pub header: Header,
    /// `src` is the socket's own end.
    pub tuple: Tuple,
    /// Names the connection, for this boot: the same in all its records and in the host record
    /// `Exchange`; never a kernel address.
    pub id: u64,
    /// When it was established (`CLOCK_BOOTTIME`, ns); 0 if that was not seen.
    pub established_ns: u64,
    /// Inode of the socket in sockfs; 0 if it has none (yet).
    pub inode: u64,
    /// First byte of the request; 0 if there is none.
    pub request_start_ns: u64,
    /// Last byte of the request so far.
    pub request_end_ns: u64,
    /// First byte of the final response; 0 if there is none.
    pub response_start_ns: u64,
    /// Last byte of the response so far.
    pub response_end_ns: u64,
    /// When payload last passed before the request began, or without one before this event.
    pub idle_since_ns: u64,
    /// Payload bytes that the peer sent on this connection.
    pub received: u64,
    /// Payload bytes that this end sent.
    pub sent: u64,
    /// `Content-Length` of the response, [`BODY_UNKNOWN`] or [`BODY_CHUNKED`].
    pub body_expected: u64,
    /// Body bytes of the response so far.
    pub body_seen: u64,
    /// The initiator's ISN, host order; 0 if not known.
    pub isn: u32,
    /// [`flow_flag`].
    pub flags: u32,
    /// Thread group id of the socket's last reader, or of the task that connected; 0 if not known.
    pub pid: u32,
    /// Number of the exchange on this connection, from 1; 0 if there is none.
    pub exchange: u32,
    /// Requests that have begun and whose response is not whole.
    pub outstanding: u32,
    /// `sk_err`, positive errno; 0 if none.
    pub error: u32,
    /// Status code; 0 if none was seen.
    pub status: u16,
    /// [`flow_event`].
    pub event: u8,
    /// [`tcp_state`](crate::tcp_state) of the socket at that moment.
    pub tcp_state: u8,
    /// Retransmissions of what is unanswered.
    pub retransmits: u8,
    /// [`stage`].
    pub stage: u8,
    /// Zero.
    pub pad: [u8; 2],
    /// Comm of `pid`, zero padded.
    pub comm: [u8; 16],
}

/// Bytes of a request's head that are kept.
pub const REQUEST_HEAD_BYTES: usize = 1024;
/// Bytes of a response's head that are kept.
pub const RESPONSE_HEAD_BYTES: usize = 384;

/// Bytes of a PROXY protocol header that are kept: a whole one of version 1, and the addresses of version 2.
pub const PROXY_HEADER_BYTES: usize = 112;

/// A flow and the first bytes of its exchange's heads. Never leaves the capture side.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct FlowWithHeads {
    /// Its header's kind is `FLOW_WITH_HEADS`.
    pub flow: FlowRecord,
    /// Bytes of `request` that are there.
    pub request_len: u32,
    /// Bytes of `response` that are there.
    pub response_len: u32,
    /// From the request line on.
    pub request: [u8; REQUEST_HEAD_BYTES],
    /// From the status line on.
    pub response: [u8; RESPONSE_HEAD_BYTES],
    /// A PROXY protocol header's first bytes, zero padded.
    pub proxy: [u8; PROXY_HEADER_BYTES],
}

const _: () = {
    assert!(size_of::<FlowRecord>() == 208);
    assert!(size_of::<FlowWithHeads>().is_multiple_of(8));
};
