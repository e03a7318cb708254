//! Compares what was said with what must be said.
//!
//! long: half of it is the tests of what it must find

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::lab::{Family, Host};
use crate::load::Tally;
use crate::scenario::{Cause, Grade, Http, Remote, Top, View, Want};

/// The lab's addresses, as verdicts must name them.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The client's address.
    pub client: IpAddr,
    /// Addresses of the hosts that are asked for.
    pub host: fn(Host, Family) -> IpAddr,
    /// Protocol.
    pub family: Family,
    /// Inodes of the namespaces that the recorder watched.
    pub watched: Vec<u64>,
    /// What the load generators counted.
    pub counted: Tally,
}

impl Scene {
    fn remote(&self, remote: Remote) -> String {
        match remote {
            Remote::Loopback(port) => SocketAddr::new(self.family.loopback(), port).to_string(),
            Remote::Unix(path) => format!("unix:{path}"),
            Remote::At(host, port) => SocketAddr::new((self.host)(host, self.family), port).to_string(),
        }
    }
}

/// Everything that is wrong with these verdicts and this summary; empty if they are right.
pub fn faults(verdicts: &[Value], counters: &[Value], summary: &Value, view: &View, scene: &Scene) -> Vec<String> {
    let mut faults = Vec::new();
    let mut counts = vec![0; view.verdicts.len()];
    let missed = summary.pointer("/lost/hook-missed").and_then(Value::as_u64) > Some(0);
    for verdict in verdicts {
        faults.extend(malformed(verdict, scene));
        match view.verdicts.iter().position(|want| fits(verdict, want, scene, missed)) {
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
    let attempts: u64 = verdicts.iter().filter_map(|verdict| verdict["count"].as_u64()).sum();
    if view.failures_as_counted && attempts != scene.counted.worth_telling() {
        faults.push(format!("verdicts stand for {attempts} failures, not for those of the load: {:?}", scene.counted));
    }
    faults.extend(totals(summary, view));
    faults.extend(
        view.top
            .iter()
            .filter(|top| !is_on_top(summary, top))
            .map(|top| format!("the summary's lists do not hold {top:?}: {}", summary["top"])),
    );
    faults.extend(crate::sums::faults(counters, summary, view, &scene.counted));
    faults
}

fn is_on_top(summary: &Value, (status, list, begin, count): &Top) -> bool {
    let pairs = summary.pointer(&format!("/top/{status}/{list}")).and_then(Value::as_array).into_iter().flatten();
    let mut values = pairs.filter(|pair| pair[0].as_str().is_some_and(|value| value.starts_with(begin)));
    values.any(|pair| pair[1] == *count)
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

fn fits(verdict: &Value, want: &Want, scene: &Scene, missed: bool) -> bool {
    verdict["verdict"] == want.slug
        && verdict["role"] == want.role
        && are_ends(verdict, want, scene)
        && want.process.is_none_or(|comm| verdict.pointer("/process/comm") == Some(&comm.into()))
        && want.exit.is_none_or(|exit| verdict.pointer("/process/exit") == Some(&exit.into()))
        && want.evidence.is_none_or(|(event, detail)| has_evidence(verdict, event, detail))
        && want.stage.is_none_or(|stage| verdict["stage"] == stage)
        && verdict["health_check"] == want.health_check
        && want.http.is_none_or(|http| is_about(verdict, http))
        && want.origin.is_none_or(|origins| has_origin(verdict, origins))
        && want.client.is_none_or(|client| verdict.pointer("/http/client").and_then(Value::as_str) == client)
        && is_cause(&verdict["cause"], &want.cause, scene)
        && want.grades.iter().any(|grade| has_grade(verdict, grade, missed))
}

/// Whether the verdict is about these ends.
fn are_ends(verdict: &Value, want: &Want, scene: &Scene) -> bool {
    if let Some(path) = want.unix {
        return verdict["remote"] == format!("unix:{path}") && verdict["local"].is_null();
    }
    let server = SocketAddr::new((scene.host)(want.to, scene.family), want.port).to_string();
    let (server_end, client_end) = match want.role {
        "inbound" => ("local", "remote"),
        _ => ("remote", "local"),
    };
    let client = verdict[client_end].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    // a folded line stands for many peers
    let many = verdict["count"].as_u64() > Some(1);
    let nobody = want.to == Host::Nobody && verdict[client_end].is_null();
    // and an attempt that got no port has no address either
    let known = |client: SocketAddr| client.ip() == scene.client || client.port() == 0 || want.to == Host::Loopback;
    verdict[server_end] == server.as_str() && (many || nobody || want.of_anybody || client.is_some_and(known))
}

fn has_evidence(verdict: &Value, event: &str, detail: Option<&str>) -> bool {
    let items = verdict["evidence"].as_array().into_iter().flatten();
    let mut details = items.filter(|item| item["event"] == event).filter_map(|item| item["detail"].as_str());
    match detail {
        Some(wanted) => details.any(|detail| detail.contains(wanted)),
        None => details.next().is_none(),
    }
}

fn is_about(verdict: &Value, http: Http) -> bool {
    let said = &verdict["http"];
    let (method, path) = http.request.unzip();
    said["method"].as_str() == method && said["path"].as_str() == path && said["status"].as_u64() == http.status
}

fn has_origin(verdict: &Value, origins: &[&str]) -> bool {
    let said = verdict.pointer("/http/origin").and_then(Value::as_str);
    said.is_some_and(|said| origins.contains(&said))
}

fn is_cause(said: &Value, wanted: &Cause, scene: &Scene) -> bool {
    match wanted {
        Cause::Null => said.is_null(),
        Cause::Any => true,
        Cause::Perhaps(cause) => said.is_null() || is_cause(said, cause, scene),
        Cause::Verdict { slug, remote, cause } => {
            said["verdict"] == *slug
                // where both ends were seen it is the other end's verdict
                && said[if said["role"] == "inbound" { "local" } else { "remote" }] == scene.remote(*remote)
                && is_cause(&said["cause"], cause, scene)
        }
    }
}

fn has_grade(verdict: &Value, grade: &Grade, missed: bool) -> bool {
    let alternatives: Vec<&str> =
        verdict["alternatives"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // what the kernel kept from a program may concern any verdict of that moment
    let is_less = missed && grade.confidence == "certain" && verdict["confidence"] == "likely";
    (is_less || verdict["confidence"] == grade.confidence)
        && alternatives == grade.alternatives
        && verdict["expected_status"].as_u64() == grade.status
}

/// The summary's totals.
fn totals(summary: &Value, view: &View) -> Vec<String> {
    let mut faults = Vec::new();
    let number = |key: &str| summary[key].as_u64();
    let sum = |key: &str| summary[key].as_object().map(|map| map.values().filter_map(Value::as_u64).sum::<u64>());
    // a module that was loaded meanwhile is told of as a loss, though nothing need be missing; and where many share a
    // recorder, what the kernel kept from a program may be anybody's
    let told = ["hook-late", "hook-missed"].map(|cause| summary.pointer(&format!("/lost/{cause}")));
    let allowed: u64 = told.into_iter().flatten().filter_map(Value::as_u64).sum();
    let counted = |cause: &str| summary.pointer(&format!("/lost/{cause}")).and_then(Value::as_u64) > Some(0);
    if view.lost.is_empty() && sum("lost") != Some(allowed) {
        faults.push(format!("records were lost: {}", summary["lost"]));
    }
    if !view.lost.iter().all(|cause| counted(cause)) {
        faults.push(format!("lost is {}, without {:?}", summary["lost"], view.lost));
    }
    if number("suppressed").is_none_or(|count| (count > 0) != view.suppresses) {
        faults.push(format!("suppressed is {}", summary["suppressed"]));
    }
    let syns = summary.pointer("/ports/8080/syn").and_then(Value::as_u64);
    if view.syns.is_some() && syns != view.syns {
        faults.push(format!("{syns:?} SYNs were counted, not {:?}", view.syns));
    }
    if sum("recovered") != Some(view.recovered) {
        faults.push(format!("recovered is {}, not {}", summary["recovered"], view.recovered));
    }
    if let Some(range) = &view.connections
        && !number("connections").is_some_and(|count| range.contains(&count))
    {
        faults.push(format!("connections is {}, not {range:?}", summary["connections"]));
    }
    let health_checks = summary.pointer("/ports/8080/health_check_syn").and_then(Value::as_u64);
    if view.health_checks.is_some() && health_checks != view.health_checks {
        faults.push(format!("{health_checks:?} connections were health checks, not {:?}", view.health_checks));
    }
    if view.abandoned.is_some() && number("abandoned") != view.abandoned {
        faults.push(format!("abandoned is {}, not {:?}", summary["abandoned"], view.abandoned));
    }
    faults
}

/// What a verdict says, in one line.
fn brief(verdict: &Value) -> String {
    const KEYS: [&str; 15] = [
        "verdict",
        "role",
        "confidence",
        "alternatives",
        "expected_status",
        "count",
        "local",
        "remote",
        "process",
        "evidence",
        "stage",
        "health_check",
        "http",
        "cause",
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
    let exchange = want.http.map(|http| format!(" for {:?} {:?}", http.request, http.status));
    let exchange = exchange.unwrap_or_default();
    let process = want.process.map(|comm| format!(" about {comm}")).unwrap_or_default();
    let client = want.client.map(|client| format!(" client {client:?}")).unwrap_or_default();
    format!(
        "{} {} ({}) at {:?}:{}{process}{exchange}{client} {:?} {:?} because of {:?}",
        want.slug,
        want.role,
        grades.join(" or "),
        want.to,
        want.port,
        want.stage,
        want.exit,
        want.cause
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scene() -> Scene {
        Scene {
            client: [10, 9, 1, 2].into(),
            host: Host::address,
            family: Family::V4,
            watched: vec![7],
            counted: Tally::default(),
        }
    }

    fn verdict() -> Value {
        json!({
            "type": "verdict", "verdict": "process-down", "role": "inbound", "confidence": "certain",
            "alternatives": [], "expected_status": 502, "count": 1, "local": "10.9.2.2:8080",
            "remote": "10.9.1.2:41000", "process": {"comm": "app", "exit": null}, "health_check": false,
            "netns": 7, "stage": null, "cause": null,
            "http": {"method": "GET", "path": "/a", "status": null, "origin": null},
            "started": "2026-01-01T00:00:00Z", "time": "2026-01-01T00:00:01Z", "summary": "s", "next": "n",
            "evidence": [{"time": "2026-01-01T00:00:00Z", "event": "no-socket", "detail": "d"}],
        })
    }

    fn summary() -> Value {
        json!({"lost": {"ring-full": 0}, "suppressed": 0, "recovered": {}, "connections": 0, "abandoned": 0})
    }

    fn view() -> View {
        View::of(Want::inbound("process-down", Grade::certain(502)))
    }

    fn check(verdicts: &[Value], summary: &Value, view: &View) -> usize {
        faults(verdicts, &[], summary, view, &scene()).len()
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
            ("health_check", json!(true)),
            ("cause", json!({"verdict": "process-down"})),
        ] {
            let mut changed = verdict();
            changed[key] = value;
            assert_ne!(check(&[changed], &summary(), &view()), 0, "{key}");
        }
    }

    #[test]
    fn what_is_wanted_of_an_exchange_is_checked() {
        let mut verdict = verdict();
        let cause = json!({"verdict": "process-down", "role": "outbound", "remote": "127.0.0.1:9001", "cause": null});
        verdict["stage"] = json!("processing");
        verdict["process"]["exit"] = json!("signal 6");
        verdict["http"] = json!({"method": "GET", "path": "/a", "status": 502, "origin": "proxy"});
        verdict["cause"] = cause;
        let wanted = || Want::inbound("process-down", Grade::certain(502));
        let because = |port| Cause::of("process-down", Remote::Loopback(port));
        let whole = || {
            let want = wanted().stage("processing").exit("signal 6").answered("GET", "/a", 502);
            want.origin(&["app", "proxy"]).cause(because(9001))
        };
        assert_eq!(check(&[verdict.clone()], &summary(), &View::of(whole())), 0);
        assert_eq!(check(&[verdict.clone()], &summary(), &View::of(whole().cause(Cause::Any))), 0);
        for want in [
            whole().stage("not-read"),
            whole().exit("code 6"),
            whole().unanswered("GET", "/a"),
            whole().answered("GET", "/b", 502),
            whole().origin(&["upstream"]),
            whole().cause(Cause::Null),
            whole().cause(because(9002)),
            whole().cause(Cause::Perhaps(Box::new(because(9002)))),
            whole().health_check(),
        ] {
            assert_ne!(check(&[verdict.clone()], &summary(), &View::of(want.clone())), 0, "{want:?}");
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
            ("suppressed", json!(1)),
            ("lost", json!(null)),
            ("lost", json!({"ring-full": 1, "hook-late": 1})),
        ] {
            let mut changed = totals.clone();
            changed[key] = value;
            assert_ne!(check(&[], &changed, &view), 0, "{key}");
        }
    }

    #[test]
    fn a_verdict_is_less_sure_only_where_something_was_missed() {
        let view = View::of(Want::inbound("process-down", Grade::certain(502)));
        let mut less = verdict();
        less["confidence"] = json!("likely");
        let mut totals = summary();
        assert_ne!(check(std::slice::from_ref(&less), &totals, &view), 0);
        totals["lost"] = json!({"hook-missed": 2});
        assert_eq!(check(std::slice::from_ref(&less), &totals, &view), 0);
        less["alternatives"] = json!(["firewall-drop"]);
        assert_ne!(check(&[less], &totals, &view), 0);
    }
}
