//! `cargo xtask demo`.

use anyhow::Result;

use crate::{build, console, process, setup};

/// Sets up, builds, and shows the program at work: a real nginx in a lab of network namespaces is
/// broken in five ways, and each is explained from the server's side and from the client's, live
/// and from the trace. Ends by itself and leaves nothing behind.
pub(crate) fn command() -> Result<()> {
    setup::ensure(setup::Scope::Test, setup::Consent::Ask)?;
    let program = build::release(None)?;
    let lab = build::lab(false)?;
    console::note("");
    process::become_program(process::as_root(lab).arg("demo").arg("--wherefore").arg(program))
}
