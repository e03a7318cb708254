//! Listings of a namespace's firewall, by the tools that are installed. They only list.

use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Longest wait for a listing.
const WITHIN: Duration = Duration::from_secs(2);
/// Bytes of a listing that are read; longer ones are not looked at.
const OUTPUT_MAX: u64 = 4 * 1024 * 1024;
/// Where the tools are looked for, whatever the environment says.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What a tool prints, in the namespace of the calling thread; `None` if it is not installed, fails, or
/// takes too long.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    match run(program, arguments) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                log::debug!("{program}: {error}");
            }
            None
        }
    }
}

/// Whether a tool is installed.
pub(super) fn is_installed(program: &str) -> bool {
    PATH.split(':').any(|folder| std::path::Path::new(folder).join(program).exists())
}

fn run(program: &str, arguments: &[&str]) -> io::Result<Option<String>> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).env("LC_ALL", "C");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let (sender, receiver) = sync_channel(1);
    let reader = thread::Builder::new().name("firewall-listing".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(OUTPUT_MAX.saturating_add(1)).read_to_end(&mut bytes);
        // nobody waits any more: then it took too long
        sender.send(read.map(|_| bytes)).unwrap_or_default();
    });
    let outcome = receiver.recv_timeout(WITHIN);
    if outcome.is_err() {
        log::info!("`{program} {}` took over {} s", arguments.join(" "), WITHIN.as_secs());
    }
    let is_whole = |bytes: &Vec<u8>| u64::try_from(bytes.len()).is_ok_and(|length| length <= OUTPUT_MAX);
    if !matches!(&outcome, Ok(Ok(bytes)) if is_whole(bytes)) {
        child.kill().unwrap_or_default();
    }
    let status = child.wait()?;
    drop(reader?.join());
    let bytes = match outcome {
        Ok(read) => read?,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(None),
    };
    Ok((status.success() && is_whole(&bytes)).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_prints_and_nothing_of_one_that_fails_or_is_not_there() {
        assert_eq!(output("echo", &["a", "b"]).as_deref(), Some("a b\n"));
        assert_eq!(output("false", &[]), None);
        assert_eq!(output("no-such-tool-anywhere", &[]), None);
        assert!(is_installed("sh") && !is_installed("no-such-tool-anywhere"));
    }

    #[test]
    fn a_listing_without_end_is_not_waited_for() {
        assert_eq!(output("yes", &[]), None);
    }
}
