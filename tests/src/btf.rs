//! What the running kernel's own types (BTF) name.

use std::fs;
use std::sync::OnceLock;

/// Whether the kernel has a type, member or enumerator of this name; false if it has no BTF. Names stand in one
/// section, each behind a zero byte and before one (Documentation/bpf/btf.rst, "BTF_STR").
pub fn names(name: &str) -> bool {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default());
    contains(bytes, name)
}

fn contains(bytes: &[u8], name: &str) -> bool {
    let wanted = [&[0], name.as_bytes(), &[0]].concat();
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whole() {
        let bytes = b"\xeb\x9f\0sock\0sk_buff\0";
        assert!(contains(bytes, "sock") && contains(bytes, "sk_buff"));
        assert!(!contains(bytes, "sk") && !contains(bytes, "buff") && !contains(b"", "sock"));
    }
}
