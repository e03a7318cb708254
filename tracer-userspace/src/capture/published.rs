//! Published ports: which sockets stand behind the watched ports by destination NAT.

use tracer_ebpf::PORT_SLOTS;

use super::firewall::RuleFinder;
use super::host::Host;
use crate::record::{BootTime, HostBody, HostRecord, Publications, Record};

/// Namespaces whose NAT rules are read, at most: the host's own and those that were named.
const NAMESPACES_MAX: usize = 64;

/// The published ports of the namespaces where there are any, by their inodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Published(Vec<(u32, Publications)>);

impl Published {
    /// Reads the NAT rules now.
    pub(super) fn read(host: &Host, rules: &RuleFinder, ports: &[u16]) -> Self {
        let own = host.namespaces().own();
        let named = host.selected_inodes();
        let chosen = host
            .namespaces()
            .iter()
            .filter(|one| host.selection().watches(one.inode) && (one.inode == own || named.contains(&one.inode)));
        let chosen: Vec<_> = chosen.collect();
        if chosen.len() > NAMESPACES_MAX {
            log::warn!("published ports are looked for in {NAMESPACES_MAX} of {} network namespaces", chosen.len());
        }
        let found = chosen.into_iter().take(NAMESPACES_MAX).map(|one| (one.inode, rules.publications(one, ports)));
        Self(found.filter(|(_inode, publications)| !publications.publications.is_empty()).collect())
    }

    /// These ports and those of the sockets behind them, ascending, as many as can be watched.
    pub(super) fn with_targets(&self, ports: &[u16]) -> Vec<u16> {
        let mut all = ports.to_vec();
        let targets = self.0.iter().flat_map(|(_inode, publications)| &publications.publications);
        for port in targets.map(|publication| publication.target.port()) {
            if all.contains(&port) {
                continue;
            }
            if all.len() >= PORT_SLOTS as usize {
                log::warn!("not all sockets behind published ports are watched: there is room for {PORT_SLOTS} ports");
                break;
            }
            all.push(port);
        }
        all.sort_unstable();
        all
    }

    /// What the stream is told.
    pub(super) fn records(&self, now: BootTime) -> impl Iterator<Item = Record> {
        self.0.iter().map(move |(netns, publications)| {
            let body = HostBody::Publications(publications.clone());
            Record::Host(HostRecord { time: now, netns: *netns, body })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Publication;

    #[test]
    fn ports_behind_published_ones_are_watched_as_well_within_bounds() {
        let publication = |port, target: &str| Publication { port, address: None, target: target.parse().unwrap() };
        let publications = vec![publication(80, "172.17.0.2:8080"), publication(81, "[fd00::2]:80")];
        let published = Published(vec![(7, Publications { publications })]);
        assert_eq!(published.with_targets(&[80, 81]), [80, 81, 8080]);
        let many: Vec<u16> = (100..164).collect();
        assert_eq!(published.with_targets(&many), many);
        assert_eq!(published.records(BootTime::default()).count(), 1);
        assert_eq!(Published::default().with_targets(&[80]), [80]);
    }
}
