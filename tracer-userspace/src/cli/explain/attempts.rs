//! Why connections are not made.

use super::{Group, SlugText};
use crate::verdict::Slug;

pub(super) const HERE: Group = Group {
    title: "The app is not there, or does not accept",
    texts: &[
        SlugText {
            slug: Slug::ProcessDown,
            answered: "502",
            story: "A SYN reached the host, no firewall objected, and no socket listens on its port at any address. The kernel answers such a SYN with a RST. Seen from the connecting side only the RST is visible, and a firewall can send the same one: there the verdict is likely, with firewall-reject as the alternative.",
            evidence: &[
                "no-socket: the SYN was dropped because no socket matched it.",
                "no-listener: the table of listeners has none for this port; the last one that was there is named with its process and how it ended.",
                "reset-received, on the connecting side: a RST answered the SYN.",
            ],
            advice: &[
                "Start the app. If it was running, the verdict names the process and how it ended: `journalctl -u UNIT`, and for an out-of-memory kill `journalctl -k`.",
                "If the app runs, it listens on another port: `ss -ltnp` lists all listeners.",
                "During a deployment: let the target be drained from the balancer before the app stops.",
            ],
        },
        SlugText {
            slug: Slug::WrongBindAddress,
            answered: "502",
            story: "The port has a listener, but one bound to an address that does not cover the one that was asked for: 127.0.0.1 instead of all addresses, ::1 only, another interface's address, or IPv6 only. To the client it looks exactly like an app that is down.",
            evidence: &[
                "no-socket: the SYN was dropped because no socket matched it.",
                "listener: a socket listens on the same port at another address, which is named with its process.",
            ],
            advice: &[
                "Bind the app to 0.0.0.0 or :: (or to the address that the balancer uses), and restart it.",
                "For IPv4 to an IPv6 listener: the socket is IPv6 only (IPV6_V6ONLY, or net.ipv6.bindv6only).",
                "In a container: bind to all addresses of the container, not to its loopback.",
            ],
        },
        SlugText {
            slug: Slug::AcceptQueueFull,
            answered: "504, or 502 where tcp_abort_on_overflow is set",
            story: "Connections that the kernel has completed wait in the listener's queue until the app accepts them. When the queue is full the kernel throws further SYNs and last ACKs away without a word, and clients wait and retry.",
            evidence: &[
                "The SYN reached the listener while its backlog was over its limit; both numbers are given.",
                "No connection came out of that SYN within a second.",
            ],
            advice: &[
                "Find out why the app accepts slowly: all workers busy, a blocked event loop, a pause for garbage collection, too little CPU.",
                "Raise the queue's limit: the backlog that the app passes to listen(), and net.core.somaxconn, which caps it. `ss -ltn` shows both (Recv-Q, Send-Q).",
                "Add workers or instances if the load is what it should be.",
            ],
        },
    ],
};

