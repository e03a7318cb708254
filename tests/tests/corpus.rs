//! Every recorded trace says what it always said: `cargo test -p wherefore-tests --test corpus`.
//! Needs no root. After a change that is meant, `cargo xtask corpus --bless`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use libtest_mimic::{Arguments, Failed, Trial};
use wherefore_tests::corpus::{self, Kind};
use wherefore_tests::tools::Tools;

/// Lines of a difference that are shown.
const SHOWN: usize = 60;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let collections = match collections() {
        Ok(collections) => collections,
        Err(error) => vec![(format!("the corpus cannot be read: {error:#}"), PathBuf::new(), Kind::Exact)],
    };
    let replayed = collections.into_iter().map(|(name, collection, kind)| {
        Trial::test(name, move || check(&collection, kind).map_err(|error| Failed::from(format!("{error:#}"))))
    });
    let whole = corpus::KERNELS.into_iter().map(|(kernel, lacks)| {
        let failed = |error| Failed::from(format!("{error:#}"));
        let name = format!("kernels/{kernel} lacks at most {lacks} scenarios");
        Trial::test(name, move || is_whole(kernel, lacks).map_err(failed))
    });
    libtest_mimic::run(&arguments, replayed.chain(whole).collect()).exit_code()
}

/// A collection of each kernel, and one of each version that a trace was kept of.
fn collections() -> Result<Vec<(String, PathBuf, Kind)>> {
    let corpus = folder();
    let mut collections = Vec::new();
    for (folder, kind) in [("kernels", Kind::Exact), ("compatibility", Kind::Lasting)] {
        let before = collections.len();
        let parent = corpus.join(folder);
        for entry in fs::read_dir(&parent).with_context(|| format!("reading {}", parent.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                collections.push((format!("{folder}/{name}"), path, kind));
            }
        }
        if collections.len() == before {
            bail!("{} holds no collection", parent.display());
        }
    }
    collections.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(collections)
}

/// Whether what must be said is written down of a trace of each scenario, but for so many.
fn is_whole(kernel: &str, lacks: usize) -> Result<()> {
    let collection = folder().join("kernels").join(kernel);
    let missing = corpus::missing(kernel, &corpus::expected(&collection)?);
    if missing.len() > lacks {
        bail!(
            "no trace, which `cargo xtask corpus --kernel {kernel} --scenario NAME` records, of {}",
            missing.join(", ")
        );
    }
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn check(collection: &Path, kind: Kind) -> Result<()> {
    let tools = Tools::find(None, Path::new(env!("CARGO_BIN_EXE_wherefore-lab")))?;
    let differences = corpus::differences(&corpus::expected(collection)?, &corpus::told(&tools, collection, kind)?);
    if differences.is_empty() {
        return Ok(());
    }
    let shown = differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    bail!("otherwise than written down (`cargo xtask corpus --bless` if it is meant):\n{shown}")
}
