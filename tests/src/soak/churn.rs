//! The load: connections that succeed and that are refused, listeners and namespaces that come and go.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::{Namespace, fresh_name, ip_batch};
use crate::wait::{Deadline, PATIENCE, wait_until};

/// The watched ports, as the flag takes them. No other test uses them.
pub(super) const PORTS: &str = "18600-18603";
const LISTENED: u16 = 18_600;
const CLOSED: u16 = 18_603;
/// Connections to a listener until it is replaced.
const PER_LISTENER: u64 = 50;
/// After each pair of connections: the load is the same throughout, and leaves the machine room.
const PACE: Duration = Duration::from_millis(4);
/// Between two namespaces.
const NAMESPACE_PACE: Duration = Duration::from_millis(500);
/// Namespaces of this number and up.
const FIRST_NAMESPACE: u32 = 1_000;

/// What came and went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Churned {
    pub(super) connections: u64,
    pub(super) refused: u64,
    pub(super) listeners: u64,
    pub(super) namespaces: u64,
}

impl AddAssign for Churned {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.refused += other.refused;
        self.listeners += other.listeners;
        self.namespaces += other.namespaces;
    }
}

/// In one namespace of its own, until `stop`.
pub(super) fn connections(stop: &AtomicBool) -> Result<Churned> {
    let namespace = namespace(FIRST_NAMESPACE)?;
    let mut churned = Churned::default();
    while !stop.load(Ordering::Relaxed) {
        churned += namespace.within(|| listen_and_connect(PER_LISTENER, PACE))??;
    }
    Ok(churned)
}

/// One namespace after the other, each with a listener and some connections, until `stop`.
pub(super) fn namespaces(stop: &AtomicBool) -> Result<Churned> {
    let mut churned = Churned::default();
    for number in FIRST_NAMESPACE + 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let namespace = namespace(number)?;
        churned += namespace.within(|| listen_and_connect(3, Duration::ZERO))??;
        churned.namespaces += 1;
        drop(namespace);
        std::thread::sleep(NAMESPACE_PACE);
    }
    Ok(churned)
}

fn namespace(number: u32) -> Result<Namespace> {
    let name = fresh_name(number, 's');
    ip_batch(None, &format!("netns add {name}\n"))?;
    let namespace = Namespace::adopt(name)?;
    namespace.ip("link set lo up\n")?;
    Ok(namespace)
}

/// A listener, and so many pairs of a connection that it takes and one that nobody does.
fn listen_and_connect(pairs: u64, pace: Duration) -> Result<Churned> {
    let to = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let listener = listen(to(LISTENED))?;
    let mut churned = Churned { listeners: 1, ..Churned::default() };
    for _ in 0..pairs {
        let client = TcpStream::connect(to(LISTENED))?;
        let (taken, _peer) = listener.accept()?;
        // whoever closes first keeps the port for a minute
        drop(client);
        drop(taken);
        churned.connections += 1;
        if TcpStream::connect(to(CLOSED)).is_err() {
            churned.refused += 1;
        }
        std::thread::sleep(pace);
    }
    Ok(churned)
}

/// Connections of the listener before may still be closing.
fn listen(to: SocketAddr) -> Result<TcpListener> {
    let mut listener = None;
    wait_until(Deadline::after(PATIENCE), "a free port", || match TcpListener::bind(to) {
        Ok(bound) => {
            listener = Some(bound);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error).context("listening"),
    })?;
    listener.context("no listener")
}
