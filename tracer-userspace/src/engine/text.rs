//! Words for people: names of processes, places and errors, and the evidence of an attempt.

use std::net::SocketAddr;
use std::time::Duration;

use super::attempt::{Task, errno};
use super::evidence::{Dropped, Endpoint, Fact, Full, IcmpError, What, is_v4};
use super::icmp;
use super::listeners;
use super::rules::{Case, Finding};
use super::world::World;
use crate::record::BootTime;
use crate::shell;
use crate::verdict::{Event, Evidence, Process, Role, address};

/// A process as the kernel named it, with what look-ups added.
pub(super) fn process(world: &World, pid: Option<u32>, comm: Option<[u8; 16]>) -> Option<Process> {
    let info = pid.and_then(|pid| world.process_of(pid));
    let known = info.map(|info| info.comm.clone()).filter(|comm| !comm.is_empty());
    let comm = comm.map(comm_text).filter(|comm| !comm.is_empty()).or(known);
    (pid.is_some() || comm.is_some()).then(|| Process {
        pid,
        comm,
        exit: None,
        unit: info.and_then(|info| info.unit.clone()),
        container: info.and_then(|info| info.container.clone()),
    })
}

/// Who called connect().
pub(super) fn connecting_process(case: &Case<'_>) -> Option<Process> {
    let Task { pid, comm } = case.attempt.own.as_ref()?.task?;
    process(case.world, Some(pid), Some(comm))
}

/// Who holds a listener.
pub(super) fn listener_process(case: &Case<'_>, listener: &listeners::Entry) -> Option<Process> {
    process(case.world, listener.pid, listener.comm)
}

/// Whom a firewall kept from talking: the connecting process, or the present listener (and then
/// what it listens on).
pub(super) fn firewall_subject(case: &Case<'_>, finding: &Finding) -> (Option<Process>, Option<String>) {
    if finding.role == Role::Outbound {
        return (connecting_process(case), None);
    }
    let (end, listeners) = (finding.flow.responder, &case.world.listeners);
    // a FORWARD chain drops on behalf of the namespace behind it
    let behind = || case.world.namespaces.owner(end.address).and_then(|netns| listeners.covering(netns, end));
    let Some(listener) = listeners.covering(finding.netns, end).or_else(behind) else { return (None, None) };
    let process = listener_process(case, listener);
    let detail = format!("{} listens on {} all the while", name(process.as_ref()), bound(listener, end.port));
    (process, Some(detail))
}

/// `comm (pid N)`, as far as it is known.
pub(super) fn name(process: Option<&Process>) -> String {
    match process.map(|process| (process.comm.as_deref(), process.pid)) {
        Some((Some(comm), Some(pid))) => format!("{comm} (pid {pid})"),
        Some((Some(comm), None)) => comm.to_owned(),
        Some((None, Some(pid))) => format!("pid {pid}"),
        _ => "a process".to_owned(),
    }
}

fn comm_text(comm: [u8; 16]) -> String {
    let bytes = comm.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a listener is bound to.
pub(super) fn bound(listener: &listeners::Entry, port: u16) -> String {
    SocketAddr::new(listener.address, port).to_string()
}

/// `, in namespace X`, or nothing for the host's own.
pub(super) fn in_namespace(case: &Case<'_>, netns: u32) -> String {
    match case.world.namespaces.name(netns) {
        "" => String::new(),
        name => format!(" in namespace {name}"),
    }
}

/// `namespace X`, or `host`.
pub(super) fn namespace_or_host(case: &Case<'_>, netns: u32) -> String {
    match case.world.namespaces.name(netns) {
        "" => "host".to_owned(),
        name => format!("namespace {name}"),
    }
}

/// What to do about a port that nobody listens on.
pub(super) fn start_the_process(process: Option<&Process>, port: u16, enter: &str) -> String {
    let check = format!("`{enter}ss -ltnp 'sport = :{port}'` must show a listener");
    let parts = process.map(|process| (process.unit.as_deref(), process.container.as_deref()));
    match parts {
        Some((_, Some(container))) => {
            let short: String = container.chars().take(12).collect();
            format!(
                "See why container {short} stopped (`docker logs {short}`, `crictl logs {short}`) and start it; {check}."
            )
        }
        Some((Some(unit), None)) => {
            let unit = shell::word(unit);
            format!(
                "See why it stopped with `systemctl status {unit}` and `journalctl -u {unit} -e`, and start it; {check}."
            )
        }
        _ => format!("Start the process that serves port {port}, or find out why it is down; {check}."),
    }
}

/// What lists the rules that iptables made for this end's family.
pub(super) fn lists_tables(end: Endpoint) -> &'static str {
    if end.is_v4() { "iptables-save" } else { "ip6tables-save" }
}

