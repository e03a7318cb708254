//! SYNs from all over a network, as fast as they are taken.

use std::net::SocketAddr;

use anyhow::Result;

use crate::lab::Family;
use crate::syn::{Forger, Syn};

/// SYNs under way at once: less than a processor's backlog holds (`net.core.netdev_max_backlog`, 1000).
const BURST: u64 = 512;

/// The networks that they come from, in the words of `ip route`: of those that are kept for tests (RFC 2544), and one
/// of the lab's own.
pub(crate) fn sources(family: Family) -> &'static str {
    match family {
        Family::V4 => "198.18.0.0/15",
        Family::V6 => "fd09:f::/64",
    }
}

/// One of them: each number another attempt, from another source.
fn syn(family: Family, to: SocketAddr, number: u32) -> Syn {
    // odd numbers have inverses: no two are alike
    let isn = number.wrapping_mul(0x9e37_79b1);
    let [_, low, high, port] = isn.to_be_bytes();
    let from = match family {
        Family::V4 => [198, 18 + (low & 1), high, low].into(),
        Family::V6 => [0xfd09, 0xf, 0, 0, 0, 0, u16::from(high), u16::from(low)].into(),
    };
    Syn { from, from_port: 0x400 | (u16::from(port) << 6), to, isn }
}

/// Packets that are made before they are sent.
#[derive(Debug)]
pub(crate) struct Packets {
    to: SocketAddr,
    bytes: Vec<u8>,
    length: usize,
}

impl Packets {
    /// The first so many of a flood.
    pub(crate) fn new(family: Family, to: SocketAddr, count: u32) -> Self {
        let mut packets = Self { to, bytes: Vec::new(), length: 1 };
        for number in 0..count {
            let packet = syn(family, to, number).packet();
            packets.length = packet.len();
            packets.bytes.extend(packet);
        }
        packets
    }

    /// Sends all of them from the namespace of the calling thread. After each [`BURST`] it waits until `arrived` says
    /// that so many have: a slow machine would drop the others before its TCP sees them.
    ///
    /// # Errors
    /// What the kernel says, and what `arrived` says.
    pub(crate) fn send(&self, arrived: impl Fn(u64) -> Result<()>) -> Result<()> {
        let forger = Forger::new(self.to)?;
        for (sent, packet) in (1..).zip(self.each()) {
            forger.send(packet)?;
            if sent % BURST == 0 {
                arrived(sent)?;
            }
        }
        Ok(())
    }

    /// All of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_packet_is_an_attempt_of_its_own() {
        for (family, to) in [(Family::V4, "10.9.2.2:8080"), (Family::V6, "[fd09:2::2]:8080")] {
            let packets = Packets::new(family, to.parse().unwrap(), 1000);
            assert_eq!(packets.length, if family == Family::V4 { 40 } else { 60 });
            let different: BTreeSet<&[u8]> = packets.each().collect();
            assert_eq!(different.len(), 1000);
        }
    }
}
