//! No port was given: which ports there are, and the command to type.

use super::failure::Failure;
use crate::capture::clock::boot_time;
use crate::capture::host::Host;
use crate::output::listeners::{ListenerRow, table};
use crate::output::plain;

/// A usage error that shows this host's listeners; `command` is the subcommand that lacks its port.
pub(super) fn no_port(command: &str) -> Failure {
    let rows = match Host::open(&[], boot_time()) {
        Ok(mut host) => host.table_of_all_listeners().0,
        Err(error) => return Failure::usage(format!("give a port, as in --port 8080 ({error})")),
    };
    let rows: Vec<ListenerRow> = rows
        .into_iter()
        .map(|row| ListenerRow {
            port: row.port,
            address: row.address,
            process: row.process.map(|(pid, comm)| format!("{}[{pid}]", plain(&comm))),
            unit: row.unit,
            container: row.container,
        })
        .collect();
    Failure::usage(format!("which port? {}", table(&rows, command).trim_end()))
}
