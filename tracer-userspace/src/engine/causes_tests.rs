//! Chains: a proxy on this host, and why it answered so.
//!
//! long: one script for each way in which a cause is found, or is not

use super::flow_script::APP;
use super::script::{PORT, Script, check, script, verdicts};
use crate::record::{Record, flow_event as event, flow_flag as flag};

/// The proxy that serves the watched port.
const NGINX: u32 = 900;
/// A port that nobody watches.
const UPSTREAM: u16 = 9090;

/// A request to the proxy, from `begin` to `end`, which it answers with `status`.
fn asked(s: Script, n: u16, begin: u64, end: u64, path: &str, status: u16) -> Script {
    let s = s.usual_ends().at(begin).inbound(n).owned_by(NGINX, "nginx").get(path);
    s.at(end).answers(status)
}

/// The proxy cannot connect to an upstream.
fn refused(s: Script, n: u16, begin: u64, end: u64) -> Script {
    let s = s.at(begin).connects(n, NGINX, UPSTREAM).at(end);
    s.reset_received().closed(111).usual_ends()
}

/// The proxy asks an upstream, which does something.
fn passed_on(s: Script, n: u16, begin: u64, path: &str) -> Script {
    s.at(begin).chained(n, NGINX, UPSTREAM).get(path)
}

const DOWN: &str = "process-down outbound likely 502 or firewall-reject";

#[test]
fn a_502_names_the_upstream_that_is_down() {
    let chain = asked(refused(script(), 50, 12, 13), 1, 10, 14, "/a", 502);
    let out = check(chain, &[&format!("app-status inbound certain 502 by proxy <- {DOWN}")]);
    let cause = verdicts(&out)[0].cause.as_deref().unwrap();
    assert_eq!(cause.remote.unwrap().to_string(), "127.0.0.1:9090");
    assert!(verdicts(&out)[0].next.starts_with("Follow the cause: "), "{}", verdicts(&out)[0].next);
}

#[test]
fn a_504_names_what_took_so_long() {
    // its connect was silent until it gave up; nothing of that port is printed
    let silent =
        script().at(20).connects(50, NGINX, UPSTREAM).to("10.9.3.3:9090").at(1020).retransmit().at(2020).closed(0);
    let chain = asked(silent, 1, 10, 2021, "/a", 504);
    let drop = "security-group-drop outbound likely 504 or firewall-drop firewall-reject remote-down return-path-drop";
    check(chain, &[&format!("app-status inbound certain 504 by proxy <- {drop}")]);
    // it was not answered: the proxy gave up long before --slow
    let hanging = passed_on(script(), 50, 12, "/a").at(2000).tells(event::FIN_SENT);
    let chain = asked(hanging, 1, 10, 2001, "/a", 504);
    check(chain, &["app-status inbound certain 504 by proxy <- app-timeout outbound certain 504"]);
    // it closed after it had answered
    let hanging = asked(script(), 1, 10, 2001, "/a", 504);
    let chain = passed_on(hanging, 50, 12, "/a").at(2040).tells(event::FIN_SENT);
    check(chain, &["app-status inbound certain 504 by proxy <- app-timeout outbound certain 504"]);
    // without the proxy's answer that is nothing
    check(passed_on(script(), 50, 12, "/a").at(2000).tells(event::FIN_SENT), &[]);
}

#[test]
fn a_proxy_that_gives_up_early_says_so_itself() {
    let short = |end| script().at(20).connects(50, NGINX, UPSTREAM).to("10.9.3.3:9090").at(end).closed(0);
    let drop = "security-group-drop outbound likely 504 or firewall-drop firewall-reject remote-down return-path-drop";
    let answer = |status| format!("app-status inbound certain {status} by proxy");
    for status in [503, 504] {
        let chain = asked(short(320), 1, 10, 321, "/a", status);
        check(chain, &[&format!("{} <- {drop}", answer(status))]);
    }
    // it is no gateway's error, or no proxy's
    check(asked(short(320), 1, 10, 321, "/a", 500), &[&answer(500)]);
    let app = short(320).usual_ends().at(10).inbound(1).owned_by(NGINX, "node").get("/a").at(321).answers(503);
    check(app, &["app-status inbound certain 503"]);
    // given up for another reason
    check(asked(short(30), 1, 10, 321, "/a", 504), &["app-status inbound certain 504"]);
}

