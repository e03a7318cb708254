//! What the counters must sum up to.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lab::WATCHED;
use crate::load::Tally;
use crate::scenario::{Exchanges, View};

/// Everything that is wrong with the sums of the watched port's counters, and what the summary says of them.
pub fn faults(counters: &[Value], summary: &Value, view: &View, counted: &Tally) -> Vec<String> {
    let last_open = || counters.iter().rfind(|line| line["port"] == WATCHED).map(|line| line["open"].clone());
    if view.open.is_some() && last_open().and_then(|open| open.as_u64()) != view.open {
        return vec![format!("{:?} connections are open, not {:?}", last_open(), view.open)];
    }
    let wanted: BTreeMap<String, u64> = match view.exchanges {
        Exchanges::Any => return Vec::new(),
        Exchanges::Exactly(list) => list.iter().map(|(status, count)| (status_key(*status), *count)).collect(),
        Exchanges::AsCounted => counted.statuses.iter().map(|(status, count)| (status_key(*status), *count)).collect(),
    };
    let lines = || counters.iter().filter(|line| line["port"] == WATCHED);
    let sum = |key: &str| lines().filter_map(|line| line[key].as_u64()).sum::<u64>();
    let mut summed: BTreeMap<String, u64> = BTreeMap::new();
    for (status, count) in lines().filter_map(|line| line["status"].as_object()).flatten() {
        *summed.entry(status.clone()).or_default() += count.as_u64().unwrap_or_default();
    }
    summed.retain(|_, count| *count > 0);
    let all: u64 = summed.values().sum();
    let mut faults = Vec::new();
    if sum("exchanges") != all || summary["exchanges"].as_u64() != Some(all) {
        let said = &summary["exchanges"];
        faults.push(format!("{all} statuses are counted in {} exchanges, in the summary {said}", sum("exchanges")));
    }
    let most = view.times.max(1);
    if view.exchanges == Exchanges::AsCounted
        && summed.get("none").is_some_and(|count| *count <= most * counted.failures)
    {
        // what failed has no status, if it came to be an exchange at all
        summed.remove("none");
    }
    let multiplied = |times: u64| wanted.iter().map(|(key, count)| (key.clone(), count * times)).collect();
    match (1..=most).find(|times| summed == multiplied(*times)) {
        None => faults.push(format!("the counters sum up to {summed:?}, not {wanted:?}")),
        Some(times) if sum("slow") != view.slow * times => {
            faults.push(format!("{} responses were slow, not {}", sum("slow"), view.slow * times));
        }
        Some(_) => {}
    }
    if let Some(last) = lines().next_back()
        && last["waiting"] != 0
    {
        faults.push(format!("requests are left waiting: {last}"));
    }
    faults
}

fn status_key(status: u16) -> String {
    if status == 0 { "none".to_owned() } else { status.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counters_are_summed() {
        let line = |ok: u64, none: u64| {
            json!({"port": WATCHED, "exchanges": ok + none, "slow": 0, "waiting": 0,
                "status": {"200": ok, "none": none}})
        };
        let other = json!({"port": 1, "exchanges": 9, "slow": 0, "waiting": 0, "status": {"200": 9}});
        let totals = json!({"exchanges": 5});
        let found = |lines: &[Value], view: &View| faults(lines, &totals, view, &Tally::default()).len();
        let view = View::silent().exchanges(Exchanges::Exactly(&[(200, 4), (0, 1)]));
        assert_eq!(found(&[line(3, 0), other, line(1, 1)], &view), 0);
        assert_ne!(found(&[line(3, 0), line(1, 0)], &view), 0);
        assert_ne!(found(&[line(4, 1)], &view.clone().slow(1)), 0);
        assert_ne!(found(&[line(8, 2)], &view), 0);
        assert_ne!(found(&[line(4, 1)], &View::silent().exchanges(Exchanges::AsCounted)), 0);
    }
}
