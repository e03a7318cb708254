//! Records into the ring.

use core::sync::atomic::AtomicU64;

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use tracer_ebpf::{Header, WAKE_EVERY_NS, loss};

use super::maps::RECORDS;
use super::ports::{boot_ns, lost};

/// Header of a record of `T` that happened now. Its time is read before ring space is reserved.
#[inline(always)]
pub(super) fn header<T>(kind: u16, netns: u32) -> Header {
    // SAFETY: the helper takes nothing and cannot fail
    let cpu = unsafe { bpf_get_smp_processor_id() };
    Header { kind, len: size_of::<T>() as u16, cpu, time_ns: boot_ns(), netns, reserved: 0 }
}

/// When the reader was woken last (`CLOCK_BOOTTIME`, ns).
#[unsafe(no_mangle)]
static WOKEN: AtomicU64 = AtomicU64::new(0);

/// Flags for a record of this time: whether it wakes the reader. Without a jump, so that the verifier has but one
/// way to follow.
#[inline(always)]
fn wakes(time_ns: u64) -> u64 {
    const { assert!(BPF_RB_FORCE_WAKEUP - 1 == BPF_RB_NO_WAKEUP) };
    let woken = WOKEN.as_ptr();
    // SAFETY: the static lives as long as the program; if two CPUs race, both wake the reader
    let last = unsafe { woken.read_volatile() };
    // all ones if it was woken lately, also by a CPU whose clock was read a moment later; else 0
    let lately = time_ns.wrapping_sub(last).wrapping_sub(WAKE_EVERY_NS).cast_signed() >> 63;
    let lately = core::hint::black_box(lately.cast_unsigned());
    // SAFETY: as above
    unsafe { woken.write_volatile(time_ns & !lately | last & lately) };
    u64::from(BPF_RB_FORCE_WAKEUP).wrapping_add(lately)
}

/// Reserves a record, zeroes it and lets `fill` write it in place (a copy on the stack would not fit
/// beside what the callers hold there); or counts the loss.
#[inline(always)]
pub(super) fn emit<T: 'static>(header: Header, fill: impl FnOnce(&mut T)) {
    let flags = wakes(header.time_ns);
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
    let flags = wakes(header.time_ns);
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
