//! The status line that a recording shows on a terminal every ten seconds.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::human::span;
use super::style::{Styles, paint};
use super::text::plain;

/// No SYN from a client for this long, with a listener there, is worth a word: two health check
/// periods of 30 s, the usual default, and some slack.
pub const SILENCE: Duration = Duration::from_secs(65);

/// Ports that get a line of their own.
const LINES_MAX: usize = 8;

/// One watched port, totals since recording began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortStatus {
    /// Port.
    pub port: u16,
    /// Who listens, as in `nginx[812]`; `None` if nothing does.
    pub listener: Option<String>,
    /// SYNs that reached this host, those of health checkers among them.
    pub syn: u64,
    /// Those of known health checkers.
    pub health_check_syn: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Attempts and exchanges that failed.
    pub failed: u64,
    /// Requests waiting for a response now.
    pub waiting: u64,
    /// Time since the last SYN; `None` if there was none.
    pub since_syn: Option<Duration>,
    /// Time since the last SYN of a client from outside that is no health checker, or since
    /// recording began.
    pub client_silence: Duration,
    /// Time since the last SYN of a health checker, or since recording began.
    pub health_check_silence: Duration,
}

/// All watched ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// By port.
    pub ports: Vec<PortStatus>,
    /// Records lost so far, all causes.
    pub lost: u64,
}

/// What a port's traffic lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    Total,
    HealthChecksOnly,
}

/// Renders status lines, and says once of each silence where to look.
#[derive(Debug, Default)]
pub struct StatusLines {
    styles: Styles,
    told: BTreeMap<u16, Silence>,
}

