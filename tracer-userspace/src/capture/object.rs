//! The eBPF programs, compiled by the build script and embedded here.

/// The ELF object, aligned as its parser wants it.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("WHEREFORE_EBPF_OBJECT"));

#[cfg(test)]
mod tests {
    use super::OBJECT;

    /// `EM_BPF` of elf.h.
    const MACHINE_BPF: u16 = 247;

    #[test]
    fn object_is_bpf_of_this_machines_byte_order_and_aligned() {
        assert_eq!(&OBJECT[..4], b"\x7fELF");
        assert_eq!(OBJECT[5], if cfg!(target_endian = "little") { 1 } else { 2 });
        assert_eq!(u16::from_ne_bytes([OBJECT[18], OBJECT[19]]), MACHINE_BPF);
        assert_eq!(OBJECT.as_ptr().addr() % align_of::<u64>(), 0);
    }
}
