use super::*;
use crate::capture::clock::boot_time;
use crate::capture::host::lab::LabNamespace;

fn inode_of(path: &str) -> u32 {
    u32::try_from(std::fs::metadata(path).unwrap().ino()).unwrap()
}

#[test]
fn our_own_is_found() {
    let namespaces = Namespaces::discover(boot_time()).unwrap();
    let own = namespaces.get(inode_of("/proc/self/ns/net")).unwrap();
    assert!(own.own);
    assert_eq!(own.inode, namespaces.own());
    assert_eq!(own.open().unwrap().metadata().unwrap().ino(), u64::from(own.inode));
}

#[test]
fn one_comes_and_goes() {
    let mut namespaces = Namespaces::discover(boot_time()).unwrap();
    let Some(lab) = LabNamespace::new("one_comes_and_goes") else { return };
    let inode = inode_of(&format!("/run/netns/{}", lab.name));
    assert!(namespaces.rescan(boot_time()).unwrap().new.contains(&inode));
    let found = namespaces.get(inode).unwrap().clone();
    assert_eq!((found.name.as_str(), found.own), (lab.name.as_str(), false));
    assert!(!namespaces.rescan(boot_time()).unwrap().new.contains(&inode));
    drop(lab);
    assert!(matches!(found.open(), Err(NamespaceError::Gone { .. })));
    assert!(namespaces.rescan(boot_time()).unwrap().gone.contains(&inode));
    assert_eq!(namespaces.get(inode), None);
}

#[test]
fn an_unknown_inode_makes_a_scan_once_a_second() {
    let start = BootTime::from_ns(10_000_000_000);
    let mut namespaces = Namespaces::discover(start).unwrap();
    let Some(lab) = LabNamespace::new("an_unknown_inode_makes_a_scan_once_a_second") else { return };
    let inode = inode_of(&format!("/run/netns/{}", lab.name));
    let soon = start.after(Duration::from_millis(999));
    assert_eq!(namespaces.rescan_for(inode, soon).unwrap(), Changes::default());
    let later = start.after(Duration::from_secs(1));
    assert!(namespaces.rescan_for(inode, later).unwrap().new.contains(&inode));
    assert_eq!(namespaces.scanned, later);
    namespaces.rescan_for(inode, later.after(Duration::from_secs(9))).unwrap();
    assert_eq!(namespaces.scanned, later, "a known one makes none");
}

#[test]
fn one_without_a_name_is_called_by_its_process() {
    let Some(lab) = LabNamespace::new("one_without_a_name_is_called_by_its_process") else { return };
    let path = PathBuf::from(format!("/run/netns/{}", lab.name));
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", &lab.name, "cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // cat has entered the namespace once it echoes
    let mut input = child.stdin.take().unwrap();
    io::Write::write_all(&mut input, b"x").unwrap();
    io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let inode = inode_of(path.to_str().unwrap());
    drop(lab);
    let namespaces = Namespaces::discover(boot_time()).unwrap();
    assert_eq!(namespaces.get(inode).unwrap().name, format!("pid {} (cat)", child.id()));
    drop(input);
    child.wait().unwrap();
}

#[test]
fn the_argument_is_a_pid_a_path_or_a_name() {
    let Some(lab) = LabNamespace::new("the_argument_is_a_pid_a_path_or_a_name") else { return };
    let path = format!("/run/netns/{}", lab.name);
    let mut namespaces = Namespaces::discover(boot_time()).unwrap();
    let mut check = |argument: &str, expected: u32| {
        assert_eq!(namespaces.resolve(argument, boot_time()).unwrap(), expected, "{argument}");
    };
    check(&lab.name, inode_of(&path));
    check(&path, inode_of(&path));
    check(&std::process::id().to_string(), inode_of("/proc/self/ns/net"));
    check("/proc/self/ns/net", inode_of("/proc/self/ns/net"));
}

#[test]
fn what_names_no_namespace_is_told_apart() {
    let Some(lab) = LabNamespace::new("what_names_no_namespace_is_told_apart") else { return };
    let mut namespaces = Namespaces::discover(boot_time()).unwrap();
    let mut error = |argument: &str| namespaces.resolve(argument, boot_time()).unwrap_err();
    let no_name = error("no-such-name");
    assert!(matches!(no_name, NamespaceError::NoSuchName { .. }), "{no_name:?}");
    let line = no_name.to_string();
    assert!(line.starts_with("no network namespace is called \"no-such-name\"; there are: "), "{line}");
    assert!(line.contains(&lab.name), "{line}");
    for name in ["", ".", ".."] {
        assert!(matches!(error(name), NamespaceError::NoSuchName { .. }), "{name}");
    }
    assert!(matches!(error("4194305"), NamespaceError::Unreadable { .. }));
    assert!(matches!(error("99999999999999999999"), NamespaceError::Unreadable { .. }));
    assert!(matches!(error("/run/netns/no-such-name"), NamespaceError::Unreadable { .. }));
    assert!(matches!(error("/proc/self/comm"), NamespaceError::NotANamespace { .. }));
    assert!(matches!(error("/proc/self/ns/mnt"), NamespaceError::NotANamespace { .. }));
}
