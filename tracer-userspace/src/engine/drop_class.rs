//! What the kernel's names of drops mean: those of `enum skb_drop_reason`, and where there are none
//! those of the functions that drop.

use super::evidence::DropClass;
use crate::record::is_ordinary_drop;

/// Names of `enum skb_drop_reason`, without their prefix.
pub(super) fn class_of_reason(name: &str) -> DropClass {
    match name {
        "NO_SOCKET" => DropClass::NoSocket,
        "NETFILTER_DROP" => DropClass::Netfilter,
        "NEIGH_FAILED" | "NEIGH_CREATEFAIL" | "NEIGH_DEAD" => DropClass::NeighbourFailed,
        name if is_ordinary_drop(name) => DropClass::Ordinary,
        _ => DropClass::Other,
    }
}

/// Functions that free a packet, before there were reasons.
pub(super) fn class_of_symbol(name: &str) -> DropClass {
    match name {
        "nf_hook_slow" | "nft_do_chain" | "ipt_do_table" | "ip6t_do_table" => DropClass::Netfilter,
        "tcp_v4_rcv" | "tcp_v6_rcv" => DropClass::NoSocket,
        "neigh_invalidate" | "arp_error_report" | "ndisc_error_report" => DropClass::NeighbourFailed,
        name if is_ordinary_place(name) => DropClass::Ordinary,
        _ => DropClass::Other,
    }
}

/// Functions that drop other hosts' packets and broken ones alike, copies that sockets had, and what TCP has
/// no use for.
fn is_ordinary_place(name: &str) -> bool {
    const RECEIVE: [&str; 4] = ["ip_rcv_core", "ip6_rcv_core", "ip_rcv", "ipv6_rcv"];
    const COPIES: [&str; 11] = [
        "packet_rcv",
        "tpacket_rcv",
        "packet_rcv_fanout",
        "skb_queue_purge",
        "raw_rcv",
        "raw_local_deliver",
        "raw_v6_local_deliver",
        "rawv6_rcv",
        "raw_rcv_skb",
        "sock_queue_rcv_skb",
        "inet_sock_destruct",
    ];
    name.starts_with("tcp_") || RECEIVE.contains(&name) || COPIES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_attempt_fails_of_is_another_drop() {
        for name in ["IP_RPFILTER", "TC_INGRESS", "XDP", "TCP_CSUM", "TCP_MD5NOTFOUND", "TCP_AOFAILURE", "NOMEM"] {
            assert_eq!(class_of_reason(name), DropClass::Other, "{name}");
        }
        for name in ["OTHERHOST", "PACKET_SOCK_ERROR", "TCP_OLD_DATA", "TCP_INVALID_SYN", "TCP_RFC7323_PAWS"] {
            assert_eq!(class_of_reason(name), DropClass::Ordinary, "{name}");
        }
        for name in ["ip_rcv_finish_core", "__netif_receive_skb_core", "__dev_queue_xmit"] {
            assert_eq!(class_of_symbol(name), DropClass::Other, "{name}");
        }
        for name in ["packet_rcv", "ip_rcv_core", "tcp_v4_do_rcv", "tcp_rcv_state_process"] {
            assert_eq!(class_of_symbol(name), DropClass::Ordinary, "{name}");
        }
    }
}
