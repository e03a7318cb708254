//! What a process takes at one moment, from /proc.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::wait::now;
use crate::weigh::memory::Memory;

/// Clock ticks a second, in /proc/PID/stat: the same on every Linux that this runs on.
const TICKS: f64 = 100.0;
/// Processor time is looked at over at least this long.
const PROCESSOR_OVER: Duration = Duration::from_secs(2);

/// What a process takes; numbers, so that they can be compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Resident; the mappings of eBPF maps apart.
    pub(super) memory_mib: f64,
    pub(super) descriptors: f64,
    pub(super) threads: f64,
    pub(super) maps: f64,
    pub(super) maps_mib: f64,
    pub(super) processor_percent: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_mib, descriptors, processor_percent, .. } = self;
        write!(f, "{memory_mib:.1} MiB, {descriptors} descriptors, {processor_percent:.1}% of a core")
    }
}

/// Looks at one process again and again.
pub(super) struct Sampler {
    process: PathBuf,
    /// Processor time at a moment, from which the share is taken.
    before: (Instant, f64),
    processor_percent: f64,
}

impl Sampler {
    pub(super) fn new(pid: u32) -> Result<Self> {
        let mut sampler =
            Self { process: PathBuf::from(format!("/proc/{pid}")), before: (now(), 0.0), processor_percent: 0.0 };
        sampler.before.1 = sampler.processor_seconds()?;
        Ok(sampler)
    }

    pub(super) fn sample(&mut self) -> Result<Sample> {
        let status = self.read("status")?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {name}"))?;
            Ok(number.parse()?)
        };
        let (maps, maps_bytes) = self.maps()?;
        let Memory { own, file, .. } = Memory::read(&self.read("smaps")?);
        let (then, seconds) = self.before;
        let over = now().duration_since(then);
        if over >= PROCESSOR_OVER {
            let total = self.processor_seconds()?;
            self.processor_percent = (total - seconds) / over.as_secs_f64() * 100.0;
            self.before = (now(), total);
        }
        Ok(Sample {
            memory_mib: own + file,
            descriptors: f64::from(u32::try_from(self.entries("fd")?.len())?),
            threads: field("Threads")?,
            maps,
            maps_mib: maps_bytes / 1024.0 / 1024.0,
            processor_percent: self.processor_percent,
        })
    }

    fn read(&self, name: &str) -> Result<String> {
        let path = self.process.join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    fn entries(&self, name: &str) -> Result<Vec<PathBuf>> {
        let path = self.process.join(name);
        let entries = fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    }

    /// eBPF maps that it holds, and their bytes as the kernel counts them.
    fn maps(&self) -> Result<(f64, f64)> {
        let (mut count, mut bytes) = (0.0, 0.0);
        for path in self.entries("fdinfo")? {
            // one that has just been closed is none
            let info = fs::read_to_string(path).unwrap_or_default();
            let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            if field("map_type").is_some() {
                count += 1.0;
                bytes += field("memlock").and_then(|text| text.trim().parse::<f64>().ok()).unwrap_or(0.0);
            }
        }
        Ok((count, bytes))
    }

    /// Since its start, in user and kernel mode.
    fn processor_seconds(&self) -> Result<f64> {
        let stat = self.read("stat")?;
        // the name in brackets may have spaces; utime and stime are fields 14 and 15 (proc(5))
        let (_name, rest) = stat.rsplit_once(") ").context("no name in stat")?;
        let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let mut sampler = Sampler::new(std::process::id()).unwrap();
        let sample = sampler.sample().unwrap();
        assert!(sample.memory_mib > 0.5 && sample.descriptors >= 3.0 && sample.threads >= 1.0, "{sample:?}");
        assert!(sampler.processor_seconds().unwrap() >= 0.0);
    }
}