#[test]
fn a_connect_that_sent_nothing_is_waited_for() {
    // it came back at once; that is found out later
    let unsent = script().at(12).connects(50, NGINX, UPSTREAM).to("10.9.3.3:9090").at(1100).unsent(101);
    let chain = asked(unsent, 1, 10, 13, "/a", 502);
    let no_route = "no-route outbound certain 502";
    let out = check(chain, &[&format!("app-status inbound certain 502 by proxy <- {no_route}")]);
    assert_eq!(verdicts(&out)[0].cause.as_ref().unwrap().remote.unwrap().to_string(), "10.9.3.3:9090");
    // of another request
    let unsent = script().at(500).connects(50, NGINX, UPSTREAM).to("10.9.3.3:9090").at(1600).unsent(101);
    check(asked(unsent, 1, 10, 13, "/a", 502), &["app-status inbound certain 502 by proxy"]);
}

#[test]
fn a_hop_that_nobody_watches_is_only_a_cause() {
    let worker = 77;
    let mut server = script().at(12).inbound(50).owned_by(worker, "python3").flags(flag::CHAINED).get("/a");
    server.flow.tuple.src_port = UPSTREAM;
    let server = server.at(13).answers(503);
    let mut chain = passed_on(server, 50, 12, "/a").at(13).answers(503);
    chain = chain.at(12).connects(60, worker, 5432).at(13).reset_received().closed(111).usual_ends();
    let out = check(
        asked(chain, 1, 10, 14, "/a", 503),
        &[&format!("app-status inbound certain 503 by upstream <- app-status inbound certain 503 <- {DOWN}")],
    );
    let next = &verdicts(&out)[0].next;
    assert_eq!(next.matches("Follow the cause: ").count(), 1, "{next}");
}

#[test]
fn a_relayed_answer_is_the_upstreams() {
    let relayed = passed_on(script(), 50, 12, "/a").at(13).answers(503);
    let chain = asked(relayed, 1, 10, 14, "/a", 503);
    check(chain, &["app-status inbound certain 503 by upstream <- app-status outbound certain 503"]);
    let forbidden = passed_on(script(), 50, 12, "/a").at(13).answers(403);
    let chain = asked(forbidden, 1, 10, 14, "/a", 403);
    check(chain, &["app-status inbound certain 403 by upstream <- app-status outbound certain 403"]);
    // the upstream broke off
    let broke = passed_on(script(), 50, 12, "/a").at(13).tells(event::FIN_RECEIVED);
    let chain = asked(broke, 1, 10, 14, "/a", 502);
    check(chain, &["app-status inbound certain 502 by proxy <- premature-close outbound certain 502"]);
    // and in the middle of its response, which the proxy had passed on by then
    let broke = passed_on(script(), 50, 12, "/a").at(13).responds(200, 10).at(20).tells(event::FIN_RECEIVED);
    let cut = broke.usual_ends().at(10).inbound(1).owned_by(NGINX, "nginx").get("/a").at(14).responds(200, 10);
    let early = "premature-close outbound certain 502";
    check(cut.at(21).tells(event::FIN_SENT), &[&format!("premature-close inbound certain 502 <- {early}")]);
    // another path, but the same trace id; then the same path, but another id
    let traced = passed_on(script(), 50, 12, "/rewritten").trace_id("Root=1").at(13).answers(503);
    let traced = traced.usual_ends().at(10).inbound(1).owned_by(NGINX, "nginx").get("/a").trace_id("Root=1");
    check(
        traced.at(14).answers(503),
        &["app-status inbound certain 503 by upstream <- app-status outbound certain 503"],
    );
    let other = passed_on(script(), 50, 12, "/a").trace_id("Root=2").at(13).answers(503);
    let other = other.usual_ends().at(10).inbound(1).owned_by(NGINX, "nginx").get("/a").trace_id("Root=1");
    check(other.at(14).answers(503), &["app-status inbound certain 503 by proxy"]);
}

