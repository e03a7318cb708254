//! Tests of the toolchain finder and the build command, which the build script shares with this
//! program: build scripts have no tests of their own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    compile::Request,
    toolchain::{Compiler, Core, Missing, Search, Toolchain},
};

const TARGET: &str = "bpfel-unknown-none";

/// A made-up machine in a temporary folder.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn file(self, path: &str) -> Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        self
    }

    fn program(self, path: &str) -> Self {
        let machine = self.file(path);
        fs::set_permissions(machine.at(path), fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn nightly(self, name: &str) -> Self {
        self.program(&format!("rustup/{name}/bin/cargo")).program(&format!("rustup/{name}/bin/rustc"))
    }

    fn nightly_with_source(self, name: &str) -> Self {
        self.nightly(name).file(&format!("rustup/{name}/lib/rustlib/src/rust/library/core/src/lib.rs"))
    }

    fn debian(self) -> Self {
        self.program("usr/bin/cargo").program("usr/bin/rustc")
    }

    fn debian_with_core(self) -> Self {
        self.debian().file(&format!("usr/lib/rustlib/{TARGET}/lib/libcore-0a1b.rlib"))
    }

    fn find(&self) -> Result<Toolchain, Missing> {
        let search = Search {
            toolchains: Some(self.at("rustup")),
            system: self.at("usr"),
            path: vec![self.at("absent"), self.at("path")],
            tools: Some(self.at("tools")),
        };
        search.find(TARGET)
    }

    #[track_caller]
    fn check(&self, bin: &str, core: Core, linker: &str) {
        let compiler = Compiler { bin: self.at(bin), core };
        assert_eq!(self.find(), Ok(Toolchain { compiler, linker: self.at(linker) }));
    }
}

#[test]
fn nightly_with_source_and_a_linker_on_path_comes_first() {
    Machine::new()
        .nightly_with_source("nightly-x86_64-unknown-linux-gnu")
        .debian_with_core()
        .program("path/bpf-linker")
        .program("tools/bin/bpf-linker")
        .check("rustup/nightly-x86_64-unknown-linux-gnu/bin", Core::Source, "path/bpf-linker");
}

#[test]
fn nightly_without_source_is_passed_over() {
    let machine = Machine::new().nightly("nightly-x86_64-unknown-linux-gnu").program("path/bpf-linker");
    assert_eq!(machine.find(), Err(Missing::Compiler));
    machine.debian_with_core().check("usr/bin", Core::Prebuilt, "path/bpf-linker");
}

#[test]
fn undated_nightly_comes_before_dated_and_newer_before_older() {
    let machine = Machine::new()
        .nightly_with_source("nightly-2025-01-01-x86_64-unknown-linux-gnu")
        .nightly_with_source("nightly-2026-01-01-x86_64-unknown-linux-gnu")
        .nightly_with_source("stable-x86_64-unknown-linux-gnu")
        .program("path/bpf-linker");
    machine.check("rustup/nightly-2026-01-01-x86_64-unknown-linux-gnu/bin", Core::Source, "path/bpf-linker");
    machine.nightly_with_source("nightly-x86_64-unknown-linux-gnu").check(
        "rustup/nightly-x86_64-unknown-linux-gnu/bin",
        Core::Source,
        "path/bpf-linker",
    );
}

#[test]
fn installed_linker_goes_with_the_prebuilt_compiler_it_was_made_for() {
    let machine = Machine::new()
        .nightly_with_source("nightly-x86_64-unknown-linux-gnu")
        .debian_with_core()
        .program("tools/bin/bpf-linker");
    machine.check("usr/bin", Core::Prebuilt, "tools/bin/bpf-linker");
    let alone = Machine::new().nightly_with_source("nightly").program("tools/bin/bpf-linker");
    alone.check("rustup/nightly/bin", Core::Source, "tools/bin/bpf-linker");
}

#[test]
fn a_system_compiler_without_core_for_the_target_is_none() {
    let machine = Machine::new()
        .debian()
        .program("path/bpf-linker")
        .file("usr/lib/rustlib/bpfeb-unknown-none/lib/libcore-1.rlib");
    assert_eq!(machine.find(), Err(Missing::Compiler));
    assert_eq!(machine.file(&format!("usr/lib/rustlib/{TARGET}/lib/libcore.txt")).find(), Err(Missing::Compiler));
}

#[test]
fn a_missing_linker_is_told_from_a_missing_compiler() {
    let machine = Machine::new().debian_with_core().file("path/bpf-linker");
    let missing = machine.find().unwrap_err();
    assert_eq!(missing, Missing::Linker(Compiler { bin: machine.at("usr/bin"), core: Core::Prebuilt }));
    for missing in [missing, Missing::Compiler] {
        let text = missing.to_string();
        assert!(text.contains("bpf-linker") && text.contains("cargo xtask setup"), "{text}");
    }
}

fn request<'a>(flags: &'a [&'a str]) -> Request<'a> {
    Request { workspace: Path::new("/w"), target_dir: Path::new("/t"), target: TARGET, arch: "aarch64", flags }
}

fn variable(toolchain: &Toolchain, flags: &[&str], name: &str) -> Option<String> {
    let command = request(flags).command(toolchain);
    let value = command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value)?;
    Some(value.to_str().unwrap().to_owned())
}

fn toolchain(core: Core) -> Toolchain {
    Toolchain { compiler: Compiler { bin: "/compiler".into(), core }, linker: "/linker/bpf-linker".into() }
}

#[test]
fn the_build_uses_the_compiler_and_linker_found_whatever_the_environment_says() {
    let debian = toolchain(Core::Prebuilt);
    assert_eq!(variable(&debian, &[], "RUSTC").as_deref(), Some("/compiler/rustc"));
    assert_eq!(variable(&debian, &[], "RUSTC_WORKSPACE_WRAPPER").as_deref(), Some(""));
    assert!(variable(&debian, &[], "PATH").unwrap().starts_with("/linker:/compiler"));
    assert_eq!(variable(&debian, &[], "RUSTC_BOOTSTRAP").as_deref(), Some("1"));
    assert_eq!(
        variable(&debian, &["-Dwarnings"], "CARGO_ENCODED_RUSTFLAGS").as_deref(),
        Some("-Cdebuginfo=2\x1f-Clink-arg=--btf\x1f--cfg=bpf_target_arch=\"aarch64\"\x1f-Dwarnings")
    );
    assert_eq!(request(&[]).object(), Path::new("/t/bpfel-unknown-none/release/wherefore-ebpf"));
    // the test runs under cargo, which sets this for its own build
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
    let command = request(&[]).command(&debian);
    assert!(command.get_envs().any(|(key, value)| key == "CARGO_PKG_NAME" && value.is_none()));
}

#[test]
fn core_is_built_along_only_where_it_is_source() {
    let builds_core = |core| request(&[]).command(&toolchain(core)).get_args().any(|arg| arg == "build-std=core");
    assert!(builds_core(Core::Source) && !builds_core(Core::Prebuilt));
    assert_eq!(variable(&toolchain(Core::Source), &[], "RUSTC_BOOTSTRAP"), None);
}
