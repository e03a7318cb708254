//! Under which watched port what happens at a socket behind a published port is shown while recording.

use crate::engine::Published;
use crate::record::{HostBody, Record};

/// What the stream has told of published ports.
#[derive(Debug, Default)]
pub(super) struct PublishedPorts {
    watched: Vec<u16>,
    published: Published,
}

impl PublishedPorts {
    /// These ports are watched.
    pub(super) fn new(watched: &[u16]) -> Self {
        Self { watched: watched.to_vec(), published: Published::default() }
    }

    /// Takes up what the records tell.
    pub(super) fn note(&mut self, records: &[Record]) {
        for record in records {
            let Record::Host(host) = record else { continue };
            match &host.body {
                HostBody::Publications(publications) => self.published.learn(host.netns, publications),
                HostBody::Watched(watched) => self.watched.clone_from(&watched.ports),
                _ => {}
            }
        }
    }

    /// The watched port itself, or the published one that this one stands behind.
    pub(super) fn shown_as(&self, port: u16) -> u16 {
        if self.watched.contains(&port) { port } else { self.published.published_as(port).unwrap_or(port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BootTime, HostRecord, Publication, Publications, Watched};

    #[test]
    fn what_stands_behind_a_port_is_shown_there() {
        let mut ports = PublishedPorts::new(&[80]);
        let mut note = |body| ports.note(&[Record::Host(HostRecord { time: BootTime::default(), netns: 1, body })]);
        let one = Publication { port: 80, address: None, target: "172.17.0.2:8080".parse().unwrap() };
        note(HostBody::Publications(Publications { publications: vec![one] }));
        assert_eq!([80, 8080, 9090].map(|port| ports.shown_as(port)), [80, 80, 9090]);
        let body = HostBody::Watched(Watched { ports: vec![80, 8080] });
        ports.note(&[Record::Host(HostRecord { time: BootTime::default(), netns: 0, body })]);
        assert_eq!(ports.shown_as(8080), 8080, "watched itself");
    }
}