/// Which packet was dropped.
pub(super) fn packet(dropped: &Dropped) -> &'static str {
    if dropped.syn_ack { "SYN-ACK" } else { "SYN" }
}

/// Who sent the dropped packet.
pub(super) fn sender(dropped: &Dropped) -> Endpoint {
    if dropped.syn_ack { dropped.flow.responder } else { dropped.flow.initiator }
}

/// Whom it was sent to.
pub(super) fn receiver(dropped: &Dropped) -> Endpoint {
    if dropped.syn_ack { dropped.flow.initiator } else { dropped.flow.responder }
}

/// The kernel's words for a drop: reason, function, interface.
pub(super) fn drop_cause(case: &Case<'_>, dropped: &Dropped) -> String {
    let reason = dropped.reason.and_then(|reason| case.world.reason_name(reason));
    let mut parts: Vec<String> = Vec::new();
    parts.extend(reason.map(str::to_owned));
    parts.extend(case.world.symbol_name(dropped.location).map(|symbol| format!("in {symbol}")));
    if dropped.ifindex != 0 {
        parts.push(format!("from interface {}", dropped.ifindex));
    } else if dropped.from_socket {
        parts.push("on its way out".to_owned());
    }
    if parts.is_empty() { "no reason given".to_owned() } else { parts.join(" ") }
}

/// An ICMP error in words.
pub(super) fn icmp_name(error: &IcmpError) -> String {
    icmp::describe(is_v4(error.flow.responder.address), error.icmp_type, error.icmp_code)
}

/// Who sent it.
pub(super) fn icmp_sender(error: &IcmpError) -> String {
    address(error.from).to_string()
}

/// An errno in words.
pub(super) fn error_name(error: u32) -> String {
    let name = match error {
        errno::EPERM => "EPERM, operation not permitted",
        errno::EADDRNOTAVAIL => "EADDRNOTAVAIL, no local port is free",
        errno::EACCES => "EACCES, permission denied",
        errno::ENOPROTOOPT => "ENOPROTOOPT, protocol not available",
        errno::ENETUNREACH => "ENETUNREACH, network is unreachable",
        errno::ECONNREFUSED => "ECONNREFUSED, connection refused",
        errno::EHOSTUNREACH => "EHOSTUNREACH, no route to host",
        110 => "ETIMEDOUT, connection timed out",
        _ => return format!("errno {error}"),
    };
    name.to_owned()
}

/// A length of time for people.
pub(super) fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => format!("{} µs", duration.as_micros()),
        1..=999 => format!("{ms} ms"),
        1000..=119_999 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

/// How far `time` is from `reference`.
pub(super) fn apart(time: BootTime, reference: BootTime) -> String {
    if time <= reference {
        format!("{} before", duration(reference.since(time)))
    } else {
        format!("{} after", duration(time.since(reference)))
    }
}

/// The attempt's own facts as evidence.
pub(super) fn evidence(case: &Case<'_>) -> Vec<Evidence> {
    let first = case.attempt.own.as_ref().and_then(|own| {
        let (from, to) = (own.flow.initiator.socket_addr(), own.flow.responder.socket_addr());
        let unsent = case.attempt.first(|what| matches!(what, What::ConnectUnsent { .. })).is_some();
        let detail = format!("SYN from {from} to {to}{}", in_namespace(case, own.netns));
        own.started.filter(|_| !unsent).map(|time| Evidence { time, event: Event::SynSent, detail })
    });
    // an error that is none yet: the kernel keeps it back until connect() asks
    let said = case.attempt.facts().iter().filter(|fact| fact.what != What::SocketError(0));
    first.into_iter().chain(said.map(|fact| item(case, fact))).collect()
}

