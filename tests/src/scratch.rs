//! Directories for what a run writes; none is left behind, also after a kill.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::{netns, process};

/// Every directory of the lab is called `wf-PID-...`; PID made it.
const PREFIX: &str = "wf-";

/// Whether this process is being ended.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether this process is being ended: what fails from here on says nothing, and nothing may begin.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Where the traces of scenarios that failed are left.
static FAILED: OnceLock<PathBuf> = OnceLock::new();

/// From here on the traces of scenarios that fail are left in this directory.
///
/// # Errors
/// When it cannot be made.
pub fn leave_failed_in(folder: PathBuf) -> Result<()> {
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    // the first one counts
    FAILED.set(folder).ok();
    Ok(())
}

/// Leaves a trace of a scenario that failed, if anybody wants it: a file of this name, after those of earlier attempts.
///
/// # Errors
/// When it cannot be copied.
pub fn leave_failed(trace: &Path, name: &str) -> Result<()> {
    let Some(folder) = FAILED.get() else { return Ok(()) };
    let numbered = (1..).map(|number| folder.join(format!("{name}.{number}.wft")));
    let free = numbered.into_iter().find(|path| !path.exists()).context("no name is free")?;
    fs::copy(trace, &free).with_context(|| format!("leaving {}", free.display()))?;
    Ok(())
}

/// A new directory that is removed when dropped.
///
/// # Errors
/// When none can be made.
pub fn directory() -> Result<TempDir> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().context("making a temporary directory")
}

/// Removes what labs have left behind that were killed: processes, namespaces, directories.
///
/// # Errors
/// When it cannot be looked for.
pub fn sweep() -> Result<()> {
    netns::sweep()?;
    remove(|pid| !netns::is_alive(pid))
}

/// Cleans up when this process is interrupted, and ends it.
pub fn clean_up_when_interrupted() {
    std::thread::spawn(|| {
        if interrupted().is_ok() {
            INTERRUPTED.store(true, Ordering::Relaxed);
            process::kill_all();
            drop(netns::abandon_all());
            drop(remove(|pid| pid == std::process::id()));
            #[expect(clippy::exit, reason = "other threads are in the middle of a scenario that is over")]
            std::process::exit(130);
        }
    });
}

/// Returns once SIGINT, SIGTERM or SIGHUP has come.
fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result?,
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        Ok(())
    })
}

fn remove(of: impl Fn(u32) -> bool) -> Result<()> {
    for entry in fs::read_dir(std::env::temp_dir()).context("reading the temporary directory")?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok());
        if pid.is_some_and(&of) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    Ok(())
}
