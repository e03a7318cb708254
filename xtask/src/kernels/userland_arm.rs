//! What the maintainer scripts of an arm64 userland would have done: the merged /usr, accounts and
//! alternatives. They cannot run on another architecture without binfmt.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::command::quietly;

/// To be changed when what this file does changes.
pub(super) const RECIPE_TEXT: &str = "links 2\n";
/// What every Debian has, and an unpacked one must name.
pub(super) const ESSENTIAL: [&str; 15] = [
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "mawk",
    "mount",
    "ncurses-base",
    "sed",
    "tar",
];
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];
/// Links that update-alternatives would make, each relative to its own folder.
const ALTERNATIVES: [(&str, &str); 7] = [
    ("usr/bin/sh", "dash"),
    ("usr/sbin/iptables", "iptables-nft"),
    ("usr/sbin/ip6tables", "ip6tables-nft"),
    ("usr/sbin/iptables-save", "iptables-nft-save"),
    ("usr/sbin/iptables-restore", "iptables-nft-restore"),
    ("usr/bin/awk", "mawk"),
    ("usr/bin/python", "python3"),
];

/// Finishes an unpacked tree.
pub(super) fn link(tree: &Path) -> Result<()> {
    for folder in MERGED {
        let top = tree.join(folder);
        if top.is_symlink() {
            continue;
        }
        let merged = tree.join("usr").join(folder);
        fs::create_dir_all(&merged)?;
        if top.exists() {
            quietly(Command::new("cp").arg("-a").arg(top.join(".")).arg(&merged))?;
            fs::remove_dir_all(&top)?;
        }
        symlink(format!("usr/{folder}"), &top)?;
    }
    for (link, to) in ALTERNATIVES {
        match symlink(to, tree.join(link)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot link {link}"));
            }
            _ => {}
        }
    }
    let account = |kind: &str, own: &str| -> Result<()> {
        let master = fs::read_to_string(tree.join(format!("usr/share/base-passwd/{kind}.master")))
            .with_context(|| format!("base-passwd has no {kind}"))?;
        Ok(fs::write(tree.join("etc").join(kind), master + own)?)
    };
    account("passwd", "haproxy:x:101:101::/var/lib/haproxy:/usr/sbin/nologin\n")?;
    account("group", "haproxy:x:101:\n")
}
