//! Floods: of each watched port so many attempts are told a second; of more, a part, which is chosen by who the
//! initiator is and its ISN, so that all hooks tell of the same attempts. What is left out is counted.
//!
//! The part is 1 of 2^level. Each time that a CPU has told [`TOLD_MAX`] within a second the level rises, and with
//! each second without that it falls by [`FALL`], so that a flood that goes on is told of about as often as one
//! that begins.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use tracer_ebpf::{PORT_SLOTS, Suppressed};

use super::attempt::Window;
use super::ports::{Slot, boot_ns};

/// Records of one CPU about one port until the level rises.
const TOLD_MAX: u32 = 1000;
/// Levels lost with each second.
const FALL: u32 = 2;
/// One attempt of so many is told at least: 2^16.
const LEVEL_MAX: u32 = 16;
/// Slots of watched ports and the self-test's.
const SLOTS: u32 = PORT_SLOTS + 1;

/// By slot: the second (of the boot clock, 2^30 ns each) in which the level was set, and the level.
#[map]
static FLOOD_LEVELS: Array<[u32; 2]> = Array::with_max_entries(SLOTS, 0);

/// By slot: what was told lately.
#[map]
static FLOOD_WINDOWS: PerCpuArray<Window> = PerCpuArray::with_max_entries(SLOTS, 0);

/// By slot: what was left out.
#[map]
static SUPPRESSED: PerCpuArray<Suppressed> = PerCpuArray::with_max_entries(SLOTS, 0);

/// Whether a record of this attempt is told; `initiator` gives its address (its last 4 bytes), port and ISN, and
/// is asked for only in a flood. `refused`: the record is of a SYN that found no socket, the attempt's only one.
#[inline(always)]
pub(super) fn is_told(slot: Slot, refused: bool, initiator: impl FnOnce() -> (u32, u16, u32)) -> bool {
    let second = (boot_ns() >> 30) as u32;
    let Some(level) = FLOOD_LEVELS.get_ptr_mut(slot.number()) else { return true };
    // SAFETY: two integers; of two CPUs that set them at once, either is right
    let (set, was) = unsafe { ((*level)[0], (*level)[1]) };
    let fallen = second.wrapping_sub(set).wrapping_mul(FALL);
    let now = if fallen < was { was - fallen } else { 0 };
    if now != 0 {
        let (address, port, isn) = initiator();
        let mixed = (address ^ isn.rotate_left(13) ^ u32::from(port)).wrapping_mul(0x9e37_79b1);
        if mixed >> (32 - (now & 31)) != 0 {
            if let Some(left_out) = SUPPRESSED.get_ptr_mut(slot.number()) {
                // SAFETY: the element is this CPU's own
                unsafe {
                    (*left_out).records += 1;
                    (*left_out).refused += u64::from(refused);
                }
            }
            return false;
        }
    }
    let Some(window) = FLOOD_WINDOWS.get_ptr_mut(slot.number()) else { return true };
    // SAFETY: the map's values are Windows, of this CPU alone
    let window = unsafe { &mut *window };
    if window.second != second {
        *window = Window { second, count: 0 };
    }
    window.count += 1;
    if window.count >= TOLD_MAX {
        window.count = 0;
        let raised = if now < LEVEL_MAX { now + 1 } else { now };
        // SAFETY: as above
        unsafe { *level = [second, raised] };
    }
    true
}
