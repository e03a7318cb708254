//! Names of `enum skb_drop_reason` (include/net/dropreason-core.h) that say nothing of a failure.

/// Whether no connection fails of a packet dropped for this reason (without `SKB_DROP_REASON_`): it was
/// another host's packet or a copy, or TCP itself had no use for it.
#[must_use]
pub fn is_ordinary_drop(name: &str) -> bool {
    match name {
        // seen on a shared link, or by a port that listens to all
        "OTHERHOST" | "UNICAST_IN_L2_MULTICAST" | "UNHANDLED_PROTO" | "TAP_FILTER" | "TAP_TXFILTER" | "DUP_FRAG"
        // copies that packet and raw sockets had, and what sockets that go leave behind
        | "PACKET_SOCK_ERROR" | "QUEUE_PURGE" | "SOCKET_RCVBUFF" | "SOCKET_CLOSE" => true,
        name => is_discard(name),
    }
}

/// Whether TCP had no use for it: a duplicate, one out of its window, one for a connection that is over. Bad
/// checksums and signatures are none of these.
fn is_discard(name: &str) -> bool {
    const REAL: [&str; 6] = ["TCP_CSUM", "TCP_AUTH_HDR", "TCP_MINTTL", "TCP_MD5", "TCP_AO", "TCP_OFO_QUEUE_PRUNE"];
    name.starts_with("TCP_") && !REAL.iter().any(|real| name.starts_with(real))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tcp_discards_is_ordinary_and_what_is_broken_is_not() {
        for name in ["TCP_OLD_DATA", "TCP_INVALID_SEQUENCE", "TCP_OFOMERGE", "OTHERHOST"] {
            assert!(is_ordinary_drop(name), "{name}");
        }
        for name in ["TCP_CSUM", "TCP_MD5FAILURE", "TCP_AOKEYNOTFOUND", "NETFILTER_DROP", "XDP", "QDISC_DROP"] {
            assert!(!is_ordinary_drop(name), "{name}");
        }
    }
}
