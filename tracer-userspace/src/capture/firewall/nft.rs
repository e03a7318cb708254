//! `nft -j list ruleset`, as far as rules and packets of TCP connections go (libnftables-json(5)).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::ruleset::{Action, Base, Chain, Rule, Table, Test};

/// Sets by family, table and name.
type Sets<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a Value>;

/// A listing.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) tables: Vec<Table>,
    /// Families (`ip`, `ip6`) with tables that iptables made: nft does not know all that they say.
    pub(super) made_by_iptables: Vec<String>,
}

/// Reads a listing; `None` if it is none.
pub(super) fn parse(text: &str) -> Option<Listing> {
    let document: Value = serde_json::from_str(text).ok()?;
    let objects = document.get("nftables")?.as_array()?;
    let mut sets = Sets::new();
    for set in objects.iter().filter_map(|object| object.get("set").or_else(|| object.get("map"))) {
        sets.insert((word(set, "family"), word(set, "table"), word(set, "name")), set);
    }
    let mut tables: BTreeMap<(String, String), Table> = BTreeMap::new();
    let mut foreign = Vec::new();
    for object in objects {
        if let Some(chain) = object.get("chain") {
            let base = chain.get("hook").and_then(Value::as_str).map(|hook| Base {
                hook: hook.to_owned(),
                priority: chain.get("prio").and_then(Value::as_i64).unwrap_or_default(),
                drops: word(chain, "policy") == "drop",
                policy_packets: None,
            });
            let table = table_of(&mut tables, chain);
            table.chains.entry(word(chain, "name").to_owned()).or_default().base = base;
        } else if let Some(rule) = object.get("rule") {
            let family = word(rule, "family");
            let read = self::rule(rule, &sets);
            if rule.get("expr").and_then(Value::as_array).is_some_and(|list| list.iter().any(|e| e.get("xt").is_some()))
            {
                foreign.push((family.to_owned(), word(rule, "table").to_owned()));
            }
            let chain: &mut Chain =
                table_of(&mut tables, rule).chains.entry(word(rule, "chain").to_owned()).or_default();
            chain.rules.push(read);
        }
    }
    // bridges and devices of their own kind carry no routed packets
    tables.retain(|(family, _), _| matches!(family.as_str(), "ip" | "ip6" | "inet" | "netdev"));
    for key in &foreign {
        tables.remove(key);
    }
    let mut made_by_iptables: Vec<String> = foreign.into_iter().map(|(family, _)| family).collect();
    made_by_iptables.sort_unstable();
    made_by_iptables.dedup();
    Some(Listing { tables: tables.into_values().collect(), made_by_iptables })
}

/// The text of each rule of `nft -a list ruleset`, by the key that [`parse`] gives it.
pub(super) fn texts(listing: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let mut table = String::new();
    for line in listing.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("table ") {
            rest.split(" {").next().unwrap_or_default().clone_into(&mut table);
        } else if let Some((text, handle)) = line.rsplit_once(" # handle ")
            && !text.ends_with('{')
        {
            texts.insert(format!("{table} handle {handle}"), text.trim().to_owned());
        }
    }
    texts
}

fn word<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn table_of<'a>(tables: &'a mut BTreeMap<(String, String), Table>, object: &Value) -> &'a mut Table {
    let (family, name) = (word(object, "family"), word(object, "table"));
    tables.entry((family.to_owned(), name.to_owned())).or_insert_with(|| Table {
        tool: "nft".to_owned(),
        name: format!("{family} {name}"),
        v4: match family {
            "ip" => Some(true),
            "ip6" => Some(false),
            _ => None,
        },
        chains: BTreeMap::new(),
    })
}

