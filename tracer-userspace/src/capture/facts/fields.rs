//! The struct members whose places the programs and their user space ask for.

/// A struct member: `structure.path`, and how many bytes the programs read of it.
#[derive(Clone, Copy, Debug)]
pub struct FieldPath {
    /// The name it has in [`super::TypeFacts::fields`] and in errors.
    pub name: &'static str,
    /// Bytes that the programs read; 0 where the size is a fact of its own.
    pub size: u32,
}

impl FieldPath {
    /// Struct and member path.
    pub(super) fn split(&self) -> (&'static str, Vec<&'static str>) {
        let mut parts = self.name.split('.');
        (parts.next().unwrap_or_default(), parts.collect())
    }
}

const fn field(name: &'static str, size: u32) -> FieldPath {
    FieldPath { name, size }
}

/// Every member that nothing goes without. Nothing else in the program knows a member's place.
pub const FIELDS: &[FieldPath] = &[
    field("sk_buff.sk", 8),
    field("sk_buff.dev", 8),
    field("sk_buff.len", 4),
    field("sk_buff.head", 8),
    field("sk_buff.network_header", 2),
    field("sk_buff.transport_header", 2),
    field("sk_buff.protocol", 2),
    field("sk_buff.skb_iif", 4),
    field("sk_buff._skb_refdst", 8),
    field("dst_entry.dev", 8),
    field("net_device.nd_net.net", 8),
    field("net_device.ifindex", 4),
    field("net.ns.inum", 4),
    field("sock.__sk_common.skc_net.net", 8),
    field("sock.__sk_common.skc_family", 2),
    field("sock.__sk_common.skc_state", 1),
    field("sock.__sk_common.skc_num", 2),
    field("sock.__sk_common.skc_dport", 2),
    field("sock.__sk_common.skc_rcv_saddr", 4),
    field("sock.__sk_common.skc_daddr", 4),
    field("sock.__sk_common.skc_v6_rcv_saddr", 16),
    field("sock.__sk_common.skc_v6_daddr", 16),
    field("sock.__sk_common.skc_ipv6only", 0),
    field("sock.sk_err", 4),
    field("sock.sk_err_soft", 4),
    field("sock.sk_protocol", 0),
    field("sock.sk_socket", 8),
    field("sock.sk_ack_backlog", 4),
    field("sock.sk_max_ack_backlog", 4),
    field("socket_alloc.socket", 0),
    field("socket_alloc.vfs_inode.i_ino", 8),
    field("inet_sock.inet_sport", 2),
    field("tcp_sock.snd_una", 4),
    field("tcp_sock.rcv_nxt", 4),
    field("tcp_sock.bytes_received", 8),
    field("tcp_sock.bytes_acked", 8),
];

/// Members that only following connections needs: where one is missing, none is followed.
pub const FLOW_FIELDS: &[FieldPath] = &[
    field("tcp_sock.snd_nxt", 4),
    field("tcp_sock.write_seq", 4),
    field("tcp_sock.copied_seq", 4),
    field("inet_connection_sock.icsk_retransmits", 1),
    field("task_struct.flags", 4),
    field("task_struct.signal", 8),
    field("signal_struct.flags", 4),
];

/// Members that recording can do without: where one is missing, so is what it would tell.
pub const OPTIONAL_FIELDS: &[FieldPath] = &[
    field("inet_connection_sock.icsk_accept_queue.qlen", 4),
    field("net.ipv4.sysctl_tcp_syncookies", 0),
    field("net.ipv4.sysctl_max_syn_backlog", 4),
    field("net.ipv4.sysctl_tcp_abort_on_overflow", 0),
    field("request_sock.num_retrans", 1),
    field("request_sock.num_timeout", 0),
    field("tcp_request_sock.rcv_isn", 4),
    field("inet_request_sock.acked", 0),
    field(PRECISE_VERIFIER[0], 4),
    field(PRECISE_VERIFIER[1], 4),
];

/// A member of the verifier's own, under its names (the second is that of 6.12 to 6.14): it came with precision
/// that is tracked through stack slots (Linux 6.8, kernel/bpf/verifier.c, `push_jmp_history`). Without that the programs that read a whole HTTP head in one
/// run take over a million instructions to verify, and are refused after seconds.
pub const PRECISE_VERIFIER: [&str; 2] = ["bpf_jmp_history_entry.idx", "bpf_insn_hist_entry.idx"];

/// Members that only the hooks on processes need: where one is missing, those are not attached.
pub const TASK_FIELDS: &[FieldPath] = &[
    field("task_struct.exit_code", 4),
    field("task_struct.tgid", 4),
    field("task_struct.comm", 16),
    field("task_struct.real_parent", 8),
    field("task_struct.group_leader", 8),
    field("task_struct.signal", 8),
    field("signal_struct.live.counter", 4),
    field("signal_struct.group_exit_code", 4),
];

/// Members that only the hook on connect(2) needs, on every architecture.
pub const CALL_FIELDS: &[FieldPath] = &[field("task_struct.nsproxy", 8), field("nsproxy.net_ns", 8)];

/// Where a system call's number and arguments are on x86-64; other architectures have no such members.
pub const X86_REGISTERS: &[FieldPath] = &[field("pt_regs.orig_ax", 8), field("pt_regs.si", 8), field("pt_regs.dx", 8)];

/// Where they are on arm64.
pub const ARM_REGISTERS: &[FieldPath] = &[field("pt_regs.syscallno", 4), field("pt_regs.regs", 0)];

/// Every member that is looked up. What of these an architecture lacks is not found.
pub(super) fn every_field() -> impl Iterator<Item = &'static FieldPath> {
    [FIELDS, OPTIONAL_FIELDS, TASK_FIELDS, FLOW_FIELDS, CALL_FIELDS, X86_REGISTERS, ARM_REGISTERS].into_iter().flatten()
}

/// Raw tracepoints whose presence and prototypes are looked up.
pub const TRACEPOINTS: &[&str] = &[
    "inet_sock_set_state",
    "inet_sk_error_report",
    "tcp_send_reset",
    "tcp_receive_reset",
    "tcp_retransmit_skb",
    "tcp_rcv_space_adjust",
    "tcp_retransmit_synack",
    "kfree_skb",
    "net_dev_queue",
    "sched_process_exit",
    "sched_process_exec",
    "sched_process_fork",
    "mark_victim",
    "sys_exit",
];

/// A function whose prototype is looked up, and the module that has it where it is not built in.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Symbol.
    pub name: &'static str,
    /// Module, as under /sys/kernel/btf; `None`: always built in.
    pub module: Option<&'static str>,
}

/// Functions that a kprobe may go on.
pub const FUNCTIONS: &[Function] = &[
    Function { name: "tcp_v4_err", module: None },
    Function { name: "tcp_v6_err", module: None },
    // no kprobe goes on it: whether nf_tables is part of the kernel
    Function { name: NFT_FUNCTION, module: Some("nf_tables") },
    Function { name: "nf_send_reset", module: Some("nf_reject_ipv4") },
    Function { name: "nf_send_reset6", module: Some("nf_reject_ipv6") },
];

/// The function that runs nftables' chains.
pub const NFT_FUNCTION: &str = "nft_do_chain";
