//! What is on this machine.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use super::plan::{APP_SERVER, COMMANDS, CROSS, LOAD, MACHINES};
use crate::{
    process,
    toolchain::{Missing, Search, executable},
};

/// The target that the object is built for on this machine.
pub(crate) const EBPF_TARGET: &str =
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

/// What a plan is made from.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// What is missing of the eBPF toolchain.
    pub(super) toolchain: Option<Missing>,
    /// Those programs of [`COMMANDS`], [`MACHINES`], [`CROSS`], [`LOAD`] and [`super::plan::LLVM`] that are there.
    pub(super) present: BTreeSet<&'static str>,
    /// Whether this is Linux.
    pub(super) linux: bool,
    /// Whether packages can be installed by apt-get: it is there, and root or sudo is.
    pub(super) apt: bool,
    /// Where a linker would be installed to.
    pub(super) tools: Option<PathBuf>,
}

impl Facts {
    pub(super) fn gather() -> Self {
        let search = Search::from_env();
        let folders = folders(&search.path);
        let has = |name: &str| match name.strip_prefix('/') {
            Some(_) => Path::new(name).exists(),
            None => executable(name, &folders).is_some(),
        };
        let commands = COMMANDS.iter().chain(&MACHINES).chain(&CROSS).chain(&LOAD).map(|&(command, _)| command);
        let mut present: BTreeSet<_> = commands.filter(|name| has(name)).collect();
        present.extend(super::plan::LLVM.iter().map(|&(file, _)| file).filter(|file| has(file)));
        let installed =
            search.tools.as_ref().is_some_and(|tools| tools.join(APP_SERVER).join("bin").join(APP_SERVER).exists());
        if installed || has(APP_SERVER) {
            present.insert(APP_SERVER);
        }
        Self {
            toolchain: missing(&search),
            present,
            linux: cfg!(target_os = "linux"),
            apt: has("apt-get") && (process::is_root() || has("sudo")),
            tools: search.tools,
        }
    }
}

/// `PATH`, and where Debian keeps administrators' programs, which users do not have on `PATH`.
fn folders(path: &[PathBuf]) -> Vec<PathBuf> {
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    path.iter().cloned().chain(system).collect()
}

fn missing(search: &Search) -> Option<Missing> {
    match search.find(EBPF_TARGET) {
        Err(missing) => Some(missing),
        Ok(found) => {
            // a linker whose LLVM library has gone is a file that does not start
            let starts = process::read(Command::new(&found.linker).arg("--version")).is_ok();
            (!starts).then_some(Missing::Linker(found.compiler))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn search_with_linker(program: &str) -> (tempfile::TempDir, Search) {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        let libraries = root.path().join("lib/rustlib").join(EBPF_TARGET).join("lib");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(&libraries).unwrap();
        fs::write(libraries.join("libcore-1.rlib"), "").unwrap();
        for name in ["cargo", "rustc", "bpf-linker"] {
            // a program just written may still be open for writing in a child that another test
            // is about to start, and cannot be run then
            symlink(program, bin.join(name)).unwrap();
        }
        let search = Search { toolchains: None, system: root.path().into(), path: vec![bin], tools: None };
        (root, search)
    }

    #[test]
    fn a_linker_that_does_not_start_is_missing() {
        let (_root, search) = search_with_linker("/bin/true");
        assert_eq!(missing(&search), None);
        let (_root, search) = search_with_linker("/bin/false");
        assert!(matches!(missing(&search), Some(Missing::Linker(_))));
    }
}