fn rule(rule: &Value, sets: &Sets<'_>) -> Rule {
    let (family, table) = (word(rule, "family"), word(rule, "table"));
    let mut read = Rule {
        tests: Vec::new(),
        action: Action::Continue,
        key: format!("{family} {table} handle {}", rule.get("handle").and_then(Value::as_u64).unwrap_or_default()),
        text: String::new(),
        packets: None,
    };
    let scope = Scope { sets, family, table };
    let statements = rule.get("expr").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    for (name, value) in statements.filter_map(|statement| statement.iter().next()) {
        match name.as_str() {
            "match" => {
                // nft asks for the family by itself
                match value.pointer("/left/payload/protocol").and_then(Value::as_str) {
                    Some("ip") => read.tests.push(Test::Family(true)),
                    Some("ip6") => read.tests.push(Test::Family(false)),
                    _ => {}
                }
                read.tests.push(scope.test(value));
            }
            "counter" => read.packets = value.get("packets").and_then(Value::as_u64),
            "vmap" => read.action = scope.map(value),
            // they change or note something and go on
            "log" | "mangle" | "notrack" | "ct helper" | "set" | "meter" | "dup" | "secmark" => {}
            "dnat" => {
                let address = value.get("addr").and_then(address);
                // a map or a range of addresses: it is not known which
                let known = value.get("addr").is_none() || address.is_some();
                read.action =
                    if known { Action::Translate(address, value.get("port").and_then(port)) } else { Action::Accept };
            }
            "redirect" => read.action = Action::Translate(None, value.get("port").and_then(port)),
            _ => match action(name, value) {
                Some(action) => read.action = action,
                // limits, quotas and what is yet to come: it may end the rule here
                None => read.tests.push(Test::Unknown),
            },
        }
    }
    read
}

fn action(name: &str, value: &Value) -> Option<Action> {
    let target = || word(value, "target").to_owned();
    Some(match name {
        "accept" | "snat" | "masquerade" => Action::Accept,
        "drop" => Action::Drop,
        "reject" => Action::Reject,
        "return" => Action::Return,
        "jump" => Action::Jump(target()),
        "goto" => Action::Goto(target()),
        "continue" => Action::Continue,
        _ => return None,
    })
}

/// Where names of sets are looked up.
struct Scope<'a> {
    sets: &'a Sets<'a>,
    family: &'a str,
    table: &'a str,
}

