//! What the C library keeps of memory that is no longer used.
//!
//! Starting takes far more than recording does: the kernel's types and symbols are read, and the programs
//! are linked. glibc would keep most of that for what may come, and after one large block has been freed
//! it would keep all up to twice as large ones, too. A program that runs for a year returns them.

/// Blocks from this size on are taken from the kernel one by one, and go back to it as they are freed.
/// That is glibc's own number; but to set it keeps it from growing (mallopt(3)).
#[cfg(target_env = "gnu")]
const LARGE_BYTES: i32 = 128 * 1024;

/// Has large blocks returned to the kernel as soon as they are freed. To be called before there are other
/// threads.
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers; no other thread allocates yet
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
    #[cfg(target_env = "gnu")]
    if taken == 0 {
        log::debug!("the allocator keeps large blocks");
    }
}

/// Returns what is free by now, whole pages of it.
pub fn return_what_is_free() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and only touches what is free
    let _any_returned = unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use super::*;

    /// KiB of this process's own memory that are in RAM.
    fn resident_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn what_is_freed_goes_back() {
        return_large_blocks();
        let mut blocks: Vec<Vec<u8>> = (0..30_000).map(|_| vec![1; 2_000]).collect();
        // the last one keeps those before it from being the heap's end
        let last = blocks.pop();
        let full = resident_kib();
        drop(blocks);
        return_what_is_free();
        let after = resident_kib();
        assert!(after + 40_000 < full, "{full} KiB, then {after}");
        drop(last);
    }
}