impl StatusLines {
    /// With colours, or plain.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self { styles: Styles::new(color), told: BTreeMap::new() }
    }

    /// One line a port, each with its line feed, and a line for each silence that is new.
    pub fn render(&mut self, status: &Status) -> String {
        let mut text = String::new();
        let mut ports: Vec<&PortStatus> = status.ports.iter().collect();
        if ports.len() > LINES_MAX {
            ports.sort_by_key(|port| (std::cmp::Reverse(port.failed), std::cmp::Reverse(port.syn), port.port));
        }
        for port in ports.iter().take(LINES_MAX) {
            let line = self.line(port, status.lost);
            // writing to a string cannot fail
            writeln!(text, "{line}").ok();
        }
        let left = ports.get(LINES_MAX..).unwrap_or_default();
        if !left.is_empty() {
            let failed: u64 = left.iter().map(|port| port.failed).sum();
            writeln!(text, "status: {} more ports, {failed} failed", left.len()).ok();
        }
        for port in &status.ports {
            text.push_str(&self.silence(port).unwrap_or_default());
        }
        text
    }

    fn line(&self, port: &PortStatus, lost: u64) -> String {
        let listener = port.listener.as_deref().map_or_else(
            || paint(self.styles.certain, "no listener"),
            |listener| paint(self.styles.good, plain(listener)),
        );
        let failed = format!("{} failed", port.failed);
        let failed = if port.failed > 0 { paint(self.styles.certain, failed) } else { failed };
        let last =
            port.since_syn.map_or_else(|| "no SYN yet".to_owned(), |since| format!("last SYN {} ago", span(since)));
        let clients = port.syn.saturating_sub(port.health_check_syn);
        format!(
            "status: {}  {listener}  {clients} SYNs + {} health checks, {} accepted, {failed}, {} waiting, {last}, lost {lost}",
            port.port, port.health_check_syn, port.accepted, port.waiting,
        )
    }

    /// What to say of a port where a client's SYNs have stopped; nothing if it has been said.
    fn silence(&mut self, port: &PortStatus) -> Option<String> {
        if port.listener.is_none() || port.client_silence < SILENCE {
            self.told.remove(&port.port);
            return None;
        }
        let silence = if port.health_check_silence < SILENCE { Silence::HealthChecksOnly } else { Silence::Total };
        if self.told.insert(port.port, silence) == Some(silence) {
            return None;
        }
        let (number, silent) = (port.port, span(port.client_silence));
        Some(match silence {
            Silence::Total => format!(
                "        {number}: nothing from outside has reached this host on the port for {silent}. If clients \
                 fail, they are stopped before this host: check its security group, the subnet's network ACL, and \
                 that it is registered as a target.\n"
            ),
            Silence::HealthChecksOnly => format!(
                "        {number}: only health checks have reached this host on the port for {silent}. If clients \
                 fail, they are stopped before this host: check the balancer's listener rules and its own security \
                 group, and the clients' way to it.\n"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> PortStatus {
        PortStatus {
            port: 8080,
            listener: Some("nginx[812]".to_owned()),
            syn: 252,
            health_check_syn: 12,
            accepted: 238,
            failed: 2,
            since_syn: Some(Duration::from_millis(3_200)),
            ..PortStatus::default()
        }
    }

    fn silent(seconds: u64, health_check_seconds: u64) -> Status {
        let port = PortStatus {
            client_silence: Duration::from_secs(seconds),
            health_check_silence: Duration::from_secs(health_check_seconds),
            ..port()
        };
        Status { ports: vec![port], lost: 0 }
    }

    #[test]
    fn ports_with_and_without_traffic() {
        let quiet = PortStatus { port: 8443, ..PortStatus::default() };
        let status = Status { ports: vec![port(), quiet], lost: 7 };
        insta::assert_snapshot!(StatusLines::default().render(&status), @r#"
status: 8080  nginx[812]  240 SYNs + 12 health checks, 238 accepted, 2 failed, 0 waiting, last SYN 3s ago, lost 7
status: 8443  no listener  0 SYNs + 0 health checks, 0 accepted, 0 failed, 0 waiting, no SYN yet, lost 7
"#);
    }

    #[test]
    fn total_silence() {
        insta::assert_snapshot!(StatusLines::default().render(&silent(65, 70)), @r#"
status: 8080  nginx[812]  240 SYNs + 12 health checks, 238 accepted, 2 failed, 0 waiting, last SYN 3s ago, lost 0
        8080: nothing from outside has reached this host on the port for 1m 5s. If clients fail, they are stopped before this host: check its security group, the subnet's network ACL, and that it is registered as a target.
"#);
    }

    #[test]
    fn health_checks_only() {
        insta::assert_snapshot!(StatusLines::default().render(&silent(66, 5)), @r#"
status: 8080  nginx[812]  240 SYNs + 12 health checks, 238 accepted, 2 failed, 0 waiting, last SYN 3s ago, lost 0
        8080: only health checks have reached this host on the port for 1m 6s. If clients fail, they are stopped before this host: check the balancer's listener rules and its own security group, and the clients' way to it.
"#);
    }

    #[test]
    fn a_silence_is_told_once_until_it_ends_or_changes() {
        let mut lines = StatusLines::default();
        let mut told = |status: &Status| lines.render(status).lines().count() > 1;
        assert!(!told(&silent(64, 64)));
        assert!(told(&silent(65, 65)));
        assert!(!told(&silent(75, 75)));
        assert!(told(&silent(85, 1)));
        assert!(!told(&silent(3, 3)));
        assert!(told(&silent(65, 65)));
    }

    #[test]
    fn silence_without_a_listener_is_no_wonder() {
        let mut status = silent(100, 100);
        status.ports[0].listener = None;
        assert_eq!(StatusLines::default().render(&status).lines().count(), 1);
    }

    #[test]
    fn many_ports_show_those_that_fail() {
        let ports = (1..=64).map(|port| PortStatus { port, failed: u64::from(port), ..PortStatus::default() });
        let text = StatusLines::default().render(&Status { ports: ports.collect(), lost: 0 });
        assert_eq!(text.lines().count(), LINES_MAX + 1);
        assert!(text.starts_with("status: 64 "), "{text}");
        assert!(text.ends_with("status: 56 more ports, 1596 failed\n"), "{text}");
    }
}
