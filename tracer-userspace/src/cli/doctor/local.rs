//! A port of this host: who listens, and what connecting to it over loopback comes to.
//!
//! Routes, other hosts and what stands between are left out by this; the host's own INPUT and OUTPUT
//! rules are not, as far as they do not accept everything on the loopback interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::report::{Attempt, Listener, Port};
use super::request;
use crate::capture::clock;
use crate::capture::host::{Host, ListenerRow, ListeningSocket};
use crate::verdict::Slug;

/// Loopback answers at once or not at all.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Addresses tried; hosts of many containers have hundreds.
const ADDRESSES_MAX: usize = 16;

/// What a listener of this namespace is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) address: IpAddr,
    pub(super) v6_only: bool,
}

impl Bound {
    const fn of(socket: &ListeningSocket) -> Self {
        Self { address: socket.address, v6_only: socket.v6_only }
    }

    /// Whether it takes connections to this address.
    fn takes(&self, address: IpAddr) -> bool {
        let any = match self.address {
            IpAddr::V4(bound) => bound.is_unspecified() && address.is_ipv4(),
            IpAddr::V6(bound) => bound.is_unspecified() && (address.is_ipv6() || !self.v6_only),
        };
        any || self.address.to_canonical() == address
    }
}

/// How the listeners of this namespace stand to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// One of them takes connections to it.
    Covered,
    /// There are some, on other addresses.
    Elsewhere,
    /// There are none.
    Nothing,
}

/// Looks at the port, connects to it, and sends a request if a path is given.
pub(super) fn look(port: u16, path: Option<&str>) -> Port {
    let mut found = Port { number: port, ..Port::default() };
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let mut here = Vec::new();
    match Host::open(&[], clock::boot_time()) {
        Ok(mut host) => {
            let (all, problems) = host.table_of_all_listeners();
            found.listeners.extend(all.into_iter().filter(|row| row.port == port).map(listener));
            found.problems.extend(problems.iter().map(ToString::to_string));
            let own = host.namespaces().own();
            match host.listening_sockets(own, Some(&[port])) {
                Ok(sockets) => here.extend(sockets.iter().map(Bound::of)),
                Err(problem) => found.problems.push(problem.to_string()),
            }
            match host.addresses(own) {
                Ok(own) => addresses = own,
                Err(problem) => found.problems.push(problem.to_string()),
            }
        }
        Err(problem) => found.problems.push(problem.to_string()),
    }
    addresses.retain(|address| !is_link_local(*address));
    addresses.sort_unstable_by_key(|address| (!address.is_loopback(), *address));
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    found.connects = at_once(&addresses, |address| {
        let to = SocketAddr::new(address, port);
        connect_attempt(to, cover(&here, address))
    });
    if let Some(path) = path {
        found.probes = at_once(&probed(&addresses, &here), |address| {
            let to = SocketAddr::new(address, port);
            request::send(to, path, cover(&here, address))
        });
    }
    found
}

/// Where the request goes: loopback where a listener covers it, else one address that is covered,
/// else loopback all the same, to show what becomes of it.
fn probed(addresses: &[IpAddr], here: &[Bound]) -> Vec<IpAddr> {
    let covered = |address: &&IpAddr| cover(here, **address) == Cover::Covered;
    let loopback: Vec<IpAddr> = addresses.iter().copied().filter(IpAddr::is_loopback).collect();
    let reached: Vec<IpAddr> = loopback.iter().filter(covered).copied().collect();
    if !reached.is_empty() {
        return reached;
    }
    addresses.iter().find(covered).map_or(loopback, |address| vec![*address])
}

/// All at the same time: one that is not answered must not hold up the others.
fn at_once(addresses: &[IpAddr], attempt: impl Fn(IpAddr) -> Attempt + Sync) -> Vec<Attempt> {
    let attempt = &attempt;
    thread::scope(|scope| {
        let running: Vec<_> = addresses.iter().map(|address| scope.spawn(move || attempt(*address))).collect();
        // a thread that panicked has said so itself
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// Such an address means nothing without its interface.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn listener(row: ListenerRow) -> Listener {
    Listener {
        address: row.address.to_canonical().to_string(),
        process: row.process.map(|(pid, comm)| format!("{comm}[{pid}]")),
        unit: row.unit,
        container: row.container,
        namespace: Some(row.namespace).filter(|name| !name.is_empty()),
    }
}

/// How these listeners stand to an address.
pub(super) fn cover(bound: &[Bound], address: IpAddr) -> Cover {
    match (bound.is_empty(), bound.iter().any(|bound| bound.takes(address))) {
        (true, _) => Cover::Nothing,
        (false, true) => Cover::Covered,
        (false, false) => Cover::Elsewhere,
    }
}

fn connect_attempt(to: SocketAddr, cover: Cover) -> Attempt {
    let began = clock::boot_time();
    match TcpStream::connect_timeout(&to, CONNECT_TIMEOUT) {
        Ok(_connection) => {
            let duration = clock::boot_time().since(began);
            Attempt {
                duration_us: Some(micros(duration)),
                ..attempt(to, true, &format!("connected in {}", span(duration)))
            }
        }
        Err(error) => connect_failure(to, &error, cover),
    }
}

pub(super) fn attempt(to: SocketAddr, ok: bool, detail: &str) -> Attempt {
    Attempt { to: to.to_string(), ok, status: None, duration_us: None, verdict: None, detail: detail.to_owned() }
}

/// What a failed connection looks like. On one's own host there is no route or neighbour to fail:
/// only sockets and rules.
pub(super) fn connect_failure(to: SocketAddr, error: &io::Error, cover: Cover) -> Attempt {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let (verdict, detail) = match (errno, error.kind(), cover) {
        (Some(Errno::CONNREFUSED), _, Cover::Nothing) => {
            (Some(Slug::ProcessDown), "refused: nothing listens on the port")
        }
        (Some(Errno::CONNREFUSED), _, Cover::Elsewhere) => {
            (Some(Slug::WrongBindAddress), "refused: the listener is bound to another address")
        }
        (Some(Errno::CONNREFUSED), _, Cover::Covered) => (
            Some(Slug::FirewallReject),
            "refused although a listener covers this address: a rule of this host rejects it",
        ),
        (Some(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::ACCESS), ..) => {
            (Some(Slug::FirewallReject), "a rule of this host rejects it with an ICMP error")
        }
        (_, io::ErrorKind::TimedOut, Cover::Covered) => (
            Some(Slug::FirewallDrop),
            "no answer within 1 s although a listener covers this address: a rule of this host drops it, or the accept queue is full",
        ),
        (_, io::ErrorKind::TimedOut, _) => {
            (Some(Slug::FirewallDrop), "no answer within 1 s: a rule of this host drops it")
        }
        (Some(Errno::PERM), ..) => {
            (Some(Slug::KernelDrop), "not permitted: a cgroup program or security module of this host refuses it")
        }
        _ => return attempt(to, false, &error.to_string()),
    };
    Attempt { verdict, ..attempt(to, false, detail) }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// `0.2 ms`
pub(super) fn span(duration: Duration) -> String {
    let tenths = duration.as_micros().div_ceil(100);
    format!("{}.{} ms", tenths / 10, tenths % 10)
}
