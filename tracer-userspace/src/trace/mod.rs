//! Trace files: the record stream on disk. The format is specified in docs/trace-format.md.
//!
//! Writing: records, [`TraceWriter`], a file. Reading: a file, a sliding window of it, whole frames,
//! records ([`TraceReader`]), the records of several files ([`Replay`]). Damage is an item among the
//! records, not an error.

mod error;
mod format;
mod frames;
#[cfg(feature = "capture")]
mod known;
#[cfg(feature = "capture")]
mod lock;
mod reader;
#[cfg(feature = "capture")]
mod repeat;
mod replay;
#[cfg(feature = "capture")]
mod retention;
#[cfg(feature = "capture")]
mod rotation;
#[cfg(feature = "capture")]
mod seal;
mod window;
mod writer;

#[cfg(feature = "capture")]
mod file;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

pub use error::{Damage, DamageKind, TraceError, WriteError};
#[cfg(feature = "capture")]
pub use file::{TraceFile, sudo_group};
pub use format::{MAJOR, MINOR};
#[cfg(feature = "capture")]
pub use lock::refuse_if_taken;
pub use reader::{Reading, TraceItem, TraceReader, TraceView};
pub use replay::{Place, Replay, ReplayItem, Unusable};
#[cfg(feature = "capture")]
pub use retention::{Keep, MinFree};
#[cfg(feature = "capture")]
pub use rotation::{Policy, TraceDirectory};
#[cfg(feature = "capture")]
pub use seal::Sealed;
pub use writer::{Sink, TraceWriter};

use std::time::Duration;

use crate::record::{BootTime, HostBody, HostRecord, Record, Start};

/// How much of the stream each file repeats of those before it: silence is decided 4.3 s after the
/// first SYN, records may be 200 ms late, verdicts of one second are folded at its end.
pub const REPEATED: Duration = Duration::from_secs(8);

/// The record that a stream begins with. The writer puts it into the file by itself, and the reader
/// keeps it back; who feeds an engine pushes this first, live and at replay.
#[must_use]
pub fn start_record(start: &Start) -> Record {
    Record::Host(HostRecord {
        time: BootTime::from_ns(start.clock.boot_ns),
        netns: 0,
        body: HostBody::Start(Box::new(start.clone())),
    })
}
