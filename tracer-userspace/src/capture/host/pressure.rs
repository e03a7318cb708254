//! What a namespace, or the host, has too much of: connection tracking, accept queues, the allowances
//! of a cloud's network devices, memory.
//!
//! The files of a namespace are opened inside it and kept, so that a look costs a few reads. An open one
//! keeps its namespace alive, so those of a namespace that is gone are closed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use super::namespaces::{NamespaceError, NetNamespace};
use super::statistics;
use super::{Host, inside};
use crate::record::{BootTime, HostBody, HostRecord, Pressure};

/// Looks are this far apart.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A driver's statistics may need an answer of its device.
const DEVICES_EVERY: Duration = Duration::from_secs(2);
/// Files that were not there (a module that loads later) are looked for again.
const OPEN_EVERY: Duration = Duration::from_secs(10);
/// Namespaces looked at, at most: the host's own and the first watched ones.
const NAMESPACES_MAX: usize = 128;
/// Bytes read of one file, at most: /proc/net/netstat has under 8 KiB.
const FILE_MAX: usize = 64 * 1024;
/// Waiting for memory is told in steps of so many microseconds.
const STALL_STEP_US: u64 = 10_000;
/// What names the counters of exceeded allowances (`bw_in_allowance_exceeded` of the ENA driver).
const ALLOWANCE: &str = "allowance_exceeded";

/// The files of one namespace.
#[derive(Debug, Default)]
struct Files {
    conntrack_count: Option<File>,
    conntrack_limit: Option<File>,
    conntrack_statistics: Option<File>,
    netstat: Option<File>,
    devices: Option<File>,
}

impl Files {
    /// Opens what there is in the calling thread's namespace. `thread-self`, since `/proc/net` is that of
    /// the process's first thread.
    fn open() -> Self {
        let open = |path: &str| File::open(path).ok();
        Self {
            conntrack_count: open("/proc/sys/net/netfilter/nf_conntrack_count"),
            conntrack_limit: open("/proc/sys/net/netfilter/nf_conntrack_max"),
            conntrack_statistics: open("/proc/thread-self/net/stat/nf_conntrack"),
            netstat: open("/proc/thread-self/net/netstat"),
            devices: open("/proc/thread-self/net/dev"),
        }
    }

    fn has_all(&self) -> bool {
        self.conntrack_count.is_some() && self.conntrack_statistics.is_some() && self.netstat.is_some()
    }

    fn read(&self, buffer: &mut Vec<u8>) -> Pressure {
        let mut pressure = Pressure {
            conntrack_count: text_of(self.conntrack_count.as_ref(), buffer).and_then(number),
            conntrack_limit: text_of(self.conntrack_limit.as_ref(), buffer).and_then(number),
            ..Pressure::default()
        };
        pressure.conntrack_drops = text_of(self.conntrack_statistics.as_ref(), buffer).and_then(conntrack_drops);
        if let Some(text) = text_of(self.netstat.as_ref(), buffer) {
            pressure.listen_overflows = tcp_extension(text, "ListenOverflows");
            pressure.listen_drops = tcp_extension(text, "ListenDrops");
        }
        pressure
    }
}

/// A device with counters of exceeded allowances.
#[derive(Debug)]
struct Device {
    name: String,
    /// Statistics that its driver keeps.
    count: usize,
    /// Which of them are counters of exceeded allowances, and their names.
    allowances: Vec<(usize, String)>,
}

/// What was open and what was told last.
#[derive(Debug, Default)]
pub struct PressureGauge {
    open: BTreeMap<u32, Files>,
    told: BTreeMap<u32, Pressure>,
    devices: Option<(UdpSocket, Vec<Device>)>,
    allowances: Vec<(String, u64)>,
    memory: Option<File>,
    next_look: BootTime,
    next_devices: BootTime,
    next_opening: BootTime,
    buffer: Vec<u8>,
}

impl PressureGauge {
    /// Looks if it is time, and returns a record for each namespace of which something changed, and one
    /// for the host.
    pub fn look(&mut self, host: &Host, now: BootTime) -> Vec<HostRecord> {
        if now < self.next_look {
            return Vec::new();
        }
        self.next_look = now.after(LOOK_EVERY);
        if now >= self.next_opening {
            self.next_opening = now.after(OPEN_EVERY);
            self.open(host);
        }
        if now >= self.next_devices {
            self.next_devices = now.after(DEVICES_EVERY);
            self.read_devices();
        }
        let own = host.namespaces().own();
        let mut records = Vec::new();
        let seen: Vec<(u32, Pressure)> =
            self.open.iter().map(|(inode, files)| (*inode, files.read(&mut self.buffer))).collect();
        for (inode, mut pressure) in seen {
            if inode == own {
                pressure.allowances.clone_from(&self.allowances);
            }
            records.extend(self.tell(inode, pressure, now));
        }
        let stall = text_of(self.memory.as_ref(), &mut self.buffer).and_then(memory_stall);
        let memory_stall_us = stall.map(|us| us / STALL_STEP_US * STALL_STEP_US);
        records.extend(self.tell(0, Pressure { memory_stall_us, ..Pressure::default() }, now));
        records
    }

