//! What the guests do: the lab with the program under test, or the command that was typed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::arch::Arch;
use super::options::Arguments;
use super::vm::Task;
use crate::build::{Binary, LAB, PROGRAM, statically};
use crate::process::read;
use crate::setup;

/// Where the lab leaves its traces in a guest: comes back to this machine.
const TRACES: &str = "/run/out/traces";

/// The task for all guests, and the lab's scenarios in its order, if it can be asked here; builds the
/// programs if it needs them.
pub(super) fn of(arguments: &Arguments) -> Result<(Task, Vec<String>)> {
    let deadline = arguments.deadline();
    let mut files = arguments.copy.clone();
    if !arguments.command.is_empty() || arguments.fetch {
        files.extend([&arguments.wherefore, &arguments.lab].into_iter().flatten().cloned());
        let words: Vec<_> = arguments.command.iter().map(|word| word.to_string_lossy()).collect();
        return Ok((Task { command: words.join(" "), files, deadline }, Vec::new()));
    }
    let [wherefore, lab] = programs(arguments)?;
    let listed = listed(&lab, arguments.arch)?;
    known(&arguments.scenarios, &listed)?;
    let programs = [name(&lab)?, name(&wherefore)?];
    let command = lab_command(&programs, arguments);
    files.extend([wherefore, lab]);
    Ok((Task { command, files, deadline }, listed))
}

/// A scenario that the lab does not have is an error.
fn known(asked: &[String], listed: &[String]) -> Result<()> {
    let unknown = |scenario: &&String| listed.iter().all(|title| !title.contains(scenario.as_str()));
    match asked.iter().find(unknown).filter(|_| !listed.is_empty()) {
        Some(unknown) => bail!("the lab has no scenario {unknown}; `wherefore-lab list` prints all"),
        None => Ok(()),
    }
}

/// What the lab can run, asked only where it runs.
fn listed(lab: &Path, arch: Arch) -> Result<Vec<String>> {
    if arch.target().split('-').next() != Some(std::env::consts::ARCH) {
        return Ok(Vec::new());
    }
    Ok(read(Command::new(fs::canonicalize(lab)?).arg("list"))?.lines().map(str::to_owned).collect())
}

/// The program and the lab: those given, else built.
fn programs(arguments: &Arguments) -> Result<[PathBuf; 2]> {
    let given = [arguments.wherefore.as_deref(), arguments.lab.as_deref()];
    if let Some(absent) = given.iter().flatten().find(|path| !path.is_file()) {
        bail!("there is no program {}", absent.display());
    }
    let arch = arguments.arch;
    if given == [None, None] {
        return built([PROGRAM, LAB], arch);
    }
    let [wherefore, lab] = given;
    let or_built = |given: Option<&Path>, binary| match given {
        Some(path) => Ok([path.to_owned()]),
        None => built([binary], arch),
    };
    let ([wherefore], [lab]) = (or_built(wherefore, PROGRAM)?, or_built(lab, LAB)?);
    Ok([wherefore, lab])
}

fn built<const N: usize>(binaries: [Binary; N], arch: Arch) -> Result<[PathBuf; N]> {
    setup::ensure(setup::Scope::Build, setup::Consent::Ask)?;
    match arch {
        Arch::X86 => statically(binaries, arch.target()),
        Arch::Arm => super::cross::build(binaries),
    }
}

fn name(path: &Path) -> Result<String> {
    path.file_name().and_then(|name| name.to_str()).map(quoted).context("a program without a name")
}

fn lab_command([lab, wherefore]: &[String; 2], arguments: &Arguments) -> String {
    let mut command = format!("./{lab} run --wherefore ./{wherefore} --jobs {}", arguments.lab_jobs());
    let share = arguments.share();
    if share > 0 {
        command.extend([" --share ", &share.to_string()]);
        if arguments.traces {
            command.extend([" --keep ", TRACES]);
        }
    }
    for word in arguments.family.iter().flat_map(|family| ["--family", family]) {
        command.extend([" ", word]);
    }
    // of the lab's table, and of it alone
    if arguments.ci && arguments.scenarios.is_empty() {
        command.push_str(" --ci");
    }
    for scenario in &arguments.scenarios {
        command.extend([" ", &quoted(scenario)]);
    }
    command
}

fn quoted(word: &str) -> String {
    if word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) && !word.is_empty() {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(line: &str) -> Arguments {
        let words = std::iter::once("kernels").chain(line.split(' ').filter(|word| !word.is_empty()));
        <Line as clap::Parser>::parse_from(words).arguments
    }

    #[test]
    fn the_lab_is_told_what_to_run() {
        let check = |line: &str, expected: &str| {
            let arguments = parsed(line);
            let programs = ["lab", "w"].map(str::to_owned);
            assert_eq!(lab_command(&programs, &arguments), format!("./lab run --wherefore ./w {expected}"), "{line}");
        };
        check("", "--jobs 8 --share 40");
        check("--share 0 --lab-jobs 1", "--jobs 1");
        check("--share 0 --traces", "--jobs 8");
        check("--ci --traces", "--jobs 6 --share 24 --keep /run/out/traces --ci");
        check("--family 6 --scenario a/ipv6 --scenario b~", "--jobs 6 --share 24 --family 6 a/ipv6 'b~'");
        check("--ci --scenario a", "--jobs 6 --share 24 a");
    }

    #[test]
    fn all_scenarios_have_more_time() {
        let seconds = |line: &str| parsed(line).deadline().as_secs();
        assert_eq!((seconds(""), seconds("--write-docs --kernel 7.x")), (5400, 5400));
        assert_eq!((seconds("--ci"), seconds("--scenario benign"), seconds("-- true")), (1800, 1800, 1800));
        assert_eq!(seconds("--deadline 60"), 60);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = programs(&parsed("--lab /nonexistent/lab")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/lab"), "{error}");
    }

    #[test]
    fn scenarios_must_exist() {
        let listed = ["benign-requests/ipv4".to_owned()];
        assert!(known(&[], &listed).is_ok() && known(&["benign".to_owned()], &listed).is_ok());
        let error = known(&["absent".to_owned()], &listed).unwrap_err().to_string();
        assert!(error.contains("no scenario absent"), "{error}");
    }
}