pub(super) const FIREWALLS: Group = Group {
    title: "A firewall or the kernel of this host",
    texts: &[
        SlugText {
            slug: Slug::FirewallReject,
            answered: "502; 504 where the rate limit kept the answer back",
            story: "A netfilter rule (iptables, nftables, firewalld, ufw, a container engine) dropped a packet of the connection and told the sender so, by an ICMP error or a RST. ICMP answers are rate limited by the kernel: those that were left out are recognised by the rule's other answers and then only likely; to their clients they look like a drop.",
            evidence: &[
                "netfilter-drop: netfilter dropped the packet.",
                "icmp-sent or netfilter-reset: what it answered.",
                "icmp-rate-limited: this one got no answer, others at the same port did.",
                "icmp-received, on the connecting side: an ICMP error answered our SYN.",
            ],
            advice: &[
                "Find the rule: `iptables -L -n -v --line-numbers` or `nft list ruleset`, and look for REJECT with a counter that rises.",
                "Allow the port for the balancer's and the clients' networks, above that rule; and save it so that it outlives a reboot.",
                "On the connecting side: ask the other host's owner; or, for an OUTPUT rule, look at this host's own rules.",
            ],
        },
        SlugText {
            slug: Slug::FirewallDrop,
            answered: "504",
            story: "A netfilter rule of this host threw packets of the connection away and said nothing. The client waits, sends its SYN again after one, two, four seconds, and gives up.",
            evidence: &[
                "netfilter-drop: netfilter dropped the packet, and nothing answered it.",
                "On the way out: netfilter dropped the SYN before it left the host.",
            ],
            advice: &[
                "Find the rule: `iptables -L -n -v --line-numbers` or `nft list ruleset`, and look for DROP, or a chain's policy, with a counter that rises. Rules in the raw and mangle tables count too.",
                "Allow the port for the balancer's and the clients' networks, above that rule; and save it.",
            ],
        },
        SlugText {
            slug: Slug::ConntrackFull,
            answered: "504",
            story: "Netfilter remembers every connection in a table of fixed size. When it is full, packets of new connections are dropped, while those of existing ones pass: some clients work, others do not get in.",
            evidence: &[
                "netfilter-drop while the namespace's connection tracking drop counter rose.",
                "Only likely where the table was merely 95% full.",
            ],
            advice: &[
                "Compare `sysctl net.netfilter.nf_conntrack_count` with `net.netfilter.nf_conntrack_max`, and raise the latter.",
                "Shorten the time that idle entries stay (net.netfilter.nf_conntrack_tcp_timeout_established is 5 days by default).",
                "Look for what opens so many connections: missing keep-alive, a scan, a flood.",
            ],
        },
        SlugText {
            slug: Slug::KernelDrop,
            answered: "504",
            story: "The kernel dropped a packet of the connection for a reason that is none of the others, and names it: the reverse path filter, a tc or XDP program, a missing MD5 or TCP-AO signature, a bad checksum, no memory; or a cgroup program or security module refused connect().",
            evidence: &[
                "kernel-drop: the kernel's own name for the reason, or the function that dropped it.",
                "socket-error EPERM without any SYN sent: connect() was refused.",
            ],
            advice: &[
                "Look up the reason that the verdict names: its name is that of the kernel's skb_drop_reason.",
                "Reverse path filter: with two interfaces or asymmetric routes set net.ipv4.conf.*.rp_filter to 2.",
                "tc and XDP programs: `bpftool net`; cgroup programs: `bpftool cgroup tree`.",
            ],
        },
    ],
};

