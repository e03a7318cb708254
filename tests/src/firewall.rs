//! Firewall and NAT rules as data, written in the words of each tool.

use std::process::Command;

use anyhow::{Result, bail};

use crate::lab::{Family, Lab, PUBLISHED, Place, WATCHED};
use crate::netns::output;

/// What loads the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// iptables over nf_tables.
    IptablesNft,
    /// iptables over the legacy tables.
    IptablesLegacy,
    /// nft.
    Nft,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::IptablesNft, Self::IptablesLegacy, Self::Nft];

    /// Its program for a family.
    pub fn program(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::IptablesNft, Family::V4) => "iptables-nft",
            (Self::IptablesNft, Family::V6) => "ip6tables-nft",
            (Self::IptablesLegacy, Family::V4) => "iptables-legacy",
            (Self::IptablesLegacy, Family::V6) => "ip6tables-legacy",
            (Self::Nft, _) => "nft",
        }
    }

    /// As it stands in a scenario's name.
    pub fn label(self) -> &'static str {
        match self {
            Self::IptablesNft => "iptables-nft",
            Self::IptablesLegacy => "iptables-legacy",
            Self::Nft => "nft",
        }
    }
}

/// Where in a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Towards a socket of this host.
    Input,
    /// From a socket of this host.
    Output,
    /// From one link to another.
    Forward,
    /// On arrival, before connection tracking.
    RawPrerouting,
}

impl Chain {
    fn iptables(self) -> [&'static str; 2] {
        match self {
            Self::Input => ["filter", "INPUT"],
            Self::Output => ["filter", "OUTPUT"],
            Self::Forward => ["filter", "FORWARD"],
            Self::RawPrerouting => ["raw", "PREROUTING"],
        }
    }

    fn nft(self) -> &'static str {
        match self {
            Self::Input => "hook input priority 0",
            Self::Output => "hook output priority 0",
            Self::Forward => "hook forward priority 0",
            Self::RawPrerouting => "hook prerouting priority -300",
        }
    }
}

/// What happens to TCP packets to the watched port (or, for NAT, to the published one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Dropped.
    Drop(Chain),
    /// Rejected, with `--reject-with`'s word for the answer.
    Reject(Chain, &'static str),
    /// The first SYN is dropped, all others pass. nft only.
    DropFirstSyn(Chain),
    /// Every SYN is dropped; connections that are there go on. nft only.
    DropSyns(Chain),
    /// The published port is sent to the watched one of the same host.
    Redirect,
    /// The published port is sent to the watched one of the server's address.
    Dnat,
}

/// One rule, somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which host has it.
    pub place: Place,
    /// What loads it.
    pub tool: Tool,
    /// What it does.
    pub action: Action,
}

impl Rule {
    /// Loads it.
    ///
    /// # Errors
    /// What the tool says.
    pub fn load(&self, lab: &Lab) -> Result<()> {
        if self.tool != Tool::Nft && matches!(self.action, Action::DropFirstSyn(_) | Action::DropSyns(_)) {
            bail!("only nft can do {:?}", self.action);
        }
        let mut command = Command::new(self.tool.program(lab.family()));
        match self.tool {
            Tool::Nft => command.arg(self.nft(lab)),
            Tool::IptablesNft | Tool::IptablesLegacy => command.arg("-w").args(self.iptables(lab)),
        };
        let namespace = lab.at(self.place);
        namespace.run(&mut command).map(drop)
    }

    /// The arguments of iptables.
    fn iptables(&self, lab: &Lab) -> Vec<String> {
        let nat = ["nat", "PREROUTING"];
        let ([table, chain], port, mut target) = match self.action {
            Action::Drop(chain) | Action::DropFirstSyn(chain) | Action::DropSyns(chain) => {
                (chain.iptables(), WATCHED, vec!["DROP".to_owned()])
            }
            Action::Reject(chain, with) => {
                (chain.iptables(), WATCHED, vec!["REJECT".into(), "--reject-with".into(), with.into()])
            }
            Action::Redirect => (nat, PUBLISHED, vec!["REDIRECT".into(), "--to-ports".into(), WATCHED.to_string()]),
            Action::Dnat => (nat, PUBLISHED, vec!["DNAT".into(), "--to-destination".into(), destination(lab)]),
        };
        let mut arguments: Vec<String> = ["-t", table, "-A", chain, "-p", "tcp", "--dport"].map(str::to_owned).into();
        arguments.push(port.to_string());
        arguments.push("-j".into());
        arguments.append(&mut target);
        arguments
    }

    /// A script of nft.
    fn nft(&self, lab: &Lab) -> String {
        let nat = "type nat hook prerouting priority -100".to_owned();
        let filter = |chain: Chain| format!("type filter {}", chain.nft());
        let syn = "tcp flags & (syn|ack) == syn";
        let (hook, port, what) = match self.action {
            Action::Drop(chain) => (filter(chain), WATCHED, "drop".to_owned()),
            Action::DropFirstSyn(chain) => (filter(chain), WATCHED, format!("{syn} numgen inc mod 1000000 0 drop")),
            Action::DropSyns(chain) => (filter(chain), WATCHED, format!("{syn} drop")),
            Action::Reject(chain, with) => (filter(chain), WATCHED, format!("reject with {}", nft_reject(with))),
            Action::Redirect => (nat, PUBLISHED, format!("redirect to :{WATCHED}")),
            Action::Dnat => {
                let family = if lab.family() == Family::V4 { "ip" } else { "ip6" };
                (nat, PUBLISHED, format!("dnat {family} to {}", destination(lab)))
            }
        };
        let rule = format!("tcp dport {port} {what}");
        let chain = hook.replace("type ", "").replace([' ', '-'], "_");
        format!("add table inet lab; add chain inet lab {chain} {{ {hook}; }}; add rule inet lab {chain} {rule}")
    }
}

fn destination(lab: &Lab) -> String {
    std::net::SocketAddr::new(lab.server_address(), WATCHED).to_string()
}

/// iptables' word for an answer in nft's words.
fn nft_reject(with: &str) -> String {
    if with == "tcp-reset" {
        return "tcp reset".to_owned();
    }
    let (family, kind) = with.split_once('-').unwrap_or(("icmp", with));
    let kind = match kind {
        "adm-prohibited" => "admin-prohibited",
        "proto-unreachable" => "prot-unreachable",
        same => same,
    };
    format!("{} type {kind}", if family == "icmp6" { "icmpv6" } else { family })
}

/// Why a tool cannot be used here; `None` if it can.
pub fn missing(tool: Tool, family: Family) -> Option<String> {
    let program = tool.program(family);
    output(Command::new(program).arg("--version")).err().map(|error| format!("{program} is needed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nft_has_other_words_for_some_answers() {
        assert_eq!(nft_reject("tcp-reset"), "tcp reset");
        assert_eq!(nft_reject("icmp-proto-unreachable"), "icmp type prot-unreachable");
        assert_eq!(nft_reject("icmp6-adm-prohibited"), "icmpv6 type admin-prohibited");
        assert_eq!(nft_reject("icmp6-no-route"), "icmpv6 type no-route");
    }
}
