//! A trace as it would be if fewer namespaces had been watched.
//!
//! The programs look at the namespace of each thing before anything else, and send nothing of one that
//! is not watched. So the records of some namespaces are what a recording of these alone would have
//! got, but for the totals of ports, which are counted for all together.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use wherefore::record::{HEADER_LEN, HostBody, Record};
use wherefore::trace::{TraceItem, TraceReader, TraceWriter};

/// Where a record's header has the inode of its namespace (docs/trace-format.md).
const NETNS_AT: usize = 16;

/// Cuts a trace file down to these namespaces (inodes); the bytes are a trace file again.
///
/// # Errors
/// When the trace cannot be read, or is damaged.
pub fn cut(trace: &Path, namespaces: &[u64]) -> Result<Vec<u8>> {
    let reader = TraceReader::open(trace).with_context(|| format!("reading {}", trace.display()))?;
    let kept: BTreeSet<u32> = namespaces.iter().map(|inode| u32::try_from(*inode)).collect::<Result<_, _>>()?;
    let mut start = reader.start().clone();
    start.netns = kept.iter().copied().collect();
    let mut writer = TraceWriter::create(Vec::new(), &start)?;
    for item in reader {
        let record = match item? {
            TraceItem::Record(record) => record,
            TraceItem::Repeated(_) => continue,
            TraceItem::Damage(damage) => bail!("{} is damaged: {damage:?}", trace.display()),
        };
        if matches!(&record, Record::Host(host) if matches!(host.body, HostBody::Ports(_))) {
            continue;
        }
        let mut bytes = Vec::new();
        record.encode(&mut bytes)?;
        let netns = namespace(&bytes).context("a record without a header")?;
        // what speaks of no namespace is for all
        if netns == 0 || kept.contains(&netns) {
            writer.append(&bytes)?;
        }
    }
    Ok(writer.finish()?)
}

fn namespace(record: &[u8]) -> Option<u32> {
    let header = record.get(..HEADER_LEN)?;
    Some(u32::from_ne_bytes(header.get(NETNS_AT..NETNS_AT + 4)?.try_into().ok()?))
}
