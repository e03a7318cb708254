//! Small files below /proc, read with a bound.

use std::fs::File;
use std::io::{self, Read as _};

/// Processes looked at in one scan, at most: the default of kernel.pid_max on large machines.
const PROCESSES_MAX: usize = 4_194_304;
/// Bytes read of one file, at most.
const FILE_MAX: u64 = 64 * 1024;

/// Process ids, ascending.
///
/// # Errors
/// If /proc cannot be read.
pub(super) fn pids() -> io::Result<Vec<u32>> {
    let mut pids: Vec<u32> = std::fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(PROCESSES_MAX)
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// What /proc/PID/`file` holds; `None` if the process is gone or hidden from us.
pub(super) fn read(pid: u32, file: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{file}")).ok()?.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The process's comm.
pub(super) fn comm(pid: u32) -> Option<String> {
    // a comm may itself hold a line break: only the last one is procfs's
    read(pid, "comm").map(|comm| comm.strip_suffix('\n').unwrap_or(&comm).to_owned())
}

/// Pid of the process's parent; 0 if it has none.
pub(super) fn parent(pid: u32) -> Option<u32> {
    // `pid (comm) state ppid ...`: the comm may hold anything, so count from its last bracket
    let stat = read(pid, "stat")?;
    let (_pid_and_comm, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found() {
        let pid = std::process::id();
        assert!(pids().unwrap().binary_search(&pid).is_ok());
        let comm = comm(pid).unwrap();
        assert!(!comm.is_empty() && !comm.ends_with('\n'), "{comm:?}");
        assert_eq!(parent(pid), Some(std::os::unix::process::parent_id()));
    }

    #[test]
    fn a_process_that_is_not_there_is_none() {
        // above the largest pid_max the kernel takes (2^22)
        assert_eq!(comm(5_000_000), None);
        assert_eq!(parent(5_000_000), None);
    }
}
