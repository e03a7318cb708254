//! The package for Debian and its kin, made by dpkg-deb from a plain tree.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{
    Contents,
    tree::{self, CONFIGURATION, Zsh},
};
use crate::process;

/// A running systemd learns of the unit; a stopped one, or one of another root, is left alone. The
/// service is not enabled: only the operator knows which ports to watch.
const POSTINST: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # after an upgrade: the new program takes over from the old one
    if [ -n "$2" ]; then
        systemctl try-restart wherefore.service || true
    fi
fi
"#;

const PRERM: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now wherefore.service || true
fi
"#;

/// Traces outlast the package, unless it is purged.
const POSTRM: &str = r#"#!/bin/sh
set -e
if [ "$1" = purge ]; then
    rm -rf "$DPKG_ROOT/var/log/wherefore"
fi
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
"#;

/// Makes the package in `out`.
pub(super) fn build(contents: &Contents, out: &Path) -> Result<PathBuf> {
    let root = out.join("deb");
    tree::stage(contents, &root, Zsh::Vendor)?;
    let architecture = architecture(&contents.architecture);
    let control = root.join("DEBIAN");
    tree::write(control_file(&contents.version, architecture).as_bytes(), &control.join("control"), 0o644)?;
    tree::write(format!("/{CONFIGURATION}\n").as_bytes(), &control.join("conffiles"), 0o644)?;
    for (name, script) in [("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)] {
        tree::write(script.as_bytes(), &control.join(name), 0o755)?;
    }
    tree::open_folders(&control)?;
    let package = out.join(format!("wherefore_{}_{architecture}.deb", contents.version));
    process::run(Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Zxz"]).arg(&root).arg(&package))?;
    Ok(package)
}

/// Debian's name for an architecture.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn control_file(version: &str, architecture: &str) -> String {
    format!(
        "Package: wherefore\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The wherefore authors <wherefore@localhost>\n\
         Section: net\n\
         Priority: optional\n\
         Description: says why requests to an app port failed\n \
         Wherefore watches TCP ports with eBPF and says why requests to them failed:\n \
         the process was down, a firewall or a security group dropped them, or the app\n \
         reset, hung or answered so itself. It records continuously, and replays traces offline.\n"
    )
}
