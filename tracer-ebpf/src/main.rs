//! The eBPF programs. Each file under `programs/` is one family of hooks; all of them filter by port
//! first, then by namespace, and reserve ring space only for what is out of the ordinary.
#![cfg_attr(target_arch = "bpf", no_std)]
#![no_main]

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
