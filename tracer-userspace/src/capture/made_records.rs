//! Records that the capture side makes itself.

use std::collections::BTreeSet;

use super::clock::clock_pair;
use super::facts::Facts;
use super::kernel_maps::UnsentConnect;
use super::load::Loaded;
use super::plan::Plan;
use super::session::SessionConfig;
use crate::record::{
    BootTime, Header, Hook, HostBody, HostRecord, Record, SocketRecord, Start, Tuple, kind, socket_flag, tcp_state,
};
use tracer_ebpf::connect_flag;

/// A host record that speaks of no namespace.
pub(super) fn host_record(time: BootTime, body: HostBody) -> Record {
    Record::Host(HostRecord { time, netns: 0, body })
}

/// The record of a connect() that the programs have not told of: it came back without a SYN.
pub(super) fn unsent_record(unsent: &UnsentConnect, now: BootTime) -> SocketRecord {
    let connect = &unsent.connect;
    SocketRecord {
        header: Header {
            kind: kind::CONNECT_UNSENT,
            len: u16::try_from(size_of::<SocketRecord>()).unwrap_or(0),
            cpu: u32::MAX,
            time_ns: now.as_ns(),
            netns: connect.netns,
            reserved: 0,
        },
        tuple: Tuple { dst: connect.dst, dst_port: connect.dst_port, ..Tuple::default() },
        started_ns: connect.time_ns,
        flags: socket_flag::HAS_TASK
            | if connect.flags & connect_flag::V6_SOCKET == 0 { 0 } else { socket_flag::V6_SOCKET }
            | if connect.flags & connect_flag::CHAINED == 0 { 0 } else { socket_flag::CHAINED },
        pid: unsent.pid,
        comm: connect.comm,
        old_state: tcp_state::CLOSE,
        new_state: tcp_state::CLOSE,
        ..SocketRecord::default()
    }
}

/// The hooks as they are now, with the reason where one is not attached.
pub(super) fn hook_records(plan: &Plan, loaded: &Loaded) -> Vec<Hook> {
    let mut hooks = plan.hook_records(|program| loaded.attached.contains(program));
    for hook in &mut hooks {
        let program = hook.name.rsplit('/').next().unwrap_or_default();
        if let Some(why) = loaded.refused.get(program) {
            hook.note.clone_from(why);
        }
    }
    hooks
}

/// What the stream begins with.
pub(super) fn start_record(
    config: &SessionConfig,
    facts: &Facts,
    plan: &Plan,
    loaded: &Loaded,
    netns: Vec<u32>,
) -> Start {
    let types = facts.types.clone().unwrap_or_default();
    let blind: BTreeSet<String> = plan.blind().into_iter().map(|slug| slug.as_str().to_owned()).collect();
    Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned(),
        kernel: facts.kernel.clone(),
        machine: facts.machine.clone(),
        ports: config.ports.clone(),
        slow_ns: config.slow_ns,
        slow_given: config.slow_given,
        statuses: config.statuses.clone(),
        netns,
        hooks: hook_records(plan, loaded),
        blind: blind.into_iter().collect(),
        clock: clock_pair(),
        drop_reasons: types.drop_reasons,
        reset_reasons: types.reset_reasons,
        ..Start::default()
    }
}