#[test]
fn a_health_check_that_is_passed_on() {
    let check_of = |s: Script, end: u64, status: u16| {
        let s = s.usual_ends().at(10).inbound(1).owned_by(NGINX, "nginx").flags(flag::HEALTH_CHECK);
        s.get("/health").at(end).answers(status)
    };
    let asked = || passed_on(script(), 50, 12, "/health").flags(flag::HEALTH_CHECK);
    let failed = "health-check-failed inbound certain 503 health-check";
    for status in [503, 404, 301] {
        let relayed = asked().at(13).answers(status);
        let cause = "app-status outbound certain 0 health-check";
        check(check_of(relayed, 14, status), &[&format!("{failed} by upstream <- {cause}")]);
    }
    let late = check_of(asked().at(6000).answers(200), 6001, 200);
    check(late, &[&format!("{failed} by upstream <- app-status outbound certain 0 health-check")]);
    // both ends
    let (server, client) = both_ends(script(), 50, 12, "/health");
    let (server, client) = (server.flags(flag::HEALTH_CHECK), client.flags(flag::HEALTH_CHECK));
    let mut s = server.at(13).answers(503);
    s.records.extend(client.at(13).answers(503).records);
    check(check_of(s, 14, 503), &[failed, &format!("{failed} by upstream <- {failed}")]);
    // by itself, of what it was answered otherwise, and of nothing
    let forwards = flag::FORWARDS | flag::HEALTH_CHECK;
    let own = script().at(10).inbound(1).owned_by(NGINX, "nginx").flags(forwards).get("/health");
    check(own.at(14).answers(404), &[&format!("{failed} by proxy")]);
    check(check_of(asked().at(13).answers(404), 14, 503), &[&format!("{failed} by proxy")]);
    // a request that is no health check, and nobody's
    check(passed_on(script(), 50, 12, "/health").at(13).answers(404), &[]);
    check(asked().at(13).answers(404), &[]);
}

#[test]
fn what_waits_at_the_same_moment_is_the_cause() {
    let front = || script().usual_ends().at(10).inbound(1).owned_by(NGINX, "nginx").get("/a").at(60_012);
    let upstream = |s: Script| passed_on(s, 50, 12, "/a").at(60_012).tells(event::WAITING);
    let timeout = "app-timeout inbound certain 504 processing";
    let cause = "app-timeout outbound certain 504";
    check(upstream(front().tells(event::WAITING)), &[&format!("{timeout} <- {cause}")]);
    check(
        upstream(front().flags(flag::FORWARDS).owned_by(NGINX, "node").tells(event::WAITING)),
        &[&format!("{timeout} <- {cause}")],
    );
    // nobody was asked, or for something else
    check(front().tells(event::WAITING), &[timeout]);
    let other = passed_on(front().tells(event::WAITING), 50, 12, "/b").at(60_012).tells(event::WAITING);
    check(other, &[timeout]);
}

#[test]
fn another_requests_error_answers_for_nothing() {
    // the same path is answered 504 all the time; of one request the client leaves, and the proxy with it
    let (server, client) = both_ends(script(), 50, 112, "/a");
    let mut s = server.at(5000).tells(event::FIN_RECEIVED).at(5300).tells(event::FIN_SENT);
    s.records.extend(client.at(5000).tells(event::FIN_SENT).records);
    let s = s.usual_ends().at(110).inbound(2).owned_by(NGINX, "nginx").get("/a").at(5000);
    let s = s.tells(event::FIN_RECEIVED).tells(event::FIN_SENT);
    let mut said = vec!["client-abort inbound likely 460 or app-timeout"; 2];
    check(s.clone(), &said);
    said.push("app-status inbound certain 504 by proxy");
    check(asked(s, 1, 50, 5200, "/a", 504), &said);
}

/// An app whose connect this host's own firewall drops, for a second.
fn dropped(s: Script, n: u16, begin: u64) -> Script {
    let s = s.at(begin).connects(n, APP, UPSTREAM).to("10.9.3.3:9090").unsent_syns().own_netfilter();
    s.at(begin + 1000).retransmit().own_netfilter().at(begin + 1001).closed(0).usual_ends()
}

#[test]
fn an_attempt_that_is_decided_later_is_waited_for() {
    let app =
        |s: Script, begin: u64| s.usual_ends().at(begin).inbound(1).get("/a").at(1014).answers(500).at(9000).tick();
    let drop = "firewall-drop outbound certain 504";
    check(app(dropped(script(), 50, 12), 10), &[&format!("app-status inbound certain 500 <- {drop}")]);
    // not of the request: it had begun before
    check(app(dropped(script(), 50, 12), 13), &["app-status inbound certain 500"]);
    // whoever passes that on waits as well
    let (server, client) = both_ends(dropped(script(), 50, 12), 51, 11, "/a");
    let mut s = server.at(1014).answers(500);
    s.records.extend(client.at(1014).answers(500).records);
    let chain = asked(s, 1, 10, 1015, "/a", 500).at(9000).tick();
    let cause = format!("app-status inbound certain 500 <- {drop}");
    check(chain, &[&cause, &format!("app-status inbound certain 500 by upstream <- {cause}")]);
}

