//! What of a process is in memory, by what it is.

use std::fs;

use anyhow::{Context as _, Result};

/// Resident memory in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    /// Heap, stacks and data.
    pub(crate) own: f64,
    /// What is mapped of files: the program itself. The kernel may take it back whenever it likes.
    pub(crate) file: f64,
    /// What is mapped of eBPF maps: the ring, whose pages are mapped twice so that no record is in two pieces.
    pub(crate) maps: f64,
}

impl Memory {
    /// Of a process.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Ok(Self::read(&fs::read_to_string(format!("/proc/{pid}/smaps")).context("its memory")?))
    }

    /// Reads /proc/PID/smaps (proc(5)).
    pub(crate) fn read(text: &str) -> Self {
        let mut memory = Self::default();
        let mut of_map = false;
        for line in text.lines() {
            let kib = |name: &str| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<f64>().ok();
            if line.split(' ').next().is_some_and(|range| range.contains('-')) {
                of_map = line.contains("bpf-map") || line.contains("bpf_map");
            } else if let Some(kib) = kib("Rss:") {
                *(if of_map { &mut memory.maps } else { &mut memory.file }) += kib / 1024.0;
            } else if let Some(kib) = kib("Anonymous:").filter(|_| !of_map) {
                memory.own += kib / 1024.0;
                memory.file -= kib / 1024.0;
            }
        }
        memory
    }
}

/// Memory of the eBPF maps that a process holds, as the kernel counts it.
///
/// # Errors
/// When it is gone.
pub(crate) fn maps_mib(pid: u32) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("its descriptors")?.flatten() {
        // one that has just been closed is none
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        if field("map_type:").is_some() {
            bytes += field("memlock:").and_then(|text| text.trim().parse::<f64>().ok()).unwrap_or(0.0);
        }
    }
    Ok(bytes / 1024.0 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0400000 r--p 00000000 fd:00 1  /usr/bin/wherefore
Rss:                4096 kB
Anonymous:          1024 kB
7f0000000000-7f0000800000 rw-p 00000000 00:00 0
Rss:                2048 kB
Anonymous:          2048 kB
7f1000000000-7f1001002000 r--s 00001000 00:0e 11  anon_inode:bpf-map
Rss:               16392 kB
Anonymous:             0 kB
";

    #[test]
    fn memory_is_told_apart() {
        let Memory { own, file, maps } = Memory::read(SMAPS);
        assert!(
            (own - 3.0).abs() < 1e-9 && (file - 3.0).abs() < 1e-9 && (maps - 16.0).abs() < 0.01,
            "{own} {file} {maps}"
        );
    }

    #[test]
    fn this_process_has_memory_and_no_maps() {
        let pid = std::process::id();
        let memory = Memory::of(pid).unwrap();
        assert!(memory.own > 0.1 && memory.file > 0.1, "{memory:?}");
        assert!(maps_mib(pid).unwrap() < 0.1);
    }
}
