//! What the program itself costs, read at each scrape. The names are those that every Prometheus
//! client uses.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads /proc/self.
#[derive(Debug)]
pub(super) struct OwnCost;

/// What /proc/self/stat tells.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    /// User and system time, clock ticks.
    ticks: u64,
    /// Resident pages.
    pages: i64,
}

impl Collector for OwnCost {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(stat) {
            let cpu = ConstCounter::new(seconds(stat.ticks, rustix::param::clock_ticks_per_second()));
            let help = "Processor time that this program took";
            cpu.encode(encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), cpu.metric_type())?)?;
            let page = i64::try_from(rustix::param::page_size()).unwrap_or(i64::MAX);
            let resident = ConstGauge::new(stat.pages.saturating_mul(page));
            let (help, kind) = ("Memory of this program that is in RAM", resident.metric_type());
            let unit = Some(&Unit::Bytes);
            resident.encode(encoder.encode_descriptor("process_resident_memory", help, unit, kind)?)?;
        }
        if let Ok(directory) = fs::read_dir("/proc/self/fd") {
            // one of them is the directory itself
            let open = i64::try_from(directory.count()).unwrap_or(i64::MAX).saturating_sub(1);
            let open = ConstGauge::new(open);
            let help = "File descriptors that this program has open";
            open.encode(encoder.encode_descriptor("process_open_fds", help, None, open.metric_type())?)?;
        }
        Ok(())
    }
}

/// proc_pid_stat(5): utime is field 14, stime 15, rss 24. The second, the name in parentheses, may
/// hold anything.
fn stat(text: &str) -> Option<Stat> {
    const BEHIND_NAME: usize = 3;
    let (_, rest) = text.rsplit_once(')')?;
    let field = |number: usize| rest.split_whitespace().nth(number.checked_sub(BEHIND_NAME)?);
    let ticks = |number| field(number)?.parse::<u64>().ok();
    Some(Stat { ticks: ticks(14)?.saturating_add(ticks(15)?), pages: field(24)?.parse().ok()? })
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ticks, which is longer than any machine runs")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let text = "812 (a) b (c) S 1 812 812 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 9000 8192000 1234 184467";
        assert_eq!(stat(text), Some(Stat { ticks: 300, pages: 1234 }));
        assert_eq!(stat("812 (cut) S 1"), None);
        assert_eq!(stat(""), None);
        assert!((seconds(300, 100) - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn this_process_is_readable() {
        let read = stat(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(read.pages > 0);
    }
}
