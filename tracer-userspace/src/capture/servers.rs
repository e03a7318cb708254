//! Which processes the programs follow: all that hold a listener of a watched port. Their children are
//! followed by the programs themselves, and those that serve a connection by whichever way they came by it.

use std::collections::{BTreeSet, HashSet};

use super::host::holds_any;
use crate::record::{ProcessRecord, Record, SocketRecord, kind, tcp_state};

/// Most listeners remembered.
const LISTENERS_MAX: usize = 16_384;

/// Listeners of the watched ports, and what has to change in the programs' map.
#[derive(Debug, Default)]
pub(super) struct Servers {
    listeners: HashSet<u64>,
    changes: Changes,
}

/// What has to change in the programs' map of followed processes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// They serve a watched port.
    pub(super) new: BTreeSet<u32>,
    /// They no longer do.
    pub(super) gone: BTreeSet<u32>,
}

impl Servers {
    /// These processes hold listeners with these inodes.
    pub(super) fn found(&mut self, holders: impl IntoIterator<Item = u32>, inodes: impl IntoIterator<Item = u64>) {
        self.changes.new.extend(holders.into_iter().filter(|pid| *pid > 1));
        for inode in inodes {
            self.listens(inode);
        }
    }

    /// Looks at a kernel record before it goes on.
    pub(super) fn look_at(&mut self, record: &Record) {
        match record {
            Record::Socket(socket) if socket.header.kind == kind::SOCKET_STATE => self.socket(socket),
            Record::Process(process) => {
                self.process(process, |pid, listeners| holds_any(pid, |inode| listeners.contains(&inode)));
            }
            _ => {}
        }
    }

    /// What has to change since the last call.
    pub(super) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    fn socket(&mut self, socket: &SocketRecord) {
        if socket.new_state == tcp_state::LISTEN {
            self.listens(socket.inode);
            // PID 1 holds the sockets it activates services by, and starts everything
            if socket.pid > 1 {
                self.changes.gone.remove(&socket.pid);
                self.changes.new.insert(socket.pid);
            }
        } else if socket.old_state == tcp_state::LISTEN {
            self.listeners.remove(&socket.inode);
        }
    }

    /// A child that became another program serves nothing any more unless the socket came along.
    fn process(&mut self, process: &ProcessRecord, holds: impl Fn(u32, &HashSet<u64>) -> bool) {
        match process.header.kind {
            kind::PROCESS_EXEC if !holds(process.pid, &self.listeners) => {
                self.changes.new.remove(&process.pid);
                self.changes.gone.insert(process.pid);
            }
            // the programs have removed it themselves
            kind::PROCESS_EXIT => {
                self.changes.new.remove(&process.pid);
                self.changes.gone.remove(&process.pid);
            }
            _ => {}
        }
    }

    fn listens(&mut self, inode: u64) {
        if inode != 0 && self.listeners.len() < LISTENERS_MAX {
            self.listeners.insert(inode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Header;

    fn listen(pid: u32, inode: u64, states: (u8, u8)) -> SocketRecord {
        let header = Header { kind: kind::SOCKET_STATE, ..Header::default() };
        SocketRecord { header, pid, inode, old_state: states.0, new_state: states.1, ..SocketRecord::default() }
    }

    fn process(kind: u16, pid: u32) -> ProcessRecord {
        ProcessRecord { header: Header { kind, ..Header::default() }, pid, ..ProcessRecord::default() }
    }

    fn changes(new: &[u32], gone: &[u32]) -> Changes {
        Changes { new: new.iter().copied().collect(), gone: gone.iter().copied().collect() }
    }

    #[test]
    fn holders_are_followed_and_the_first_process_is_not() {
        let mut servers = Servers::default();
        servers.found([1, 7, 8], [100]);
        servers.look_at(&Record::Socket(listen(9, 101, (tcp_state::CLOSE, tcp_state::LISTEN))));
        servers.look_at(&Record::Socket(listen(1, 102, (tcp_state::CLOSE, tcp_state::LISTEN))));
        assert_eq!(servers.take_changes(), changes(&[7, 8, 9], &[]));
        assert_eq!(servers.take_changes(), Changes::default());
    }

    #[test]
    fn another_program_is_followed_only_with_the_socket() {
        let mut servers = Servers::default();
        servers.found([7], [100]);
        servers.take_changes();
        let holds = |expected: bool| move |_pid: u32, listeners: &HashSet<u64>| listeners.contains(&100) && expected;
        servers.process(&process(kind::PROCESS_EXEC, 8), holds(true));
        assert_eq!(servers.take_changes(), Changes::default());
        servers.process(&process(kind::PROCESS_EXEC, 8), holds(false));
        assert_eq!(servers.take_changes(), changes(&[], &[8]));
        // its listener went: then nothing of it is left to hold
        servers.look_at(&Record::Socket(listen(7, 100, (tcp_state::LISTEN, tcp_state::CLOSE))));
        servers.process(&process(kind::PROCESS_EXEC, 7), holds(true));
        assert_eq!(servers.take_changes(), changes(&[], &[7]));
    }

    #[test]
    fn a_process_that_ended_is_neither_added_nor_removed() {
        let mut servers = Servers::default();
        servers.found([7], [100]);
        servers.look_at(&Record::Process(process(kind::PROCESS_EXIT, 7)));
        assert_eq!(servers.take_changes(), Changes::default());
    }

    #[test]
    fn this_process_is_looked_at() {
        use std::os::fd::AsRawFd as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let digits: String = link.to_str().unwrap().chars().filter(char::is_ascii_digit).collect();
        let mut servers = Servers::default();
        servers.found([], [digits.parse().unwrap()]);
        servers.look_at(&Record::Process(process(kind::PROCESS_EXEC, std::process::id())));
        assert_eq!(servers.take_changes(), Changes::default());
        drop(listener);
        servers.look_at(&Record::Process(process(kind::PROCESS_EXEC, std::process::id())));
        assert_eq!(servers.take_changes(), changes(&[], &[std::process::id()]));
    }
}
