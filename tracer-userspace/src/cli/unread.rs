//! Ports whose exchanges cannot be read: said once, when the first such connection is seen.

use std::collections::BTreeSet;

use crate::record::{ExchangeCount, HostBody, Record};

/// What has been said.
#[derive(Debug, Default)]
pub(super) struct UnreadNotes {
    told: BTreeSet<(u16, &'static str)>,
}

impl UnreadNotes {
    /// A line for each port and protocol that is new in these records; `shown_as` says under which port.
    pub(super) fn note(&mut self, records: &[Record], shown_as: impl Fn(u16) -> u16) -> Vec<String> {
        let mut lines = Vec::new();
        for record in records {
            let Record::Host(host) = record else { continue };
            if let HostBody::Exchanges(counts) = &host.body {
                counts.ports.iter().for_each(|count| self.port(shown_as(count.port), count, &mut lines));
            }
        }
        lines
    }

    fn port(&mut self, port: u16, count: &ExchangeCount, lines: &mut Vec<String>) {
        for (protocol, connections) in [("TLS", count.tls), ("HTTP/2", count.http2)] {
            if connections > 0 && self.told.insert((port, protocol)) {
                lines.push(format!(
                    "wherefore: {protocol} on {port}: no statuses; what happens to its connections is told all the same"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BootTime, ExchangeCounts, HostRecord};

    #[test]
    fn once_a_port_and_protocol() {
        let mut notes = UnreadNotes::default();
        let mut note = |port, tls, http2| {
            let count = ExchangeCount { port, tls, http2, not_http: 1, ..ExchangeCount::default() };
            let body = HostBody::Exchanges(ExchangeCounts { ports: vec![count] });
            let lines = notes.note(&[Record::Host(HostRecord { time: BootTime::default(), netns: 0, body })], |port| {
                if port == 8443 { 443 } else { port }
            });
            lines.iter().map(|line| line.split(';').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(note(443, 0, 0), Vec::<String>::new());
        assert_eq!(note(443, 5, 0), ["wherefore: TLS on 443: no statuses"]);
        assert_eq!(note(443, 1, 1), ["wherefore: HTTP/2 on 443: no statuses"]);
        assert_eq!(note(443, 1, 1), Vec::<String>::new());
        assert_eq!(note(8444, 1, 0), ["wherefore: TLS on 8444: no statuses"]);
        assert_eq!(note(8443, 1, 0), Vec::<String>::new(), "it stands behind 443");
    }
}