pub(super) const NETWORK: Group = Group {
    title: "The network in between",
    texts: &[
        SlugText {
            slug: Slug::SecurityGroupDrop,
            answered: "504",
            story: "This host sent SYNs, its own firewall let them pass, the next hop is known, and nothing at all came back. That is how a security group looks that does not allow the connection. From here it cannot be told from a firewall that drops on the other host, a lost way back, or a host that is switched off: they are listed as alternatives. If other connections to the same remote end still progress, the host is up and a stateful filter is the better guess.",
            evidence: &[
                "syn-sent, syn-retransmitted: the SYN left this host, several times.",
                "no-answer: no SYN-ACK, RST or ICMP error came back.",
                "neighbour-resolved: the next hop answers on the link.",
                "other-flows-progress: established connections to the same remote end still work.",
            ],
            advice: &[
                "Check the remote's security group: inbound, this port, from this host's security group or address.",
                "Check this host's own security group (outbound), and the network ACLs of both subnets in both directions.",
                "Record on the remote host at the same time: if the SYN never arrives there, it is certain.",
            ],
        },
        SlugText {
            slug: Slug::InboundSilence,
            answered: "504",
            story: "The port has a listener and the host has traffic, but its health checks stopped and no client came either. Most often the target was deregistered on purpose; else something in front of this host now stops everything.",
            evidence: &[
                "All known health checkers of the port missed three of their periods.",
                "No other SYN reached the port meanwhile, while the host had other traffic.",
            ],
            advice: &[
                "See whether the target is still registered: a deployment or scaling may have taken it out.",
                "Check the security group and network ACL of this host, and what changed when the silence began.",
            ],
        },
        SlugText {
            slug: Slug::ReturnPathDrop,
            answered: "504",
            story: "SYNs arrive, this host answers each with a SYN-ACK, and the peer asks again as if it had heard nothing: our answers get lost. A stateless network ACL that does not allow the clients' ephemeral ports does this, and so does a way back that takes another route.",
            evidence: &[
                "The SYN-ACK was sent again and again and never acknowledged.",
                "The peer kept sending its SYN meanwhile.",
            ],
            advice: &[
                "Check the outbound rules of this subnet's network ACL, and the inbound rules of the peer's: TCP ports 1024 to 65535 must be allowed, since network ACLs keep no state.",
                "With several interfaces or a virtual appliance in between: check that answers take the way the questions came (`ip route get PEER`).",
            ],
        },
        SlugText {
            slug: Slug::HandshakeAbandoned,
            answered: "nothing, since nobody is waiting",
            story: "A SYN came, this host answered, and the peer was never heard of again. Port scans, spoofed source addresses and clients that went away look so. It is rarely a failure of yours.",
            evidence: &["The SYN-ACK was sent again and never acknowledged.", "The peer did not repeat its SYN."],
            advice: &[
                "A few of them from the open internet are normal. Many from one source: a scan. Many from everywhere: a SYN flood (net.ipv4.tcp_syncookies helps).",
                "From your own clients: look at their side, they give up within a second.",
            ],
        },
        SlugText {
            slug: Slug::Hairpin,
            answered: "504",
            story: "This host connected to a balancer, and the balancer chose this very host as the target while keeping the client's address. So the SYN came back with this host's own source address, which no host accepts from outside.",
            evidence: &[
                "The SYN that we had sent arrived here, with the same initial sequence number.",
                "It was dropped for its source address.",
            ],
            advice: &[
                "Turn off client IP preservation for the target group, or register targets by address through a balancer of their own.",
                "Let the app call itself directly instead of through the balancer.",
            ],
        },
        SlugText {
            slug: Slug::HostUnreachable,
            answered: "502",
            story: "Nobody on the link answered for the next hop's address, or a router told us that it cannot find the remote host. The host is switched off, its address has moved or is wrong, or it is no longer there since it was scaled in.",
            evidence: &[
                "neighbour-failed: address resolution of the next hop failed.",
                "icmp-received: host unreachable, with the router that said so.",
                "socket-error EHOSTUNREACH.",
            ],
            advice: &[
                "Check that the remote host runs and still has this address; what is in the upstream's configuration or DNS may be stale.",
                "In the same subnet: `ip neigh show ADDRESS` shows whether it answers.",
            ],
        },
        SlugText {
            slug: Slug::NoRoute,
            answered: "502",
            story: "The routing table of this host has no way to the remote address, or a router on the way said that it has none.",
            evidence: &[
                "no-route: the route look-up failed before any SYN was sent.",
                "icmp-received: network unreachable, with the router that said so.",
                "socket-error ENETUNREACH.",
            ],
            advice: &[
                "`ip route get ADDRESS` shows what this host would do; in a namespace: `ip netns exec NAME ip route get ADDRESS`.",
                "For IPv6: the host may have no global IPv6 address or default route while the name resolves to IPv6.",
                "In a VPC: check the subnet's route table (NAT gateway, peering, transit gateway).",
            ],
        },
    ],
};

pub(super) const UPSTREAMS: Group = Group {
    title: "Connecting to an upstream",
    texts: &[
        SlugText {
            slug: Slug::PortExhausted,
            answered: "502",
            story: "Each connection to the same remote address and port needs another local port. All of the range were taken, many of them perhaps by closed connections in TIME_WAIT, so connect() failed with EADDRNOTAVAIL before a SYN was sent.",
            evidence: &["The socket went from SYN_SENT to CLOSE without a source port.", "No SYN was sent."],
            advice: &[
                "Reuse connections: keep-alive to the upstream, connection pools.",
                "Widen net.ipv4.ip_local_port_range, and let net.ipv4.tcp_tw_reuse be 1.",
                "Spread over more upstream addresses.",
            ],
        },
        SlugText {
            slug: Slug::UpstreamSocketMissing,
            answered: "502",
            story: "A proxy that serves a watched port tried to reach its upstream over a unix socket and failed: the socket file is missing, nobody listens on it, its permissions forbid it, or its queue is full. It is looked at with `--unix-upstreams` only, since that costs every system call a little.",
            evidence: &[
                "connect() on a unix socket failed, with its path and error (ENOENT, ECONNREFUSED, EACCES, EAGAIN).",
            ],
            advice: &[
                "ENOENT, ECONNREFUSED: start the upstream app, and compare the path in both configurations.",
                "EACCES: the proxy's user needs write permission on the socket and search permission on its directories.",
                "EAGAIN: the app accepts too slowly; raise its backlog.",
            ],
        },
    ],
};
