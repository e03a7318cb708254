//! What listens on this host: shown where a port should have been given.

use crate::capture::clock::boot_time;
use crate::capture::host::Host;
use crate::output::listeners::ListenerRow;

/// Every listener of every namespace; none if they cannot be looked up.
pub(super) fn rows() -> Vec<ListenerRow> {
    let Ok(mut host) = Host::open(&[], boot_time()) else { return Vec::new() };
    let (rows, problems) = host.table_of_all_listeners();
    for problem in problems {
        log::info!("{problem}");
    }
    rows.into_iter()
        .map(|row| ListenerRow {
            port: row.port,
            address: row.address,
            process: row.process.map(|(pid, comm)| format!("{comm}[{pid}]")),
            unit: row.unit,
            container: row.container,
        })
        .collect()
}
