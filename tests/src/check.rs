//! Compares what was said with what must be said.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::scenario::{Grade, View, Want};

/// The lab's addresses, as verdicts must name them.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The client's address.
    pub client: IpAddr,
    /// Addresses of the hosts that are asked for.
    pub host: fn(crate::lab::Host, crate::lab::Family) -> IpAddr,
    /// Protocol.
    pub family: crate::lab::Family,
    /// Inodes of the namespaces that the recorder watched.
    pub watched: Vec<u64>,
}

/// Everything that is wrong with these verdicts and this summary; empty if they are right.
pub fn faults(verdicts: &[Value], summary: &Value, view: &View, scene: &Scene) -> Vec<String> {
    let mut faults = Vec::new();
    let mut counts = vec![0; view.verdicts.len()];
    for verdict in verdicts {
        faults.extend(malformed(verdict, scene));
        match view.verdicts.iter().position(|want| fits(verdict, want, scene)) {
            Some(index) => {
                if let Some(count) = counts.get_mut(index) {
                    *count += verdict["count"].as_u64().unwrap_or(0);
                }
            }
            None => faults.push(format!("unexpected verdict: {}", brief(verdict))),
        }
    }
    for (want, count) in view.verdicts.iter().zip(counts) {
        if !want.count.contains(&count) {
            faults.push(format!("{count} attempts, not {:?}, have the verdict {}", want.count, wanted(want)));
        }
    }
    faults.extend(totals(summary, view));
    faults
}

/// What every verdict must hold, whatever it says.
fn malformed(verdict: &Value, scene: &Scene) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("not {what}: {}", brief(verdict)));
        }
    };
    let evidence = verdict["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
    let times: Vec<&str> = evidence.iter().filter_map(|item| item["time"].as_str()).collect();
    must((1..=16).contains(&evidence.len()), "evidence of 1 to 16 items");
    must(times.len() == evidence.len() && times.is_sorted(), "evidence in order of time");
    must(evidence.iter().all(|item| item["event"].is_string() && item["detail"].is_string()), "evidence in words");
    must(verdict["summary"].as_str().is_some_and(|text| !text.is_empty()), "a summary");
    must(verdict["next"].as_str().is_some_and(|text| !text.is_empty()), "what to do next");
    must(verdict["health_check"] == false, "no health check");
    must(verdict["started"].as_str() <= verdict["time"].as_str(), "a start before the end");
    must(verdict["netns"].as_u64().is_some_and(|inode| scene.watched.contains(&inode)), "a watched namespace");
    must(
        verdict["alternatives"].as_array().is_some_and(|list| {
            list.is_empty() == (verdict["confidence"] == "certain") || verdict["confidence"] == "likely"
        }),
        "alternatives only where it is not certain",
    );
    faults
}

fn fits(verdict: &Value, want: &Want, scene: &Scene) -> bool {
    let server = SocketAddr::new((scene.host)(want.to, scene.family), want.port).to_string();
    let (server_end, client_end) = match want.role {
        "inbound" => ("local", "remote"),
        _ => ("remote", "local"),
    };
    let client = verdict[client_end].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    let folded = verdict["count"].as_u64() > Some(1);
    verdict["verdict"] == want.slug
        && verdict["role"] == want.role
        && verdict[server_end] == server.as_str()
        // a folded line stands for many peers
        // and an attempt that got no port has no address either
        && (folded || client.is_some_and(|client| client.ip() == scene.client || client.port() == 0))
        && want.process.is_none_or(|comm| verdict.pointer("/process/comm") == Some(&comm.into()))
        && want.grades.iter().any(|grade| has_grade(verdict, grade))
}

