//! Recorded traces and what must be said of them: `tests/corpus`.
//!
//! A collection is a directory of traces (`NAME.wft.zst`; or `NAME`, a directory with the files of one
//! recording) and one file, `verdicts.txt`, with what
//! `wherefore replay --json` must say of each: the name of the trace, then a line for each verdict,
//! indented. Of a verdict its words are left out, which may be improved without a change of what is
//! said; they have tests of their own.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use crate::parallel::each;
use crate::recorder::{replay, verdict_lines};
use crate::tools::Tools;
use crate::trim::trim;
use crate::{scenarios, scratch};

/// What must be said.
const EXPECTED: &str = "verdicts.txt";
/// How the name of a trace ends.
const ENDING: &str = ".wft.zst";
/// Traces are made once and kept for long.
const LEVEL: i32 = 19;
/// Replays at once.
const AT_ONCE: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(3);

/// What is compared of a verdict.
const KEYS: &[&str] = &[
    "verdict",
    "role",
    "confidence",
    "alternatives",
    "expected_status",
    "health_check",
    "count",
    "local",
    "remote",
    "started",
    "time",
    "cause",
];

/// What is compared of a verdict whose trace another version wrote: what it means, and whom it is about.
/// How sure a verdict is may get better with a newer version.
const LASTING_KEYS: &[&str] =
    &["verdict", "role", "expected_status", "health_check", "count", "local", "remote", "started"];

/// How a collection is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All but words: traces of this version, on some kernel.
    Exact,
    /// What must stay for ever: traces of an older version.
    Lasting,
}

/// What is said of each trace, by its name.
pub type Told = BTreeMap<String, Vec<String>>;

/// Replays every trace of a collection.
///
/// # Errors
/// When there is none, or one cannot be replayed.
pub fn told(tools: &Tools, collection: &Path, kind: Kind) -> Result<Told> {
    let traces = traces(collection)?;
    if traces.is_empty() {
        bail!("{} holds no trace (*{ENDING})", collection.display());
    }
    let directory = scratch::directory()?;
    let told = each(AT_ONCE, traces.into_iter(), |(name, packed)| {
        let unpacked = directory.path().join(&name);
        unpack(&packed, &unpacked)?;
        let lines = replay(tools, &unpacked).with_context(|| format!("replaying {}", packed.display()))?;
        fs::remove_dir_all(&unpacked)?;
        let verdicts = verdict_lines(&lines);
        let mut essences = verdicts.iter().map(|line| essence(line, kind)).collect::<Result<Vec<_>>>()?;
        if kind == Kind::Lasting {
            // how long each is held before it is told may change
            essences.sort();
        }
        Ok((name, essences))
    });
    told.into_iter().collect()
}

/// What must be said of the traces of a collection.
///
/// # Errors
/// When the file is missing or not as [`bless`] writes it.
pub fn expected(collection: &Path) -> Result<Told> {
    let file = collection.join(EXPECTED);
    parse(&fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?)
        .with_context(|| format!("reading {}", file.display()))
}

/// What is said otherwise than it must be: lines as a diff has them, none if all is well.
pub fn differences(expected: &Told, told: &Told) -> Vec<String> {
    let mut lines = Vec::new();
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(told.keys()).collect();
    for name in names {
        let (before, after) = (expected.get(name), told.get(name));
        if before == after {
            continue;
        }
        lines.push(match (before, after) {
            (None, _) => format!("{name}: nothing is written down of it"),
            (_, None) => format!("{name}: there is no such trace"),
            _ => name.clone(),
        });
        lines.extend(before.into_iter().flatten().map(|line| format!("- {line}")));
        lines.extend(after.into_iter().flatten().map(|line| format!("+ {line}")));
    }
    lines
}

/// Writes down what is said now, and returns how that differs from what was written down before.
///
/// # Errors
/// When a trace cannot be replayed, or the file cannot be written.
pub fn bless(tools: &Tools, collection: &Path, kind: Kind) -> Result<Vec<String>> {
    let told = told(tools, collection, kind)?;
    let before = if collection.join(EXPECTED).exists() { expected(collection)? } else { told.clone() };
    let file = collection.join(EXPECTED);
    fs::write(&file, text(&told)).with_context(|| format!("writing {}", file.display()))?;
    Ok(differences(&before, &told))
}

/// A larger trace is not kept.
const LARGEST: usize = 64 << 10;

