//! SYNs made by hand: no socket stands behind them, so any source, sequence number and checksum will do.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Bytes of a TCP header without options.
const LENGTH: usize = 20;

/// A SYN. Its source address is the sending host's, as the checksum counts it.
#[derive(Clone, Copy, Debug)]
pub struct Syn {
    /// The address that the route to the destination gives.
    pub from: IpAddr,
    /// Source port.
    pub from_port: u16,
    /// Where it goes.
    pub to: SocketAddr,
    /// Initial sequence number.
    pub isn: u32,
}

impl Syn {
    /// The TCP header, with the right checksum.
    pub fn header(&self) -> [u8; LENGTH] {
        let mut header = [0; LENGTH];
        header[0..2].copy_from_slice(&self.from_port.to_be_bytes());
        header[2..4].copy_from_slice(&self.to.port().to_be_bytes());
        header[4..8].copy_from_slice(&self.isn.to_be_bytes());
        // five words of header, SYN, a window
        header[12] = 5 << 4;
        header[13] = 2;
        header[14..16].copy_from_slice(&64_240_u16.to_be_bytes());
        let checksum = !self.sum(&header);
        header[16..18].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    /// The whole packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        const HOPS: u8 = 64;
        const TCP: u8 = 6;
        let length = u8::try_from(LENGTH).unwrap_or_default();
        let mut packet = match (self.from, self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut header = vec![0x45, 0, 0, 2 * length, 0, 0, 0, 0, HOPS, TCP, 0, 0];
                header.extend(from.octets().into_iter().chain(to.octets()));
                let [high, low] = (!fold(&header)).to_be_bytes();
                header.splice(10..12, [high, low]);
                header
            }
            (from, to) => {
                let bytes = |address: IpAddr| match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                let mut header = vec![0x60, 0, 0, 0, 0, length, TCP, HOPS];
                header.extend(bytes(from).into_iter().chain(bytes(to)));
                header
            }
        };
        packet.extend(self.header());
        packet
    }

    /// The sum of RFC 9293, 3.1, over the pseudo header and this header.
    fn sum(&self, header: &[u8; LENGTH]) -> u16 {
        let bytes = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let mut all = bytes(self.from);
        all.extend(bytes(self.to.ip()));
        all.extend([0, 6, 0, 20]);
        all.extend(header);
        fold(&all)
    }
}

/// The sum of the words of some bytes, as Internet checksums are made (RFC 1071).
fn fold(bytes: &[u8]) -> u16 {
    let words = bytes.iter().enumerate().map(|(at, byte)| u32::from(*byte) << if at % 2 == 0 { 8 } else { 0 });
    let sum: u32 = words.sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    u16::try_from((folded >> 16) + (folded & 0xffff)).unwrap_or(u16::MAX)
}

/// Sends SYNs from the namespace it was made in.
#[derive(Debug)]
pub struct Sender(Socket);

/// Sends SYNs whose sources are of their own making.
#[derive(Debug)]
pub struct Forger {
    socket: Socket,
    to: SockAddr,
}

impl Forger {
    /// `IPPROTO_RAW` (include/uapi/linux/in.h): what is sent has its IP header already.
    const WITH_HEADER: i32 = 255;

    /// For destinations of this one's family.
    ///
    /// # Errors
    /// When raw sockets are not allowed.
    pub fn new(to: SocketAddr) -> Result<Self> {
        let protocol = Protocol::from(Self::WITH_HEADER);
        let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(protocol)).context("a raw socket")?;
        Ok(Self { socket, to: SocketAddr::new(to.ip(), 0).into() })
    }

    /// Sends this packet. Its source may be anybody.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        self.socket.send_to(packet, &self.to).context("sending a SYN")?;
        Ok(())
    }
}

impl Sender {
    /// For destinations of this one's family.
    ///
    /// # Errors
    /// When raw sockets are not allowed.
    pub fn new(to: SocketAddr) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::TCP)).context("a raw socket")?;
        Ok(Self(socket))
    }

    /// Sends this header.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, header: &[u8], to: IpAddr) -> Result<()> {
        let to = SockAddr::from(SocketAddr::new(to, 0));
        self.0.send_to(header, &to).context("sending a SYN")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_sums_up_to_all_ones() {
        for (from, to) in [("10.9.1.2", "10.9.2.2:8080"), ("fd09:1::2", "[fd09:2::2]:8080")] {
            let syn = Syn { from: from.parse().unwrap(), from_port: 40_001, to: to.parse().unwrap(), isn: 0xdead_beef };
            assert_eq!(syn.sum(&syn.header()), 0xffff, "{from}");
            assert_eq!(syn.header()[13], 2);
            let packet = syn.packet();
            assert!(packet[0] >> 4 == 6 || fold(&packet[..LENGTH]) == 0xffff);
        }
    }
}
