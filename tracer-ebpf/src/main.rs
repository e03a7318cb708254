//! The eBPF programs. Each file under `programs/` is one family of hooks; all of them filter by port
//! first, then by namespace, and reserve ring space only for what is out of the ordinary.
#![cfg_attr(target_arch = "bpf", no_std)]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::cast_possible_truncation,
    reason = "arguments come as u64 whatever their type is, lengths and ports as u32: what is cut is known to be zero"
)]
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "sequence numbers are compared by the sign of their difference, and counters may count down"
)]
#![expect(clippy::cast_ptr_alignment, reason = "the eBPF machine loads and stores at any address")]
#![expect(clippy::struct_field_names, reason = "a record's event is its event")]
#![expect(clippy::manual_checked_ops, reason = "a checked division would bring a panic with it")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "reading a member through a raw context or map pointer is several operations with one justification"
)]

mod programs;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// GPL-only helpers (probe reads, boot time) need a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