fn has_grade(verdict: &Value, grade: &Grade) -> bool {
    let alternatives: Vec<&str> =
        verdict["alternatives"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    verdict["confidence"] == grade.confidence
        && alternatives == grade.alternatives
        && verdict["expected_status"].as_u64() == grade.status
}

/// The summary's totals.
fn totals(summary: &Value, view: &View) -> Vec<String> {
    let mut faults = Vec::new();
    let number = |key: &str| summary[key].as_u64();
    let sum = |key: &str| summary[key].as_object().map(|map| map.values().filter_map(Value::as_u64).sum::<u64>());
    // a module that was loaded meanwhile is told of as a loss, though nothing need be missing
    let late = summary.pointer("/lost/hook-late").and_then(Value::as_u64).unwrap_or(0);
    if sum("lost") != Some(late) {
        faults.push(format!("records were lost: {}", summary["lost"]));
    }
    if sum("recovered") != Some(view.recovered) {
        faults.push(format!("recovered is {}, not {}", summary["recovered"], view.recovered));
    }
    if let Some(range) = &view.connections
        && !number("connections").is_some_and(|count| range.contains(&count))
    {
        faults.push(format!("connections is {}, not {range:?}", summary["connections"]));
    }
    if view.abandoned.is_some() && number("abandoned") != view.abandoned {
        faults.push(format!("abandoned is {}, not {:?}", summary["abandoned"], view.abandoned));
    }
    faults
}

/// What a verdict says, in one line.
fn brief(verdict: &Value) -> String {
    const KEYS: [&str; 10] = [
        "verdict",
        "role",
        "confidence",
        "alternatives",
        "expected_status",
        "count",
        "local",
        "remote",
        "process",
        "summary",
    ];
    let mut words: Vec<String> = KEYS.iter().map(|key| format!("{key}={} ", verdict[key])).collect();
    for item in verdict["evidence"].as_array().into_iter().flatten() {
        words.push(format!("\n        {} {}: {}", item["time"], item["event"], item["detail"]));
    }
    words.concat()
}

fn wanted(want: &Want) -> String {
    let grades: Vec<String> = want
        .grades
        .iter()
        .map(|grade| format!("{} {:?} {:?}", grade.confidence, grade.alternatives, grade.status))
        .collect();
    let process = want.process.map(|comm| format!(" about {comm}")).unwrap_or_default();
    format!("{} {} ({}) at {:?}:{}{process}", want.slug, want.role, grades.join(" or "), want.to, want.port)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lab::{Family, Host};

    fn scene() -> Scene {
        Scene { client: [10, 9, 1, 2].into(), host: Host::address, family: Family::V4, watched: vec![7] }
    }

    fn verdict() -> Value {
        json!({
            "type": "verdict", "verdict": "process-down", "role": "inbound", "confidence": "certain",
            "alternatives": [], "expected_status": 502, "count": 1, "local": "10.9.2.2:8080",
            "remote": "10.9.1.2:41000", "process": null, "health_check": false, "netns": 7,
            "started": "2026-01-01T00:00:00Z", "time": "2026-01-01T00:00:01Z", "summary": "s", "next": "n",
            "evidence": [{"time": "2026-01-01T00:00:00Z", "event": "no-socket", "detail": "d"}],
        })
    }

    fn summary() -> Value {
        json!({"lost": {"ring-full": 0}, "recovered": {}, "connections": 0, "abandoned": 0})
    }

    fn view() -> View {
        View::of(Want::inbound("process-down", Grade::certain(502)))
    }

    fn check(verdicts: &[Value], summary: &Value, view: &View) -> usize {
        faults(verdicts, summary, view, &scene()).len()
    }

    #[test]
    fn the_expected_verdict_passes() {
        assert_eq!(check(&[verdict()], &summary(), &view()), 0);
    }

    #[test]
    fn every_difference_is_a_fault() {
        for (key, value) in [
            ("verdict", json!("firewall-drop")),
            ("role", json!("outbound")),
            ("confidence", json!("likely")),
            ("expected_status", json!(504)),
            ("local", json!("10.9.2.2:80")),
            ("remote", json!("10.9.1.3:41000")),
            ("count", json!(2)),
            ("evidence", json!([])),
            ("netns", json!(8)),
            ("next", json!("")),
            ("started", json!("2026-01-01T00:00:02Z")),
        ] {
            let mut changed = verdict();
            changed[key] = value;
            assert_ne!(check(&[changed], &summary(), &view()), 0, "{key}");
        }
    }

    #[test]
    fn a_verdict_too_many_or_too_few_is_a_fault() {
        assert_ne!(check(&[], &summary(), &view()), 0);
        assert_ne!(check(&[verdict(), verdict()], &summary(), &view()), 0);
        assert_ne!(check(&[verdict()], &summary(), &View::silent()), 0);
    }

    #[test]
    fn totals_are_checked() {
        let view = View::silent().connections(2..=2).abandoned(1);
        let mut totals = summary();
        totals["connections"] = json!(2);
        totals["abandoned"] = json!(1);
        assert_eq!(check(&[], &totals, &view), 0);
        for (key, value) in [
            ("connections", json!(1)),
            ("abandoned", json!(0)),
            ("recovered", json!({"firewall-drop": 1})),
            ("lost", json!({"ring-full": 1})),
            ("lost", json!(null)),
            ("lost", json!({"ring-full": 1, "hook-late": 1})),
        ] {
            let mut changed = totals.clone();
            changed[key] = value;
            assert_ne!(check(&[], &changed, &view), 0, "{key}");
        }
    }
}
