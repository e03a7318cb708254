use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::super::{Replay, ReplayItem, TraceFile, WriteError};
use super::*;
use crate::record::{ClockPair, Start};

/// A finished trace of one record and `End`, begun at this second.
fn record(directory: &Path, second: i64) -> std::path::PathBuf {
    let clock = ClockPair { boot_ns: 1, unix_ns: second * 1_000_000_000 };
    let start = Start { clock, host: format!("host-{second}"), ..sample::start() };
    let mut file = TraceFile::create(directory, &start, None).unwrap();
    file.append(&encode(&Record::Host(HostRecord {
        time: BootTime::from_ns(second.unsigned_abs()),
        netns: 0,
        body: HostBody::Tick(crate::record::Tick::default()),
    })))
    .unwrap();
    file.append(&encode(&end())).unwrap();
    file.finish().unwrap()
}

#[test]
fn a_file_has_its_name_mode_and_group() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("var/traces");
    let owner = fs::metadata(root.path()).unwrap();
    // root may give it to any group
    let group = if owner.uid() == 0 { 12_345 } else { owner.gid() };
    let start = Start { host: "web 1/ä".to_owned(), ..sample::start() };
    let file = TraceFile::create(&directory, &start, Some(group)).unwrap();
    assert!(file.group_error().is_none());
    let pid = std::process::id();
    let name = file.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name, format!("wherefore-web-1---20251231T235959Z-{pid}.wft"));
    let path = file.finish().unwrap();
    let check = |path: &Path, mode| {
        let found = fs::metadata(path).unwrap();
        assert_eq!((found.permissions().mode() & 0o7777, found.gid()), (mode, group), "{}", path.display());
    };
    check(&path, 0o640);
    check(&directory, 0o750);
    check(&root.path().join("var"), 0o750);
    // what was there before is left alone
    assert_eq!(fs::metadata(root.path()).unwrap().gid(), owner.gid());
    assert_eq!(fs::metadata(root.path()).unwrap().mode(), owner.mode());
}

#[test]
fn a_second_file_of_the_same_second_gets_a_name_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let first = TraceFile::create(root.path(), &sample::start(), None).unwrap().finish().unwrap();
    let before = fs::read(&first).unwrap();
    let second = TraceFile::create(root.path(), &sample::start(), None).unwrap().finish().unwrap();
    assert!(second.to_str().unwrap().ends_with("-2.wft"), "{}", second.display());
    assert_eq!(fs::read(&first).unwrap(), before);
}

#[test]
fn an_unusable_directory_is_named() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = TraceFile::create(&file.join("traces"), &sample::start(), None).map(|_| ()).unwrap_err();
    assert!(matches!(&error, WriteError::CreateDirectory { path, .. } if *path == file.join("traces")));
    assert!(error.to_string().contains("file/traces"), "{error}");
    // nobody, not even root, can make files here
    let error = TraceFile::create(Path::new("/proc"), &sample::start(), None).map(|_| ()).unwrap_err();
    assert!(matches!(&error, WriteError::CreateFile { path, .. } if path.starts_with("/proc")), "{error}");
}

#[test]
fn a_full_disk_is_an_error() {
    let full = fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
    let error = TraceWriter::create(full, &sample::start()).map(|_| ()).unwrap_err();
    let WriteError::Write { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn a_real_file_is_cut_back() {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, b"whole").unwrap();
    let len = file.metadata().unwrap().len();
    std::io::Write::write_all(&mut file, b"torn").unwrap();
    file.cut_back(len).unwrap();
    assert_eq!(file.metadata().unwrap().len(), len);
}

/// What a replay gives, a word an item.
fn replayed(mut replay: Replay) -> Vec<String> {
    let mut words = Vec::new();
    while let Some(item) = replay.next() {
        words.push(match item {
            ReplayItem::Start { start, .. } => start.host.clone(),
            ReplayItem::Record(time_ns, record) => {
                let record = Record::from(record);
                assert_eq!(record.time().as_ns(), time_ns);
                format!("record {time_ns}")
            }
            ReplayItem::Repeated(record) => format!("repeated {}", record.time().as_ns()),
            ReplayItem::Damage(damage) => format!("{:?} {}", damage.kind, damage.bytes),
            ReplayItem::Failed(failed) => format!("failed {failed}"),
            ReplayItem::End(reading) => format!("end {} {}", reading.records, reading.ended),
        });
    }
    words
}

#[test]
fn several_files_come_in_the_order_of_their_start() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("traces");
    let last = record(&directory, 300);
    record(&directory, 100);
    fs::write(directory.join("notes.txt"), "no trace").unwrap();
    let other = record(root.path(), 200);
    // `last` is named twice
    let (replay, unusable) = Replay::open(&[other.as_path(), &directory, &last]);
    assert!(unusable.is_empty());
    assert_eq!(replay.files().len(), 3);
    assert_eq!(replay.files().last(), Some(last.as_path()));
    let one = |second| {
        [format!("host-{second}"), format!("record {second}"), "record 9000000000".into(), "end 2 true".into()]
    };
    assert_eq!(replayed(replay), [one(100), one(200), one(300)].concat());
}

#[test]
fn what_cannot_be_used_is_told_and_the_rest_replayed() {
    let root = tempfile::tempdir().unwrap();
    record(root.path(), 100);
    fs::write(root.path().join("a.wft"), "").unwrap();
    fs::write(root.path().join("b.wft"), "something else").unwrap();
    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let missing = root.path().join("missing.wft");
    let (replay, unusable) = Replay::open(&[root.path(), &empty, &missing]);
    let mut told: Vec<String> = unusable
        .iter()
        .map(|unusable| format!("{}: {}", unusable.path.file_name().unwrap().display(), unusable.source))
        .collect();
    told.sort_unstable();
    assert_eq!(told.len(), 4);
    assert!(told[0].starts_with("a.wft: the file is empty"), "{told:?}");
    assert!(told[1].starts_with("b.wft: not a wherefore trace"), "{told:?}");
    assert_eq!(told[2], "empty: no .wft file in this directory");
    assert_eq!(told[3], "missing.wft: cannot read it");
    assert_eq!(replayed(replay).len(), 4);
}

#[test]
fn a_torn_file_is_followed_by_the_next_one() {
    let root = tempfile::tempdir().unwrap();
    let torn = record(root.path(), 100);
    let len = fs::metadata(&torn).unwrap().len();
    fs::OpenOptions::new().write(true).open(&torn).unwrap().set_len(len - 1).unwrap();
    record(root.path(), 200);
    let (replay, _) = Replay::open(&[root.path()]);
    let words = replayed(replay);
    assert_eq!(words[0], "host-100");
    assert!(words[1].starts_with("Torn "), "{words:?}");
    assert_eq!(words[2], "end 0 false");
    assert_eq!(words[3], "host-200");
}

#[test]
fn a_pipe_is_read_once() {
    let written = small(2);
    let (from, mut to) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut to, &written.bytes).unwrap();
    drop(to);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&from));
    let (replay, unusable) = Replay::open(&[path]);
    assert!(unusable.is_empty());
    let words = replayed(replay);
    assert_eq!(words.len(), written.records().len() + 2);
    assert_eq!(*words.last().unwrap(), format!("end {} true", written.records().len()));
}

#[test]
fn a_file_that_went_away_is_told() {
    let root = tempfile::tempdir().unwrap();
    let path = record(root.path(), 100);
    let (replay, _) = Replay::open(&[root.path()]);
    fs::remove_file(&path).unwrap();
    assert_eq!(replayed(replay), [format!("failed {}", path.display())]);
}
