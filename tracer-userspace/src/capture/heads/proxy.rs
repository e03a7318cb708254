//! The client that a PROXY protocol header names (haproxy's proxy-protocol.txt, versions 1 and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY. LOCAL speaks of the proxy's own connection.
const V2_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Address and port of the client, as text; `None` if the header names none or is cut before it.
pub(super) fn client(header: &[u8]) -> Option<String> {
    let client = if let Some(rest) = header.strip_prefix(SIGNATURE) { binary(rest) } else { line(header) };
    client.map(|client| SocketAddr::new(client.ip().to_canonical(), client.port()).to_string())
}

/// `PROXY TCP4 192.0.2.7 203.0.113.9 40001 80` and a line end.
fn line(header: &[u8]) -> Option<SocketAddr> {
    let end = memchr::memchr(b'\r', header)?;
    let line = std::str::from_utf8(header.get(..end)?).ok()?;
    let mut words = line.strip_prefix("PROXY ")?.split(' ');
    if !matches!(words.next()?, "TCP4" | "TCP6") {
        return None;
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let port = words.nth(1)?.parse().ok()?;
    Some(SocketAddr::new(source, port))
}

fn binary(rest: &[u8]) -> Option<SocketAddr> {
    let ([command, family, length_high, length_low], addresses) = rest.split_first_chunk()?;
    if *command != V2_PROXY {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
    // fields after the addresses may be cut off
    let addresses = addresses.get(..length).unwrap_or(addresses);
    match *family {
        TCP_OVER_IPV4 => {
            let (source, rest) = addresses.split_first_chunk::<4>()?;
            let (_, ports) = rest.split_first_chunk::<4>()?;
            Some(SocketAddr::new(Ipv4Addr::from(*source).into(), port(ports)?))
        }
        TCP_OVER_IPV6 => {
            let (source, rest) = addresses.split_first_chunk::<16>()?;
            let (_, ports) = rest.split_first_chunk::<16>()?;
            Some(SocketAddr::new(Ipv6Addr::from(*source).into(), port(ports)?))
        }
        _ => None,
    }
}

fn port(ports: &[u8]) -> Option<u16> {
    // both ports have to be there: the kept bytes are padded with zeros
    let (source, _destination) = ports.first_chunk::<4>()?.split_first_chunk::<2>()?;
    Some(u16::from_be_bytes(*source))
}