impl Scope<'_> {
    fn test(&self, value: &Value) -> Test {
        let (Some(left), Some(right)) = (value.get("left"), value.get("right")) else { return Test::Unknown };
        let test = self.compare(left, right);
        match word(value, "op") {
            "==" | "in" => test,
            "!=" => Test::Not(Box::new(test)),
            _ => Test::Unknown,
        }
    }

    fn compare(&self, left: &Value, right: &Value) -> Test {
        let known = if let Some(payload) = left.get("payload") {
            self.payload(payload, right)
        } else if let Some(meta) = left.get("meta") {
            self.meta(word(meta, "key"), right)
        } else if left.pointer("/ct/key").and_then(Value::as_str) == Some("state") {
            states(right)
        } else if is_syn_and_ack(left) && *right == "syn" {
            Some(Test::Syn)
        } else {
            None
        };
        known.unwrap_or(Test::Unknown)
    }

    fn payload(&self, payload: &Value, right: &Value) -> Option<Test> {
        Some(match (word(payload, "protocol"), word(payload, "field")) {
            ("tcp" | "th", "dport") => Test::DestinationPort(self.list(right, port)?),
            ("tcp" | "th", "sport") => Test::SourcePort(self.list(right, port)?),
            ("udp" | "udplite" | "sctp" | "dccp" | "icmp" | "icmpv6", _) => Test::Tcp(false),
            ("ip" | "ip6", "saddr") => Test::Source(self.list(right, address)?),
            ("ip" | "ip6", "daddr") => Test::Destination(self.list(right, address)?),
            ("ip", "protocol") | ("ip6", "nexthdr") => Test::Tcp(self.words(right)?.iter().any(|name| is_tcp(name))),
            _ => return None,
        })
    }

    fn meta(&self, key: &str, right: &Value) -> Option<Test> {
        Some(match key {
            "iifname" | "iif" => Test::Interface(self.words(right)?),
            "l4proto" => Test::Tcp(self.words(right)?.iter().any(|name| is_tcp(name))),
            "nfproto" => match self.words(right)?.as_slice() {
                [name] if name == "ipv4" => Test::Family(true),
                [name] if name == "ipv6" => Test::Family(false),
                _ => return None,
            },
            "protocol" => match self.words(right)?.as_slice() {
                [name] if name == "ip" => Test::Family(true),
                [name] if name == "ip6" => Test::Family(false),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The elements of a value: itself, those of a set written there, or of one that it names.
    fn elements<'v>(&'v self, value: &'v Value) -> Option<Vec<&'v Value>> {
        let of_set = |list: &'v Value| match list {
            Value::Array(list) => list.iter().map(|one| one.pointer("/elem/val").unwrap_or(one)).collect(),
            one => vec![one],
        };
        if let Some(set) = value.get("set") {
            return Some(of_set(set));
        }
        match value.as_str().and_then(|text| text.strip_prefix('@')) {
            Some(name) => {
                let set = self.sets.get(&(self.family, self.table, name))?;
                Some(set.get("elem").map(of_set).unwrap_or_default())
            }
            None => Some(of_set(value)),
        }
    }

    /// All elements as ranges; `None` if one is not understood.
    fn list<T: Bound + Clone>(&self, value: &Value, read: fn(&Value) -> Option<T>) -> Option<Vec<(T, T)>> {
        let range = |element: &Value| {
            if let Some([first, last]) = element.get("range").and_then(Value::as_array).map(Vec::as_slice) {
                return Some((read(first)?, read(last)?));
            }
            if let Some(prefix) = element.get("prefix") {
                let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
                return T::prefix(read(prefix.get("addr")?)?, length);
            }
            let one = read(element)?;
            Some((one.clone(), one))
        };
        self.elements(value)?.into_iter().map(range).collect()
    }

    fn words(&self, value: &Value) -> Option<Vec<String>> {
        let text = |element: &Value| match element {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        self.elements(value)?.into_iter().map(text).collect()
    }

    /// A map of verdicts, written in the rule or by name.
    fn map(&self, value: &Value) -> Action {
        let entries = || {
            let pairs = self.elements(value.get("data")?)?;
            let entry = |pair: &&Value| {
                let [key, verdict] = pair.as_array()?.as_slice() else { return None };
                let (name, target) = verdict.as_object()?.iter().next()?;
                let key = key.pointer("/elem/val").unwrap_or(key);
                Some((self.compare(value.get("key")?, key), action(name, target)?))
            };
            pairs.iter().map(entry).collect::<Option<Vec<_>>>()
        };
        // one that is not understood may drop
        entries().map_or_else(|| Action::Map(vec![(Test::Unknown, Action::Drop)]), Action::Map)
    }
}

/// What has a range for each prefix.
pub(super) trait Bound: Sized {
    /// First and last address of a prefix.
    fn prefix(address: Self, length: u8) -> Option<(Self, Self)>;
}

impl Bound for IpAddr {
    fn prefix(address: Self, length: u8) -> Option<(Self, Self)> {
        let net = ipnet::IpNet::new(address, length).ok()?;
        Some((net.network(), net.broadcast()))
    }
}

impl Bound for u16 {
    fn prefix(_address: Self, _length: u8) -> Option<(Self, Self)> {
        None
    }
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

fn port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}

fn is_tcp(name: &str) -> bool {
    name == "tcp" || name == "6"
}

fn states(value: &Value) -> Option<Test> {
    let list = value.get("set").unwrap_or(value);
    let is_new = |state: &Value| state == "new";
    match list {
        Value::Array(states) => Some(Test::New(states.iter().any(is_new))),
        Value::String(_) => Some(Test::New(is_new(list))),
        _ => None,
    }
}

/// `tcp flags & (syn | ack)`, with or without other flags that a SYN does not have.
fn is_syn_and_ack(left: &Value) -> bool {
    let Some([payload, mask]) = left.get("&").and_then(Value::as_array).map(Vec::as_slice) else { return false };
    let is_flags = payload.pointer("/payload/field").and_then(Value::as_str) == Some("flags");
    let names: Vec<&str> = match mask {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        other => other.get("|").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    is_flags && names.contains(&"syn") && names.contains(&"ack")
}

#[cfg(test)]
#[path = "nft_tests.rs"]
mod tests;
