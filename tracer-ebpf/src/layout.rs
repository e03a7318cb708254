//! Kernel facts that the programs need as numbers. None is compiled in: user space resolves each
//! from the running kernel's BTF and writes them into the programs' read-only data before load.

#[cfg(feature = "decode")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Byte offsets of struct fields in the running kernel, and switches the verifier prunes by.
/// An offset of [`ABSENT`] means that the kernel has no such field.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Layout {
    /// `struct sk_buff.sk`
    pub skb_sk: u32,
    /// `struct sk_buff.dev`
    pub skb_dev: u32,
    /// `struct sk_buff.len`
    pub skb_len: u32,
    /// `struct sk_buff.head`
    pub skb_head: u32,
    /// `struct sk_buff.network_header` (u16)
    pub skb_network_header: u32,
    /// `struct sk_buff.transport_header` (u16)
    pub skb_transport_header: u32,
    /// `struct sk_buff.protocol` (be16)
    pub skb_protocol: u32,
    /// `struct sk_buff.skb_iif` (int)
    pub skb_iif: u32,
    /// `struct sk_buff._skb_refdst` (unsigned long, low bit a flag)
    pub skb_refdst: u32,
    /// `struct dst_entry.dev`
    pub dst_dev: u32,
    /// `struct net_device.nd_net.net`
    pub dev_net: u32,
    /// `struct net_device.ifindex`
    pub dev_ifindex: u32,
    /// `struct net.ns.inum`
    pub net_inum: u32,
    /// `struct sock.__sk_common.skc_net.net`
    pub sk_net: u32,
    /// `struct sock.__sk_common.skc_family` (u16)
    pub sk_family: u32,
    /// `struct sock.__sk_common.skc_state` (u8)
    pub sk_state: u32,
    /// `struct sock.__sk_common.skc_num` (u16, host order)
    pub sk_num: u32,
    /// `struct sock.__sk_common.skc_dport` (be16)
    pub sk_dport: u32,
    /// `struct sock.__sk_common.skc_rcv_saddr`
    pub sk_rcv_saddr: u32,
    /// `struct sock.__sk_common.skc_daddr`
    pub sk_daddr: u32,
    /// `struct sock.__sk_common.skc_v6_rcv_saddr`
    pub sk_v6_rcv_saddr: u32,
    /// `struct sock.__sk_common.skc_v6_daddr`
    pub sk_v6_daddr: u32,
    /// Byte that holds `struct sock.__sk_common.skc_ipv6only`
    pub sk_ipv6only: u32,
    /// Mask of that bit in its byte
    pub sk_ipv6only_mask: u32,
    /// `struct sock.sk_err` (int)
    pub sk_err: u32,
    /// `struct sock.sk_err_soft` (int)
    pub sk_err_soft: u32,
    /// `struct sock.sk_protocol`
    pub sk_protocol: u32,
    /// Bytes of `sk_protocol` (2, or 1 before 5.6)
    pub sk_protocol_size: u32,
    /// `struct sock.sk_socket`
    pub sk_socket: u32,
    /// `struct sock.sk_ack_backlog` (u32)
    pub sk_ack_backlog: u32,
    /// `struct sock.sk_max_ack_backlog` (u32)
    pub sk_max_ack_backlog: u32,
    /// Distance from a `struct socket` to its inode number: in `struct socket_alloc`,
    /// `vfs_inode.i_ino` less `socket`
    pub socket_ino: u32,
    /// `struct inet_sock.inet_sport` (be16)
    pub inet_sport: u32,
    /// `struct tcp_sock.snd_una`
    pub tcp_snd_una: u32,
    /// `struct tcp_sock.rcv_nxt`
    pub tcp_rcv_nxt: u32,
    /// `struct tcp_sock.snd_nxt`
    pub tcp_snd_nxt: u32,
    /// `struct tcp_sock.write_seq`
    pub tcp_write_seq: u32,
    /// `struct tcp_sock.copied_seq`
    pub tcp_copied_seq: u32,
    /// `struct inet_connection_sock.icsk_retransmits` (u8)
    pub icsk_retransmits: u32,
    /// `struct task_struct.flags`
    pub task_flags: u32,
    /// `struct signal_struct.flags`
    pub signal_flags: u32,
    /// `struct tcp_sock.bytes_received` (u64)
    pub tcp_bytes_received: u32,
    /// `struct tcp_sock.bytes_acked` (u64)
    pub tcp_bytes_acked: u32,
    /// `struct task_struct.exit_code` (int); this and the members below are [`ABSENT`] together
    pub task_exit_code: u32,
    /// `struct task_struct.tgid` (int)
    pub task_tgid: u32,
    /// `struct task_struct.comm`
    pub task_comm: u32,
    /// `struct task_struct.real_parent`
    pub task_parent: u32,
    /// `struct task_struct.group_leader`
    pub task_leader: u32,
    /// `struct task_struct.signal`
    pub task_signal: u32,
    /// `struct signal_struct.live.counter` (int): threads that have not begun to exit
    pub signal_live: u32,
    /// `struct signal_struct.group_exit_code` (int)
    pub signal_group_exit_code: u32,
    /// 1 if raw tracepoint `mark_victim` has a task for its first argument, 0 if a pid
    pub victim_is_task: u32,
    /// 1 if raw tracepoint `kfree_skb` has a third argument, the reason
    pub kfree_has_reason: u32,
    /// 1 if raw tracepoint `tcp_send_reset` has a third argument, the reason
    pub reset_has_reason: u32,
    /// `skb_drop_reason` `NETFILTER_DROP`; [`ABSENT`] without reasons
    pub reason_netfilter_drop: u32,
    /// `skb_drop_reason` `NO_SOCKET`; [`ABSENT`] without reasons
    pub reason_no_socket: u32,
    /// `struct inet_connection_sock.icsk_accept_queue.qlen` (int): requests that wait for their last ACK
    pub csk_requests: u32,
    /// `struct net.ipv4.sysctl_tcp_syncookies` (its low byte)
    pub net_syncookies: u32,
    /// `struct net.ipv4.sysctl_max_syn_backlog` (int)
    pub net_max_syn_backlog: u32,
    /// `struct net.ipv4.sysctl_tcp_abort_on_overflow` (its low byte)
    pub net_abort_on_overflow: u32,
    /// `struct request_sock.num_retrans` (u8)
    pub req_num_retrans: u32,
    /// Byte that holds `struct request_sock.num_timeout`
    pub req_num_timeout: u32,
    /// Its mask in that byte
    pub req_num_timeout_mask: u32,
    /// `struct tcp_request_sock.rcv_isn`
    pub req_rcv_isn: u32,
    /// Byte that holds `struct inet_request_sock.acked`
    pub req_acked: u32,
    /// Its mask in that byte
    pub req_acked_mask: u32,
    /// 1 if a program at cgroup/connect can ask what others at the same hook said (`bpf_get_retval`)
    pub connect_has_retval: u32,
    /// 1 if only the namespaces in map `NAMESPACES` are watched, 0 if all are
    pub netns_filter: u32,
    /// 1 if connections are followed: BTF tells what that needs
    pub follows_flows: u32,
    /// Milliseconds after which a response is slow
    pub slow_ms: u32,
    /// 1 if aya-log messages are wanted (`-v`)
    pub verbose: u32,
}

impl Layout {
    /// Nothing resolved yet: what the object file holds before user space fills it in.
    // SAFETY: every field is a u32, for which zero is a value
    pub const ZERO: Self = unsafe { core::mem::zeroed() };
}

/// No such field in the running kernel.
pub const ABSENT: u32 = u32::MAX;

/// Bits of [`PendingConnect::flags`].
pub mod connect_flag {
    /// The socket is `AF_INET6`.
    pub const V6_SOCKET: u16 = 1 << 0;
    /// Its SYN is on its way: nothing is pending any more.
    pub const SYN_FOLLOWS: u16 = 1 << 1;
    /// The port is not watched: the task serves one that is.
    pub const CHAINED: u16 = 1 << 2;
}

/// A thread's last connect(): value of map `CONNECTS`, keyed by `bpf_get_current_pid_tgid()`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "decode", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct PendingConnect {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub time_ns: u64,
    /// Destination, IPv4 as `::ffff:a.b.c.d`.
    pub dst: [u8; 16],
    /// Inode of the socket's network namespace.
    pub netns: u32,
    /// Host order.
    pub dst_port: u16,
    /// [`connect_flag`].
    pub flags: u16,
    /// Comm of the task.
    pub comm: [u8; 16],
}
