//! Requests to the kernel over one netlink socket, and their answers.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use thiserror::Error;

/// Longest wait for one answer: the kernel answers while it takes the request, so this ends only a hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The kernel fills at most 32 KiB of a dump at once (`NLMSG_GOODSIZE`, `netlink_dump`).
const BUFFER_LEN: usize = 64 * 1024;
/// Messages of one dump, at most.
const MESSAGES_MAX: usize = 1 << 20;
/// A dump that the kernel marks as interrupted by a change is asked for this often.
const ATTEMPTS: usize = 3;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// The socket, the request or the wait for an answer.
    #[error("netlink {step} failed")]
    Io {
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel answered with an error.
    #[error("the kernel refused: {}", io::Error::from_raw_os_error(*.errno))]
    Refused {
        /// Positive errno.
        errno: i32,
    },
    /// The answer makes no sense.
    #[error("the kernel's answer cannot be read: {0}")]
    Unreadable(String),
    /// The answer does not end.
    #[error("the kernel's answer has over {MESSAGES_MAX} messages")]
    TooLong,
}

/// A message's type and payload, parsed by whoever asked.
struct Raw {
    kind: u16,
    payload: Vec<u8>,
}

impl NetlinkDeserializable for Raw {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self { kind: header.message_type, payload: payload.to_vec() })
    }
}

/// One netlink socket. It speaks of the namespace it was opened in, from whichever thread it is used.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace; no protocol is `NETLINK_ROUTE` (0).
    pub(super) fn open(protocol: Option<Protocol>) -> Result<Self, NetlinkError> {
        let failed = |source: rustix::io::Errno| NetlinkError::Io { step: "socket", source: source.into() };
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol).map_err(failed)?;
        // connected to the kernel: other processes cannot send to it
        connect(&socket, &SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_WITHIN)).map_err(failed)?;
        Ok(Self { socket, buffer: vec![0; BUFFER_LEN], sequence: 0 })
    }

    /// Asks for one object. After an error other than [`NetlinkError::Refused`] the socket may hold
    /// half an answer and is not to be used again.
    pub(super) fn get<M: NetlinkSerializable>(&mut self, request: M) -> Result<(u16, Vec<u8>), NetlinkError> {
        self.send(request, NLM_F_REQUEST)?;
        let mut answer = None;
        while answer.is_none() {
            self.receive(|message| {
                answer = Some((message.kind, message.payload));
                Ok(())
            })?;
        }
        answer.ok_or_else(|| NetlinkError::Unreadable("no message".to_owned()))
    }

    /// Asks for all objects and collects what `read` makes of each payload; it gives `None` for those
    /// not wanted. A dump that changed while it was made is made again, the last attempt stands.
    pub(super) fn dump<M: NetlinkSerializable + Clone, T>(
        &mut self,
        request: &M,
        mut read: impl FnMut(u16, &[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, NetlinkError> {
        let mut found = Vec::new();
        for _attempt in 0..ATTEMPTS {
            found.clear();
            let mut messages = 0_usize;
            let mut readable = false;
            let mut unreadable = None;
            self.send(request.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            let mut interrupted = false;
            loop {
                let batch = self.receive(|message| {
                    messages = messages.saturating_add(1);
                    match read(message.kind, &message.payload) {
                        Ok(item) => {
                            readable = true;
                            found.extend(item);
                        }
                        // one object of a shape this program does not know must not hide the others
                        Err(error) => unreadable = Some(error),
                    }
                    if messages > MESSAGES_MAX { Err(NetlinkError::TooLong) } else { Ok(()) }
                })?;
                interrupted |= batch.interrupted;
                if batch.done {
                    break;
                }
            }
            match unreadable {
                Some(error) if !readable => return Err(NetlinkError::Unreadable(error.to_string())),
                _ if interrupted => {}
                _ => break,
            }
        }
        Ok(found)
    }

    fn send<M: NetlinkSerializable>(&mut self, request: M, flags: u16) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        match send(&self.socket, &bytes, SendFlags::empty()) {
            Ok(_sent) => Ok(()),
            Err(errno) => Err(NetlinkError::Io { step: "request", source: errno.into() }),
        }
    }

    /// Receives one datagram and hands on its messages that answer the last request.
    fn receive(&mut self, mut take: impl FnMut(Raw) -> Result<(), NetlinkError>) -> Result<Batch, NetlinkError> {
        let failed = |errno: rustix::io::Errno| NetlinkError::Io { step: "answer", source: errno.into() };
        let len = loop {
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC) {
                Err(rustix::io::Errno::INTR) => {}
                outcome => break outcome.map_err(failed)?.1,
            }
        };
        let mut rest = self.buffer.get(..len).ok_or_else(|| {
            NetlinkError::Unreadable(format!("{len} bytes at once, {BUFFER_LEN} were expected at most"))
        })?;
        let mut batch = Batch::default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<Raw>::deserialize(rest)
                .map_err(|error| NetlinkError::Unreadable(error.to_string()))?;
            let (header, payload) = message.into_parts();
            let step = usize::try_from(header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(step..).unwrap_or_default();
            if header.sequence_number != self.sequence {
                continue;
            }
            batch.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
            match payload {
                NetlinkPayload::InnerMessage(raw) => take(raw)?,
                NetlinkPayload::Error(error) => refused(error.code.map_or(0, std::num::NonZeroI32::get))?,
                NetlinkPayload::Done(done) => {
                    refused(done.code)?;
                    batch.done = true;
                }
                NetlinkPayload::Overrun(_) => return Err(NetlinkError::Unreadable("overrun".to_owned())),
                _ => {}
            }
        }
        Ok(batch)
    }
}

/// What one datagram said beside its messages.
#[derive(Default)]
struct Batch {
    done: bool,
    interrupted: bool,
}

/// Netlink gives an errno as a negative number, and 0 for success.
fn refused(code: i32) -> Result<(), NetlinkError> {
    if code < 0 { Err(NetlinkError::Refused { errno: code.saturating_neg() }) } else { Ok(()) }
}
