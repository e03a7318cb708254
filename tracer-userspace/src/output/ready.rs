//! The `ready:` line: recording has begun.

use super::text::plain;
use crate::verdict::Slug;

/// A watched port at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadyPort {
    /// Port.
    pub port: u16,
    /// Its listeners, as in `nginx[812] on 0.0.0.0`; empty if there is none.
    pub listeners: Vec<String>,
    /// Sockets behind it by destination NAT, as in `172.17.0.2:8080`.
    pub published: Vec<String>,
}

/// Where TLS is spoken (RFC 9110, section 4.2.2). Of other ports only a connection tells: then it is said.
const HTTPS: u16 = 443;

/// What recording begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Version of this program.
    pub version: String,
    /// Watched ports, ascending.
    pub ports: Vec<ReadyPort>,
    /// Names of the watched namespaces; empty if all are.
    pub namespaces: Vec<String>,
    /// Hooks that are attached.
    pub hooks_attached: usize,
    /// Hooks that are attached when their module is loaded.
    pub hooks_waiting: usize,
    /// Hooks of the plan.
    pub hooks_planned: usize,
    /// Slugs that cannot be told on this kernel.
    pub blind: Vec<String>,
}

impl Ready {
    /// The line, without its line feed.
    #[must_use]
    pub fn line(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(port).collect();
        let mut facts = vec![
            format!("wherefore {}", plain(&self.version)),
            ports.join(", "),
            match self.namespaces.as_slice() {
                [] => "all network namespaces".to_owned(),
                [one] => format!("network namespace {}", plain(one)),
                more => format!("network namespaces {}", plain(&more.join(", "))),
            },
            self.hooks(),
            if self.blind.is_empty() {
                "blind to nothing".to_owned()
            } else {
                format!("blind to {}", self.blind.join(", "))
            },
        ];
        let reads_statuses = !self.blind.iter().any(|slug| *slug == Slug::AppStatus.as_str());
        if reads_statuses && self.ports.iter().any(|port| port.port == HTTPS) {
            facts.push(format!("TLS on {HTTPS}: no statuses"));
        }
        format!("ready: {}", facts.join("; "))
    }

    /// As `doctor` counts them: one that waits for its module is not missing.
    fn hooks(&self) -> String {
        let used = self.hooks_attached + self.hooks_waiting;
        let waiting = match self.hooks_waiting {
            0 => String::new(),
            waiting => format!(", {waiting} once netfilter's reject modules are loaded"),
        };
        format!("{used} of {} hooks{waiting}", self.hooks_planned)
    }
}

fn port(port: &ReadyPort) -> String {
    let listeners = if port.listeners.is_empty() {
        "no listener".to_owned()
    } else {
        plain(&port.listeners.join(", ")).into_owned()
    };
    let behind = if port.published.is_empty() { String::new() } else { format!(" -> {}", port.published.join(", ")) };
    format!("port {}{behind} ({listeners})", port.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_well() {
        let ready = Ready {
            version: "0.1.0".to_owned(),
            ports: vec![
                ReadyPort {
                    port: 443,
                    listeners: vec!["nginx[812] on 0.0.0.0".to_owned(), "nginx[812] on ::".to_owned()],
                    published: Vec::new(),
                },
                ReadyPort { port: 80, published: vec!["172.17.0.2:8080".to_owned()], ..ReadyPort::default() },
                ReadyPort { port: 8080, ..ReadyPort::default() },
            ],
            hooks_attached: 14,
            hooks_planned: 14,
            ..Ready::default()
        };
        insta::assert_snapshot!(ready.line(), @"ready: wherefore 0.1.0; port 443 (nginx[812] on 0.0.0.0, nginx[812] on ::), port 80 -> 172.17.0.2:8080 (no listener), port 8080 (no listener); all network namespaces; 14 of 14 hooks; blind to nothing; TLS on 443: no statuses");
    }

    #[test]
    fn some_is_blind() {
        let ready = Ready {
            version: "0.1.0".to_owned(),
            ports: vec![ReadyPort { port: 8080, listeners: vec!["app\x1b[7]".to_owned()], ..ReadyPort::default() }],
            namespaces: vec!["blue".to_owned(), "pid 71".to_owned()],
            hooks_attached: 11,
            hooks_waiting: 1,
            hooks_planned: 14,
            blind: vec!["firewall-reject".to_owned()],
        };
        insta::assert_snapshot!(ready.line(), @r"ready: wherefore 0.1.0; port 8080 (app\u{1b}[7]); network namespaces blue, pid 71; 12 of 14 hooks, 1 once netfilter's reject modules are loaded; blind to firewall-reject");
    }

    #[test]
    fn statuses_that_are_read_nowhere_are_not_missed_on_one_port() {
        let ports = vec![ReadyPort { port: 443, ..ReadyPort::default() }];
        let said = |blind: &[&str]| {
            let blind = blind.iter().map(|slug| (*slug).to_owned()).collect();
            Ready { ports: ports.clone(), blind, ..Ready::default() }.line()
        };
        assert!(said(&["firewall-reject"]).ends_with("; TLS on 443: no statuses"));
        assert!(said(&["app-status"]).ends_with("; blind to app-status"));
    }
}
