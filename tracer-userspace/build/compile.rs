//! The nested cargo that compiles the eBPF programs.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use crate::toolchain::{Core, Toolchain};

/// What a build of the eBPF programs is for and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) workspace: &'a Path,
    /// A folder of its own: cargo locks it, and the cargo around this one holds the usual one.
    pub(crate) target_dir: &'a Path,
    /// `bpfel-unknown-none` or `bpfeb-unknown-none`.
    pub(crate) target: &'a str,
    /// The architecture whose registers the programs will see, in Rust's spelling (`x86_64`).
    pub(crate) arch: &'a str,
    /// More flags for the compiler.
    pub(crate) flags: &'a [&'a str],
}

impl Request<'_> {
    /// The object file that [`Request::command`] writes.
    pub(crate) fn object(&self) -> PathBuf {
        self.target_dir.join(self.target).join("release").join("wherefore-ebpf")
    }

    /// The command that compiles them.
    pub(crate) fn command(&self, toolchain: &Toolchain) -> Command {
        let bin = &toolchain.compiler.bin;
        let mut command = Command::new(bin.join("cargo"));
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_outer)) {
            command.env_remove(name);
        }
        command
            .current_dir(self.workspace)
            .env("RUSTC", bin.join("rustc"))
            // empty, not absent: a configuration file may name a wrapper too
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            .env("PATH", search_path(toolchain))
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags())
            .args(["build", "--release", "--locked", "--package", "tracer-ebpf", "--bin", "wherefore-ebpf"])
            .args(["--features", "programs", "--target", self.target, "--target-dir"])
            .arg(self.target_dir);
        match toolchain.compiler.core {
            Core::Source => command.args(["-Z", "build-std=core"]),
            // the compiler is a stable one, the target has nightly's guarantees only
            Core::Prebuilt => command.env("RUSTC_BOOTSTRAP", "1"),
        };
        command
    }

    fn flags(&self) -> String {
        // BTF is made from debug info, and the kernel wants it for maps and line numbers
        let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
        flags.push(format!("--cfg=bpf_target_arch=\"{}\"", self.arch));
        flags.extend(self.flags.iter().map(|&flag| flag.to_owned()));
        flags.join("\x1f")
    }
}

/// Whether a variable steers the cargo around this one, or was set by it for its own build. What
/// says where packages come from (`CARGO_HOME`, `CARGO_NET_*`, `CARGO_REGISTRIES_*`), how output
/// looks (`CARGO_TERM_*`) and how many jobs may run (`CARGO_MAKEFLAGS`) stays.
fn is_outer(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "CARGO",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "RUSTC",
        "RUSTC_LINKER",
        "RUSTDOC",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ];
    const PREFIXES: [&str; 8] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_UNSTABLE_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// `PATH` with the compiler and the linker in front: the compiler finds the linker by its name.
fn search_path(toolchain: &Toolchain) -> OsString {
    let first = toolchain.linker.parent().map(Path::to_owned);
    let before = first.into_iter().chain([toolchain.compiler.bin.clone()]);
    let inherited = env::var_os("PATH").unwrap_or_default();
    env::join_paths(before.chain(env::split_paths(&inherited))).unwrap_or(inherited)
}
