//! Without what capture needs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::Result;
use wherefore_tests::lab::{Family, Lab, Place};
use wherefore_tests::scratch;
use wherefore_tests::tools::Tools;

use crate::Test;
use crate::program::{QUIET_PORT, run};

pub(crate) const TESTS: &[Test] = &[
    ("not-root", not_root),
    ("without-cap-bpf", |tools| without(tools, "-bpf,-sys_admin", "CAP_BPF", None)),
    ("without-cap-perfmon", |tools| without(tools, "-perfmon,-sys_admin", "CAP_PERFMON", None)),
    ("without-cap-net-admin", |tools| without(tools, "-net_admin", "CAP_NET_ADMIN", None)),
    ("a-namespace-without-cap-sys-admin", a_namespace),
];

fn not_root(tools: &Tools) -> Result<()> {
    let directory = scratch::directory()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;
    // the program may lie where only root can go
    let program = directory.path().join("wherefore");
    fs::copy(&tools.wherefore, &program)?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
    command.args(["record", "--port", QUIET_PORT, "--out"]).arg(directory.path());
    run(&mut command)?.is_one_line(1, &["root"])
}

/// Another namespace cannot be entered.
fn a_namespace(tools: &Tools) -> Result<()> {
    let lab = Lab::new(Family::V4)?;
    without(tools, "-sys_admin", "CAP_SYS_ADMIN", Some(lab.at(Place::Server).name()))
}

fn without(tools: &Tools, dropped: &str, named: &str, namespace: Option<&str>) -> Result<()> {
    let directory = scratch::directory()?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", dropped]).arg(&tools.wherefore);
    command.args(["record", "--port", QUIET_PORT, "--duration", "1s", "--out"]).arg(directory.path());
    command.args(namespace.map(|name| ["--netns", name]).iter().flatten());
    run(&mut command)?.is_one_line(1, &[named])
}
