//! The table of listeners that is shown when no port was given.

use std::fmt::Write;
use std::net::IpAddr;

use super::text::plain;

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerRow {
    /// Port.
    pub port: u16,
    /// Bound address.
    pub address: IpAddr,
    /// Process, as in `nginx[812]`; `None` if unknown.
    pub process: Option<String>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Container id.
    pub container: Option<String>,
}

/// The listeners, aligned, by port, and the command to type; `command` is the subcommand that lacks
/// its port.
#[must_use]
pub fn table(rows: &[ListenerRow], command: &str) -> String {
    let mut sorted: Vec<&ListenerRow> = rows.iter().collect();
    sorted.sort_by_key(|row| (row.port, row.address));
    let Some(first) = sorted.first() else {
        return format!(
            "Nothing listens on this host now. Watch the port that should be served:\n  wherefore {command} --port 8080\n"
        );
    };
    let mut cells = vec![["PORT", "ADDRESS", "PROCESS", "UNIT", "CONTAINER"].map(str::to_owned)];
    cells.extend(sorted.iter().map(|row| row_cells(row)));
    let widths = cells.iter().fold([0; 5], |mut widths: [usize; 5], row| {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
        widths
    });
    let mut text = String::from("These ports are listened on:\n");
    for row in &cells {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(widths) {
            // writing to a string cannot fail
            write!(line, " {cell:<width$} ").ok();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    writeln!(text, "Name the one whose requests fail:\n  wherefore {command} --port {}", first.port).ok();
    text
}

fn row_cells(row: &ListenerRow) -> [String; 5] {
    let or_dash =
        |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), |text| plain(text).into_owned());
    let container = row.container.as_deref().map(|id| id.chars().take(12).collect());
    [
        row.port.to_string(),
        row.address.to_canonical().to_string(),
        or_dash(&row.process),
        or_dash(&row.unit),
        or_dash(&container),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_by_port() {
        let row =
            |port, address: &str, process: Option<&str>, unit: Option<&str>, container: Option<&str>| ListenerRow {
                port,
                address: address.parse().unwrap(),
                process: process.map(str::to_owned),
                unit: unit.map(str::to_owned),
                container: container.map(str::to_owned),
            };
        let rows = [
            row(8080, "::", Some("java[4711]"), None, Some("0123456789abcdef0123")),
            row(80, "0.0.0.0", Some("nginx[812]"), Some("nginx.service"), None),
            row(5432, "127.0.0.1", None, None, None),
        ];
        insta::assert_snapshot!(table(&rows, "record"), @r#"
These ports are listened on:
  PORT  ADDRESS    PROCESS     UNIT           CONTAINER
  80    0.0.0.0    nginx[812]  nginx.service  -
  5432  127.0.0.1  -           -              -
  8080  ::         java[4711]  -              0123456789ab
Name the one whose requests fail:
  wherefore record --port 80
"#);
    }

    #[test]
    fn no_listener() {
        insta::assert_snapshot!(table(&[], "watch"), @r#"
Nothing listens on this host now. Watch the port that should be served:
  wherefore watch --port 8080
"#);
    }
}
