//! Host records about the host around: pressure, rules, published ports.

use std::net::IpAddr;

use minicbor::{Decode, Encode};

use super::exchange::Endpoint;

/// What a namespace (the record's header names it; 0: the whole host) had too much of. Totals since boot,
/// told when they changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Pressure {
    /// Entries of the connection tracking table.
    #[n(0)]
    pub conntrack_count: Option<u64>,
    /// Their limit.
    #[n(1)]
    pub conntrack_limit: Option<u64>,
    /// Packets dropped because the table was full (`drop` of /proc/net/stat/nf_conntrack).
    #[n(2)]
    pub conntrack_drops: Option<u64>,
    /// `TcpExt.ListenOverflows`.
    #[n(3)]
    pub listen_overflows: Option<u64>,
    /// `TcpExt.ListenDrops`.
    #[n(4)]
    pub listen_drops: Option<u64>,
    /// Counters of a device that speak of exceeded allowances: `DEVICE COUNTER` and the total.
    #[n(5)]
    pub allowances: Vec<(String, u64)>,
    /// Microseconds in which some task waited for memory (/proc/pressure/memory, `some total`).
    #[n(6)]
    pub memory_stall_us: Option<u64>,
}

/// The firewall rule that a dropped packet matched, looked up in the namespace of the record's header.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rule {
    /// The dropped packet's source.
    #[n(0)]
    pub source: Endpoint,
    /// Its destination.
    #[n(1)]
    pub destination: Endpoint,
    /// `nft`, `iptables` or `ip6tables` (with `-legacy` where so).
    #[n(2)]
    pub tool: String,
    /// Family and table, as in `inet filter`.
    #[n(3)]
    pub table: String,
    /// Chain.
    #[n(4)]
    pub chain: String,
    /// The rule as the tool lists it.
    #[n(5)]
    pub rule: String,
    /// Its counter moved since the last listing: this rule it was.
    #[n(6)]
    pub counted: bool,
    /// The verdict of the rule is a REJECT.
    #[n(7)]
    pub rejects: bool,
}

/// A published port: connections to it are sent on to another socket by destination NAT.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Publication {
    /// The port that `--port` names.
    #[n(0)]
    pub port: u16,
    /// The address it is published at, if the rule names one.
    #[n(1)]
    pub address: Option<IpAddr>,
    /// Where it is sent on to.
    #[n(2)]
    pub target: Endpoint,
}

/// All published ports of the namespace in the record's header, in place of those told before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Publications {
    /// Ascending by port and target.
    #[n(0)]
    pub publications: Vec<Publication>,
}

/// What the limits on floods left out at one watched port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SuppressedCount {
    /// Port.
    #[n(0)]
    pub port: u16,
    /// Records.
    #[n(1)]
    pub records: u64,
    /// Those of SYNs that found no socket, or may have (before 5.17 the kernel does not say): an attempt each.
    #[n(2)]
    pub refused: u64,
}

/// What the limits on floods left out since the last record of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SuppressedCounts {
    /// One element a port that moved.
    #[n(0)]
    pub ports: Vec<SuppressedCount>,
}
