//! Unusual ways to connect, all of them fine.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::{self, Ended};
use crate::lab::{Family, Host, Lab, Place, WATCHED};
use crate::netns::output;
use crate::talk::{get, read_response};
use crate::wait::{Deadline, PATIENCE, wait_until};

/// `MSG_FASTOPEN` (include/linux/socket.h): connect, and send this with the SYN.
const MSG_FASTOPEN: i32 = 0x2000_0000;
/// A port of the client's that nothing else takes.
const OWN_PORT: u16 = 45_101;
/// How long a client waits for one address before it tries the next (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// How a client connects. Each has one exchange on each of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The request comes with the SYN (RFC 7413); so many connections.
    FastOpen(u32),
    /// Multipath TCP (RFC 8684); so many connections.
    Multipath(u32),
    /// Both ends connect, and their SYNs cross (RFC 9293, 3.5). Nobody listens, and nothing is said.
    Simultaneous,
    /// Two addresses of one name: packets to the first get lost on the way, and the second, tried a moment
    /// later, wins (RFC 8305).
    HappyEyeballs,
    /// On the server, to `localhost`: nothing listens on the first of its two addresses, and the second answers
    /// (RFC 6724).
    Localhost,
}

impl Way {
    /// Why it cannot be gone on this machine; `None` if it can.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Multipath(_) => Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP))
                .err()
                .map(|error| format!("multipath TCP is needed: {error}")),
            Self::Simultaneous | Self::HappyEyeballs => {
                let nft = output(std::process::Command::new("nft").arg("--version"));
                nft.err().map(|error| format!("nft is needed: {error}"))
            }
            Self::FastOpen(_) | Self::Localhost => None,
        }
    }

    /// Goes it.
    ///
    /// # Errors
    /// When no connection comes of it, or its exchange fails.
    pub fn go(self, lab: &Lab) -> Result<()> {
        let server = SocketAddr::new(lab.server_address(), WATCHED);
        let client = lab.at(Place::Client);
        match self {
            Self::FastOpen(count) => (0..count).try_for_each(|_| client.within(|| fast_open(server))?),
            Self::Multipath(count) => (0..count).try_for_each(|_| client.within(|| multipath(server))?),
            Self::Simultaneous => simultaneous(lab),
            Self::HappyEyeballs => happy_eyeballs(lab, server),
            Self::Localhost => localhost(lab),
        }
    }
}

fn fast_open(server: SocketAddr) -> Result<()> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    let request = get("/ok", None);
    let sent = socket.send_to_with_flags(request.as_bytes(), &server.into(), MSG_FASTOPEN).context("connecting")?;
    if sent != request.len() {
        bail!("{sent} bytes of the request went with the SYN");
    }
    answered(socket.into())
}

fn multipath(server: SocketAddr) -> Result<()> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::MPTCP))?;
    socket.connect_timeout(&server.into(), PATIENCE)?;
    asked(socket.into())
}

fn asked(mut stream: TcpStream) -> Result<()> {
    stream.write_all(get("/ok", None).as_bytes())?;
    answered(stream)
}

fn answered(stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let answer = read_response(&mut BufReader::new(stream), false)?;
    if answer.map(|answer| answer.status) != Some(200) {
        bail!("the answer is {answer:?}");
    }
    Ok(())
}

/// SYNs get lost until both have sent one; what is sent again crosses.
fn simultaneous(lab: &Lab) -> Result<()> {
    let rule = "add table inet cross; add chain inet cross way { type filter hook forward priority 0; }; \
                add rule inet cross way tcp flags & syn == syn drop";
    let router = lab.at(Place::Router);
    router.run(std::process::Command::new("nft").arg(rule))?;
    let (ours, theirs) =
        (SocketAddr::new(lab.client_address(), OWN_PORT), SocketAddr::new(lab.server_address(), WATCHED));
    let begin = |from: SocketAddr, to: SocketAddr| -> Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
        socket.set_nonblocking(true)?;
        // in progress
        drop(socket.connect(&to.into()));
        Ok(socket)
    };
    let right = lab.at(Place::Server).within(|| begin(theirs, ours))??;
    // so that it is the server's SYN that is sent again first, and meets a client that has sent its own
    std::thread::sleep(HEAD_START);
    let left = lab.at(Place::Client).within(|| begin(ours, theirs))??;
    router.run(std::process::Command::new("nft").arg("delete table inet cross"))?;
    wait_until(Deadline::after(PATIENCE), "two SYNs that cross", || {
        Ok(left.peer_addr().is_ok() && right.peer_addr().is_ok())
    })
}

/// The first address is that of the other family.
fn localhost(lab: &Lab) -> Result<()> {
    let [first, second] =
        [lab.family().other(), lab.family()].map(|family| SocketAddr::new(family.loopback(), WATCHED));
    lab.at(Place::Server).within(|| {
        let (_, how) = client::connect(first, None, PATIENCE);
        if how != Ended::Refused {
            bail!("connecting to {first}: {how:?}");
        }
        let (stream, how) = client::connect(second, None, PATIENCE);
        asked(stream.with_context(|| format!("connecting to {second}: {how:?}"))?)
    })?
}

/// The first address is the server's of the other family.
fn happy_eyeballs(lab: &Lab, server: SocketAddr) -> Result<()> {
    let other = lab.family().other();
    let first = SocketAddr::new(Host::Server.address(other), WATCHED);
    let protocol = if other == Family::V4 { "ipv4" } else { "ipv6" };
    let rule = format!(
        "add table inet eyes; add chain inet eyes way {{ type filter hook forward priority 0; }}; \
         add rule inet eyes way meta nfproto {protocol} tcp dport {WATCHED} drop"
    );
    lab.at(Place::Router).run(std::process::Command::new("nft").arg(rule))?;
    lab.at(Place::Client).within(|| {
        let loser = client::begin(first)?;
        std::thread::sleep(HEAD_START);
        let (stream, how) = client::connect(server, None, PATIENCE);
        drop(loser);
        asked(stream.with_context(|| format!("connecting to {server}: {how:?}"))?)
    })?
}
