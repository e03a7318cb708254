//! Where things are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The folder with the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // what cargo says at run time wins: the folder may have moved since this was compiled
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map(Path::to_owned).unwrap_or(package)
}

/// The folder that cargo builds into.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// The program, as `cargo xtask build` leaves it.
pub(crate) fn program(release: bool) -> PathBuf {
    built("wherefore", release)
}

/// The lab's program, as [`crate::build::lab`] leaves it.
pub(crate) fn lab(release: bool) -> PathBuf {
    built("wherefore-lab", release)
}

fn built(binary: &str, release: bool) -> PathBuf {
    target().join(if release { "release" } else { "debug" }).join(binary)
}
