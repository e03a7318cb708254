//! What was asked for cannot be.

use std::net::TcpListener;

use anyhow::Result;
use wherefore_tests::scratch;
use wherefore_tests::tools::Tools;

use crate::Test;
use crate::program::{QUIET_PORT, wherefore};

pub(crate) const TESTS: &[Test] = &[
    ("a-port-that-is-no-number", bad_ports),
    ("no-port-shows-the-listeners", no_port),
    ("an-unknown-namespace", unknown_namespaces),
    ("an-unwritable-directory", unwritable_directory),
    ("an-unknown-slug", unknown_slug),
];

fn bad_ports(tools: &Tools) -> Result<()> {
    for port in ["http", "0", "65536", "-1", "8080-", "9001-9000", "8080;8081", ""] {
        wherefore(tools, &["record", &format!("--port={port}")])?.is_one_line(2, &["port", port])?;
    }
    Ok(())
}

fn no_port(tools: &Tools) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let ending = wherefore(tools, &["record"])?;
    ending.says(2, &["--port", &format!("127.0.0.1:{port}"), &std::process::id().to_string()]).or_else(|_split| {
        // address and port may stand in columns of their own
        ending.says(2, &["--port", &port, "127.0.0.1", &std::process::id().to_string()])
    })
}

fn unknown_namespaces(tools: &Tools) -> Result<()> {
    for name in ["no-such-namespace", "/run/no/such/namespace", "4194304"] {
        wherefore(tools, &["record", "--port", QUIET_PORT, "--netns", name])?.is_one_line(1, &["namespace", name])?;
    }
    Ok(())
}

fn unwritable_directory(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    let file = directory.path().join("file");
    std::fs::write(&file, "")?;
    for out in [file.clone(), file.join("below"), "/proc/no-directory-here".into()] {
        let out = out.to_string_lossy();
        wherefore(tools, &["record", "--port", QUIET_PORT, "--out", &out])?.is_one_line(1, &[&out])?;
    }
    Ok(())
}

fn unknown_slug(tools: &Tools) -> Result<()> {
    wherefore(tools, &["explain", "process-up"])?.is_one_line(2, &["process-up"])?;
    wherefore(tools, &["replay", "trace.wft", "--verdict", "process-up"])?.is_one_line(2, &["process-up"])
}
