//! The tarball for everybody else: unpack it at the root, or take the program alone.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{
    Contents,
    tree::{self, Zsh},
};
use crate::process;

/// Makes the tarball in `out`. Owners and order do not depend on who packs it.
pub(super) fn build(contents: &Contents, out: &Path) -> Result<PathBuf> {
    let name = format!("wherefore-{}-{}", contents.version, contents.architecture);
    tree::stage(contents, &out.join(&name), Zsh::Site)?;
    tree::open_folders(&out.join(&name))?;
    let tarball = out.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--sort=name", "--owner=root:0", "--group=root:0", "--numeric-owner"]);
    process::run(tar.arg("--file").arg(&tarball).arg("--directory").arg(out).arg(&name))?;
    Ok(tarball)
}
