//! Running other programs: what is run is shown, and an error names it.

use std::{
    ffi::OsStr,
    io,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail};

use crate::{console, workspace};

/// `cargo`, the one that runs this, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace::root());
    command
}

/// A command that runs `program` as root: through sudo unless this is root.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    command
}

/// Whether this process is root.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // a process's own folder belongs to its effective user (proc(5))
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether this process is root.
#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}

/// Shows the command and runs it to its end.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    console::note(format_args!("$ {}", shown(command)));
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs the command and returns what it printed on stdout.
///
/// # Errors
/// If it cannot be started or does not succeed, with what it printed on stderr.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed: {status}: {}", shown(command), String::from_utf8_lossy(&stderr).trim());
    }
    String::from_utf8(stdout).with_context(|| format!("`{}` printed no UTF-8", shown(command)))
}

/// Replaces this process by the command, so that signals and the exit status are the command's own.
///
/// # Errors
/// Returns only if it cannot be started.
#[cfg(unix)]
pub(crate) fn become_program(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    console::note(format_args!("$ {}", shown(command)));
    let error: io::Error = command.exec();
    Err(error).with_context(|| cannot_start(command))
}

/// Runs the command; this system has no way to be replaced by it.
///
/// # Errors
/// If it cannot be started or does not succeed.
#[cfg(not(unix))]
pub(crate) fn become_program(command: &mut Command) -> Result<()> {
    run(command)
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let assignments = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut words: Vec<String> =
        assignments.map(|(name, value)| format!("{}={}", name.display(), quoted(&value.to_string_lossy()))).collect();
    words.push(quoted(&command.get_program().to_string_lossy()));
    words.extend(command.get_args().map(|argument| quoted(&argument.to_string_lossy())));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", shown(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_commands_as_typed() {
        let mut command = Command::new("sh");
        command.env("A", "b c").args(["-c", "it's", "", "--x=1"]);
        assert_eq!(shown(&command), r"A='b c' sh -c 'it'\''s' '' --x=1");
    }

    #[test]
    fn errors_name_the_command_and_its_words() {
        let error = read(Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("exit 3") && text.contains("exit status: 3") && text.ends_with("no such thing"),
            "{text}"
        );
        let error = run(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot start `/nonexistent/program`: "), "{error:#}");
    }
}