/// Takes the traces of the lab's scenarios from a folder into a collection, which is made if need be: of each scenario
/// the one that tells its verdicts ([`crate::expect::Expect::telling`]), and those of more vantages. Returns how many,
/// and the names of those that are too large.
///
/// # Errors
/// When there are none, or one cannot be read or written.
pub fn take(from: &Path, more: &[String], collection: &Path) -> Result<(usize, Vec<String>)> {
    fs::create_dir_all(collection).with_context(|| format!("making {}", collection.display()))?;
    let (mut taken, mut too_large) = (0, Vec::new());
    for scenario in scenarios::all() {
        let telling = scenario.expect.telling();
        let vantages = scenario.expect.views().into_iter().map(|(vantage, _)| vantage);
        let wanted = vantages.filter(|vantage| *vantage == telling || more.iter().any(|name| name == vantage.name()));
        for name in wanted.map(|vantage| scenario.trace_name(vantage)) {
            let file = from.join(format!("{name}.wft"));
            if !file.is_file() {
                continue;
            }
            let packed = zstd::encode_all(trimmed(&file)?.as_slice(), LEVEL)?;
            if packed.len() > LARGEST {
                too_large.push(name);
                continue;
            }
            fs::write(collection.join(format!("{name}{ENDING}")), packed)?;
            taken += 1;
        }
    }
    if taken == 0 {
        bail!("no trace of a scenario in {}", from.display());
    }
    Ok((taken, too_large))
}

/// Kernels that there is a collection of, and how many scenarios it may lack that were not recorded there yet: all but
/// the host's were recorded before those were kept that ran alone.
pub const KERNELS: [(&str, usize); 6] =
    [("host", 0), ("5.10", 30), ("6.1", 30), ("6.12", 30), ("6.18", 30), ("7.x", 330)];

/// Where a scenario has no trace.
enum Lacks {
    /// On no kernel is there one.
    Everywhere,
    /// In virtual machines.
    Guests,
    /// On this kernel.
    On(&'static str),
}

/// Scenarios without a trace, and why.
const WITHOUT_TRACE: &[(&str, Lacks)] = &[
    // too many records
    ("flood-refused", Lacks::Everywhere),
    ("full-ring", Lacks::Everywhere),
    // programs that are not there
    ("app-gunicorn", Lacks::Guests),
    ("app-node-keep-alive", Lacks::Guests),
    ("app-node-throws", Lacks::Guests),
    // the kernel cannot do it, or does not tell
    ("kernel-drop-checksum", Lacks::On("5.10")),
    ("kernel-drop-unsigned", Lacks::On("5.10")),
    ("kernel-drop-refused-connect", Lacks::On("5.10")),
    ("benign-multipath", Lacks::On("5.10")),
];

/// The traces that a kernel's collection must have and does not.
pub fn missing(kernel: &str, told: &Told) -> Vec<String> {
    let lacks = |name: &str| {
        WITHOUT_TRACE.iter().filter(|(without, _)| *without == name).any(|(_, lacks)| match lacks {
            Lacks::Everywhere => true,
            Lacks::Guests => kernel != "host",
            Lacks::On(one) => *one == kernel,
        })
    };
    let wanted = scenarios::all().into_iter().filter(|scenario| !lacks(&scenario.name));
    let names = wanted.map(|scenario| scenario.trace_name(scenario.expect.telling()));
    names.filter(|name| !told.contains_key(name)).collect()
}

fn trimmed(file: &Path) -> Result<Vec<u8>> {
    trim(&fs::read(file)?).with_context(|| format!("reading {}", file.display()))
}

/// The traces of a collection and their names.
fn traces(collection: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let files = fs::read_dir(collection).with_context(|| format!("reading {}", collection.display()))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let named = paths.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        let name = if path.is_dir() { name } else { name.strip_suffix(ENDING)? };
        Some((name.to_owned(), path))
    });
    Ok(named.collect())
}

/// Makes a directory of what is packed: one file, or those of a directory.
fn unpack(packed: &Path, directory: &Path) -> Result<()> {
    fs::create_dir(directory).with_context(|| format!("making {}", directory.display()))?;
    let files = if packed.is_dir() { traces(packed)?.into_values().collect() } else { vec![packed.to_owned()] };
    for file in files {
        let read = || zstd::decode_all(fs::File::open(&file)?);
        let bytes = read().with_context(|| format!("unpacking {}", file.display()))?;
        let name = file.file_stem().context("a file without a name")?;
        fs::write(directory.join(name), bytes).with_context(|| format!("writing into {}", directory.display()))?;
    }
    Ok(())
}

/// A verdict line without its words.
fn essence(line: &str, kind: Kind) -> Result<String> {
    let verdict: Map<String, Value> = serde_json::from_str(line)?;
    let mut kept = Map::new();
    let keys = if kind == Kind::Exact { KEYS } else { LASTING_KEYS };
    for key in keys {
        let value = verdict.get(*key).with_context(|| format!("a verdict without `{key}`: {line}"))?;
        if !value.is_null() {
            kept.insert((*key).to_owned(), value.clone());
        }
    }
    if let Some(comm) = verdict.get("process").and_then(|process| process.get("comm")).filter(|comm| !comm.is_null()) {
        kept.insert("process".to_owned(), comm.clone());
    }
    if kind == Kind::Exact {
        let evidence = verdict.get("evidence").and_then(Value::as_array).into_iter().flatten();
        kept.insert("evidence".to_owned(), evidence.filter_map(|item| item.get("event").cloned()).collect());
    }
    Ok(serde_json::to_string(&kept)?)
}

