//! The numbers that go into the programs, all of them from BTF.

use tracer_ebpf::{ABSENT, Layout};

use super::super::facts::{
    ARM_REGISTERS, CALL_FIELDS, FIELDS, FLOW_FIELDS, Field, FieldPath, OPTIONAL_FIELDS, TASK_FIELDS, TypeFacts,
    X86_REGISTERS,
};

/// BTF lacks what the programs cannot do without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Members that no longer exist under the names we know.
    #[error("this kernel's BTF has no {}: it is laid out in a way this version does not know; report it with the file that `wherefore doctor --facts FILE` writes", .0.join(", no "))]
    Missing(Vec<String>),
    /// A member that is not as wide as the programs read it.
    #[error(
        "this kernel's {name} has {found} bytes, not {expected}: it is laid out in a way this version does not know; report it with the file that `wherefore doctor --facts FILE` writes"
    )]
    Size {
        /// `structure.path`.
        name: String,
        /// Bytes it has.
        found: u32,
        /// Bytes the programs read.
        expected: u32,
    },
}

/// Looks members up and remembers what was not there.
struct Lookup<'a> {
    types: &'a TypeFacts,
    missing: Vec<String>,
}

impl Lookup<'_> {
    fn field(&mut self, name: &str) -> Field {
        let found = self.types.fields.get(name).copied();
        if found.is_none() {
            self.missing.push(name.to_owned());
        }
        found.unwrap_or_default()
    }

    fn at(&mut self, name: &str) -> u32 {
        self.field(name).offset
    }
}

