use super::*;
use crate::output::samples;

fn printed(output: &Output) -> String {
    line(output, WallClock::new(samples::start().clock)).unwrap()
}

#[test]
fn a_start() {
    let start = Start { blind: vec!["no-route".to_owned()], ..samples::start() };
    insta::assert_snapshot!(printed(&Output::Start(Box::new(start))), @r#"{"type":"start","version":"0.1.0","host":"web-1","kernel":"6.12.8","ports":[8080,8443],"slow_ms":10000,"blind":["no-route"]}"#);
}

#[test]
fn a_verdict() {
    insta::assert_snapshot!(printed(&samples::verdict(samples::process_down())), @r#"{"type":"verdict","verdict":"process-down","confidence":"certain","alternatives":[],"time":"2026-11-21T12:03:41.221000000Z","started":"2026-11-21T12:03:41.220000000Z","role":"inbound","netns":4026531840,"local":"10.9.2.2:8080","remote":"10.9.1.2:45824","isn":123,"count":1,"stage":null,"health_check":false,"expected_status":502,"process":{"pid":812,"comm":"gunicorn","exit":"signal 9 (oom-kill)","unit":"app.service","container":null},"http":{"method":null,"path":null,"host":null,"status":null,"server":null,"via":null,"user_agent":null,"trace_id":null,"client":null,"has":[],"origin":null,"duration_us":null},"cause":null,"evidence":[{"time":"2026-11-21T12:03:41.221000000Z","event":"no-socket","detail":"the SYN was dropped: NO_SOCKET"}],"summary":"Nothing listens on port 8080.","next":"Start the app and look into why it stopped: `systemctl status app.service`."}"#);
}

#[test]
fn a_folded_verdict_with_nothing_known() {
    let folded = Verdict {
        local: None,
        remote: None,
        isn: None,
        count: 412,
        process: None,
        evidence: Vec::new(),
        expected_status: None,
        ..samples::process_down()
    };
    insta::assert_snapshot!(printed(&samples::verdict(folded)), @r#"{"type":"verdict","verdict":"process-down","confidence":"certain","alternatives":[],"time":"2026-11-21T12:03:41.221000000Z","started":"2026-11-21T12:03:41.220000000Z","role":"inbound","netns":4026531840,"local":null,"remote":null,"isn":null,"count":412,"stage":null,"health_check":false,"expected_status":null,"process":null,"http":{"method":null,"path":null,"host":null,"status":null,"server":null,"via":null,"user_agent":null,"trace_id":null,"client":null,"has":[],"origin":null,"duration_us":null},"cause":null,"evidence":[],"summary":"Nothing listens on port 8080.","next":"Start the app and look into why it stopped: `systemctl status app.service`."}"#);
}

#[test]
fn a_cause_is_a_whole_verdict() {
    insta::assert_snapshot!(printed(&samples::verdict(samples::app_status())), @r#"{"type":"verdict","verdict":"app-status","confidence":"certain","alternatives":[],"time":"2026-11-21T12:03:42.500000000Z","started":"2026-11-21T12:03:42.400000000Z","role":"inbound","netns":4026531840,"local":"10.9.2.2:8080","remote":"10.9.1.2:45824","isn":123,"count":1,"stage":null,"health_check":false,"expected_status":502,"process":{"pid":900,"comm":"nginx","exit":null,"unit":null,"container":null},"http":{"method":"GET","path":"/orders/7","host":null,"status":502,"server":null,"via":null,"user_agent":null,"trace_id":null,"client":null,"has":["Cookie"],"origin":"proxy","duration_us":100000},"cause":{"type":"verdict","verdict":"security-group-drop","confidence":"likely","alternatives":["firewall-drop","remote-down"],"time":"2026-11-21T12:03:44.221000000Z","started":"2026-11-21T12:03:41.221000000Z","role":"outbound","netns":4026531840,"local":"[2001:db8::1]:51000","remote":"[2001:db8::2]:8443","isn":77,"count":1,"stage":null,"health_check":false,"expected_status":504,"process":{"pid":900,"comm":"nginx","exit":null,"unit":"nginx.service","container":null},"http":{"method":null,"path":null,"host":null,"status":null,"server":null,"via":null,"user_agent":null,"trace_id":null,"client":null,"has":[],"origin":null,"duration_us":null},"cause":null,"evidence":[],"summary":"The SYN left this host 3 times and nothing came back.","next":"Check the security group of the target."},"evidence":[],"summary":"The proxy answered 502 itself.","next":"See the cause."}"#);
}

#[test]
fn causes_nest_four_deep_at_most() {
    let mut verdict = samples::process_down();
    for _ in 0..6 {
        verdict = Verdict { cause: Some(Box::new(verdict)), ..samples::process_down() };
    }
    let text = printed(&samples::verdict(verdict));
    assert_eq!(text.matches(r#""type":"verdict""#).count(), 1 + MAX_CAUSES);
    assert_eq!(text.matches(r#""cause":null"#).count(), 1);
}

#[test]
fn addresses_print_as_people_write_them() {
    let check = |from: &str, expected: &str| assert_eq!(address(from.parse().unwrap()), expected);
    check("10.9.2.2:8080", "10.9.2.2:8080");
    check("[::ffff:10.9.2.2]:8080", "10.9.2.2:8080");
    check("[2001:db8::1]:0", "[2001:db8::1]:0");
}

#[test]
fn counters() {
    insta::assert_snapshot!(printed(&Output::Counters(Box::new(samples::counters()))), @r#"{"type":"counters","time":"2026-11-21T12:03:46.000000000Z","port":8080,"connections":12,"exchanges":13,"status":{"200":12,"502":1,"none":0},"latency_us":{"p50":800,"p90":1200,"p99":9000,"max":9500},"slow":0,"waiting":1,"open":2}"#);
}

#[test]
fn none_is_counted_even_when_zero() {
    let text = printed(&Output::Counters(Box::default()));
    assert!(text.contains(r#""status":{"none":0}"#), "{text}");
}

#[test]
fn a_summary() {
    insta::assert_snapshot!(printed(&Output::Summary(Box::new(samples::summary()))), @r#"{"type":"summary","from":"2026-11-21T12:03:41.000000000Z","to":"2026-11-21T12:07:33.500000000Z","records":1204,"lost":{"attempts-full":0,"ring-full":0},"connections":1201,"exchanges":0,"verdicts":{"process-down":18,"security-group-drop":1},"undecided":1,"abandoned":0,"late":0,"recovered":{"firewall-drop":2},"suppressed":0,"ports":{"8080":{"syn":252,"health_check_syn":12,"last_syn":"2026-11-21T12:07:31.120000000Z","listener":true,"http":{"exchanges":0,"status":{"none":0},"latency_us":{"p50":0,"p90":0,"p99":0,"max":0},"slow":0,"tls":0,"http2":0,"not_http":0,"lost_step":0}},"8443":{"syn":0,"health_check_syn":0,"last_syn":null,"listener":false,"http":{"exchanges":0,"status":{"none":0},"latency_us":{"p50":0,"p90":0,"p99":0,"max":0},"slow":0,"tls":0,"http2":0,"not_http":0,"lost_step":0}}},"top":{},"damage":{"frames":0,"bytes":0},"dropped":{"files":0,"bytes":0},"files":["/var/lib/wherefore/web-1.wft"],"shown":null}"#);
}

#[test]
fn a_summary_with_http() {
    let text = printed(&Output::Summary(Box::new(samples::http_summary())));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    insta::assert_snapshot!(value["ports"]["8080"]["http"].to_string(), @r#"{"exchanges":1303,"http2":0,"latency_us":{"max":12345,"p50":831,"p90":831,"p99":831},"lost_step":0,"not_http":0,"slow":1,"status":{"200":1290,"404":8,"502":2,"none":3},"tls":0}"#);
    insta::assert_snapshot!(value["ports"]["8443"]["http"].to_string(), @r#"{"exchanges":0,"http2":0,"latency_us":{"max":0,"p50":0,"p90":0,"p99":0},"lost_step":2,"not_http":1,"slow":0,"status":{"none":0},"tls":812}"#);
    insta::assert_snapshot!(value["top"].to_string(), @r#"{"403":{"causes":[],"clients":[],"origins":[["app",1]],"paths":[["/hidden",1]],"user_agents":[]},"502":{"causes":[["process-down 127.0.0.1:9001",3]],"clients":[["192.0.2.7",2],["192.0.2.8",1]],"origins":[["proxy",3]],"paths":[["/orders/7",2],["/\u001b[m",1]],"user_agents":[["curl/8.5.0",3]]}}"#);
}

#[test]
fn a_summary_of_filtered_lines() {
    let summary = Summary { shown: Some(3), ..samples::summary() };
    assert!(printed(&Output::Summary(Box::new(summary))).ends_with(r#","shown":3}"#));
}

#[test]
fn strings_from_the_network_stay_harmless_and_whole() {
    let path = "/\x1b[2J\u{9b}\"\u{202e}";
    let http = Http { path: Some(path.to_owned()), ..Http::default() };
    let text = printed(&samples::verdict(Verdict { http, ..samples::process_down() }));
    assert!(text.chars().all(|character| !character.is_control() && character != '\u{202e}'), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["http"]["path"], path);
}

const DOCUMENT: &str = include_str!("../../../../docs/json.md");

#[test]
fn every_evidence_event_is_documented() {
    // the enum's own source is the list: a variant is a line that holds just its name and a comma
    let variants =
        include_str!("../../verdict/event.rs").lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(','));
    let variants = variants.filter(|name| name.starts_with(|letter: char| letter.is_ascii_uppercase()));
    let mut count = 0;
    for variant in variants {
        let kebab: String = variant
            .char_indices()
            .flat_map(|(at, letter)| {
                let hyphen = (at > 0 && letter.is_ascii_uppercase()).then_some('-');
                hyphen.into_iter().chain([letter.to_ascii_lowercase()])
            })
            .collect();
        assert!(DOCUMENT.contains(&format!("| `{kebab}` |")), "{kebab} is not in docs/json.md");
        count += 1;
    }
    assert!(count > 15, "{count} variants found");
}

#[test]
fn every_field_is_documented() {
    let outputs = [
        Output::Start(Box::new(samples::start())),
        samples::verdict(samples::process_down()),
        Output::Counters(Box::new(samples::counters())),
        Output::Summary(Box::new(samples::http_summary())),
    ];
    let data = ["status", "lost", "verdicts", "recovered"];
    let mut fields = Vec::new();
    let mut todo: Vec<serde_json::Value> =
        outputs.iter().map(|output| serde_json::from_str(&printed(output)).unwrap()).collect();
    while let Some(value) = todo.pop() {
        match value {
            serde_json::Value::Object(object) => {
                for (key, inner) in object {
                    if !data.contains(&key.as_str()) || !inner.is_object() {
                        todo.push(inner);
                    }
                    fields.push(key);
                }
            }
            serde_json::Value::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    fields.retain(|field| field.parse::<u16>().is_err());
    assert!(fields.len() > 70, "{}", fields.len());
    for field in fields {
        assert!(DOCUMENT.contains(&format!("`{field}`")), "{field} is not in docs/json.md");
    }
}
