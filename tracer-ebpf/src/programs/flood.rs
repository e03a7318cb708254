//! Floods: of each watched port and kind of failure so many attempts are told a second; of more, a part, which is
//! chosen by who the initiator is and its ISN, so that all hooks tell of the same attempts. What is left out is
//! counted.
//!
//! The part is 1 of 2^level. Each time that [`TOLD_MAX`] have been told within a second the level rises, and with
//! each second without that it falls by [`FALL`], so that a flood that goes on is told of about as often as one
//! that begins. All ports together have such a level, too. Whoever is told at one level is told at each below.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use tracer_ebpf::{PORT_SLOTS, SELF_TEST_SLOT, Suppressed};

use super::handshake::was_delivered;
use super::kernel::{DropReason, Kernel};
use super::ports::{Slot, boot_ns};

/// Records of one kind about one port until its level rises.
const TOLD_MAX: u32 = 1000;
/// Records of all until the level of all rises.
const TOLD_MAX_OF_ALL: u32 = 4000;
/// Levels lost with each second.
const FALL: u32 = 2;
/// One attempt of so many is told at least: 2^16.
const LEVEL_MAX: u32 = 16;
/// Kinds of failures.
const SIGNATURES: u32 = 3;
/// Place of all ports in [`FLOODS`].
const OF_ALL: u32 = PORT_SLOTS * SIGNATURES;

/// What kind of failure a record speaks of. All records of one attempt must have the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature(u32);

impl Signature {
    /// A SYN found no socket: the attempt's end.
    pub(super) const REFUSED: Self = Self(0);
    /// Netfilter dropped or rejected it.
    pub(super) const FILTERED: Self = Self(1);
    /// Whatever else.
    pub(super) const OTHER: Self = Self(2);

    /// Of a packet that was dropped for this reason. Where the kernel gives none, nothing is told apart.
    #[inline(always)]
    pub(super) fn of_drop(reason: DropReason) -> Self {
        if reason.is_netfilter_drop() {
            Self::FILTERED
        } else if DropReason::is_given() && !reason.is_no_socket() {
            Self::OTHER
        } else {
            Self::REFUSED
        }
    }

    #[inline(always)]
    fn place(self, slot: Slot) -> u32 {
        let kind = if DropReason::is_given() { self.0 } else { Self::REFUSED.0 };
        slot.number() * SIGNATURES + kind
    }
}

/// What is told of one kind.
#[repr(C)]
#[derive(Clone, Copy)]
struct Flood {
    /// The second (of the boot clock, 2^30 ns each) in which the level was set.
    set: u32,
    level: u32,
    /// A second, and how much was told in it.
    second: u32,
    told: u32,
}

impl Flood {
    #[inline(always)]
    fn level(&self, second: u32) -> u32 {
        let fallen = second.wrapping_sub(self.set).wrapping_mul(FALL);
        // long ago: no product of seconds is to be trusted
        if second.wrapping_sub(self.set) >= LEVEL_MAX || fallen >= self.level { 0 } else { self.level - fallen }
    }

    /// One more is told.
    #[inline(always)]
    fn count(&mut self, second: u32, level: u32, max: u32) {
        if self.second != second {
            self.second = second;
            self.told = 0;
        }
        self.told += 1;
        if self.told >= max {
            self.told = 0;
            self.set = second;
            self.level = if level < LEVEL_MAX { level + 1 } else { level };
        }
    }
}

/// By slot and signature, and last of all ports. CPUs share them: what one overwrites of another's is one record
/// more or less that is told.
#[map]
static FLOODS: Array<Flood> = Array::with_max_entries(OF_ALL + 1, 0);

/// What was decided last.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Decision {
    /// Address of the SYN's `struct sk_buff` while it is being answered and will be dropped next; else 0.
    skb: u64,
    /// When it was decided (`CLOCK_BOOTTIME`, ns).
    time_ns: u64,
    isn: u32,
    address: u32,
    port: u16,
    slot: u16,
    told: u32,
}

impl Decision {
    /// Whether it was about this initiator's SYN.
    #[inline(always)]
    fn is_of(&self, (address, port, isn): (u32, u16, u32)) -> bool {
        self.isn == isn && self.address == address && self.port == port
    }

    /// It is about none any more.
    #[inline(always)]
    fn forget(&mut self) {
        self.skb = 0;
        self.isn = 0;
        self.port = 0;
    }
}

/// The last refused SYN of this CPU: the RST that answers it and its drop are one attempt's.
#[map]
static DECIDED: PerCpuArray<Decision> = PerCpuArray::with_max_entries(1, 0);

