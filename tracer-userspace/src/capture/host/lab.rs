//! Network namespaces for tests, gone at the end of each.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Host, NetNamespace};
use crate::capture::clock::boot_time;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A namespace of /run/netns; deleted when dropped.
#[derive(Debug)]
pub(super) struct LabNamespace {
    pub(super) name: String,
}

impl LabNamespace {
    /// A new namespace, loopback down; `None`, having said why, where none can be made.
    pub(super) fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: {test}: needs root");
            return None;
        }
        if let Err(error) = Command::new("ip").arg("-V").output() {
            println!("skipped: {test}: needs iproute2 ({error})");
            return None;
        }
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("wfhost-{}-{number}", std::process::id()) };
        ip(&format!("netns add {}", namespace.name));
        Some(namespace)
    }

    /// Runs `ip ARGUMENTS` inside.
    pub(super) fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.name));
    }

    /// This namespace as `host` knows it.
    pub(super) fn of<'a>(&self, host: &'a mut Host) -> &'a NetNamespace {
        host.rescan(boot_time()).unwrap();
        host.namespaces().iter().find(|namespace| namespace.name == self.name).unwrap()
    }
}

impl Drop for LabNamespace {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name));
    }
}

/// A veth pair between two namespaces: 10.77.0.1/24 and fd77::1/64 in `left`, .2 and ::2 in `right`.
pub(super) fn connect(left: &LabNamespace, right: &LabNamespace) {
    left.ip(&format!("link add veth0 type veth peer name veth0 netns {}", right.name));
    for (side, number) in [(left, 1), (right, 2)] {
        side.ip(&format!("addr add 10.77.0.{number}/24 dev veth0"));
        side.ip(&format!("addr add fd77::{number}/64 dev veth0 nodad"));
        side.ip("link set veth0 up");
        side.ip("link set lo up");
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // a panic while another unwinds would abort the other tests
    if !std::thread::panicking() {
        assert!(output.status.success(), "ip {arguments}: {said}");
    }
}
