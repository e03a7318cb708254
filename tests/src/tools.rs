//! The programs that the lab runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// `wherefore`, the program under test.
    pub wherefore: PathBuf,
    /// `wherefore-lab`, which is also the test app.
    pub app: PathBuf,
}

impl Tools {
    /// Finds `wherefore`: as given, else in `WHEREFORE_PROGRAM`, else beside this program or in the
    /// directory above.
    ///
    /// # Errors
    /// When there is none; says how to build it.
    pub fn find(given: Option<&Path>, app: &Path) -> Result<Self> {
        let wherefore =
            match given.map(Path::to_owned).or_else(|| std::env::var_os("WHEREFORE_PROGRAM").map(PathBuf::from)) {
                Some(path) => path,
                None => beside()?,
            };
        if !wherefore.is_file() {
            bail!("there is no program {}: build it with `cargo xtask build`", wherefore.display());
        }
        Ok(Self { wherefore: wherefore.canonicalize()?, app: app.canonicalize().context("finding wherefore-lab")? })
    }
}

fn beside() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own path")?;
    let places: Vec<PathBuf> = own.ancestors().skip(1).take(2).map(|directory| directory.join("wherefore")).collect();
    match places.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => bail!("no `wherefore` beside {}: build it with `cargo xtask build`", own.display()),
    }
}

/// Why the lab cannot run here; `None` if it can.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the lab needs root: it makes network namespaces and loads eBPF programs".to_owned());
    }
    let ip = crate::netns::output(std::process::Command::new("ip").arg("-V"));
    ip.err().map(|error| format!("ip (iproute2) is needed: {error}"))
}
