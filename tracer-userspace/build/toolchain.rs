//! Finds what compiles the eBPF programs, by what is on disk.
//!
//! Two compilers do: rustup's nightly with the source of `core`, which is then built along, or
//! Debian's `rustc-web` with a `core` already built for BPF. Both need `bpf-linker`.
//!
//! The build script compiles with what is found; `cargo xtask` includes this file too and installs
//! what is not.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

/// Where to look.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Rustup's folder of toolchains, `$RUSTUP_HOME/toolchains`.
    pub(crate) toolchains: Option<PathBuf>,
    /// The prefix of the distribution's packages, `/usr`.
    pub(crate) system: PathBuf,
    /// The folders of `$PATH`.
    pub(crate) path: Vec<PathBuf>,
    /// Where `cargo xtask setup` installs to: programs are in `bin` below it.
    pub(crate) tools: Option<PathBuf>,
}

/// Where a compiler's `core` for BPF comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// Its source lies beside the compiler and is built along.
    Source,
    /// Built ahead and installed beside the compiler.
    Prebuilt,
}

/// A compiler that can produce BPF code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// The folder that holds its `cargo` and `rustc`.
    pub(crate) bin: PathBuf,
    /// Where its `core` comes from.
    pub(crate) core: Core,
}

/// All that a build of the eBPF programs needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    /// The program `bpf-linker`.
    pub(crate) linker: PathBuf,
}

/// What was not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No compiler for BPF (there may be no linker either).
    Compiler,
    /// A compiler, but nothing to link its output with.
    Linker(Compiler),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiler => f.write_str(
                "no compiler for eBPF here: run `cargo xtask setup`, or install by hand either rustup's nightly \
                 with its source (`rustup toolchain install nightly --component rust-src`) or Debian's rustc-web, \
                 cargo-web and libstd-rust-web-dev-bpf, and with either bpf-linker",
            ),
            Self::Linker(compiler) => write!(
                f,
                "no bpf-linker here to go with the compiler in {}: run `cargo xtask setup`, or install it by hand \
                 (`cargo install bpf-linker`, for the compiler's LLVM version)",
                compiler.bin.display()
            ),
        }
    }
}

impl std::error::Error for Missing {}

impl Search {
    /// The places that this process's environment names.
    pub(crate) fn from_env() -> Self {
        let home = env::var_os("HOME").map(PathBuf::from);
        let under_home = |name: &str| home.as_ref().map(|home| home.join(name));
        let rustup = env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| under_home(".rustup"));
        // the XDG specification ignores a relative path
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            toolchains: rustup.map(|rustup| rustup.join("toolchains")),
            system: PathBuf::from("/usr"),
            path: env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default(),
            tools: cache.or_else(|| under_home(".cache")).map(|cache| cache.join("wherefore").join("tools")),
        }
    }

    /// The toolchain to build for `target` (`bpfel-unknown-none` or `bpfeb-unknown-none`) with.
    ///
    /// # Errors
    /// Says which part is missing.
    pub(crate) fn find(&self, target: &str) -> Result<Toolchain, Missing> {
        let nightly = self.nightly();
        let prebuilt = self.prebuilt(target);
        let on_path = executable("bpf-linker", &self.path);
        let installed = self.tools.as_ref().and_then(|tools| executable("bpf-linker", &[tools.join("bin")]));

        // A linker reads the output of its own LLVM version and older. What setup installed is
        // made for the prebuilt compiler; what the user put on PATH is made for their nightly.
        let pairs = [(&nightly, &on_path), (&prebuilt, &installed), (&prebuilt, &on_path), (&nightly, &installed)];
        for (compiler, linker) in pairs {
            if let (Some(compiler), Some(linker)) = (compiler, linker) {
                return Ok(Toolchain { compiler: compiler.clone(), linker: linker.clone() });
            }
        }
        // setup can install a linker for the prebuilt compiler, so that one is named first
        Err(prebuilt.or(nightly).map_or(Missing::Compiler, Missing::Linker))
    }

    /// Rustup's nightly with the source of `core`: the undated one, else the newest.
    fn nightly(&self) -> Option<Compiler> {
        let mut names: Vec<_> = fs::read_dir(self.toolchains.as_ref()?)
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("nightly"))
            .collect();
        // "nightly-2026-01-01-HOST" sorts below "nightly-HOST", as digits sort below letters
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.into_iter().find_map(|name| {
            let root = self.toolchains.as_ref()?.join(name);
            let source = root.join("lib/rustlib/src/rust/library/core/src/lib.rs");
            compiler(&root, Core::Source).filter(|_| source.is_file())
        })
    }

    /// The distribution's compiler with a built `core` for `target`.
    fn prebuilt(&self, target: &str) -> Option<Compiler> {
        let libraries = self.system.join("lib/rustlib").join(target).join("lib");
        let has_core = fs::read_dir(libraries).ok()?.flatten().any(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| {
                name.starts_with("libcore-") && Path::new(name).extension().is_some_and(|end| end == "rlib")
            })
        });
        compiler(&self.system, Core::Prebuilt).filter(|_| has_core)
    }
}

fn compiler(root: &Path, core: Core) -> Option<Compiler> {
    let bin = root.join("bin");
    let both = ["cargo", "rustc"].iter().all(|name| executable(name, &[&bin]).is_some());
    both.then_some(Compiler { bin, core })
}

/// The first file called `name` in `folders` that may be executed.
pub(crate) fn executable(name: &str, folders: &[impl AsRef<Path>]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.as_ref().join(name)).find(|path| is_executable(path))
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
