//! The topology: three hosts in namespaces of their own, client - router - server.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::client::{self, Ended};
use crate::netns::{Namespace, fresh_name, ip_batch};
use crate::scratch;
use crate::wait::{Deadline, PATIENCE, wait_until};

/// The port that `wherefore` watches; every lab has its own namespaces, so all may use the same.
pub const WATCHED: u16 = 8080;
/// The port that NAT scenarios publish in front of it.
pub const PUBLISHED: u16 = 80;
/// A port that is neither.
pub const UNWATCHED: u16 = 9999;

/// Which Internet Protocol a scenario runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The loopback address.
    pub fn loopback(self) -> IpAddr {
        match self {
            Self::V4 => [127, 0, 0, 1].into(),
            Self::V6 => [0, 0, 0, 0, 0, 0, 0, 1u16].into(),
        }
    }

    /// As it stands in a run's name.
    pub fn label(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// A host of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Sends requests.
    Client,
    /// Lies between the two.
    Router,
    /// Serves.
    Server,
}

/// An address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The server.
    Server,
    /// The server's second address, which scenarios add that need it.
    ServerOther,
    /// The client.
    Client,
    /// The server, once it is a container of the router.
    Container,
    /// The router, as the client calls it.
    Router,
    /// The server, as it calls itself.
    Loopback,
    /// Nobody, in the client's own subnet.
    DeadNear,
    /// Nobody, in the server's subnet.
    DeadFar,
    /// An address of a network that the router does not know.
    Elsewhere,
    /// No address in particular: what a listener on every address is bound to, and no one peer.
    Nobody,
}

impl Host {
    /// Its address.
    pub fn address(self, family: Family) -> IpAddr {
        let (v4, v6): ([u8; 4], [u16; 2]) = match self {
            Self::Server => ([10, 9, 2, 2], [2, 2]),
            Self::Loopback => return family.loopback(),
            Self::Nobody => return [0_u16; 8].into(),
            Self::Client => ([10, 9, 1, 2], [1, 2]),
            Self::Container => ([172, 17, 0, 2], [0x17, 2]),
            Self::Router => ([10, 9, 1, 1], [1, 1]),
            Self::ServerOther => ([10, 9, 2, 3], [2, 3]),
            Self::DeadNear => ([10, 9, 1, 77], [1, 0x77]),
            Self::DeadFar => ([10, 9, 2, 77], [2, 0x77]),
            Self::Elsewhere => ([10, 9, 3, 2], [3, 2]),
        };
        match family {
            Family::V4 => v4.into(),
            Family::V6 => [0xfd09, v6[0], 0, 0, 0, 0, 0, v6[1]].into(),
        }
    }
}

/// Three hosts and the two links between them. Dropping it removes everything.
#[derive(Debug)]
pub struct Lab {
    client: Namespace,
    router: Namespace,
    server: Namespace,
    family: Family,
}

impl Lab {
    /// Builds the hosts and waits until client and server reach each other.
    ///
    /// # Errors
    /// When `ip` is missing or refused, or the path does not come up.
    pub fn new(family: Family) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if scratch::is_interrupted() {
            bail!("interrupted");
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let [c, r, s] = ['c', 'r', 's'].map(|role| fresh_name(number, role));
        let mut hosts = Vec::new();
        for name in [&c, &r, &s] {
            ip_batch(None, &format!("netns add {name}\n"))?;
            hosts.push(Namespace::adopt(name.clone())?);
        }
        let (Some(server), Some(router), Some(client)) = (hosts.pop(), hosts.pop(), hosts.pop()) else {
            bail!("namespaces are missing");
        };
        let lab = Self { client, router, server, family };
        for host in [&lab.client, &lab.router, &lab.server] {
            host.sysctl(&[("ipv6/conf/default/accept_dad", "0"), ("ipv6/conf/all/accept_dad", "0")])?;
        }
        lab.router.sysctl(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        ip_batch(
            None,
            &format!(
                "link add eth0 netns {c} type veth peer name eth0 netns {r}\n\
                 link add eth1 netns {r} type veth peer name eth0 netns {s}\n"
            ),
        )?;
        lab.client.ip(&end(1, &["10.9.1.2/24", "fd09:1::2/64"]))?;
        lab.server.ip(&end(2, &["10.9.2.2/24", "fd09:2::2/64"]))?;
        lab.router.ip("link set lo up\nlink set eth0 up\nlink set eth1 up\n\
             addr add 10.9.1.1/24 dev eth0\naddr add fd09:1::1/64 dev eth0 nodad\n\
             addr add 10.9.2.1/24 dev eth1\naddr add fd09:2::1/64 dev eth1 nodad\n")?;
        lab.settle().context("the lab's path does not come up")?;
        Ok(lab)
    }

    /// The protocol it was made for.
    pub fn family(&self) -> Family {
        self.family
    }

    /// One of its hosts.
    pub fn at(&self, place: Place) -> &Namespace {
        match place {
            Place::Client => &self.client,
            Place::Router => &self.router,
            Place::Server => &self.server,
        }
    }

    /// The server's address.
    pub fn server_address(&self) -> IpAddr {
        Host::Server.address(self.family)
    }

    /// The client's address.
    pub fn client_address(&self) -> IpAddr {
        match self.family {
            Family::V4 => [10, 9, 1, 2].into(),
            Family::V6 => [0xfd09, 1, 0, 0, 0, 0, 0, 2].into(),
        }
    }

    /// Waits until a closed port of the server answers with a RST: links up, neighbours known.
    fn settle(&self) -> Result<()> {
        let closed = (self.server_address(), 1).into();
        wait_until(Deadline::after(PATIENCE), "an answer from the server", || {
            let ended = self.client.within(|| client::connect(closed, None, Duration::from_millis(100)).1)?;
            Ok(ended == Ended::Refused)
        })
    }
}

/// The `ip` lines of a host at the end of a link.
fn end(subnet: u8, addresses: &[&str]) -> String {
    let mut lines = vec!["link set lo up".to_owned(), "link set eth0 up".to_owned()];
    for address in addresses {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        lines.push(format!("addr add {address} dev eth0{nodad}"));
    }
    lines.push(format!("route add default via 10.9.{subnet}.1"));
    lines.push(format!("route add default via fd09:{subnet}::1\n"));
    lines.join("\n")
}
