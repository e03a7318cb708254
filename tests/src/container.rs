//! What `docker run -p 80:8080` makes: the server becomes a container of the router.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::client::{self, Ended};
use crate::lab::{Family, Host, Lab, PUBLISHED, Place, WATCHED};
use crate::wait::{Deadline, PATIENCE, wait_until};

/// The router's link to the server becomes a port of a bridge, behind which the server has addresses of its own. What
/// is asked of a port of the router's, from elsewhere or by itself, is sent on to the server.
pub(crate) fn contain(lab: &Lab) -> Result<()> {
    lab.at(Place::Router)
        .ip("addr flush dev eth1\nlink add docker0 type bridge\nlink set eth1 master docker0\nlink set docker0 up\n\
         addr add 172.17.0.1/16 dev docker0\naddr add fd09:17::1/64 dev docker0 nodad\n")?;
    lab.at(Place::Server)
        .ip("addr flush dev eth0\naddr add 172.17.0.2/16 dev eth0\naddr add fd09:17::2/64 dev eth0 nodad\n\
         route replace default via 172.17.0.1\nroute replace default via fd09:17::1\n")?;
    lab.at(Place::Router).run(Command::new("nft").arg(translation(lab.family())))?;
    let closed = SocketAddr::new(Host::Container.address(lab.family()), 1);
    wait_until(Deadline::after(PATIENCE), "an answer from the container", || {
        let ended = lab.at(Place::Client).within(|| client::connect(closed, None, Duration::from_millis(100)).1)?;
        Ok(ended == Ended::Refused)
    })
}

/// The rules, as a container engine writes them.
fn translation(family: Family) -> String {
    let (table, inside) = if family == Family::V4 { ("ip", "172.17.0.0/16") } else { ("ip6", "fd09:17::/64") };
    let target = SocketAddr::new(Host::Container.address(family), WATCHED);
    format!(
        "add table {table} nat
         add chain {table} nat DOCKER
         add chain {table} nat PREROUTING {{ type nat hook prerouting priority -100; policy accept; }}
         add chain {table} nat OUTPUT {{ type nat hook output priority -100; policy accept; }}
         add chain {table} nat POSTROUTING {{ type nat hook postrouting priority 100; policy accept; }}
         add rule {table} nat PREROUTING fib daddr type local counter jump DOCKER
         add rule {table} nat OUTPUT fib daddr type local counter jump DOCKER
         add rule {table} nat POSTROUTING oifname != \"docker0\" {table} saddr {inside} counter masquerade
         add rule {table} nat DOCKER iifname != \"docker0\" tcp dport {PUBLISHED} counter dnat to {target}"
    )
}