fn check_sizes(types: &TypeFacts) -> Result<(), LayoutError> {
    for wanted in FIELDS.iter().chain(TASK_FIELDS).chain(FLOW_FIELDS).filter(|wanted| wanted.size != 0) {
        match types.fields.get(wanted.name) {
            Some(found) if found.size != wanted.size => {
                return Err(LayoutError::Size {
                    name: wanted.name.to_owned(),
                    found: found.size,
                    expected: wanted.size,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Fills in what BTF says. The switches that a run decides (`netns_filter`, `verbose`) stay zero.
///
/// # Errors
/// A member is missing or not as wide as the programs read it; all missing ones are named at once.
pub(super) fn layout(types: &TypeFacts) -> Result<Layout, LayoutError> {
    check_sizes(types)?;
    let mut lookup = Lookup { types, missing: Vec::new() };
    let mut layout = Layout::default();
    buffers(&mut lookup, &mut layout);
    sockets(&mut lookup, &mut layout);
    flows(types, &mut layout);
    if !lookup.missing.is_empty() {
        return Err(LayoutError::Missing(lookup.missing));
    }
    handshakes(types, &mut layout);
    layout.kfree_has_reason = u32::from(has_reason(types, "kfree_skb", 2, "enum skb_drop_reason"));
    layout.reset_has_reason = u32::from(has_reason(types, "tcp_send_reset", 2, "enum sk_rst_reason"));
    layout.reason_netfilter_drop = types.drop_reason("NETFILTER_DROP").unwrap_or(ABSENT);
    layout.reason_no_socket = types.drop_reason("NO_SOCKET").unwrap_or(ABSENT);
    tasks(types, &mut layout);
    calls(types, &mut layout);
    Ok(layout)
}

/// Whether BTF tells what the hooks on processes need.
pub(super) fn knows_tasks(types: &TypeFacts) -> bool {
    TASK_FIELDS.iter().all(|wanted| types.fields.contains_key(wanted.name))
}

/// Where members are, if all of what goes together is known; else nowhere.
fn offsets(types: &TypeFacts, known: bool) -> impl Fn(&str) -> u32 {
    move |name| types.fields.get(name).filter(|_| known).map_or(ABSENT, |field| field.offset)
}

fn tasks(types: &TypeFacts, layout: &mut Layout) {
    let known = knows_tasks(types);
    let at = offsets(types, known);
    layout.task_exit_code = at("task_struct.exit_code");
    layout.task_tgid = at("task_struct.tgid");
    layout.task_comm = at("task_struct.comm");
    layout.task_parent = at("task_struct.real_parent");
    layout.task_leader = at("task_struct.group_leader");
    layout.task_signal = at("task_struct.signal");
    layout.signal_live = at("signal_struct.live.counter");
    layout.signal_group_exit_code = at("signal_struct.group_exit_code");
    layout.victim_is_task = u32::from(has_reason(types, "mark_victim", 0, "struct task_struct *"));
}

/// Where a system call's number and arguments are in `struct pt_regs`, and the number of connect(2), if all is known
/// that the hook on it needs. Told by the members that are there, not by what this program was built for: facts may be
/// another machine's.
fn call_registers(types: &TypeFacts) -> Option<CallRegisters> {
    if !are_as_read(types, CALL_FIELDS) {
        return None;
    }
    let at = |name| types.fields.get(name).map_or(ABSENT, |found| found.offset);
    // numbers of system calls are user-space ABI, each architecture's own
    if are_as_read(types, X86_REGISTERS) {
        let (second, third) = (at("pt_regs.si"), at("pt_regs.dx"));
        return Some(CallRegisters { call: at("pt_regs.orig_ax"), connect: 42, second, third });
    }
    let first = at("pt_regs.regs");
    are_as_read(types, ARM_REGISTERS).then(|| CallRegisters {
        call: at("pt_regs.syscallno"),
        connect: 203,
        second: first.saturating_add(8),
        third: first.saturating_add(16),
    })
}

/// What [`call_registers`] finds: offsets in bytes.
struct CallRegisters {
    call: u32,
    connect: u32,
    second: u32,
    third: u32,
}

/// Whether all of these are there, as wide as they are read; 0: of any size.
fn are_as_read(types: &TypeFacts, wanted: &[FieldPath]) -> bool {
    wanted
        .iter()
        .all(|wanted| types.fields.get(wanted.name).is_some_and(|found| wanted.size == 0 || found.size == wanted.size))
}

/// Whether BTF tells what the hook on connect(2) needs.
pub(super) fn knows_calls(types: &TypeFacts) -> bool {
    call_registers(types).is_some()
}

fn calls(types: &TypeFacts, layout: &mut Layout) {
    let registers = call_registers(types);
    let at = offsets(types, registers.is_some());
    let CallRegisters { call, connect, second, third } =
        registers.unwrap_or(CallRegisters { call: ABSENT, connect: 0, second: ABSENT, third: ABSENT });
    (layout.regs_call, layout.call_connect) = (call, connect);
    (layout.regs_second, layout.regs_third) = (second, third);
    layout.task_nsproxy = at("task_struct.nsproxy");
    layout.nsproxy_net = at("nsproxy.net_ns");
}

/// Whether BTF tells what following connections needs.
pub(super) fn knows_flows(types: &TypeFacts) -> bool {
    FLOW_FIELDS.iter().all(|wanted| types.fields.contains_key(wanted.name))
}

fn flows(types: &TypeFacts, layout: &mut Layout) {
    let known = knows_flows(types);
    let at = offsets(types, known);
    layout.tcp_snd_nxt = at("tcp_sock.snd_nxt");
    layout.tcp_write_seq = at("tcp_sock.write_seq");
    layout.tcp_copied_seq = at("tcp_sock.copied_seq");
    layout.icsk_retransmits = at("inet_connection_sock.icsk_retransmits");
    layout.task_flags = at("task_struct.flags");
    if known {
        layout.task_signal = at("task_struct.signal");
    }
    layout.signal_flags = at("signal_struct.flags");
}

pub(super) fn has_reason(types: &TypeFacts, tracepoint: &str, at: usize, kind: &str) -> bool {
    types.tracepoints.get(tracepoint).and_then(|parameters| parameters.get(at)).is_some_and(|found| found == kind)
}

/// What only some verdicts need: absent where this kernel does not have it as it is read.
fn handshakes(types: &TypeFacts, layout: &mut Layout) {
    let field = |name: &str| {
        let expected = OPTIONAL_FIELDS.iter().find(|wanted| wanted.name == name).map_or(0, |wanted| wanted.size);
        let as_read = |found: &&Field| expected == 0 || found.size == expected;
        types.fields.get(name).filter(as_read).copied().unwrap_or(Field { offset: ABSENT, ..Field::default() })
    };
    layout.csk_requests = field("inet_connection_sock.icsk_accept_queue.qlen").offset;
    layout.net_syncookies = field("net.ipv4.sysctl_tcp_syncookies").offset;
    layout.net_max_syn_backlog = field("net.ipv4.sysctl_max_syn_backlog").offset;
    layout.net_abort_on_overflow = field("net.ipv4.sysctl_tcp_abort_on_overflow").offset;
    layout.req_num_retrans = field("request_sock.num_retrans").offset;
    let timeouts = field("request_sock.num_timeout");
    (layout.req_num_timeout, layout.req_num_timeout_mask) = (timeouts.offset, timeouts.mask);
    layout.req_rcv_isn = field("tcp_request_sock.rcv_isn").offset;
    let acked = field("inet_request_sock.acked");
    (layout.req_acked, layout.req_acked_mask) = (acked.offset, acked.mask);
}

fn buffers(lookup: &mut Lookup<'_>, layout: &mut Layout) {
    layout.skb_sk = lookup.at("sk_buff.sk");
    layout.skb_dev = lookup.at("sk_buff.dev");
    layout.skb_len = lookup.at("sk_buff.len");
    layout.skb_head = lookup.at("sk_buff.head");
    layout.skb_network_header = lookup.at("sk_buff.network_header");
    layout.skb_transport_header = lookup.at("sk_buff.transport_header");
    layout.skb_protocol = lookup.at("sk_buff.protocol");
    layout.skb_iif = lookup.at("sk_buff.skb_iif");
    layout.skb_refdst = lookup.at("sk_buff._skb_refdst");
    layout.dst_dev = lookup.at("dst_entry.dev");
    layout.dev_net = lookup.at("net_device.nd_net.net");
    layout.dev_ifindex = lookup.at("net_device.ifindex");
    layout.net_inum = lookup.at("net.ns.inum");
}

fn sockets(lookup: &mut Lookup<'_>, layout: &mut Layout) {
    layout.sk_net = lookup.at("sock.__sk_common.skc_net.net");
    layout.sk_family = lookup.at("sock.__sk_common.skc_family");
    layout.sk_state = lookup.at("sock.__sk_common.skc_state");
    layout.sk_num = lookup.at("sock.__sk_common.skc_num");
    layout.sk_dport = lookup.at("sock.__sk_common.skc_dport");
    layout.sk_rcv_saddr = lookup.at("sock.__sk_common.skc_rcv_saddr");
    layout.sk_daddr = lookup.at("sock.__sk_common.skc_daddr");
    layout.sk_v6_rcv_saddr = lookup.at("sock.__sk_common.skc_v6_rcv_saddr");
    layout.sk_v6_daddr = lookup.at("sock.__sk_common.skc_v6_daddr");
    let v6_only = lookup.field("sock.__sk_common.skc_ipv6only");
    layout.sk_ipv6only = v6_only.offset;
    layout.sk_ipv6only_mask = v6_only.mask;
    layout.sk_err = lookup.at("sock.sk_err");
    layout.sk_err_soft = lookup.at("sock.sk_err_soft");
    let protocol = lookup.field("sock.sk_protocol");
    layout.sk_protocol = protocol.offset;
    layout.sk_protocol_size = protocol.size;
    layout.sk_socket = lookup.at("sock.sk_socket");
    layout.sk_ack_backlog = lookup.at("sock.sk_ack_backlog");
    layout.sk_max_ack_backlog = lookup.at("sock.sk_max_ack_backlog");
    let inode = lookup.at("socket_alloc.vfs_inode.i_ino");
    let socket = lookup.at("socket_alloc.socket");
    layout.socket_ino = inode.wrapping_sub(socket);
    layout.inet_sport = lookup.at("inet_sock.inet_sport");
    layout.tcp_snd_una = lookup.at("tcp_sock.snd_una");
    layout.tcp_rcv_nxt = lookup.at("tcp_sock.rcv_nxt");
    layout.tcp_bytes_received = lookup.at("tcp_sock.bytes_received");
    layout.tcp_bytes_acked = lookup.at("tcp_sock.bytes_acked");
}
