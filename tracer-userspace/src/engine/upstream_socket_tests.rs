//! Hits of upstream-socket-missing, and the near misses that must not match.

use crate::engine::script::{SERVER, Script, check, comm, script, verdicts};
use crate::record::{Header, Record, UnixConnectRecord, kind};

const MISSING: &str = "upstream-socket-missing outbound certain 502";

impl Script {
    /// nginx, process 812, connects to a unix socket and fails.
    fn unix(mut self, path: &[u8], error: u32) -> Self {
        let header = Header { netns: SERVER, ..self.header(kind::UNIX_CONNECT) };
        let mut record =
            UnixConnectRecord { header, pid: 812, error, comm: comm("nginx"), ..UnixConnectRecord::default() };
        record.path[..path.len()].copy_from_slice(path);
        record.path_len = u32::try_from(path.len()).unwrap();
        self.records.push(Record::UnixConnect(record));
        self
    }
}

#[test]
fn each_way_to_fail() {
    let words = |path: &[u8], error| {
        let out = check(script().unix(path, error), &[MISSING]);
        let verdict = verdicts(&out)[0];
        assert_eq!((verdict.local, verdict.remote), (None, None));
        format!("{}\n{}\n{}", verdict.unix.as_deref().unwrap(), verdict.summary, verdict.next)
    };
    insta::assert_snapshot!(words(b"/run/app.sock\0", 2), @r"
unix:/run/app.sock
nginx (pid 812) could not connect to its upstream at unix:/run/app.sock: there is no such file (ENOENT).
See with `ls -l /run/app.sock` and `ss -xlp 'src /run/app.sock'`, and start the app that makes it, or correct the path on either side.
");
    insta::assert_snapshot!(words(b"/run/app.sock", 111), @r"
unix:/run/app.sock
nginx (pid 812) could not connect to its upstream at unix:/run/app.sock: nothing listens on it (ECONNREFUSED).
See with `ls -l /run/app.sock` and `ss -xlp 'src /run/app.sock'`, and start the app that listens on it: the file is left from one that has ended.
");
    insta::assert_snapshot!(words(b"/run/app.sock", 11), @r"
unix:/run/app.sock
nginx (pid 812) could not connect to its upstream at unix:/run/app.sock: the queue of the listener is full (EAGAIN).
See with `ls -l /run/app.sock` and `ss -xlp 'src /run/app.sock'`, and see why the app accepts too slowly; a larger backlog in listen() and net.core.somaxconn only helps against bursts.
");
    insta::assert_snapshot!(words(b"\0app", 13), @r"
unix:@app
nginx (pid 812) could not connect to its upstream at unix:@app: the process may not write to it (EACCES).
See with `ss -xlp 'src @app'`, and give the process's user access to the file and its directories.
");
}

#[test]
fn near_misses() {
    // another error says nothing of the socket; a path that could not be read names none
    check(script().unix(b"/run/app.sock", 4), &[]);
    check(script().unix(b"", 2), &[]);
}

#[test]
fn it_explains_the_answer() {
    let asked = || script().inbound(1).owned_by(812, "nginx").at(20).get("/a").at(22).unix(b"/run/app.sock", 2).at(23);
    check(
        asked().answers(502),
        &[MISSING, "app-status inbound certain 502 by proxy <- upstream-socket-missing outbound certain 502"],
    );
    // before the request, it was for another
    let before = script().unix(b"/run/app.sock", 2).inbound(1).owned_by(812, "nginx").at(20).get("/a").at(23);
    check(before.answers(502), &[MISSING, "app-status inbound certain 502 by proxy"]);
}
