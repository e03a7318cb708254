//! What `iptables-save -c` and its kin print.

use std::net::{IpAddr, SocketAddr};

use super::nft::Bound as _;
use super::ruleset::{Action, Base, Rule, Table, Test};

/// Reads a listing of `tool` (`iptables`, `ip6tables-legacy`, ...).
pub(super) fn parse(text: &str, tool: &str, v4: bool) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            tables.push(Table { tool: tool.to_owned(), name: name.to_owned(), v4: Some(v4), ..Table::default() });
        } else if let Some(table) = tables.last_mut() {
            let number = table.chains.values().map(|chain| chain.rules.len()).sum();
            if let Some(chain) = line.strip_prefix(':') {
                declare(table, chain);
            } else if let Some((chain, rule)) = rule(line, number) {
                table.chains.entry(chain).or_default().rules.push(rule);
            }
        }
    }
    tables
}

/// `INPUT DROP [12:720]`; `-` for the policy of a chain that only others jump to.
fn declare(table: &mut Table, line: &str) {
    let mut words = line.split_whitespace();
    let (Some(name), Some(policy)) = (words.next(), words.next()) else { return };
    let chain = table.chains.entry(name.to_owned()).or_default();
    if policy == "-" {
        return;
    }
    chain.base = Some(Base {
        hook: name.to_ascii_lowercase(),
        priority: match table.name.as_str() {
            "raw" => -300,
            "mangle" => -150,
            "nat" => -100,
            "security" => 50,
            _ => 0,
        },
        drops: policy == "DROP",
        // nf_tables does not count what reaches a policy
        policy_packets: words.next().and_then(packets).filter(|_| table.tool.ends_with("-legacy")),
    });
}

/// `[packets:bytes]`
fn packets(word: &str) -> Option<u64> {
    word.strip_prefix('[')?.split(':').next()?.parse().ok()
}

/// `[0:0] -A INPUT ...`: the chain and its rule.
fn rule(line: &str, number: usize) -> Option<(String, Rule)> {
    let (counters, text) = line.split_once(" -A ").map_or((None, None), |(before, rest)| (packets(before), Some(rest)));
    let text = text.or_else(|| line.strip_prefix("-A "))?;
    let words = words(text);
    let mut words = words.iter().map(String::as_str).peekable();
    let chain = words.next()?.to_owned();
    let mut rule = Rule {
        tests: Vec::new(),
        action: Action::Continue,
        key: format!("{number} {text}"),
        text: format!("-A {text}"),
        packets: counters,
    };
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        let mut values = Vec::new();
        while let Some(value) = words.next_if(|next| !next.starts_with('-') && *next != "!") {
            values.push(value);
        }
        match word {
            "-j" | "-g" => {
                let name = values.first().copied().unwrap_or_default();
                // what follows are options of the target
                let options: Vec<&str> = words.by_ref().collect();
                rule.action = match (name, options.as_slice()) {
                    ("DNAT", ["--to-destination", to, ..]) => destination(to),
                    ("REDIRECT", ["--to-ports", to, ..]) => Action::Translate(None, to.parse().ok()),
                    _ => target(word, name),
                };
            }
            "--comment" => {}
            // what these ask for are options of theirs; others ask for something by themselves
            "-m" if matches!(values.first(), Some(&("tcp" | "comment" | "multiport" | "conntrack" | "state"))) => {}
            _ => {
                let asked = condition(word, &values).unwrap_or(Test::Unknown);
                rule.tests.push(if negated { Test::Not(Box::new(asked)) } else { asked });
            }
        }
        negated = false;
    }
    Some((chain, rule))
}

/// `172.17.0.2:8080`, `[fd00::2]:8080`, or an address alone; a range of them is not known.
fn destination(text: &str) -> Action {
    if let Ok(end) = text.parse::<SocketAddr>() {
        return Action::Translate(Some(end.ip()), Some(end.port()));
    }
    text.trim_matches(['[', ']']).parse().map_or(Action::Accept, |address| Action::Translate(Some(address), None))
}

fn target(option: &str, name: &str) -> Action {
    match name {
        "ACCEPT" | "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" => Action::Accept,
        "DROP" => Action::Drop,
        "REJECT" => Action::Reject,
        "RETURN" => Action::Return,
        // an extension of capital letters goes on; a chain of such a name is found among the chains
        _ if option == "-g" => Action::Goto(name.to_owned()),
        _ if is_extension(name) => Action::Continue,
        _ => Action::Jump(name.to_owned()),
    }
}

/// Targets that go on with the next rule.
fn is_extension(name: &str) -> bool {
    const GO_ON: [&str; 16] = [
        "LOG", "NFLOG", "MARK", "CONNMARK", "CT", "TCPMSS", "TTL", "HL", "DSCP", "TOS", "CLASSIFY", "SET", "TRACE",
        "AUDIT", "CHECKSUM", "NOTRACK",
    ];
    GO_ON.contains(&name)
}

fn condition(option: &str, values: &[&str]) -> Option<Test> {
    let value = values.first().copied()?;
    Some(match option {
        "-p" => Test::Tcp(matches!(value, "tcp" | "6" | "all")),
        "-s" => Test::Source(value.split(',').map(network).collect::<Option<_>>()?),
        "-d" => Test::Destination(value.split(',').map(network).collect::<Option<_>>()?),
        "-i" => Test::Interface(vec![value.strip_suffix('+').map_or(value.to_owned(), |prefix| format!("{prefix}*"))]),
        "--dport" | "--dports" => Test::DestinationPort(value.split(',').map(ports).collect::<Option<_>>()?),
        "--sport" | "--sports" => Test::SourcePort(value.split(',').map(ports).collect::<Option<_>>()?),
        "--ctstate" | "--state" => Test::New(value.split(',').any(|state| state == "NEW")),
        "--tcp-flags" if value.contains("SYN") && value.contains("ACK") && values.get(1) == Some(&"SYN") => Test::Syn,
        _ => return None,
    })
}

fn network(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address.parse().ok()?, Some(length.parse().ok()?)),
        None => (text.parse().ok()?, None),
    };
    match length {
        Some(length) => IpAddr::prefix(address, length),
        None => Some((address, address)),
    }
}

/// `80` or `1000:2000`
fn ports(text: &str) -> Option<(u16, u16)> {
    match text.split_once(':') {
        Some((first, last)) => Some((first.parse().ok()?, last.parse().ok()?)),
        None => text.parse().ok().map(|port| (port, port)),
    }
}

/// Words as a shell reads them: double quotes hold a word together.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        match (character, words.last_mut()) {
            (_, Some(word)) if escaped => {
                word.push(character);
                escaped = false;
            }
            ('\\', _) if quoted => escaped = true,
            ('"', _) => quoted = !quoted,
            (' ', Some(word)) if !quoted => {
                if !word.is_empty() {
                    words.push(String::new());
                }
            }
            (_, Some(word)) => word.push(character),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
#[path = "iptables_tests.rs"]
mod tests;
