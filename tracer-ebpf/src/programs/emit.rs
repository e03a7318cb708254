//! Records into the ring.

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use tracer_ebpf::{Header, loss};

use super::maps::RECORDS;
use super::ports::{boot_ns, lost};

/// Header of a record of `T` that happened now. Its time is read before ring space is reserved.
#[inline(always)]
pub(super) fn header<T>(kind: u16, netns: u32) -> Header {
    // SAFETY: the helper takes nothing and cannot fail
    let cpu = unsafe { bpf_get_smp_processor_id() };
    Header { kind, len: size_of::<T>() as u16, cpu, time_ns: boot_ns(), netns, reserved: 0 }
}

/// Reserves a record, zeroes it and lets `fill` write it in place (a copy on the stack would not fit
/// beside what the callers hold there); or counts the loss.
#[inline(always)]
pub(super) fn emit<T: 'static>(header: Header, fill: impl FnOnce(&mut T)) {
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
            entry.submit(0);
        }
        None => lost(loss::RING_FULL),
    }
}

/// As [`emit`], for a record of which `fill` sets every byte behind the header: to zero a large one takes
/// a loop that the verifier would walk each time.
#[inline(always)]
pub(super) fn emit_filled<T: 'static>(header: Header, fill: impl FnOnce(&mut T)) {
    match RECORDS.reserve::<T>(0) {
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // SAFETY: the ring gave this memory for one T; a header fits at its start, and `fill` sets the rest
            unsafe {
                record.cast::<Header>().write(header);
                fill(&mut *record);
            }
            entry.submit(0);
        }
        None => lost(loss::RING_FULL),
    }
}
