//! What the guests do: the lab with the program under test, or the command that was typed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::arch::Arch;
use super::options::Arguments;
use super::vm::Task;
use crate::build::statically;
use crate::process::read;
use crate::setup;

const LAB: &str = "wherefore-lab";
const PROGRAM: &str = "wherefore";

/// What is run on every change: each verdict once, of both families, in a few minutes.
const CI: [&str; 10] = [
    "process-down-never-listened/ipv4",
    "wrong-bind-address-loopback/ipv6",
    "firewall-reject-nft-icmp-port-unreachable/ipv4",
    "firewall-reject-iptables-nft-tcp-reset/ipv6",
    "firewall-drop-input-iptables-legacy/ipv4",
    "security-group-drop-2500ms/ipv6",
    "benign-requests/ipv4",
    "privileges-look-ups-go-on",
    "privileges-without-root",
    "privileges-too-few",
];

/// The task for all guests, and the lab's scenarios in its order, if it can be asked here; builds the
/// programs if it needs them.
pub(super) fn of(arguments: &Arguments) -> Result<(Task, Vec<String>)> {
    let deadline = Duration::from_secs(arguments.deadline);
    let mut files = arguments.copy.clone();
    if !arguments.command.is_empty() || arguments.fetch {
        files.extend([&arguments.wherefore, &arguments.lab].into_iter().flatten().cloned());
        let words: Vec<_> = arguments.command.iter().map(|word| word.to_string_lossy()).collect();
        return Ok((Task { command: words.join(" "), files, deadline }, Vec::new()));
    }
    let wherefore = program(arguments.wherefore.as_deref(), "tracer-userspace", PROGRAM, arguments.arch)?;
    let lab = program(arguments.lab.as_deref(), "wherefore-tests", LAB, arguments.arch)?;
    let listed = listed(&lab, arguments.arch)?;
    let scenarios = chosen(&arguments.scenarios, arguments.ci, &listed)?;
    let programs = [name(&lab)?, name(&wherefore)?];
    let command = lab_command(&programs, arguments.lab_jobs, arguments.family.as_deref(), &scenarios);
    files.extend([wherefore, lab]);
    Ok((Task { command, files, deadline }, listed))
}

/// The scenarios asked for, else the small set. One that the lab does not have is an error.
fn chosen(asked: &[String], ci: bool, listed: &[String]) -> Result<Vec<String>> {
    let scenarios = if ci && asked.is_empty() { CI.map(str::to_owned).to_vec() } else { asked.to_vec() };
    let unknown = |scenario: &&String| listed.iter().all(|title| !title.contains(scenario.as_str()));
    match scenarios.iter().find(unknown).filter(|_| !listed.is_empty()) {
        Some(unknown) => bail!("the lab has no scenario {unknown}; `wherefore-lab list` prints all"),
        None => Ok(scenarios),
    }
}

/// What the lab can run, asked only where it runs.
fn listed(lab: &Path, arch: Arch) -> Result<Vec<String>> {
    if arch.target().split('-').next() != Some(std::env::consts::ARCH) {
        return Ok(Vec::new());
    }
    Ok(read(Command::new(fs::canonicalize(lab)?).arg("list"))?.lines().map(str::to_owned).collect())
}

/// The program given, else one built.
fn program(given: Option<&Path>, package: &str, binary: &str, arch: Arch) -> Result<PathBuf> {
    if let Some(path) = given {
        if !path.is_file() {
            bail!("there is no program {}", path.display());
        }
        return Ok(path.to_owned());
    }
    setup::ensure(setup::Scope::Build, setup::Consent::Ask)?;
    match arch {
        Arch::X86 => statically(package, binary, arch.target()),
        Arch::Arm => super::cross::build(package, binary),
    }
}

fn name(path: &Path) -> Result<String> {
    path.file_name().and_then(|name| name.to_str()).map(quoted).context("a program without a name")
}

fn lab_command([lab, wherefore]: &[String; 2], jobs: usize, family: Option<&str>, scenarios: &[String]) -> String {
    let mut command = format!("./{lab} run --wherefore ./{wherefore} --jobs {jobs}");
    for word in family.into_iter().flat_map(|family| ["--family", family]) {
        command.extend([" ", word]);
    }
    for scenario in scenarios {
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

    #[test]
    fn the_lab_is_told_what_to_run() {
        let programs = ["lab", "w"].map(str::to_owned);
        assert_eq!(lab_command(&programs, 2, None, &[]), "./lab run --wherefore ./w --jobs 2");
        let scenarios = ["process-down/IPv4", "a b"].map(str::to_owned);
        assert_eq!(
            lab_command(&programs, 1, Some("6"), &scenarios),
            "./lab run --wherefore ./w --jobs 1 --family 6 process-down/IPv4 'a b'"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = program(Some(Path::new("/nonexistent/lab")), "p", "b", Arch::X86).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/lab"), "{error}");
    }

    #[test]
    fn scenarios_must_exist() {
        let listed: Vec<_> = CI.iter().map(|title| (*title).to_owned()).collect();
        assert_eq!(chosen(&[], true, &listed).unwrap(), listed);
        assert!(chosen(&[], false, &listed).unwrap().is_empty());
        assert_eq!(chosen(&["benign".to_owned()], true, &listed).unwrap(), ["benign"]);
        let error = chosen(&["absent".to_owned()], false, &listed).unwrap_err().to_string();
        assert!(error.contains("no scenario absent"), "{error}");
    }
}
