//! Read-only ext4 images made from a folder.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::command::quietly;
use crate::process::read;

/// Makes an image of the folder with `spare_mib` to spare. Owners and modes are kept, so the folder
/// must have been made by root where these matter.
pub(super) fn from_tree(tree: &Path, image: &Path, spare_mib: u64) -> Result<()> {
    let used = read(Command::new("du").args(["--summarize", "--apparent-size", "--block-size=1M"]).arg(tree))?;
    let blocks = read(Command::new("du").args(["--summarize", "--block-size=1M"]).arg(tree))?;
    let mib = |text: &str| {
        text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).context("du printed no size")
    };
    let size = mib(&used)?.max(mib(&blocks)?) * 5 / 4 + spare_mib;
    quietly(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-b", "4096", "-d"])
            .arg(tree)
            .arg(image)
            .arg(format!("{size}M")),
    )
}