fn text(told: &Told) -> String {
    let mut text = String::new();
    for (name, verdicts) in told {
        text.extend([name, "\n"]);
        for verdict in verdicts {
            text.extend(["  ", verdict, "\n"]);
        }
    }
    text
}

fn parse(text: &str) -> Result<Told> {
    let mut told = Told::new();
    let mut current = None;
    for line in text.lines() {
        match (line.strip_prefix("  "), &mut current) {
            (Some(verdict), Some((_, verdicts))) => Vec::push(verdicts, verdict.to_owned()),
            (Some(_), None) => bail!("a verdict of no trace: {line}"),
            (None, _) => told.extend(current.replace((line.to_owned(), Vec::new()))),
        }
    }
    told.extend(current);
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Vantage;
    use crate::trim::tests::trace;

    fn told(traces: &[(&str, &[&str])]) -> Told {
        let owned = |verdicts: &[&str]| verdicts.iter().map(|line| (*line).to_owned()).collect();
        traces.iter().map(|(name, verdicts)| ((*name).to_owned(), owned(verdicts))).collect()
    }

    #[test]
    fn what_is_written_down_is_read() {
        let told = told(&[("a.both", &["{\"x\":1}", "{\"x\":2}"]), ("b.both", &[]), ("c.both", &["{}"])]);
        assert_eq!(parse(&text(&told)).unwrap(), told);
        assert_eq!(parse("").unwrap(), Told::new());
        assert!(parse("  {}\n").is_err());
    }

    #[test]
    fn every_difference_is_shown() {
        let before = told(&[("a", &["1", "2"]), ("b", &["3"]), ("c", &[]), ("gone", &["4"])]);
        let after = told(&[("a", &["1"]), ("b", &["3"]), ("c", &[]), ("new", &[])]);
        let expected =
            ["a", "- 1", "- 2", "+ 1", "gone: there is no such trace", "- 4", "new: nothing is written down of it"];
        assert_eq!(differences(&before, &after), expected);
        assert!(differences(&before, &before).is_empty());
    }

    #[test]
    fn a_verdict_is_kept_without_its_words() {
        let line = r#"{"type":"verdict","verdict":"no-route","role":"outbound","confidence":"certain","alternatives":[],
            "expected_status":502,"health_check":false,"count":1,"local":"a","remote":"b","started":"s","time":"t",
            "cause":null,"process":{"comm":"curl","pid":7},"evidence":[{"event":"syn-sent","detail":"words"}],
            "summary":"words","next":"words"}"#;
        let exact = essence(line, Kind::Exact).unwrap();
        assert!(
            !exact.contains("words") && !exact.contains("cause") && exact.contains(r#""process":"curl""#),
            "{exact}"
        );
        assert!(exact.contains(r#""evidence":["syn-sent"]"#) && exact.contains(r#""confidence":"certain""#), "{exact}");
        let lasting = essence(line, Kind::Lasting).unwrap();
        assert!(!lasting.contains("evidence") && !lasting.contains("confidence"), "{lasting}");
        assert!(essence(r#"{"verdict":"no-route"}"#, Kind::Lasting).is_err());
    }

    #[test]
    fn only_telling_and_asked_vantages_are_taken_and_nothing_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        let trace = trace(&[]);
        let scenario = scenarios::all().into_iter().find(|one| one.expect.telling() == Vantage::Both).unwrap();
        let [both, client, server] = [Vantage::Both, Vantage::Client, Vantage::Server].map(|v| scenario.trace_name(v));
        for name in [&both, &client, &server, "unknown.ipv4.both"] {
            fs::write(from.join(format!("{name}.wft")), &trace).unwrap();
        }
        assert_eq!(take(&from, &[], &to).unwrap(), (1, Vec::new()));
        assert_eq!(take(&from, &["client".to_owned()], &to).unwrap(), (2, Vec::new()));
        let found = traces(&to).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), [&both, &client]);
        let unpacked = folder.path().join("unpacked");
        unpack(&found[&both], &unpacked).unwrap();
        assert_eq!(fs::read(unpacked.join(format!("{both}.wft"))).unwrap(), trace);
        let unpacked = folder.path().join("recording");
        unpack(&to, &unpacked).unwrap();
        assert_eq!(fs::read_dir(unpacked).unwrap().count(), 2);
        assert!(take(folder.path(), &[], &to).unwrap_err().to_string().contains("no trace"));
    }

    #[test]
    fn a_trace_that_is_not_there_is_missed() {
        let all = missing("host", &Told::new());
        assert!(all.len() > 400, "{}", all.len());
        assert!(missing("5.10", &Told::new()).len() < all.len());
        let but_one = all.iter().skip(1).map(|name| (name.clone(), Vec::new())).collect();
        assert_eq!(missing("host", &but_one), all[..1]);
        for (without, _) in WITHOUT_TRACE {
            assert!(scenarios::all().iter().any(|scenario| scenario.name == *without), "{without}");
        }
    }
}