/// By slot: what was left out.
#[map]
static SUPPRESSED: PerCpuArray<Suppressed> = PerCpuArray::with_max_entries(PORT_SLOTS, 0);

/// Whether a record of this attempt is told; `initiator` gives its address (its last 4 bytes), port and ISN. A port
/// that is not watched, and the self-test's, are always told of.
#[inline(always)]
pub(super) fn is_told(slot: Slot, signature: Signature, initiator: impl FnOnce() -> (u32, u16, u32)) -> bool {
    if slot.number() >= SELF_TEST_SLOT { true } else { is_told_at(boot_ns(), slot, signature, initiator) }
}

#[inline(always)]
fn is_told_at(time_ns: u64, slot: Slot, signature: Signature, initiator: impl FnOnce() -> (u32, u16, u32)) -> bool {
    let second = (time_ns >> 30) as u32;
    let Some(own) = FLOODS.get_ptr_mut(signature.place(slot)) else { return true };
    let Some(all) = FLOODS.get_ptr_mut(OF_ALL) else { return true };
    // SAFETY: plain integers, see the map
    let (own, all) = unsafe { (&mut *own, &mut *all) };
    let (own_level, level_of_all) = (own.level(second), all.level(second));
    let level = if own_level > level_of_all { own_level } else { level_of_all };
    let told = level == 0 || {
        let (address, port, isn) = initiator();
        let mixed = (address ^ isn.rotate_left(13) ^ u32::from(port)).wrapping_mul(0x9e37_79b1);
        mixed >> (32 - (level & 31)) == 0
    };
    if told {
        own.count(second, own_level, TOLD_MAX);
        all.count(second, level_of_all, TOLD_MAX_OF_ALL);
    } else {
        left_out(slot, 1, 0);
    }
    told
}

/// The same of a SYN that found no socket, of which there may be two records at once: the RST that answers it and
/// its drop. Each attempt is counted once. `skb` is the SYN's address if it is being answered, which its drop
/// follows, and 0 if it is being dropped.
#[inline(always)]
pub(super) fn refused_is_told(slot: Slot, skb: u64, initiator: (u32, u16, u32)) -> bool {
    if slot.number() >= SELF_TEST_SLOT {
        return true;
    }
    let Some(last) = DECIDED.get_ptr_mut(0) else { return true };
    // SAFETY: the element is this CPU's own
    let last = unsafe { &mut *last };
    if last.is_of(initiator) {
        last.forget();
        let told = last.told != 0;
        if !told {
            left_out(slot, 1, 0);
        }
        return told;
    }
    let time_ns = boot_ns();
    let told = is_told_at(time_ns, slot, Signature::REFUSED, || initiator);
    let (address, port, isn) = initiator;
    *last = Decision { skb, time_ns, isn, address, port, slot: slot.number() as u16, told: u32::from(told) };
    if !told {
        left_out(slot, 0, 1);
    }
    told
}

/// Whether a SYN that finds no socket is dropped whose RST this CPU has just left out. If so the drop is left out as
/// well, and the SYN counted, without a look at its headers.
#[inline(always)]
pub(super) fn refusal_was_left_out(skb: Kernel) -> bool {
    let Some(last) = DECIDED.get_ptr_mut(0) else { return false };
    // SAFETY: the element is this CPU's own
    let last = unsafe { &mut *last };
    if last.skb != skb.0 || last.told != 0 {
        return false;
    }
    let slot = Slot::of_number(last.slot);
    if !was_delivered(skb, last.isn, last.port) {
        let time_ns = last.time_ns;
        slot.count(|totals| {
            totals.syns += 1;
            totals.refused += 1;
            totals.last_syn_ns = time_ns;
        });
    }
    last.forget();
    left_out(slot, 1, 0);
    true
}

/// Whether this CPU is just answering the SYN of this initiator, which found no socket: its drop comes after.
#[inline(always)]
pub(super) fn is_being_refused(initiator: (u32, u16, u32)) -> bool {
    // SAFETY: the element is this CPU's own
    DECIDED.get_ptr(0).is_some_and(|last| unsafe { (*last).is_of(initiator) })
}

#[inline(always)]
fn left_out(slot: Slot, records: u64, refused: u64) {
    if let Some(left_out) = SUPPRESSED.get_ptr_mut(slot.number()) {
        // SAFETY: the element is this CPU's own
        let left_out = unsafe { &mut *left_out };
        left_out.records += records;
        left_out.refused += refused;
    }
}
