//! Fills a host's table of connection tracking, by netlink, without a packet.
//!
//! The limit (`nf_conntrack_max`) is one for the whole machine, but each namespace's entries are counted against it
//! alone: filling the table of a namespace disturbs no other.

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::Family;
use crate::netns::{Namespace, output};

const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
/// Entries take about 400 bytes of the kernel's memory each; machines with larger limits are spared.
const LARGEST: u64 = 300_000;
/// Entries asked for at once: they differ in the last byte of a port alone.
const BATCH: u64 = 256;

/// `AF_NETLINK`, `NETLINK_NETFILTER` (include/uapi/linux/netlink.h).
const NETLINK: (i32, i32) = (16, 12);
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW` (linux/netfilter/nfnetlink_conntrack.h).
const NEW_ENTRY: u16 = 0x100;
/// `NLM_F_REQUEST | NLM_F_EXCL | NLM_F_CREATE`.
const CREATE: u16 = 0x601;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// `IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED`: entries that are not given up for others.
const STATUS: u32 = 2 | 4 | 8;
/// `TCP_CONNTRACK_ESTABLISHED`.
const ESTABLISHED: u8 = 3;
/// Seconds that an entry lasts: longer than any scenario.
const TIMEOUT_S: u32 = 1800;

/// Why no table can be filled here; `None` if one can.
pub(crate) fn missing() -> Option<String> {
    if let Err(error) = output(Command::new("nft").arg("--version")) {
        return Some(format!("nft is needed: {error}"));
    }
    // until something tracks connections the module may not be loaded
    match number(LIMIT) {
        Ok(limit) if limit > LARGEST => {
            Some(format!("to fill a table of {limit} connections (nf_conntrack_max) would take too much memory"))
        }
        _ => None,
    }
}

/// From here on a host tracks connections, and its table has room for so many percent of its limit more.
///
/// # Errors
/// When the kernel refuses entries.
pub(crate) fn fill(host: &Namespace, family: Family, room_percent: u64) -> Result<()> {
    let script = "add table inet track; add chain inet track way { type filter hook prerouting priority 0; }; \
                  add rule inet track way ct state established accept";
    host.run(Command::new("nft").arg(script))?;
    host.within(|| {
        let limit = number(LIMIT)?;
        if limit > LARGEST {
            bail!("a limit of {limit} connections is too large to be reached");
        }
        let wanted = limit - limit * room_percent / 100;
        let missing = wanted.saturating_sub(number(COUNT)?);
        let socket = Socket::new(Domain::from(NETLINK.0), Type::RAW, Some(Protocol::from(NETLINK.1)))
            .context("a socket of connection tracking")?;
        let mut first = 0;
        while first < missing {
            let entries = batch(family, first, missing.min(first + BATCH) - first);
            socket.send(&entries).context("adding entries to connection tracking")?;
            first += BATCH;
        }
        let count = number(COUNT)?;
        if count < wanted {
            bail!("connection tracking holds {count} entries of {wanted} that were added, of {limit}");
        }
        Ok(())
    })?
}

fn number(path: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    text.trim().parse().with_context(|| format!("{path} holds {text:?}"))
}

/// Requests for entries from this number on, a multiple of [`BATCH`].
fn batch(family: Family, first: u64, count: u64) -> Vec<u8> {
    let [template, other] = [first, first + BATCH - 1].map(|number| entry(family, number));
    let port_at = |at: &usize| template.get(*at) != other.get(*at);
    let ports: Vec<usize> = (0..template.len()).filter(port_at).collect();
    let mut entries = Vec::new();
    for low in (0..=u8::MAX).take(usize::try_from(count).unwrap_or_default()) {
        let begin = entries.len();
        entries.extend_from_slice(&template);
        for at in &ports {
            if let Some(byte) = entries.get_mut(begin + at) {
                *byte = low;
            }
        }
    }
    entries
}

/// The request for one established connection between strangers; each number another one.
fn entry(family: Family, number: u64) -> Vec<u8> {
    let [.., high, middle, low] = number.to_be_bytes();
    let (from, to): (IpAddr, IpAddr) = match family {
        Family::V4 => ([198, 18, high, middle].into(), [198, 19, 0, 1].into()),
        Family::V6 => {
            let host = u16::from_be_bytes([high, middle]);
            ([0xfd09, 0xe, 0, 0, 0, 0, 0, host].into(), [0xfd09, 0xe, 0, 0, 0, 0, 1, 1].into())
        }
    };
    let (from, to) = ((from, 1024 + u16::from(low)), (to, 443));
    let mut body = vec![if family == Family::V4 { 2 } else { 10 }, 0, 0, 0];
    body.extend(tuple(1, from, to));
    body.extend(tuple(2, to, from));
    body.extend(attribute(3, &STATUS.to_be_bytes()));
    body.extend(attribute(4 | NESTED, &attribute(1 | NESTED, &attribute(1, &[ESTABLISHED]))));
    body.extend(attribute(7, &TIMEOUT_S.to_be_bytes()));
    let length = u32::try_from(body.len() + 16).unwrap_or_default();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(NEW_ENTRY.to_ne_bytes());
    message.extend(CREATE.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// `CTA_TUPLE_ORIG` or `CTA_TUPLE_REPLY`: addresses, protocol and ports of one direction.
fn tuple(kind: u16, from: (IpAddr, u16), to: (IpAddr, u16)) -> Vec<u8> {
    let address = |kind: u16, address: IpAddr| match address {
        IpAddr::V4(v4) => attribute(kind, &v4.octets()),
        IpAddr::V6(v6) => attribute(kind + 2, &v6.octets()),
    };
    let addresses = [address(1, from.0), address(2, to.0)].concat();
    let ports = [attribute(1, &[6]), attribute(2, &from.1.to_be_bytes()), attribute(3, &to.1.to_be_bytes())];
    let both = [attribute(1 | NESTED, &addresses), attribute(2 | NESTED, &ports.concat())];
    attribute(kind | NESTED, &both.concat())
}

/// A netlink attribute, padded to words.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn entries_are_whole_and_no_two_alike() {
        for family in Family::ALL {
            let entries: BTreeSet<Vec<u8>> = (0..70_000).map(|number| entry(family, number)).collect();
            assert_eq!(entries.len(), 70_000);
            let asked: Vec<u8> = (512..712).flat_map(|number| entry(family, number)).collect();
            assert_eq!(batch(family, 512, 200), asked);
            for entry in entries.iter().step_by(9_999) {
                assert_eq!(entry.len() % 4, 0);
                assert_eq!(u32::from_ne_bytes(entry[..4].try_into().unwrap()) as usize, entry.len());
            }
        }
    }
}
