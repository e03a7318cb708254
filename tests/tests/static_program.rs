//! The release program needs nothing but the kernel: it starts in a root without a single library.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The release program: what `cargo xtask test` names, else what an earlier build has left.
fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("WHEREFORE_PROGRAM") {
        return Some(named.into());
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/wherefore");
    built.is_file().then_some(built)
}

/// Runs the program in an empty root with /proc and /sys alone. The mounts are in a namespace of
/// their own and go with it.
fn in_empty_root(program: &Path, root: &Path, arguments: &[&str]) -> io::Result<Output> {
    const SCRIPT: &str = r#"
        set -e
        program=$1 root=$2
        shift 2
        mount -t tmpfs none "$root"
        mkdir "$root/proc" "$root/sys"
        cp "$program" "$root/wherefore"
        mount --rbind /proc "$root/proc"
        mount --rbind /sys "$root/sys"
        exec chroot "$root" /wherefore "$@"
    "#;
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"])
        .args([program, root])
        .args(arguments)
        .output()
}

#[test]
fn starts_in_an_empty_root() {
    const NAME: &str = "starts_in_an_empty_root";
    let Some(program) = program() else {
        println!("skipped: {NAME}: no release program: `cargo xtask build --release` makes it");
        return;
    };
    let root = tempfile::tempdir().expect("a folder to mount on");
    let may_mount = Command::new("unshare").args(["--mount", "true"]).output().expect("unshare starts");
    if !may_mount.status.success() {
        println!("skipped: {NAME}: no right to mount: {}", String::from_utf8_lossy(&may_mount.stderr).trim());
        return;
    }
    let output = in_empty_root(&program, root.path(), &["--version"]).expect("unshare starts");
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert!(printed.starts_with("wherefore "), "printed {printed:?}, {errors:?}");
}
