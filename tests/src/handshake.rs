//! What scenarios do to handshakes: listeners whose queues are full, packets of a handshake that get lost.

use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::Socket;

use crate::bpf::{self, Attached};
use crate::btf;
use crate::client::{self, Ended};
use crate::conntrack;
use crate::flood;
use crate::group::Group;
use crate::lab::{Family, Lab, Place, WATCHED};
use crate::netns::output;
use crate::process::Running;
use crate::signed;
use crate::stuck::Stuck;
use crate::syn::{Sender, Syn};
use crate::talk;
use crate::tools::Tools;
use crate::wait::{Deadline, PATIENCE, wait_until};

/// How long a client waits for a connection that must come.
const SOON: Duration = Duration::from_secs(5);
/// The same for one whose first SYNs get lost.
const LATE: Duration = Duration::from_secs(10);

/// One thing done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// An app on the server listens with this backlog and accepts nothing.
    Stuck(i32),
    /// A client's SYN is dropped for want of room; then the app accepts, and the client must connect.
    OpenLate,
    /// The client opens so many connections that must be made, and keeps them.
    Open(usize),
    /// The client sends a request on each connection it keeps.
    Send,
    /// The router loses these packets from now on.
    Lose(Lost),
    /// It loses them no longer.
    LoseNothing,
    /// A filter of tc on the server's interface drops what comes in for the watched port.
    FilterIngress,
    /// The router sends what the client sends to the server's port back to the client.
    SendBack,
    /// The client sends so many SYNs without sockets as fast as the server's kernel takes them, each an attempt of its
    /// own, from all over a network.
    Flood(u32),
    /// The client sends a SYN whose checksum is wrong.
    BadChecksum,
    /// A program drops what the server's interface receives: in its driver, or behind it.
    DropReceived {
        /// In the driver.
        in_driver: bool,
    },
    /// Something on the server listens that wants TCP signatures of the client.
    Signed,
    /// A program of a control group refuses the connect() of a process on the client.
    RefuseConnect,
    /// A host tracks connections, and its table is full but for so many percent.
    FillTracking(Place, u64),
}

/// What gets lost on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// SYN-ACKs of the watched port.
    SynAcks,
    /// ACKs without payload to it.
    Acks,
}

impl Lost {
    fn rule(self) -> String {
        match self {
            Self::SynAcks => format!("tcp sport {WATCHED} tcp flags & (syn|ack) == (syn|ack) drop"),
            Self::Acks => format!("tcp dport {WATCHED} tcp flags & (syn|ack|psh|rst|fin) == ack drop"),
        }
    }
}

impl Deed {
    /// Why it cannot be done on this machine; `None` if it can.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Lose(_) | Self::LoseNothing => {
                output(Command::new("nft").arg("--version")).err().map(|error| format!("nft is needed: {error}"))
            }
            Self::SendBack => {
                output(Command::new("nft").arg("--version")).err().map(|error| format!("nft is needed: {error}"))
            }
            Self::FilterIngress => {
                output(Command::new("tc").arg("-V")).err().map(|error| format!("tc is needed: {error}"))
            }
            Self::Signed => signed::missing().or_else(|| Self::BadChecksum.missing()),
            Self::RefuseConnect => Group::missing().or_else(|| {
                let told = btf::names("BPF_FUNC_get_retval");
                (!told).then(|| "this kernel does not tell a program that another refuses a connect()".to_owned())
            }),
            Self::FillTracking(..) => conntrack::missing(),
            // before the kernel gave reasons, this drop looks like others that mean nothing
            Self::BadChecksum => {
                (!btf::names("skb_drop_reason")).then(|| "this kernel does not tell why it drops".to_owned())
            }
            _ => None,
        }
    }
}

/// What deeds leave behind for as long as a scenario runs.
#[derive(Debug, Default)]
pub struct Props {
    kept: Vec<TcpStream>,
    stuck: Option<Stuck>,
    signed: Option<Socket>,
    in_the_way: Vec<Attached>,
}

impl Props {
    /// Whether one of them listens on the watched port.
    pub fn listens(&self) -> bool {
        self.stuck.is_some() || self.signed.is_some()
    }

