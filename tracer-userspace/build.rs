//! Compiles the eBPF programs, to be embedded in this one.

#[path = "build/compile.rs"]
mod compile;
#[path = "build/toolchain.rs"]
mod toolchain;

use std::{
    env,
    error::Error,
    fmt,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use compile::Request;
use toolchain::Search;

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        // cargo fails the build for an `error` alone; a failed status would bury it in a dump of
        // all that this program printed
        Err(Failed::Setup(error)) => match say("error", error) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        // cargo shows the compiler's own messages only if the status is a failure
        Err(Failed::Compile) => ExitCode::FAILURE,
    }
}

enum Failed {
    Setup(Box<dyn Error>),
    Compile,
}

impl<E: Into<Box<dyn Error>>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Setup(error.into())
    }
}

fn build() -> Result<(), Failed> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().ok_or("the package lies outside its workspace")?;
    for name in ["build.rs", "build"] {
        say("rerun-if-changed", package.join(name).display())?;
    }
    if env::var_os("CARGO_FEATURE_CAPTURE").is_none() {
        return Ok(());
    }
    if variable("CARGO_CFG_TARGET_OS")? != "linux" {
        return Err("recording needs Linux: build with --no-default-features for replay alone".into());
    }
    for name in ["Cargo.toml", "Cargo.lock", "tracer-ebpf/Cargo.toml", "tracer-ebpf/src"] {
        say("rerun-if-changed", workspace.join(name).display())?;
    }
    let object = compile(workspace)?;
    say("rustc-env", format_args!("WHEREFORE_EBPF_OBJECT={}", object.display()))?;
    Ok(())
}

fn compile(workspace: &Path) -> Result<PathBuf, Failed> {
    let target = match variable("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    let toolchain = Search::from_env().find(target)?;
    for program in [&toolchain.linker, &toolchain.compiler.bin.join("rustc")] {
        say("rerun-if-changed", program.display())?;
    }
    let target_dir = PathBuf::from(variable("OUT_DIR")?).join("ebpf");
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let request = Request { workspace, target_dir: &target_dir, target, arch: &arch, flags: &[] };
    let mut command = request.command(&toolchain);
    let status = command.status().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if !status.success() {
        return Err(Failed::Compile);
    }
    let object = request.object();
    if !object.is_file() {
        return Err(format!("the eBPF build left no {}", object.display()).into());
    }
    Ok(object)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("cargo's {name}: {error}"))
}

/// Tells cargo something.
fn say(key: &str, value: impl fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "cargo::{key}={value}")
}
