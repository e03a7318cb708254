//! The eBPF programs. Each file under `programs/` is one family of hooks; all of them filter by port
//! first, then by namespace, and reserve ring space only for what is out of the ordinary.
#![cfg_attr(target_arch = "bpf", no_std)]
#![no_main]
#![expect(
    clippy::cast_possible_truncation,
    reason = "arguments come as u64 whatever their type is, lengths and ports as u32: what is cut is known to be zero"
)]
#![expect(clippy::cast_possible_wrap, reason = "sequence numbers are compared by the sign of their difference")]
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
