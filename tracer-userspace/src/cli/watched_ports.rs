//! Which ports `record` and `watch` watch.

use super::args::CaptureArgs;
use super::failure::Failure;
use super::ports::PortList;
use crate::output::listeners::{ListenerRow, table};

/// The ports to watch, ascending. Without `--port` the failure shows what listens on this host, and
/// what to type: `command` is `record` or `watch`, and `listeners` is asked only then.
///
/// # Errors
/// [`Failure::Usage`] if there is no port, or too many.
pub(super) fn watched_ports(
    args: &CaptureArgs,
    command: &str,
    listeners: impl FnOnce() -> Vec<ListenerRow>,
) -> Result<Vec<u16>, Failure> {
    if args.port.is_empty() {
        let table = table(&listeners(), command);
        return Err(Failure::Usage(format!("which port? --port is missing.\n{}", table.trim_end())));
    }
    PortList::to_watch(&args.port).map_err(|error| Failure::Usage(format!("--port: {error}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn ports(flags: &str) -> Result<Vec<u16>, String> {
        let line = format!("wherefore record {flags}");
        let Command::Record(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not record");
        };
        let row = ListenerRow {
            port: 80,
            address: "0.0.0.0".parse().unwrap(),
            process: Some("nginx[812]".to_owned()),
            unit: Some("nginx.service".to_owned()),
            container: None,
        };
        watched_ports(&args.capture, "record", || vec![row]).map_err(|failure| failure.line().unwrap())
    }

    #[test]
    fn ports_that_can_be_watched() {
        assert_eq!(ports("--port 8443,8080 --port 8080"), Ok(vec![8080, 8443]));
    }

    #[test]
    fn no_port_shows_what_listens() {
        insta::assert_snapshot!(ports("").unwrap_err(), @r"
wherefore: which port? --port is missing.
These ports are listened on:
  PORT  ADDRESS  PROCESS     UNIT           CONTAINER
  80    0.0.0.0  nginx[812]  nginx.service  -
Name the one whose requests fail:
  wherefore record --port 80
");
    }

    #[test]
    fn too_many_ports() {
        insta::assert_snapshot!(ports("--port 1-64 --port 70").unwrap_err(), @"wherefore: --port: 65 ports are too many: one run watches at most 64");
    }
}
