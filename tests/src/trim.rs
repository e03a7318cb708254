//! A trace without the time before anything happened in it, and long after.
//!
//! A recorder that many scenarios share runs for much longer than each of them takes: of most of the
//! time there are ticks alone, and of other scenarios' processes there are names. Nothing is decided
//! from these.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use wherefore::record::{BootTime, HostBody, Record};
use wherefore::trace::{REPEATED, TraceItem, TraceReader, TraceWriter};

/// Takes the bytes of a trace file, and gives those of a shorter one that says the same.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn trim(trace: &[u8]) -> Result<Vec<u8>> {
    let reader = TraceReader::from_reader(trace)?;
    let start = reader.start().clone();
    let records = reader
        .map(|item| match item? {
            TraceItem::Record(record) | TraceItem::Repeated(record) => Ok(record),
            TraceItem::Damage(damage) => bail!("the trace is damaged: {damage:?}"),
        })
        .collect::<Result<Vec<_>>>()?;
    let seen = records.iter().filter(|record| !matches!(record, Record::Host(_)));
    let times: BTreeSet<BootTime> = seen.map(Record::time).collect();
    let (first, last) = match (times.first(), times.last()) {
        (Some(first), Some(last)) => (first.before(REPEATED), last.after(REPEATED)),
        // nothing happened
        _ => records.last().map(|last| (last.time(), last.time())).context("the trace is empty")?,
    };
    let processes = processes(&records);
    let mut writer = TraceWriter::create(Vec::new(), &start)?;
    for record in &records {
        let needed = match record {
            Record::Host(host) => match &host.body {
                HostBody::Tick(_) => (first..=last).contains(&host.time),
                HostBody::Process(process) => processes.contains(&process.pid),
                _ => true,
            },
            _ => true,
        };
        if needed {
            let mut bytes = Vec::new();
            record.encode(&mut bytes)?;
            writer.append(&bytes)?;
        }
    }
    Ok(writer.finish()?)
}

/// Processes that a socket or a listener belongs to.
fn processes(records: &[Record]) -> BTreeSet<u32> {
    let owner = |record: &Record| match record {
        Record::Socket(socket) => Some(socket.pid),
        Record::Host(host) => match &host.body {
            HostBody::Listener(listener) => Some(listener.pid),
            _ => None,
        },
        _ => None,
    };
    records.iter().filter_map(owner).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use wherefore::record::{
        Header, HostRecord, Listener, ListenerEvent, ProcessInfo, SocketRecord, Start, Tick, kind,
    };

    use super::*;

    /// A trace of these records.
    pub(crate) fn trace(records: &[Record]) -> Vec<u8> {
        let mut writer = TraceWriter::create(Vec::new(), &Start::default()).unwrap();
        let end = host(0, HostBody::End);
        for record in records.iter().chain([&end]) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes).unwrap();
            writer.append(&bytes).unwrap();
        }
        writer.finish().unwrap()
    }

    fn at(seconds: u64) -> BootTime {
        BootTime::from_ns(Duration::from_secs(seconds).as_nanos().try_into().unwrap())
    }

    fn host(seconds: u64, body: HostBody) -> Record {
        Record::Host(HostRecord { time: at(seconds), netns: 0, body })
    }

    fn tick(seconds: u64) -> Record {
        host(seconds, HostBody::Tick(Tick::default()))
    }

    fn listener(pid: u32) -> Listener {
        Listener {
            inode: 1,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 80,
            v6_only: false,
            pid,
            backlog: (0, 0),
            event: ListenerEvent::Present,
        }
    }

    fn process(pid: u32) -> Record {
        host(1, HostBody::Process(ProcessInfo { pid, ..ProcessInfo::default() }))
    }

    fn socket(seconds: u64, pid: u32) -> Record {
        let len = u16::try_from(size_of::<SocketRecord>()).unwrap();
        let header =
            Header { kind: kind::SOCKET_STATE, len, time_ns: at(seconds).as_ns(), netns: 7, ..Header::default() };
        Record::Socket(SocketRecord { header, pid, ..SocketRecord::default() })
    }

    #[test]
    fn ticks_far_from_everything_and_strangers_go() {
        let listener = host(1, HostBody::Listener(listener(5)));
        let kept =
            [process(4), process(5), listener, tick(12), tick(20), socket(20, 4), tick(21), socket(22, 4), tick(30)];
        let mut all = kept.to_vec();
        all.insert(2, process(6));
        all.splice(4..4, [tick(1), tick(11)]);
        all.extend([tick(31), tick(99)]);
        assert_eq!(trim(&trace(&all)).unwrap(), trace(&kept));
    }

    #[test]
    fn where_nothing_happened_little_is_left() {
        assert_eq!(trim(&trace(&[tick(1), tick(2)])).unwrap(), trace(&[]));
        assert!(trim(b"no trace").is_err());
    }
}
