use super::*;
use crate::output::samples::{self, at_ms};
use crate::verdict::Http;

fn printed(options: HumanOptions, outputs: &[Output]) -> String {
    let mut human = Human::new(options);
    let mut bytes = Vec::new();
    for output in outputs {
        human.print(output, WallClock::new(samples::start().clock), &mut bytes).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

fn plainly(verdicts: Vec<Verdict>) -> String {
    let outputs: Vec<Output> = verdicts.into_iter().map(samples::verdict).collect();
    printed(HumanOptions::default(), &outputs)
}

fn stream() -> Vec<Output> {
    vec![
        Output::Start(Box::new(samples::start())),
        samples::verdict(samples::process_down()),
        samples::verdict(samples::app_status()),
        Output::Counters(Box::new(samples::counters())),
        samples::verdict(samples::security_group_drop()),
        Output::Summary(Box::new(samples::summary())),
    ]
}

#[test]
fn a_stream() {
    insta::assert_snapshot!(printed(HumanOptions::default(), &stream()), @r"
2026-11-21 UTC   web-1, Linux 6.12.8, ports 8080,8443
TIME          VERDICT              EXPECT       CONNECTION                             WHY
12:03:41.221  process-down         502     in   10.9.1.2:45824 -> 10.9.2.2:8080        Nothing listens on port 8080 [gunicorn pid 812, app.service, ended by signal 9 (oom-kill)]
              next: Start the app and look into why it stopped: `systemctl status app.service`.
12:03:42.500  app-status           502     in   10.9.1.2:45824 -> 10.9.2.2:8080        GET /orders/7 502: The proxy answered 502 itself [nginx pid 900] [its own answer] <- security-group-drop: The SYN left this host 3 times and nothing came back
              next: See the cause.
12:03:44.221  security-group-drop  504     out  [2001:db8::1]:51000 -> [2001:db8::2]:8443  The SYN left this host 3 times and nothing came back [nginx pid 900, nginx.service] (likely; or firewall-drop, remote-down)
              next: Check the security group of the target.

summary    2026-11-21 12:03:41 to 12:07:33 UTC (3m 52s), 1204 records
ports      8080   listening, 240 SYNs + 12 health checks, last SYN 12:07:31.120
           8443   no listener, 0 SYNs + 0 health checks, nothing reached it
verdicts   18  process-down         nothing listens on the port
            1  security-group-drop  the SYN left this host and nothing ever came back
traffic    1201 connections, 0 HTTP exchanges
recovered  firewall-drop 2: delayed, then let in
undecided  1 silent when recording ended, 0 given up by the client too early to tell, 0 late
lost       nothing (attempts-full 0, ring-full 0)
files      /var/lib/wherefore/web-1.wft
");
}

#[test]
fn quiet_leaves_the_summary() {
    let all = printed(HumanOptions::default(), &stream());
    let quiet = printed(HumanOptions { quiet: true, ..HumanOptions::default() }, &stream());
    let (_lines, summary) = all.split_once("\n\n").unwrap();
    assert_eq!(quiet.trim_start(), summary);
}

#[test]
fn colours_only_when_asked() {
    let outputs = [samples::verdict(samples::process_down())];
    let colored = printed(HumanOptions { color: true, ..HumanOptions::default() }, &outputs);
    assert!(colored.contains("\x1b[1m\x1b[31mprocess-down"), "{colored:?}");
    assert!(!printed(HumanOptions::default(), &stream()).contains('\x1b'));
}

#[test]
fn repeats_become_one_counting_line_a_second() {
    let at = |ms| Verdict { time: at_ms(ms), ..samples::process_down() };
    let other = |ms| Verdict { time: at_ms(ms), ..samples::security_group_drop() };
    let verdicts = vec![at(221), at(300), other(310), at(320), at(990), at(1_001), at(1_500), other(2_000)];
    insta::assert_snapshot!(plainly(verdicts), @r"
2026-11-21 UTC
TIME          VERDICT              EXPECT       CONNECTION                             WHY
12:03:41.221  process-down         502     in   10.9.1.2:45824 -> 10.9.2.2:8080        Nothing listens on port 8080 [gunicorn pid 812, app.service, ended by signal 9 (oom-kill)]
              next: Start the app and look into why it stopped: `systemctl status app.service`.
12:03:41.310  security-group-drop  504     out  [2001:db8::1]:51000 -> [2001:db8::2]:8443  The SYN left this host 3 times and nothing came back [nginx pid 900, nginx.service] (likely; or firewall-drop, remote-down)
              next: Check the security group of the target.
12:03:41.990  process-down                 in   ... and 3 more like it on port 8080
12:03:42.001  process-down         502     in   10.9.1.2:45824 -> 10.9.2.2:8080            Nothing listens on port 8080 [gunicorn pid 812, app.service, ended by signal 9 (oom-kill)]
12:03:42.500  process-down                 in   ... and 1 more like it on port 8080
12:03:43.000  security-group-drop  504     out  [2001:db8::1]:51000 -> [2001:db8::2]:8443  The SYN left this host 3 times and nothing came back [nginx pid 900, nginx.service] (likely; or firewall-drop, remote-down)
");
}

#[test]
fn counting_lines_come_when_a_tick_ends_their_second() {
    let clock = WallClock::new(samples::start().clock);
    let mut human = Human::new(HumanOptions::default());
    let mut bytes = Vec::new();
    human.verdict(&samples::process_down(), clock, &mut bytes).unwrap();
    human.verdict(&samples::process_down(), clock, &mut bytes).unwrap();
    let before = bytes.len();
    human.advance(at_ms(999), clock, &mut bytes).unwrap();
    assert_eq!(bytes.len(), before);
    human.advance(at_ms(1_000), clock, &mut bytes).unwrap();
    assert!(String::from_utf8(bytes).unwrap().ends_with("... and 1 more like it on port 8080\n"));
}

#[test]
fn repeats_are_not_lost_at_the_end() {
    let outputs = [
        samples::verdict(samples::process_down()),
        samples::verdict(samples::process_down()),
        Output::Summary(Box::new(samples::summary())),
    ];
    assert!(printed(HumanOptions::default(), &outputs).contains("... and 1 more like it"));
}

#[test]
fn a_new_day_is_said() {
    let next_day = Verdict { time: at_ms(86_400_000), ..samples::process_down() };
    let outputs = [Output::Start(Box::new(samples::start())), samples::verdict(next_day)];
    insta::assert_snapshot!(printed(HumanOptions::default(), &outputs), @r"
2026-11-21 UTC   web-1, Linux 6.12.8, ports 8080,8443
2026-11-22 UTC
TIME          VERDICT              EXPECT       CONNECTION                             WHY
12:03:41.000  process-down         502     in   10.9.1.2:45824 -> 10.9.2.2:8080        Nothing listens on port 8080 [gunicorn pid 812, app.service, ended by signal 9 (oom-kill)]
              next: Start the app and look into why it stopped: `systemctl status app.service`.
");
}

#[test]
fn every_end_there_can_be() {
    let local = |text: &str| Some(text.parse().unwrap());
    let check = |verdict: Verdict, expected: &str| assert_eq!(flow(&verdict), expected);
    check(samples::process_down(), "10.9.1.2:45824 -> 10.9.2.2:8080");
    check(samples::security_group_drop(), "[2001:db8::1]:51000 -> [2001:db8::2]:8443");
    check(Verdict { remote: None, ..samples::process_down() }, "many -> 10.9.2.2:8080");
    check(
        Verdict { local: local("10.9.2.2:0"), role: Role::Outbound, ..samples::process_down() },
        "10.9.2.2 -> 10.9.1.2:45824",
    );
    check(Verdict { role: Role::Forwarded, ..samples::process_down() }, "10.9.1.2:45824 -> 10.9.2.2:8080");
}

#[test]
fn hostile_strings_cannot_reach_the_terminal() {
    let verdict = Verdict {
        summary: "say \x1b[31m.".to_owned(),
        next: "do\nthis".to_owned(),
        http: Http { path: Some("/\x1b]0;x\x07".to_owned()), ..Http::default() },
        process: Some(Process { comm: Some("a\rb".to_owned()), unit: Some("\x08".to_owned()), ..Process::default() }),
        stage: Some("\u{9b}".to_owned()),
        ..samples::app_status()
    };
    let text = plainly(vec![verdict]);
    assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text:?}");
}

#[test]
fn of_an_exchange_what_is_known() {
    let check = |http: Http, expected: Option<&str>| {
        assert_eq!(exchange(&Verdict { http, ..samples::app_status() }).as_deref(), expected);
    };
    let some = |text: &str| Some(text.to_owned());
    check(Http::default(), None);
    check(Http { status: Some(502), ..Http::default() }, Some("502"));
    check(Http { method: some("GET"), path: some("/a"), status: Some(502), ..Http::default() }, Some("GET /a 502"));
    let long = "/".to_owned() + &"ä".repeat(400);
    let cut = format!("GET /{}...", "ä".repeat(99));
    check(Http { method: some("GET"), path: Some(long), ..Http::default() }, Some(&cut));
}

#[test]
fn of_a_chain_what_is_between_is_only_named() {
    let hop = Verdict { cause: Some(Box::new(samples::security_group_drop())), ..samples::app_status() };
    let text = plainly(vec![Verdict { cause: Some(Box::new(hop)), ..samples::app_status() }]);
    let chain = "[nginx pid 900] [its own answer] <- app-status 10.9.2.2:8080 <- security-group-drop: The SYN left this \
                 host 3 times and nothing came back";
    assert!(text.contains(chain), "{text}");
}
