//! Records as they lie in a buffer: what a trace's reader hands on, so that a record is copied once, to where
//! it is kept.

use std::marker::PhantomData;

use tracer_ebpf::kind;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    FlowRecord, HandshakeRecord, HostRecord, IcmpRecord, PacketRecord, ProcessRecord, Record, SocketRecord,
    UnixConnectRecord,
};

/// The bytes of a `T` in a buffer. A longer layout than this version knows is shortened, a shorter one is
/// filled with zeros.
#[derive(Clone, Copy, Debug)]
pub struct Unread<'a, T> {
    bytes: &'a [u8],
    layout: PhantomData<T>,
}

impl<'a, T: FromBytes + IntoBytes + Immutable + Default> Unread<'a, T> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, layout: PhantomData }
    }

    /// Reads it.
    #[inline]
    #[must_use]
    pub fn read(self) -> T {
        if let Ok((record, _rest)) = T::read_from_prefix(self.bytes) {
            return record;
        }
        let mut record = T::default();
        for (to, from) in record.as_mut_bytes().iter_mut().zip(self.bytes) {
            *to = *from;
        }
        record
    }
}

/// A [`Record`] that lies in a buffer. Only host records are read, as that may fail.
#[derive(Debug)]
pub enum RecordView<'a> {
    /// [`Record::Socket`]
    Socket(Unread<'a, SocketRecord>),
    /// [`Record::Packet`]
    Packet(Unread<'a, PacketRecord>),
    /// [`Record::Icmp`]
    Icmp(Unread<'a, IcmpRecord>),
    /// [`Record::Flow`]
    Flow(Unread<'a, FlowRecord>),
    /// [`Record::Handshake`]
    Handshake(Unread<'a, HandshakeRecord>),
    /// [`Record::Process`]
    Process(Unread<'a, ProcessRecord>),
    /// [`Record::UnixConnect`]
    UnixConnect(Unread<'a, UnixConnectRecord>),
    /// [`Record::Host`]
    Host(HostRecord),
}

impl<'a> RecordView<'a> {
    /// A record of the kernel side, by its kind; `None` if that is not known to this version.
    #[inline]
    #[must_use]
    pub fn of_kernel(record_kind: u16, whole: &'a [u8]) -> Option<Self> {
        Some(match record_kind {
            kind::SOCKET_STATE..=kind::CONNECT_UNSENT => Self::Socket(Unread::of(whole)),
            kind::PACKET_DROP..=kind::NETFILTER_RESET => Self::Packet(Unread::of(whole)),
            kind::ICMP_SENT | kind::ICMP_RECEIVED => Self::Icmp(Unread::of(whole)),
            kind::FLOW => Self::Flow(Unread::of(whole)),
            kind::SYN_ACK_RETRANSMIT | kind::LISTENER_FULL => Self::Handshake(Unread::of(whole)),
            kind::PROCESS_EXIT..=kind::OOM_VICTIM => Self::Process(Unread::of(whole)),
            kind::UNIX_CONNECT => Self::UnixConnect(Unread::of(whole)),
            _ => return None,
        })
    }
}

impl From<RecordView<'_>> for Record {
    fn from(view: RecordView<'_>) -> Self {
        match view {
            RecordView::Socket(unread) => Self::Socket(unread.read()),
            RecordView::Packet(unread) => Self::Packet(unread.read()),
            RecordView::Icmp(unread) => Self::Icmp(unread.read()),
            RecordView::Flow(unread) => Self::Flow(unread.read()),
            RecordView::Handshake(unread) => Self::Handshake(unread.read()),
            RecordView::Process(unread) => Self::Process(unread.read()),
            RecordView::UnixConnect(unread) => Self::UnixConnect(unread.read()),
            RecordView::Host(record) => Self::Host(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Header;

    #[test]
    fn a_longer_layout_is_shortened_and_a_shorter_one_filled_with_zeros() {
        let header = Header { kind: kind::PACKET_DROP, len: 104, time_ns: 7, netns: 3, ..Header::default() };
        let record = PacketRecord { header, seq: 9, ifindex: 2, ..PacketRecord::default() };
        let mut bytes = record.as_bytes().to_vec();
        bytes.extend([0xff; 8]);
        let check = |bytes: &[u8], expected: PacketRecord| {
            let view = RecordView::of_kernel(kind::PACKET_DROP, bytes);
            assert_eq!(view.map(Record::from), Some(Record::Packet(expected)));
            let decoded = Record::decode(bytes).unwrap();
            assert_eq!(decoded.record, Some(Record::Packet(expected)));
        };
        check(&bytes, record);
        bytes[2..4].copy_from_slice(&40_u16.to_ne_bytes());
        let header = Header { len: 40, ..header };
        let tuple = record.tuple;
        check(&bytes[..40], PacketRecord { header, tuple, ..PacketRecord::default() });
    }
}