fn item(case: &Case<'_>, fact: &Fact) -> Evidence {
    let place = in_namespace(case, fact.netns);
    let (event, detail) = match &fact.what {
        What::Drop(dropped) => (drop_event(dropped), drop_detail(case, fact, dropped)),
        What::Icmp(error) => {
            let event = if error.sent { Event::IcmpSent } else { Event::IcmpReceived };
            (event, format!("{} from {} to {}{place}", icmp_name(error), icmp_sender(error), address(error.to)))
        }
        What::NetfilterReset(flow) => {
            let (from, to) = (flow.responder.socket_addr(), flow.initiator.socket_addr());
            match case.attempt.netfilter_drops().next() {
                Some(_) => (Event::NetfilterReset, format!("netfilter sent a RST from {from} to {to}{place}")),
                None => (Event::ResetSent, format!("a RST that no socket owns left from {from} to {to}{place}")),
            }
        }
        What::ResetSent => (Event::ResetSent, format!("the kernel answered the SYN with a RST{place}")),
        What::ResetReceived => (Event::ResetReceived, format!("a RST answered the SYN{place}")),
        What::SynRetransmitted(0) => (Event::SynRetransmitted, "SYN sent again".to_owned()),
        What::SynRetransmitted(n) => (Event::SynRetransmitted, format!("SYN sent again, retransmission {n}")),
        What::ListenerFull(full) => (Event::AcceptQueueFull, format!("{}{place}", full_detail(full))),
        What::SynAckRetransmitted(again) => {
            let (to, n) = (again.flow.initiator.socket_addr(), again.retransmits);
            (Event::SynAckRetransmitted, format!("SYN-ACK to {to} sent again, retransmission {n}{place}"))
        }
        What::SocketError(error) => (Event::SocketError, error_name(*error)),
        What::Closed(0) => (Event::GaveUp, "the socket was closed before anything answered".to_owned()),
        What::Closed(error) => (Event::GaveUp, error_name(*error)),
        What::ConnectUnsent { error: 0 } => (Event::NoRoute, "connect() returned before a SYN was sent".to_owned()),
        What::ConnectUnsent { error } if matches!(*error, errno::EPERM | errno::EACCES) => {
            (Event::ConnectFailed, format!("connect() was refused before a SYN was sent: {}", error_name(*error)))
        }
        What::ConnectUnsent { error } => {
            (Event::NoRoute, format!("connect() failed before a SYN was sent: {}", error_name(*error)))
        }
    };
    Evidence { time: fact.time, event, detail }
}

/// Which packet a full listener could not take, and how full it was.
fn full_detail(full: &Full) -> String {
    let packet = if full.last_ack { "last ACK" } else { "SYN" };
    let (from, to) = (full.flow.initiator.socket_addr(), full.flow.responder.socket_addr());
    let what = format!("{packet} from {from} to {to}");
    let queue = format!("{} connections wait to be accepted, the limit is {}", full.backlog, full.limit);
    match (full.aborts, full.no_request && full.backlog <= full.limit) {
        (true, _) => format!("{what} answered by a RST (tcp_abort_on_overflow): {queue}"),
        (_, true) => format!("{what} dropped: the SYN queue is full and SYN cookies are off; {queue}"),
        (false, false) => format!("{what} dropped: {queue}"),
    }
}

fn drop_event(dropped: &Dropped) -> Event {
    use super::evidence::DropClass;
    match dropped.class {
        DropClass::NoSocket => Event::NoSocket,
        DropClass::Netfilter => Event::NetfilterDrop,
        DropClass::NeighbourFailed => Event::NeighbourFailed,
        DropClass::Ordinary | DropClass::Other => Event::KernelDrop,
    }
}

fn drop_detail(case: &Case<'_>, fact: &Fact, dropped: &Dropped) -> String {
    format!(
        "{} from {} to {} dropped{}: {}",
        packet(dropped),
        sender(dropped).socket_addr(),
        receiver(dropped).socket_addr(),
        in_namespace(case, fact.netns),
        drop_cause(case, dropped),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        let check = |us, expected: &str| assert_eq!(duration(Duration::from_micros(us)), expected);
        check(850, "850 µs");
        check(1_999, "1 ms");
        check(2_540_000, "2.5 s");
        check(119_999_999, "119.9 s");
        check(7_200_000_000, "120 min");
        let at = BootTime::from_ns;
        assert_eq!(apart(at(1_000_000), at(3_000_000)), "2 ms before");
        assert_eq!(apart(at(3_000_000), at(1_000_000)), "2 ms after");
    }

    #[test]
    fn names_of_processes() {
        let process = |pid, comm: Option<&str>| Process { pid, comm: comm.map(str::to_owned), ..Process::default() };
        assert_eq!(name(Some(&process(Some(7), Some("nginx")))), "nginx (pid 7)");
        assert_eq!(name(Some(&process(None, Some("nginx")))), "nginx");
        assert_eq!(name(Some(&process(Some(7), None))), "pid 7");
        assert_eq!(name(None), "a process");
        assert_eq!(comm_text(*b"a\xff\0rest of bytes"), "a\u{fffd}");
    }

    #[test]
    fn where_to_start_it() {
        let with = |unit: Option<&str>, container: Option<&str>| {
            let (unit, container) = (unit.map(str::to_owned), container.map(str::to_owned));
            start_the_process(Some(&Process { unit, container, ..Process::default() }), 80, "")
        };
        assert!(with(Some("app.service"), None).contains("systemctl status app.service"));
        assert!(with(Some("docker.service"), Some("0123456789abcdef")).contains("docker logs 0123456789ab`"));
        assert!(with(None, None).contains("`ss -ltnp 'sport = :80'` must show a listener"));
    }
}
