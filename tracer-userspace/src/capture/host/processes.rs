//! Who a process is, and which process holds a socket.

use std::collections::{BTreeSet, HashMap};

use super::cgroup;
use super::proc_files;
use crate::record::ProcessInfo;

/// Open files looked at in one search, at most: some seconds of work on a very busy host.
const FILES_MAX: usize = 2_000_000;
/// Steps up the process tree, at most.
const ANCESTORS_MAX: usize = 16;

/// Who `pid` is; `None` if it is gone.
#[must_use]
pub fn process(pid: u32) -> Option<ProcessInfo> {
    let comm = proc_files::comm(pid)?;
    let membership = proc_files::read(pid, "cgroup").map(|text| cgroup::parse(&text)).unwrap_or_default();
    Some(ProcessInfo { pid, comm, unit: membership.unit, container: membership.container })
}

/// Who holds sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// The process to name for each socket, by inode. A socket that nobody is seen to hold is missing.
    pub owners: HashMap<u64, u32>,
    /// Every process that holds one of them, PID 1 left out: it holds those it activates services by.
    pub all: BTreeSet<u32>,
}

/// Finds the processes that hold the sockets with these inodes.
///
/// Several may hold one (a master and its workers, a manager that passed it on): then its owner is the
/// topmost of that process tree, though PID 1 only if no other has it.
#[must_use]
pub fn socket_holders(wanted: &BTreeSet<u64>) -> Holders {
    let mut holders = Holders::default();
    let owners = &mut holders.owners;
    let mut budget = FILES_MAX;
    let pids = proc_files::pids().unwrap_or_default();
    // PID 1 holds the sockets it activates services by, so it comes last
    for pid in pids.iter().filter(|pid| **pid != 1).chain(pids.iter().filter(|pid| **pid == 1)) {
        if budget == 0 {
            log::info!("more than {FILES_MAX} open files: some processes were not looked at for who listens");
            break;
        }
        for inode in sockets_of(*pid, &mut budget).filter(|inode| wanted.contains(inode)) {
            owners.entry(inode).or_insert(*pid);
            if *pid != 1 {
                holders.all.insert(*pid);
            }
        }
    }
    let mut held_by: HashMap<u32, BTreeSet<u64>> = HashMap::new();
    for (inode, owner) in owners {
        *owner = topmost(*owner, *inode, &mut held_by, wanted, &mut budget);
    }
    holders
}

/// Whether a process holds one of these sockets, among its first thousands of open files.
#[must_use]
pub fn holds_any(pid: u32, wanted: impl Fn(u64) -> bool) -> bool {
    const LOOKED_AT: usize = 4096;
    sockets_of(pid, &mut { LOOKED_AT }).any(wanted)
}

/// The highest ancestor of `pid`, below PID 1, that holds `inode` without a gap.
fn topmost(
    pid: u32,
    inode: u64,
    held_by: &mut HashMap<u32, BTreeSet<u64>>,
    wanted: &BTreeSet<u64>,
    budget: &mut usize,
) -> u32 {
    let mut top = pid;
    for _step in 0..ANCESTORS_MAX {
        let Some(parent) = proc_files::parent(top).filter(|parent| *parent > 1) else { break };
        let held = held_by
            .entry(parent)
            .or_insert_with(|| sockets_of(parent, budget).filter(|inode| wanted.contains(inode)).collect());
        if !held.contains(&inode) {
            break;
        }
        top = parent;
    }
    top
}

/// Inodes of the sockets among a process's open files; takes what it looks at from `budget`.
fn sockets_of(pid: u32, budget: &mut usize) -> impl Iterator<Item = u64> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files
        .take_while(move |_file| {
            let left = *budget > 0;
            *budget = budget.saturating_sub(1);
            left
        })
        .filter_map(|file| socket_inode(std::fs::read_link(file.path()).ok()?.to_str()?))
}

/// `socket:[123]`
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn inode_of(listener: &TcpListener) -> u64 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        socket_inode(link.to_str().unwrap()).unwrap()
    }

    #[test]
    fn a_socket_of_this_process_is_found_and_another_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = inode_of(&listener);
        let wanted = BTreeSet::from([inode, u64::MAX]);
        let holders = socket_holders(&wanted);
        assert_eq!(holders.owners, HashMap::from([(inode, std::process::id())]));
        assert!(holders.all.contains(&std::process::id()));
        assert!(holds_any(std::process::id(), |held| held == inode));
        assert!(!holds_any(std::process::id(), |held| held == u64::MAX));
    }

    #[test]
    fn the_topmost_holder_is_named() {
        // the standard input of a child is a socket that this process holds too
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let inode = {
            let link = std::fs::read_link(format!("/proc/self/fd/{}", theirs.as_raw_fd())).unwrap();
            socket_inode(link.to_str().unwrap()).unwrap()
        };
        let copy = theirs.try_clone().unwrap();
        let mut child = std::process::Command::new("cat").stdin(std::os::fd::OwnedFd::from(copy)).spawn().unwrap();
        let wanted = BTreeSet::from([inode]);
        assert_eq!(topmost(child.id(), inode, &mut HashMap::new(), &wanted, &mut 100_000), std::process::id());
        assert!(socket_holders(&wanted).all.is_superset(&BTreeSet::from([std::process::id(), child.id()])));
        drop(theirs);
        // now only the child has it
        assert_eq!(socket_holders(&wanted).owners, HashMap::from([(inode, child.id())]));
        drop(ours);
        child.wait().unwrap();
    }

    #[test]
    fn this_process_is_described() {
        let own = process(std::process::id()).unwrap();
        assert_eq!(own.pid, std::process::id());
        assert!(!own.comm.is_empty());
        assert_eq!(process(5_000_000), None);
    }

    #[test]
    fn only_sockets_count() {
        assert_eq!(socket_inode("socket:[4026]"), Some(4026));
        for other in
            ["pipe:[4026]", "socket:[]", "socket:[12", "socket:[x]", "/tmp/socket:[1]", "anon_inode:[eventpoll]"]
        {
            assert_eq!(socket_inode(other), None, "{other}");
        }
    }
}
