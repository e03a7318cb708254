//! Records into the ring.

use core::sync::atomic::AtomicU64;

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use tracer_ebpf::{Header, WAKE_EVERY_NS, WAKE_FOR_PROCESS_EVERY_NS, kind, loss};

use super::maps::RECORDS;
use super::ports::{boot_ns, lost};

/// Header of a record of `T` that happened now. Its time is read before ring space is reserved.
#[inline(always)]
pub(super) fn header<T>(kind: u16, netns: u32) -> Header {
    // SAFETY: the helper takes nothing and cannot fail
    let cpu = unsafe { bpf_get_smp_processor_id() };
    Header { kind, len: size_of::<T>() as u16, cpu, time_ns: boot_ns(), netns, reserved: 0 }
}

/// When the reader was woken last (`CLOCK_BOOTTIME`, ns), and when by a record that names a process.
#[unsafe(no_mangle)]
static WOKEN: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Flags for a record: whether it wakes the reader. Without a jump, so that the verifier has but one way to follow.
#[inline(always)]
fn wakes(header: &Header) -> u64 {
    const { assert!(BPF_RB_FORCE_WAKEUP - 1 == BPF_RB_NO_WAKEUP) };
    let [woken, woken_for_process] = &WOKEN;
    let (woken, every_ns) = if names_process(header.kind) {
        (woken_for_process.as_ptr(), WAKE_FOR_PROCESS_EVERY_NS)
    } else {
        (woken.as_ptr(), WAKE_EVERY_NS)
    };
    // SAFETY: the static lives as long as the program; if two CPUs race, both wake the reader
    let last = unsafe { woken.read_volatile() };
    // all ones if it was woken lately, also by a CPU whose clock was read a moment later; else 0
    let lately = header.time_ns.wrapping_sub(last).wrapping_sub(every_ns).cast_signed() >> 63;
    let lately = core::hint::black_box(lately.cast_unsigned());
    // SAFETY: as above
    unsafe { woken.write_volatile(header.time_ns & !lately | last & lately) };
    u64::from(BPF_RB_FORCE_WAKEUP).wrapping_add(lately)
}

/// Whether user space looks up what a record's process is. Known when the programs are built, for nearly all of them.
#[inline(always)]
fn names_process(record_kind: u16) -> bool {
    matches!(
        record_kind,
        kind::SOCKET_STATE
            | kind::SYN_RETRANSMIT
            | kind::RESET_RECEIVED
            | kind::SOCKET_ERROR
            | kind::CONNECT_UNSENT
            | kind::UNIX_CONNECT
            | kind::PROCESS_EXIT
            | kind::PROCESS_EXEC
            | kind::OOM_VICTIM
    )
}

/// Reserves a record, zeroes it and lets `fill` write it in place (a copy on the stack would not fit
/// beside what the callers hold there); or counts the loss.
#[inline(always)]
pub(super) fn emit<T: 'static>(header: Header, fill: impl FnOnce(&mut T)) {
    let flags = wakes(&header);
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // SAFETY: the ring gave this memory for one T. All records are plain integers that begin
            // with a header, so zeroed bytes are a T, and a header fits at its start
            unsafe {
                record.write_bytes(0, 1);
                record.cast::<Header>().write(header);
                fill(&mut *record);
            }
            entry.submit(flags);
        }
        None => lost(loss::RING_FULL),
    }
}

/// As [`emit`], for a record of which `fill` sets every byte behind the header: to zero a large one takes
/// a loop that the verifier would walk each time.
#[inline(always)]
pub(super) fn emit_filled<T: 'static>(header: Header, fill: impl FnOnce(&mut T)) {
    let flags = wakes(&header);
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // SAFETY: the ring gave this memory for one T; a header fits at its start, and `fill` sets the rest
            unsafe {
                record.cast::<Header>().write(header);
                fill(&mut *record);
            }
            entry.submit(flags);
        }
        None => lost(loss::RING_FULL),
    }
}