    /// Closes what is open in a namespace that is gone.
    pub fn forget(&mut self, inode: u32) {
        self.open.remove(&inode);
        self.told.remove(&inode);
    }

    /// Packets that the devices of a namespace have received so far, loopback apart.
    pub fn received(&mut self, inode: u32) -> Option<u64> {
        received(text_of(self.open.get(&inode)?.devices.as_ref(), &mut self.buffer)?)
    }

    /// New namespaces are looked at from the next look on.
    pub fn expect_new(&mut self) {
        self.next_opening = BootTime::default();
    }

    fn tell(&mut self, netns: u32, pressure: Pressure, now: BootTime) -> Option<HostRecord> {
        let last = self.told.entry(netns).or_default();
        if *last == pressure {
            return None;
        }
        last.clone_from(&pressure);
        Some(HostRecord { time: now, netns, body: HostBody::Pressure(pressure) })
    }

    fn open(&mut self, host: &Host) {
        let own = host.namespaces().own();
        let watched = host
            .namespaces()
            .iter()
            .filter(|namespace| namespace.inode == own || host.selection().watches(namespace.inode));
        for namespace in watched {
            let known = self.open.get(&namespace.inode);
            if known.is_some_and(Files::has_all) || (known.is_none() && self.open.len() >= NAMESPACES_MAX) {
                continue;
            }
            match open_in(namespace) {
                Ok(files) => drop(self.open.insert(namespace.inode, files)),
                Err(error) => log::debug!("its counters stay unread: {error}"),
            }
        }
        if self.memory.is_none() {
            self.memory = File::open("/proc/pressure/memory").ok();
        }
        if self.devices.is_none() {
            self.devices = find_devices().inspect_err(|error| log::debug!("device statistics: {error}")).ok();
        }
    }

    fn read_devices(&mut self) {
        let Some((socket, devices)) = &self.devices else { return };
        let mut allowances = Vec::new();
        for device in devices {
            let Ok(values) = statistics::values(socket, &device.name, device.count) else { continue };
            let named = device.allowances.iter();
            allowances
                .extend(named.filter_map(|(at, name)| Some((format!("{} {name}", device.name), *values.get(*at)?))));
        }
        self.allowances = allowances;
    }
}

fn open_in(namespace: &NetNamespace) -> Result<Files, NamespaceError> {
    inside(namespace, Files::open)
}

/// The devices of our own namespace that count exceeded allowances.
fn find_devices() -> io::Result<(UdpSocket, Vec<Device>)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut devices = Vec::new();
    for entry in std::fs::read_dir("/sys/class/net")?.flatten() {
        // only a device with hardware behind it has allowances
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if !entry.path().join("device").exists() {
            continue;
        }
        let names = statistics::names(&socket, &name).unwrap_or_default();
        let allowances: Vec<(usize, String)> =
            names.iter().cloned().enumerate().filter(|(_at, counter)| counter.contains(ALLOWANCE)).collect();
        if !allowances.is_empty() {
            devices.push(Device { name, count: names.len(), allowances });
        }
    }
    devices.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((socket, devices))
}

/// What a file that stays open holds now.
fn text_of<'a>(file: Option<&File>, buffer: &'a mut Vec<u8>) -> Option<&'a str> {
    let file = file?;
    buffer.clear();
    loop {
        let filled = buffer.len();
        if filled >= FILE_MAX {
            break;
        }
        buffer.resize(filled.saturating_add(4096), 0);
        let offset = u64::try_from(filled).ok()?;
        let read = file.read_at(buffer.get_mut(filled..)?, offset).ok()?;
        buffer.truncate(filled.saturating_add(read));
        if read == 0 {
            break;
        }
    }
    std::str::from_utf8(buffer).ok()
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Column `drop` of /proc/net/stat/nf_conntrack, a line a CPU, hexadecimal, all CPUs together.
fn conntrack_drops(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let column = lines.next()?.split_whitespace().position(|name| name == "drop")?;
    lines.try_fold(0_u64, |sum, line| {
        let drops = u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok()?;
        Some(sum.saturating_add(drops))
    })
}

/// A value of the `TcpExt` lines of /proc/net/netstat: one of names, then one of values.
fn tcp_extension(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let at = lines.next()?.split_whitespace().position(|known| known == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

/// Received packets of /proc/net/dev (the second value of a line), loopback apart.
fn received(text: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let devices = lines.filter(|(name, _values)| name.trim() != "lo");
    devices.map(|(_name, values)| values.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// `some ... total=N` of /proc/pressure/memory, microseconds.
fn memory_stall(text: &str) -> Option<u64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split_whitespace().find_map(|word| word.strip_prefix("total="))?.parse().ok()
}

#[cfg(test)]
#[path = "pressure_tests.rs"]
mod tests;
