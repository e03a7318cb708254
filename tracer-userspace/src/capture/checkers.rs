//! Who checks the health of the watched ports, as the programs have seen it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};
use tracer_ebpf::{Checker, Endpoints};
use zerocopy::{FromBytes, IntoBytes};

use super::kernel_maps::map;
use super::load::LoadError;
use crate::record::{BootTime, HealthChecker};
use crate::verdict::address;

/// An [`Endpoints`] as the map library takes it.
type RawEndpoints = [u8; size_of::<Endpoints>()];
/// A [`Checker`] as the map library takes it.
type RawChecker = [u64; size_of::<Checker>() / 8];

/// Who has been silent for so long is forgotten: the longest periods are 300 s.
const SILENT_FOR: Duration = Duration::from_mins(30);
/// Who came once and never again is forgotten sooner: a scan has many of those.
const ONCE_FOR: Duration = Duration::from_mins(6);

/// Who has come so often is one; before, it may be chance.
const CHECKS_MIN: u64 = 3;
/// Most that are told of one namespace.
const TOLD_MAX: usize = 64;

/// The map of health checkers.
pub(super) struct Checkers {
    map: HashMap<MapData, RawEndpoints, RawChecker>,
}

impl Checkers {
    /// Takes the map out of the loaded object.
    ///
    /// # Errors
    /// [`LoadError`] if the object lacks it.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self { map: map(ebpf, "CHECKERS")? })
    }

    /// Those of each namespace, the latest first. Forgets who has stopped long ago.
    pub(super) fn seen(&mut self, now: BootTime) -> BTreeMap<u32, Vec<HealthChecker>> {
        let all: Vec<(RawEndpoints, RawChecker)> = self.map.iter().flatten().collect();
        let mut seen: BTreeMap<u32, Vec<HealthChecker>> = BTreeMap::new();
        for (key, raw) in &all {
            let (Ok(ends), Ok(checker)) = (Endpoints::read_from_bytes(key), Checker::read_from_bytes(raw.as_bytes()))
            else {
                continue;
            };
            let silent = now.since(BootTime::from_ns(checker.last_ns));
            if silent > if checker.checks > 1 { SILENT_FOR } else { ONCE_FOR } {
                if let Err(error) = self.map.remove(key) {
                    log::debug!("a health checker is forgotten already: {error}");
                }
                continue;
            }
            if checker.checks >= CHECKS_MIN {
                seen.entry(ends.netns).or_default().push(HealthChecker {
                    address: address(ends.peer),
                    port: ends.port,
                    checks: checker.checks,
                    last_ns: checker.last_ns,
                    period_ns: checker.period_ns,
                    http: checker.by_name != 0,
                    steady: checker.steady,
                });
            }
        }
        for checkers in seen.values_mut() {
            checkers.sort_by_key(|checker| (Reverse(checker.last_ns), checker.address, checker.port));
            checkers.truncate(TOLD_MAX);
        }
        seen
    }
}