#[test]
fn an_answer_to_another_path_may_have_been_relayed() {
    let said = |s: Script, expected: &[&str]| {
        let out = check(s, expected);
        verdicts(&out)[0].http.origin.clone()
    };
    let upstream = |status| passed_on(script(), 50, 12, "/orders").at(13).answers(status);
    // location /api/ { proxy_pass http://app/; }: nothing is known of the two but the status
    let rewritten = said(asked(upstream(503), 1, 10, 14, "/api/orders", 503), &["app-status inbound certain 503"]);
    assert_eq!(rewritten, None);
    // another status, or another time
    let proxy = "app-status inbound certain 503 by proxy";
    said(asked(upstream(500), 1, 10, 14, "/api/orders", 503), &[proxy]);
    let earlier = passed_on(script(), 50, 5, "/orders").at(8).answers(503);
    let forwards = earlier.usual_ends().at(10).inbound(1).owned_by(NGINX, "nginx").flags(flag::FORWARDS);
    said(forwards.get("/api/orders").at(14).answers(503), &[proxy]);
    // somebody else's
    let others = asked(upstream(503), 2, 11, 15, "/orders", 503);
    let relayed = "app-status inbound certain 503 by upstream <- app-status outbound certain 503";
    said(asked(others, 1, 10, 14, "/api/orders", 503), &[proxy, relayed]);
}

#[test]
fn its_own_answers_have_no_cause() {
    // nobody was asked
    check(asked(script(), 1, 10, 14, "/a", 403), &["app-status inbound certain 403"]);
    let forwards = script().at(10).inbound(1).owned_by(NGINX, "nginx").get("/a").flags(flag::FORWARDS);
    check(forwards.at(14).answers(403), &["app-status inbound certain 403 by proxy"]);
    // an app that asks others is no proxy for that
    let app = script().at(10).inbound(1).get("/a").flags(flag::FORWARDS);
    check(app.at(14).answers(500), &["app-status inbound certain 500"]);
    // a failed connect is no reason for a 403
    let chain = asked(refused(script(), 50, 12, 13), 1, 10, 14, "/a", 403);
    check(chain, &["app-status inbound certain 403 by proxy"]);
    // another process's
    let others = script().at(12).connects(50, APP, UPSTREAM).at(13).reset_received().closed(111);
    check(asked(others, 1, 10, 14, "/a", 502), &["app-status inbound certain 502"]);
    // another request's, by path and by time
    let other = passed_on(script(), 50, 12, "/b").at(13).answers(500);
    check(asked(other, 1, 10, 14, "/a", 503), &["app-status inbound certain 503 by proxy"]);
    let before = refused(script(), 50, 5, 6);
    check(asked(before, 1, 10, 14, "/a", 502), &["app-status inbound certain 502 by proxy"]);
    let after = refused(asked(script(), 1, 10, 14, "/a", 502), 50, 300, 301);
    check(after, &["app-status inbound certain 502 by proxy"]);
    // nobody knows who answered
    let unknown = script().at(10).inbound(1).owned_by(0, "").get("/a").at(14).answers(502);
    check(unknown, &["app-status inbound certain 502"]);
}

#[test]
fn a_retry_that_succeeded_elsewhere_is_no_cause() {
    // the first upstream was down, the second answered
    let first = refused(script(), 50, 12, 13);
    let second = passed_on(first, 51, 14, "/a").at(15).answers(500);
    check(
        asked(second, 1, 10, 16, "/a", 500),
        &["app-status inbound certain 500 by upstream <- app-status outbound certain 500"],
    );
    // two of one request, one after the other: the last decided
    let both = refused(refused(script(), 50, 12, 13), 51, 14, 15);
    let out =
        check(asked(both, 1, 10, 16, "/a", 502), &[&format!("app-status inbound certain 502 by proxy <- {DOWN}")]);
    assert_eq!(verdicts(&out)[0].cause.as_ref().unwrap().isn, Some(5051));
    // an exchange that failed, then one that was answered so
    let cut = passed_on(script(), 50, 12, "/a").at(13).tells(event::FIN_RECEIVED);
    let then = passed_on(cut, 51, 14, "/a").at(15).answers(502);
    check(
        asked(then, 1, 10, 16, "/a", 502),
        &["app-status inbound certain 502 by upstream <- app-status outbound certain 502"],
    );
}