    /// Does it.
    ///
    /// # Errors
    /// When it cannot be done, or does not end as it must.
    pub fn act(&mut self, tools: &Tools, lab: &Lab, deed: Deed) -> Result<()> {
        let server = SocketAddr::new(lab.server_address(), WATCHED);
        match deed {
            Deed::Stuck(backlog) => {
                let any = ([0_u16; 8], WATCHED).into();
                self.stuck = Some(Stuck::start(tools, lab.at(Place::Server), any, backlog)?);
            }
            Deed::OpenLate => {
                let stuck = self.stuck.as_mut().context("no app is stuck")?;
                let socket = lab.at(Place::Client).within(|| client::begin(server))??;
                wait_until(Deadline::after(SOON), "a SYN that finds no room", || Ok(overflows(lab)? > 0))?;
                stuck.accept()?;
                wait_until(Deadline::after(LATE), "a late connection", || Ok(socket.peer_addr().is_ok()))?;
                self.kept.push(socket.into());
            }
            Deed::Open(count) => {
                for _ in 0..count {
                    let (stream, how) = lab.at(Place::Client).within(|| client::connect(server, None, SOON))?;
                    let Some(stream) = stream else {
                        bail!("a connection to {server} ended {how:?}, not {:?}", Ended::Connected)
                    };
                    self.kept.push(stream);
                }
            }
            Deed::Send => {
                for stream in &mut self.kept {
                    stream.write_all(talk::get("/ok", None).as_bytes()).context("sending a request")?;
                }
            }
            Deed::Lose(lost) => nft(
                lab,
                &format!(
                    "add table inet lost; add chain inet lost way {{ type filter hook forward priority 0; }}; \
                     add rule inet lost way {}",
                    lost.rule()
                ),
            )?,
            Deed::FilterIngress => filter_ingress(lab)?,
            Deed::SendBack => nft(
                lab,
                &format!(
                    "add table inet back; add chain inet back way {{ type nat hook prerouting priority -100; }}; \
                     add rule inet back way tcp dport {WATCHED} dnat {} to {}",
                    if lab.family() == Family::V4 { "ip" } else { "ip6" },
                    SocketAddr::new(lab.client_address(), WATCHED),
                ),
            )?,
            Deed::Flood(count) => send_flood(lab, server, count)?,
            Deed::BadChecksum => {
                let syn = Syn { from: lab.client_address(), from_port: 40_123, to: server, isn: 0x1234_5678 };
                let mut header = syn.header();
                header[16] = !header[16];
                lab.at(Place::Client).within(|| Sender::new(server)?.send(&header, server.ip()))??;
            }
            Deed::DropReceived { in_driver } => {
                let dropping = lab.at(Place::Server).within(|| bpf::drop_all("eth0", in_driver))??;
                self.in_the_way.push(dropping);
            }
            Deed::Signed => {
                let peer = lab.client_address();
                self.signed = Some(lab.at(Place::Server).within(|| signed::listen(WATCHED, peer))??);
            }
            Deed::RefuseConnect => refuse_connect(tools, lab, server)?,
            Deed::FillTracking(place, room_percent) => conntrack::fill(lab.at(place), lab.family(), room_percent)?,
            Deed::LoseNothing => nft(lab, "delete table inet lost")?,
        }
        Ok(())
    }
}

/// SYNs without sockets, each of another source. The answers find their way back to the client, which has no use for
/// them.
fn send_flood(lab: &Lab, to: SocketAddr, count: u32) -> Result<()> {
    let way_back = if lab.family() == Family::V4 { "10.9.1.2" } else { "fd09:1::2" };
    lab.at(Place::Router).ip(&format!("route add {} via {way_back}\n", flood::sources(lab.family())))?;
    let packets = flood::Packets::new(lab.family(), to, count);
    let server = lab.at(Place::Server);
    let before = server.tcp_segments_received()?;
    let arrived = |sent| {
        wait_until(Deadline::after(PATIENCE), "the SYNs of a flood to arrive", || {
            Ok(server.tcp_segments_received()?.saturating_sub(before) >= sent)
        })
    };
    lab.at(Place::Client).within(|| packets.send(arrived))?
}

/// A process in a control group of its own connects, and is refused by the group's program.
fn refuse_connect(tools: &Tools, lab: &Lab, to: SocketAddr) -> Result<()> {
    let group = Group::new()?;
    let refusing = bpf::refuse_connections(group.path())?;
    let mut command = Command::new(&tools.app);
    command.args(["connect", &to.to_string()]);
    let mut process = lab.at(Place::Client).within(|| Running::start(&mut command))??;
    group.take(process.id())?;
    process.say("connect")?;
    let status = process.wait()?;
    drop(refusing);
    if !status.success() {
        bail!("{}", process.stderr.so_far().join(" | "));
    }
    Ok(())
}

/// Connects once it is told to, and expects `EPERM`: the hidden command that [`Deed::RefuseConnect`] starts.
///
/// # Errors
/// When it connects, or fails otherwise.
pub fn expect_refusal(to: SocketAddr) -> Result<()> {
    std::io::stdin().read_line(&mut String::new())?;
    match TcpStream::connect(to) {
        Ok(_) => bail!("connected to {to}"),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error).context("another error than EPERM"),
    }
}

/// A filter of tc on the server drops what comes in for the watched port.
fn filter_ingress(lab: &Lab) -> Result<()> {
    let server = lab.at(Place::Server);
    server.run(Command::new("tc").args(["qdisc", "add", "dev", "eth0", "clsact"]))?;
    let mut filter = Command::new("tc");
    filter.args(["filter", "add", "dev", "eth0", "ingress", "bpf", "da", "bytecode"]);
    server.run(filter.arg(dropping_filter(lab.family()))).map(drop)
}

/// A classic BPF program that drops TCP packets to the watched port and lets all others pass; offsets count
/// from the link header.
fn dropping_filter(family: Family) -> String {
    // code, jump if true, jump if false, operand; 2: TC_ACT_SHOT, all ones: TC_ACT_UNSPEC
    let (protocol, port) = if family == Family::V4 { (23, 36) } else { (20, 56) };
    format!("6,48 0 0 {protocol},21 0 3 6,40 0 0 {port},21 0 1 {WATCHED},6 0 0 2,6 0 0 4294967295,")
}

/// `TcpExt.ListenOverflows` of the server.
fn overflows(lab: &Lab) -> Result<u64> {
    let text = lab.at(Place::Server).within(|| std::fs::read_to_string("/proc/thread-self/net/netstat"))??;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { bail!("/proc/net/netstat has no TcpExt") };
    let found = names.zip(values).find(|(name, _)| *name == "ListenOverflows");
    Ok(found.context("there is no ListenOverflows")?.1.parse()?)
}

fn nft(lab: &Lab, script: &str) -> Result<()> {
    lab.at(Place::Router).run(Command::new("nft").arg(script)).map(drop)
}
