//! How large the maps are whose size depends on the host.
//!
//! Elements are allocated in advance: before Linux 6.1 a program at a tracepoint cannot allocate any without
//! the danger of a deadlock (`check_map_prog_compatibility`, kernel/bpf/verifier.c).

use tracer_ebpf::FLOWS;

/// Memory of a host for each connection that is followed at most. Its socket alone takes several KiB, so a
/// host that has less does not come to so many.
const BYTES_PER_FLOW: u64 = 16 * 1024;

/// Connections that are followed on the smallest host.
const FLOWS_MIN: u32 = 8_192;

/// Attempts in trouble that are remembered where drops have no reasons. A refused SYN cannot be told there from one
/// that may yet succeed, so each that a flood is told of is remembered: 3,000 a second, for up to 15 s.
const TROUBLED_WITHOUT_REASONS: u32 = 65_536;

/// Sizes other than those that the programs are built with, by map. `memory_bytes` is the host's, if known.
pub(super) fn sizes(
    follows_flows: bool,
    drops_have_reasons: bool,
    memory_bytes: Option<u64>,
) -> Vec<(&'static str, u32)> {
    let mut sizes = if follows_flows {
        let fitting = memory_bytes.map_or(FLOWS, |bytes| u32::try_from(bytes / BYTES_PER_FLOW).unwrap_or(FLOWS));
        vec![("FLOWS_MAP", fitting.clamp(FLOWS_MIN, FLOWS))]
    } else {
        // nothing is ever put into them
        vec![("FLOWS_MAP", 1), ("TEXTS_MAP", 1), ("OPEN_EXCHANGES", 1)]
    };
    if !drops_have_reasons {
        sizes.push(("TROUBLED", TROUBLED_WITHOUT_REASONS));
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_host_follows_fewer_connections() {
        let check = |mib: Option<u64>, expected| {
            assert_eq!(sizes(true, true, mib.map(|mib| mib << 20)), [("FLOWS_MAP", expected)], "{mib:?}");
        };
        check(None, FLOWS);
        check(Some(1 << 20), FLOWS);
        check(Some(2048), FLOWS);
        check(Some(1024), FLOWS / 2);
        check(Some(480), 30_720);
        check(Some(64), FLOWS_MIN);
    }

    #[test]
    fn without_reasons_more_attempts_are_in_trouble() {
        let troubled = |reasons| sizes(true, reasons, None).into_iter().find(|(name, _size)| *name == "TROUBLED");
        assert_eq!(troubled(true), None);
        assert_eq!(troubled(false), Some(("TROUBLED", TROUBLED_WITHOUT_REASONS)));
    }

    #[test]
    fn without_http_they_hold_nothing() {
        assert!(sizes(false, true, None).iter().all(|(_name, size)| *size == 1));
    }
}