#[test]
fn who_connected_after_all_did_not_fail_of_it() {
    let connects = |s: Script, n, at| s.at(at).connects(n, NGINX, UPSTREAM).at(at).connected().usual_ends();
    // it tried another one, which took it, and then failed for a reason of its own
    let s = connects(refused(script(), 50, 12, 13), 51, 14);
    check(asked(s, 1, 10, 16, "/a", 500), &["app-status inbound certain 500 by proxy"]);
    let s = connects(refused(script(), 50, 12, 13), 51, 14);
    check(asked(s, 1, 10, 16, "/a", 502), &["app-status inbound certain 502 by proxy"]);
    // of a request that it had passed on something would be known
    let s = connects(refused(script(), 50, 12, 13), 51, 14);
    let s = s.at(10).inbound(1).owned_by(NGINX, "nginx").flags(flag::FORWARDS).get("/a").at(16).answers(502);
    check(s, &[&format!("app-status inbound certain 502 by proxy <- {DOWN}")]);
    // before, or when it had answered: that was for something else
    let explained = format!("app-status inbound certain 502 by proxy <- {DOWN}");
    let s = connects(refused(connects(script(), 51, 11), 50, 12, 13), 52, 17);
    check(asked(s, 1, 10, 16, "/a", 502), &[&explained]);
}

#[test]
fn a_proxy_does_not_make_one_failure_of_another() {
    // a time-out is no refusal
    check(asked(refused(script(), 50, 12, 13), 1, 10, 2021, "/a", 504), &["app-status inbound certain 504 by proxy"]);
    // another request for the same path got the upstream's own error, while this one's connect failed
    let s = refused(passed_on(script(), 50, 12, "/a").at(13).answers(500), 51, 12, 14);
    let s = asked(asked(s, 1, 10, 15, "/a", 502), 2, 10, 15, "/a", 500);
    let upstream = "app-status inbound certain 500 by upstream <- app-status outbound certain 500";
    check(s, &[&format!("app-status inbound certain 502 by proxy <- {DOWN}"), upstream]);
    // an app may make one of another
    let s = passed_on(script(), 50, 12, "/a").owned_by(APP, "node").at(13).answers(500);
    let s = s.usual_ends().at(10).inbound(1).owned_by(APP, "node").get("/a").at(14).answers(502);
    check(s, &["app-status inbound certain 502 by proxy <- app-status outbound certain 500"]);
}

#[test]
fn what_cannot_be_told_apart_is_not() {
    // two requests at once, and both connects failed
    let s = refused(refused(script(), 50, 12, 14), 51, 13, 15);
    let s = asked(asked(s, 1, 10, 16, "/a", 502), 2, 10, 17, "/b", 502);
    let said = "app-status inbound certain 502 by proxy";
    let out = check(s, &[said, said]);
    for verdict in verdicts(&out) {
        let note = verdict.evidence.iter().find(|item| item.event == crate::verdict::Event::CauseCandidates).unwrap();
        assert_eq!(note.detail, "2 failures of the process fit as the cause: process-down 127.0.0.1:9090");
    }
    // only one of both can have been in time for the first: the other is the second's
    let s = refused(refused(script(), 50, 12, 14), 51, 200, 210);
    let s = asked(asked(s, 1, 10, 16, "/a", 502), 2, 10, 217, "/b", 502);
    let explained = format!("app-status inbound certain 502 by proxy <- {DOWN}");
    let out = check(s, &[&explained, &explained]);
    let causes: Vec<_> = verdicts(&out).iter().map(|verdict| verdict.cause.as_ref().unwrap().isn).collect();
    assert_eq!(causes, [Some(5050), Some(5051)]);
    // one connect failed, and of two requests only one was answered as that is
    let s = refused(script(), 50, 12, 13);
    let s = asked(asked(s, 1, 10, 16, "/a", 503), 2, 10, 17, "/b", 502);
    check(s, &["app-status inbound certain 503 by proxy", &explained]);
    // the same path twice, each with an upstream's answer of its own
    let s = passed_on(passed_on(script(), 50, 12, "/a").at(14).answers(503), 51, 13, "/a").at(15).answers(503);
    let s = asked(asked(s, 1, 10, 16, "/a", 503), 2, 10, 17, "/a", 503);
    let relayed = "app-status inbound certain 503 by upstream";
    check(s, &[relayed, relayed]);
}

