//! The tree of files as they are installed.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::Contents;
use crate::{process, workspace};

/// The configuration: kept when a package is upgraded or removed.
pub(super) const CONFIGURATION: &str = "etc/wherefore.toml";

/// Where distributions keep zsh's completions.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zsh {
    /// Debian and its kin.
    Vendor,
    /// Everybody else.
    Site,
}

impl Zsh {
    const fn folder(self) -> &'static str {
        match self {
            Self::Vendor => "usr/share/zsh/vendor-completions",
            Self::Site => "usr/share/zsh/site-functions",
        }
    }
}

/// Puts all files under `root`, with the modes they are installed with.
pub(super) fn stage(contents: &Contents, root: &Path, zsh: Zsh) -> Result<()> {
    super::afresh(root)?;
    let dist = workspace::root().join("dist");
    install(&contents.program, &root.join("usr/bin/wherefore"), 0o755)?;
    install(&dist.join("wherefore.service"), &root.join("usr/lib/systemd/system/wherefore.service"), 0o644)?;
    install(&dist.join("wherefore.toml"), &root.join(CONFIGURATION), 0o644)?;
    let completions = contents.generated.join("completions");
    let places = [
        ("wherefore.bash", "usr/share/bash-completion/completions", "wherefore"),
        ("_wherefore", zsh.folder(), "_wherefore"),
        ("wherefore.fish", "usr/share/fish/vendor_completions.d", "wherefore.fish"),
    ];
    for (name, folder, installed) in places {
        install(&completions.join(name), &root.join(folder).join(installed), 0o644)?;
    }
    manual(&contents.generated.join("man"), &root.join("usr/share/man/man1"))?;
    documents(&root.join("usr/share/doc/wherefore"))?;
    open_folders(root)
}

/// Copies a file, and makes the folders above it.
pub(super) fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(&bytes, to, mode)
}

/// Writes a file, and makes the folders above it.
pub(super) fn write(bytes: &[u8], to: &Path, mode: u32) -> Result<()> {
    let folder = to.parent().context("a file needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode)).with_context(|| format!("cannot change {}", to.display()))
}

/// Gives all folders the mode they are installed with, whatever the umask.
pub(super) fn open_folders(root: &Path) -> Result<()> {
    fs::set_permissions(root, Permissions::from_mode(0o755))
        .with_context(|| format!("cannot change {}", root.display()))?;
    for entry in fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

/// Manual pages, compressed as distributions want them: without name and time inside.
fn manual(pages: &Path, folder: &Path) -> Result<()> {
    let mut found = 0;
    for page in fs::read_dir(pages).with_context(|| format!("cannot read {}", pages.display()))? {
        let page = page?;
        let to = folder.join(page.file_name());
        install(&page.path(), &to, 0o644)?;
        process::run(Command::new("gzip").args(["-9", "--no-name"]).arg(&to))?;
        found += 1;
    }
    ensure!(found > 0, "there are no manual pages in {}", pages.display());
    Ok(())
}

/// The documents for people, and the licences.
fn documents(folder: &Path) -> Result<()> {
    let (root, docs) = (workspace::root(), workspace::root().join("docs"));
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        install(&root.join(licence), &folder.join(licence), 0o644)?;
    }
    for document in fs::read_dir(&docs).with_context(|| format!("cannot read {}", docs.display()))? {
        let from = document?.path();
        if let Some(name) = from.file_name().filter(|_| from.extension().is_some_and(|extension| extension == "md")) {
            install(&from, &folder.join(name), 0o644)?;
        }
    }
    Ok(())
}