#[test]
fn many_at_once_get_no_wrong_cause() {
    let mut s = script();
    for n in 0..200 {
        s = refused(s, 1000 + n, 12, 20 + u64::from(n % 7));
    }
    for n in 0..200 {
        s = asked(s, 1 + n, 10, 40, &format!("/{n}"), 502);
    }
    let out = super::script::run(&Vec::<Record>::from(s));
    let causes = verdicts(&out).into_iter().filter(|verdict| verdict.cause.is_some()).count();
    assert_eq!((verdicts(&out).iter().map(|verdict| verdict.count).sum::<u64>(), causes), (200, 0));
}

/// Both ends of the proxy's connection to an app whose port is watched too.
fn both_ends(s: Script, n: u16, begin: u64, path: &str) -> (Script, Script) {
    let mut server = s.at(begin).inbound(n).get(path);
    let mut client = server.clone().outbound(n).owned_by(NGINX, "nginx").get(path);
    client.records.clear();
    server.heads.clone_from(&client.heads);
    (server, client)
}

#[test]
fn several_hops_on_one_host() {
    let (server, client) = both_ends(script(), 50, 12, "/a");
    let (server, client) = (server.at(13).answers(503), client.at(13).answers(503));
    let mut s = server;
    s.records.extend(client.records);
    let chain = asked(s, 1, 10, 14, "/a", 503);
    let app = "app-status inbound certain 503";
    check(chain, &[app, &format!("app-status inbound certain 503 by upstream <- {app}")]);
    // the app crashed
    let (server, client) = both_ends(script(), 50, 12, "/a");
    let server = server.flags(flag::TASK_EXITING).at(13).tells(event::RESET_SENT).killed(APP, 9);
    let mut s = server;
    s.records.extend(client.at(13).tells(event::RESET_RECEIVED).records);
    let crashed = "process-crashed inbound certain 502 processing";
    check(asked(s, 1, 10, 14, "/a", 502), &[crashed, &format!("app-status inbound certain 502 by proxy <- {crashed}")]);
    // the app hung, and the proxy lost patience before --slow
    let (server, client) = both_ends(script(), 50, 12, "/a");
    let server = server.at(3000).tells(event::FIN_RECEIVED).at(3001).tells(event::FIN_SENT);
    let mut s = server;
    s.records.extend(client.at(3000).tells(event::FIN_SENT).records);
    let hung = "app-timeout inbound certain 504 processing";
    check(asked(s, 1, 10, 3001, "/a", 504), &[hung, &format!("app-status inbound certain 504 by proxy <- {hung}")]);
    // whoever asked the proxy left, and the proxy with it: nobody was answered for
    let (server, client) = both_ends(script(), 50, 12, "/a");
    let mut s = server.at(500).tells(event::RESET_RECEIVED);
    s.records.extend(client.at(500).tells(event::RESET_SENT).records);
    check(s, &["client-abort inbound certain 460"]);
}

#[test]
fn a_chain_has_an_end() {
    // each process passes the request on to the next; the last cannot connect
    let mut s = script().at(30).connects(90, 900 + 6, UPSTREAM).at(31).reset_received().closed(111).usual_ends();
    for hop in (0..7_u16).rev() {
        let (begin, end) = (10 + u64::from(hop), 60 - u64::from(hop));
        let pid = 900 + u32::from(hop);
        let server = s.at(begin).inbound(1 + hop).owned_by(pid, "nginx").get("/a");
        let mut client = server.clone().outbound(1 + hop).owned_by(pid - 1, "nginx").get("/a");
        client.records.clear();
        s = server.at(end).answers(502);
        if hop > 0 {
            s.records.extend(client.at(end).answers(502).records);
        }
    }
    let out = super::script::run(&Vec::<Record>::from(s));
    let deepest = verdicts(&out)
        .into_iter()
        .map(|verdict| std::iter::successors(verdict.cause.as_deref(), |cause| cause.cause.as_deref()).count());
    assert_eq!(deepest.max(), Some(4));
    assert!(verdicts(&out).iter().all(|verdict| verdict.port == PORT));
}
