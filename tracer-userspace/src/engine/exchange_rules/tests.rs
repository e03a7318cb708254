//! Each rule's hits, and the near misses that must not match.
//!
//! long: hits and near misses of every rule, in one language

use tracer_ebpf::handshake_flag::{ABORT_ON_OVERFLOW, LAST_ACK};

use crate::engine::flow_script::APP;
use crate::engine::script::{CLIENT, SERVER, Script, check, script, verdicts};
use crate::record::{flow_event as event, flow_flag as flag, stage};

/// An inbound connection with a request at 10 ms.
fn request() -> Script {
    script().inbound(1).at(10).get("/orders/7")
}

/// An outbound connection with a request at 10 ms.
fn our_request() -> Script {
    script().outbound(1).at(10).get("/orders/7")
}

/// An inbound connection whose second request comes after `idle_ms`.
fn later_request(idle_ms: u64) -> Script {
    request().at(20).responds(200, 0).at(20 + idle_ms).get("/orders/8")
}

#[test]
fn app_status() {
    check(request().at(22).answers(503), &["app-status inbound certain 503"]);
    check(request().at(22).answers(403), &["app-status inbound certain 403"]);
    check(request().at(22).answers(429), &["app-status inbound certain 429"]);
    check(our_request().at(22).answers(503), &["app-status outbound certain 503"]);
    let out = check(request().at(22).answers(500), &["app-status inbound certain 500"]);
    let verdict = verdicts(&out)[0];
    assert_eq!((verdict.http.duration_us, verdict.http.path.as_deref()), (Some(12_000), Some("/orders/7")));
    assert_eq!(verdict.summary, "gunicorn (pid 812) answered GET /orders/7 with 500 after 12 ms.");
    assert_eq!(verdict.local.unwrap().to_string(), "10.9.2.2:8080");
    assert_eq!(verdict.http.origin.as_deref(), Some("app"));
    // both ends on this host: one verdict
    let both = request().at(22).answers(500).outbound(1).at(10).get("/orders/7").at(22).answers(500);
    check(both, &["app-status inbound certain 500"]);
    let both = our_request().at(23).answers(500).inbound(1).at(10).get("/orders/7").at(22).answers(500);
    check(both, &["app-status inbound certain 500"]);
    // two exchanges of one connection
    let two = request().at(22).answers(500).at(30).get("/x").at(40).answers(502);
    check(two, &["app-status inbound certain 500", "app-status inbound certain 502"]);
}

#[test]
fn app_status_near_misses() {
    // told for another reason, and not watched
    check(request().at(22).answers(404), &[]);
    check(request().at(22).answers(200), &[]);
    // another port
    let mut elsewhere = script();
    elsewhere.server.set_port(9090);
    check(elsewhere.inbound(1).get("/").answers(503), &[]);
    // a port that is only watched since it is an upstream's
    check(script().chained(1, 9, 9090).get("/").answers(503), &[]);
    // told twice
    check(request().at(22).answers(503).tells(event::RESPONSE), &["app-status inbound certain 503"]);
    check(request().at(22).answers(503).at(5000).tells(event::WAITING), &["app-status inbound certain 503"]);
}

#[test]
fn health_checks() {
    let check_request = || request().flags(flag::HEALTH_CHECK);
    let failed = "health-check-failed inbound certain 503 health-check";
    check(check_request().at(22).answers(500), &[failed]);
    check(check_request().at(22).answers(301), &[failed]);
    check(check_request().at(6000).answers(200), &[failed]);
    check(check_request().at(22).answers(200), &[]);
    // whoever calls itself a health checker chooses the path: nothing of it is a command to those who type it
    let forged = script().inbound(1).at(10).get("/$(reboot)").flags(flag::HEALTH_CHECK).at(22).answers(500);
    let out = check(forged, &[failed]);
    let said = &verdicts(&out)[0].next;
    assert!(said.contains("curl -i 'http://10.9.2.2:8080/$(reboot)'`"), "{said}");
    // its other failures: no client saw them
    check(check_request().at(22).tells(event::FIN_SENT), &["premature-close inbound certain 0 health-check"]);
    check(
        check_request().at(11_000).tells(event::RESET_RECEIVED),
        &["app-timeout inbound certain 0 processing health-check"],
    );
}

#[test]
fn premature_close() {
    let early = "premature-close inbound certain 502";
    check(request().at(22).tells(event::FIN_SENT), &[early]);
    check(request().at(22).tells(event::CLOSED), &[early]);
    // a response shorter than announced, or without its last chunk
    check(request().at(22).responds(200, 10).at(30).tells(event::FIN_SENT), &[early]);
    check(request().at(22).responds(200, 10).chunked().at(30).tells(event::FIN_SENT), &[early]);
    // the kernel's RST for what comes afterwards changes nothing
    check(request().at(22).tells(event::FIN_SENT).at(23).tells(event::RESET_SENT), &[early]);
    // a watched status that is cut short
    check(request().at(22).responds(500, 10).tells(event::RESPONSE).at(30).tells(event::FIN_SENT), &[early]);
    // outbound
    check(our_request().at(22).tells(event::FIN_RECEIVED), &["premature-close outbound certain 502"]);
    check(
        our_request().at(22).responds(200, 10).at(30).tells(event::FIN_RECEIVED).at(31).tells(event::FIN_SENT),
        &["premature-close outbound certain 502"],
    );
    // both ends
    let both = request().at(22).tells(event::FIN_SENT).outbound(1).at(10).get("/").at(22).tells(event::FIN_RECEIVED);
    check(both, &[early]);
    // no HTTP, closed at once
    let other = script().inbound(1).without(flag::HTTP).flags(flag::NOT_HTTP).at(10).get("/").at(15);
    check(other.tells(event::FIN_SENT), &["premature-close inbound likely 502 or protocol-mismatch"]);
}

#[test]
fn premature_close_near_misses() {
    // the response was whole
    check(request().at(22).responds(200, 0).at(23).tells(event::FIN_SENT), &[]);
    check(our_request().at(22).responds(200, 0).at(23).tells(event::FIN_RECEIVED), &[]);
    // a client that stopped in the middle of its request
    check(request().without(flag::REQUEST_COMPLETE).at(60_000).tells(event::FIN_SENT), &[]);
    // HTTP ended on it
    check(request().flags(flag::UPGRADED).at(22).tells(event::FIN_SENT), &[]);
    // a protocol of its own, after some talk: a goodbye has no answer
    let other = script().inbound(1).without(flag::HTTP).flags(flag::NOT_HTTP).with_flow(|flow| flow.sent = 90);
    check(other.at(10).get("/").at(11).tells(event::FIN_SENT), &[]);
    // this end closed its half first
    check(our_request().at(20).tells(event::FIN_SENT).at(22).tells(event::FIN_RECEIVED), &[]);
}

#[test]
fn app_reset() {
    let reset = "app-reset inbound certain 502";
    check(request().flags(flag::UNREAD_DATA).at(22).tells(event::RESET_SENT), &[reset]);
    check(request().at(22).responds(200, 10).at(30).tells(event::RESET_SENT), &[reset]);
    check(
        request().with_flow(|flow| flow.stage = stage::NOT_ACCEPTED).at(22).tells(event::RESET_SENT),
        &["app-reset inbound certain 502 not-accepted"],
    );
    let received = "app-reset outbound likely 502 or idle-flow-expired process-crashed";
    check(our_request().at(22).tells(event::RESET_RECEIVED), &[received]);
    check(our_request().at(22).responds(200, 10).at(30).tells(event::RESET_RECEIVED), &[received]);
    let both =
        our_request().at(22).tells(event::RESET_RECEIVED).inbound(1).at(10).get("/").at(21).tells(event::RESET_SENT);
    check(both, &[reset]);
    // nothing was asked
    check(script().outbound(1).without(flag::HTTP).at(22).tells(event::RESET_RECEIVED), &[]);
    // the handshake failed, though this end thought otherwise: that is the verdict
    let thrown_away = || script().full(LAST_ACK | ABORT_ON_OVERFLOW).outbound(1).at(10).get("/orders/7").at(22);
    check(thrown_away().tells(event::RESET_RECEIVED), &["accept-queue-full inbound certain 502"]);
    check(
        thrown_away().in_ns(CLIENT).at(5000).tells(event::RESET_RECEIVED),
        &["accept-queue-full inbound certain 502"],
    );
    // after a whole response
    check(request().at(22).responds(200, 0).at(30).tells(event::RESET_SENT), &[]);
    check(our_request().at(22).responds(200, 0).at(30).tells(event::RESET_RECEIVED), &[]);
}

#[test]
fn process_crashed() {
    let crashed = "process-crashed inbound certain 502 processing";
    let dying = || request().flags(flag::TASK_EXITING).at(22);
    check(dying().tells(event::FIN_SENT).killed(APP, 9), &[crashed]);
    check(dying().tells(event::RESET_SENT).at(25).killed(APP, 11), &[crashed]);
    check(dying().responds(200, 10).at(30).tells(event::FIN_SENT), &["process-crashed inbound certain 502"]);
    // a kernel worker closed it (io_uring); the exit came before or after
    check(request().at(22).tells(event::FIN_SENT).at(300).exited(APP, 1), &[crashed]);
    check(request().at(22).killed(APP, 6).at(900).tells(event::FIN_SENT), &[crashed]);
    let exit = |script: Script| {
        let out = check(script, &[crashed]);
        verdicts(&out)[0].process.as_ref().unwrap().exit.clone().unwrap()
    };
    assert_eq!(exit(dying().tells(event::FIN_SENT).killed(APP, 9)), "signal 9");
    assert_eq!(exit(dying().oom_victim(APP).tells(event::FIN_SENT).at(60).killed(APP, 9)), "signal 9 (oom-kill)");
    assert_eq!(exit(dying().tells(event::FIN_SENT).at(25).exited(APP, 3)), "code 3");
    // the peer gave up while the core was being written
    let dumping = request().at(2000).tells(event::FIN_RECEIVED).flags(flag::TASK_EXITING).at(4000);
    check(dumping.tells(event::FIN_SENT).core_dumped(APP, 11), &[crashed]);
    // nobody had accepted it: its owner is the listener's
    let unaccepted = request().with_flow(|flow| (flow.pid, flow.stage) = (0, stage::NOT_ACCEPTED));
    let unaccepted = unaccepted.at(5).listens(4, "0.0.0.0").flags(flag::TASK_EXITING).at(22).tells(event::RESET_SENT);
    let unaccepted = unaccepted.stops_listening(4, "0.0.0.0").at(23).killed(APP, 9);
    assert_eq!(
        verdicts(&check(unaccepted, &["process-crashed inbound certain 502 not-accepted"]))[0].summary,
        "gunicorn (pid 812) ended by signal 9 before it had accepted GET /orders/7."
    );
    // without HTTP, too
    let other = script().inbound(1).without(flag::HTTP).flags(flag::NOT_HTTP).at(10).get("/").at(22);
    check(other.tells(event::FIN_SENT).at(30).killed(APP, 11), &[crashed]);
}

#[test]
fn process_crashed_near_misses() {
    let early = "premature-close inbound certain 502";
    // it ended long afterwards, another one ended, or it ended in order
    check(request().at(22).tells(event::FIN_SENT).at(9000).killed(APP, 9), &[early]);
    check(request().at(22).tells(event::FIN_SENT).at(25).killed(APP + 1, 9), &[early]);
    check(request().at(22).tells(event::FIN_SENT).at(25).exited(APP, 0), &[early]);
    // stopped after it had finished its requests
    check(
        request().at(22).responds(200, 0).flags(flag::TASK_EXITING).at(30).tells(event::FIN_SENT).killed(APP, 15),
        &[],
    );
    // the client had gone before
    check(request().at(22).tells(event::RESET_RECEIVED).at(30).killed(APP, 9), &["client-abort inbound certain 460"]);
}

#[test]
fn process_crashed_when_the_client_had_left() {
    let left = |at| request().at(at).tells(event::FIN_RECEIVED).flags(flag::TASK_EXITING).at(9000);
    let crashed = "process-crashed inbound certain 502 processing";
    check(left(510).tells(event::FIN_SENT).killed(APP, 15), &["client-abort inbound certain 460"]);
    check(left(510).tells(event::RESET_SENT), &["client-abort inbound certain 460"]);
    check(left(5010).tells(event::FIN_SENT), &["client-abort inbound likely 460 or app-timeout"]);
    // half a close, right behind the request: it waits
    check(left(12).tells(event::FIN_SENT).killed(APP, 9), &[crashed]);
    let takes = request().at(510).tells(event::FIN_RECEIVED).at(6000).responds(200, 10).flags(flag::TASK_EXITING);
    check(takes.at(9000).tells(event::FIN_SENT), &["process-crashed inbound certain 502"]);
    // it left since the process was dying
    let dying = request().at(5000).killed(APP, 9).at(5510).tells(event::FIN_RECEIVED).flags(flag::TASK_EXITING);
    check(dying.at(6000).tells(event::FIN_SENT), &[crashed]);
    // in the middle of a request
    let half = request().without(flag::REQUEST_COMPLETE).at(12).tells(event::FIN_RECEIVED).flags(flag::TASK_EXITING);
    check(half.at(9000).tells(event::FIN_SENT), &["client-abort inbound certain 460"]);
}

#[test]
fn a_silence_that_was_overcome_says_nothing() {
    // the response went on
    let went_on = || {
        let silent = request().at(22).responds(200, 500).at(1500).tells(event::UNANSWERED);
        silent.at(9000).responds(200, 100)
    };
    let dying = went_on().flags(flag::TASK_EXITING).at(9010).tells(event::FIN_SENT);
    check(dying, &["process-crashed inbound certain 502"]);
    check(went_on().at(9010).tells(event::RESET_SENT), &["app-reset inbound certain 502"]);
    check(went_on().at(9010).tells(event::FIN_SENT), &["premature-close inbound certain 502"]);
    // and stopped again
    let vanished = "peer-vanished inbound certain 504";
    check(went_on().at(12_000).tells(event::UNANSWERED).at(20_000).tells(event::FIN_SENT), &[vanished]);
    check(went_on().at(90_000).tells(event::TIMED_OUT), &[vanished]);
    // it never did
    let silent = request().at(22).responds(200, 500).at(1500).tells(event::UNANSWERED).flags(flag::TASK_EXITING);
    check(silent.at(9010).tells(event::FIN_SENT), &[vanished]);
    // an upload got through in the end; then the upstream hung
    let upload = || our_request().at(1500).tells(event::UNANSWERED);
    let through = upload().at(3000).goes_on();
    check(through.at(20_000).tells(event::FIN_SENT), &["app-timeout outbound certain 504"]);
    check(upload().at(20_000).tells(event::FIN_SENT), &["peer-vanished outbound certain 504"]);
}

#[test]
fn client_abort() {
    let abort = "client-abort inbound certain 460";
    check(request().at(500).tells(event::RESET_RECEIVED), &[abort]);
    check(request().at(3000).tells(event::RESET_RECEIVED), &["client-abort inbound likely 460 or app-timeout"]);
    // a FIN, and no whole response after it
    check(request().at(500).tells(event::FIN_RECEIVED).at(600).tells(event::FIN_SENT), &[abort]);
    check(request().at(500).tells(event::FIN_RECEIVED).at(600).tells(event::RESET_SENT), &[abort]);
    check(request().at(500).tells(event::FIN_RECEIVED).at(90_000).tells(event::CLOSED), &[abort]);
    // it was answered by a RST: the client was gone
    let unheard = request().at(500).tells(event::FIN_RECEIVED).at(5000).responds(200, 0).at(5001);
    check(unheard.tells(event::RESET_RECEIVED), &[abort]);
    // in the middle of a request, or of a response of known length
    check(request().without(flag::REQUEST_COMPLETE).at(20_000).tells(event::RESET_RECEIVED), &[abort]);
    check(request().at(22).responds(200, 10).at(30).tells(event::RESET_RECEIVED), &[abort]);
    check(request().at(22).responds(200, 10).flags(flag::UNSENT_DATA).at(9000).tells(event::RESET_RECEIVED), &[abort]);
    // both ends
    let both =
        our_request().at(500).tells(event::RESET_SENT).inbound(1).at(10).get("/").at(500).tells(event::RESET_RECEIVED);
    check(both, &[abort]);
}

#[test]
fn client_abort_near_misses() {
    // half a close, then the whole response
    check(request().at(11).tells(event::FIN_RECEIVED).at(500).responds(200, 0).at(501).tells(event::CLOSED), &[]);
    check(request().at(11).tells(event::FIN_RECEIVED).at(500).responds(200, 0).at(501).tells(event::FIN_SENT), &[]);
    // two requests, half a close, two responses
    let first = request().at(500).tells(event::FIN_RECEIVED).at(600).get("/b").at(700).responds(200, 0);
    check(first.at(701).tells(event::FIN_SENT), &[]);
    // it is not known yet
    check(request().at(500).tells(event::FIN_RECEIVED), &["undecided 1"]);
    // an endless response
    check(request().at(22).responds(200, 10).chunked().at(30).tells(event::RESET_RECEIVED), &[]);
    check(request().at(22).responds(200, 10).until_close().at(9000).tells(event::RESET_RECEIVED), &[]);
    // another protocol's goodbye
    let other = || script().inbound(1).without(flag::HTTP).flags(flag::NOT_HTTP).at(10).get("/").at(22);
    check(other().tells(event::FIN_RECEIVED).tells(event::FIN_SENT), &[]);
    check(other().at(60_000).tells(event::FIN_RECEIVED).tells(event::FIN_SENT), &[]);
    check(other().at(70_000).tells(event::WAITING), &[]);
    // our own end: whoever gives up early has no verdict
    check(our_request().at(500).tells(event::FIN_SENT), &[]);
}

#[test]
fn app_timeout() {
    let timeout = "app-timeout inbound certain 504 processing";
    check(request().at(10_010).tells(event::RESET_RECEIVED), &[timeout]);
    check(request().at(10_010).tells(event::FIN_RECEIVED), &[timeout]);
    check(
        request().at(10_010).tells(event::FIN_RECEIVED).at(20_000).responds(200, 0).tells(event::FIN_SENT),
        &[timeout],
    );
    check(request().at(60_010).tells(event::WAITING), &[timeout]);
    check(request().at(60_010).tells(event::WAITING).at(99_000).tells(event::RESET_RECEIVED), &[timeout]);
    let stage = |stage| request().without(flag::REQUEST_COMPLETE).with_flow(move |flow| flow.stage = stage);
    let not_read = stage(stage::NOT_READ).at(11_000).tells(event::RESET_RECEIVED);
    check(not_read, &["app-timeout inbound certain 504 not-read"]);
    let not_accepted = stage(stage::NOT_ACCEPTED).with_flow(|flow| flow.pid = 0).at(11_000);
    check(not_accepted.tells(event::FIN_RECEIVED), &["app-timeout inbound certain 504 not-accepted"]);
    // TLS that nobody answered
    let hello = script().inbound(1).without(flag::HTTP).flags(flag::TLS).at(10).get("/").at(11_000);
    check(hello.tells(event::RESET_RECEIVED), &[timeout]);
    // outbound
    let outbound = "app-timeout outbound certain 504";
    check(our_request().at(10_010).tells(event::FIN_SENT), &[outbound]);
    check(our_request().at(60_010).tells(event::WAITING).at(70_000).tells(event::RESET_SENT), &[outbound]);
    // `--slow` decides
    let mut quick = request();
    if let crate::record::Record::Host(start) = &mut quick.records[0]
        && let crate::record::HostBody::Start(start) = &mut start.body
    {
        start.slow_ns = 2_000_000_000;
    }
    check(quick.at(2010).tells(event::RESET_RECEIVED), &[timeout]);
}

#[test]
fn a_client_that_left_by_a_fin_and_an_app_that_hangs() {
    let left = |at| request().at(at).tells(event::FIN_RECEIVED).at(60_010).tells(event::WAITING);
    let late = "client-abort inbound likely 460 or app-timeout";
    let out = check(left(5010), &[late]);
    assert_eq!(
        verdicts(&out)[0].next,
        "gunicorn (pid 812) had not answered 60.0 s after the request either: see what it was doing."
    );
    check(left(510), &["client-abort inbound certain 460"]);
    // it closed half of the connection, and waits; or it is gone
    let timeout = "app-timeout inbound certain 504 processing";
    let perhaps = "app-timeout inbound likely 504 processing or client-abort";
    check(left(12), &[perhaps]);
    // until it loses patience
    check(request().at(12).tells(event::FIN_RECEIVED).at(11_000).tells(event::RESET_RECEIVED), &[timeout]);
    // a health checker
    let checker = request().flags(flag::HEALTH_CHECK).at(5010).tells(event::FIN_RECEIVED).at(60_010);
    check(checker.tells(event::WAITING), &["client-abort inbound likely 0 health-check or app-timeout"]);
    // not as long as it takes what comes
    let takes = request().at(510).tells(event::FIN_RECEIVED).at(59_500).responds(200, 10).at(60_010);
    check(takes.tells(event::WAITING), &["undecided 1"]);
    // TLS that nobody answered
    let hello = script().inbound(1).without(flag::HTTP).flags(flag::TLS).at(10).get("/").at(5010);
    check(hello.tells(event::FIN_RECEIVED).at(60_010).tells(event::WAITING), &[perhaps]);
}

#[test]
fn a_proxy_that_left_by_a_fin_and_a_busy_app_that_sees_it_later() {
    let both = |seen: fn(Script) -> Script| {
        let ours = our_request().at(2000).tells(event::FIN_SENT);
        seen(ours.inbound(1).at(10).get("/orders/7").at(2000).tells(event::FIN_RECEIVED))
    };
    let late = "client-abort inbound likely 460 or app-timeout";
    check(both(|s| s.at(7000).tells(event::FIN_SENT)), &[late]);
    check(both(|s| s.at(60_010).tells(event::WAITING)), &[late]);
    check(both(|s| s.flags(flag::TASK_EXITING).at(7000).tells(event::FIN_SENT)), &[late]);
    check(both(|s| s.at(9000).tick()), &["undecided 1"]);
    // it was no failure after all
    check(both(|s| s.at(7000).responds(200, 0).tells(event::FIN_SENT)), &[]);
}

#[test]
fn app_timeout_near_misses() {
    // the client was still sending
    let sending = request().without(flag::REQUEST_COMPLETE).at(11_000).tells(event::RESET_RECEIVED);
    check(sending, &["client-abort inbound certain 460"]);
    // a response had begun
    check(request().at(22).responds(200, 10).until_close().at(70_000).tells(event::WAITING), &[]);
}

#[test]
fn incomplete_response() {
    let incomplete = "incomplete-response inbound certain 504";
    let stuck = || request().at(22).responds(200, 10);
    check(stuck().at(5000).tells(event::RESET_RECEIVED), &[incomplete]);
    check(stuck().at(5000).tells(event::FIN_RECEIVED).at(5100).tells(event::FIN_SENT), &[incomplete]);
    check(stuck().at(15_000).tells(event::FIN_RECEIVED), &[incomplete]);
    check(stuck().at(60_000).tells(event::WAITING), &[incomplete]);
    let likely = "incomplete-response inbound likely 504 or client-abort";
    check(stuck().chunked().at(15_000).tells(event::RESET_RECEIVED), &[likely]);
    let ours = || our_request().at(22).responds(200, 10);
    check(ours().at(5000).tells(event::FIN_SENT), &["incomplete-response outbound certain 504"]);
    check(ours().chunked().at(15_000).tells(event::RESET_SENT), &["incomplete-response outbound likely 504"]);
    check(ours().chunked().at(5000).tells(event::RESET_SENT), &[]);
    // events that stop for a while, and a response of no length
    check(stuck().chunked().at(5000).tells(event::RESET_RECEIVED), &[]);
    check(stuck().until_close().at(15_000).tells(event::RESET_RECEIVED), &[]);
    // the reader left by a FIN, which the app never saw
    check(stuck().at(5000).tells(event::FIN_RECEIVED).at(60_000).tells(event::WAITING), &[incomplete]);
    // or closed half of the connection before that
    let half = || request().at(12).tells(event::FIN_RECEIVED).at(22).responds(200, 10);
    check(half().at(60_000).tells(event::WAITING), &[incomplete]);
    check(half().at(60_000).responds(200, 5).at(60_500).tells(event::WAITING), &["undecided 1"]);
    // the whole response came in the end
    check(stuck().at(5000).tells(event::FIN_RECEIVED).at(5100).responds(200, 0).tells(event::FIN_SENT), &[]);
}

#[test]
fn a_response_that_takes_its_time_is_not_incomplete() {
    let slow = |script: Script| script.at(22).responds(200, 500).at(58_500).responds(200, 100).at(60_010);
    // a pause over the moment at which waiting is told
    check(slow(request()).tells(event::WAITING), &[]);
    check(slow(our_request()).tells(event::WAITING), &[]);
    let whole = slow(request()).tells(event::WAITING).at(90_000).responds(200, 0);
    check(whole.tells(event::FIN_SENT), &[]);
    // what comes of it later decides
    let later = || slow(request()).tells(event::WAITING).at(80_000);
    check(later().tells(event::RESET_RECEIVED), &["incomplete-response inbound certain 504"]);
    check(later().responds(200, 50).at(80_100).tells(event::RESET_RECEIVED), &["client-abort inbound certain 460"]);
    check(later().flags(flag::TASK_EXITING).tells(event::FIN_SENT), &["process-crashed inbound certain 502"]);
    // this end does not read
    let unread = || our_request().at(22).responds(200, 500).flags(flag::UNREAD_DATA).at(60_010);
    check(unread().tells(event::WAITING), &[]);
    check(unread().tells(event::RESET_SENT), &[]);
    let read = unread().tells(event::WAITING).without(flag::UNREAD_DATA).at(80_000);
    check(read.tells(event::FIN_SENT), &["incomplete-response outbound certain 504"]);
    // as the other end sees as well
    let both = |flags| {
        let ours = our_request().at(22).responds(200, 500).at(60_010).tells(event::WAITING);
        ours.inbound(1).at(10).get("/").at(22).responds(200, 500).flags(flags).at(60_010).tells(event::WAITING)
    };
    check(both(flag::UNSENT_DATA), &[]);
    check(both(0), &["incomplete-response inbound certain 504"]);
}

#[test]
fn keepalive_race() {
    let race = "keepalive-race inbound certain 502";
    let out = check(later_request(5000).at(5021).tells(event::LATE_DATA), &[race]);
    assert!(verdicts(&out)[0].summary.contains("5.0 s after it was last used"), "{}", verdicts(&out)[0].summary);
    // the exchange before it had a verdict of its own
    let after_error = request().at(22).answers(503).at(6000).tells(event::LATE_DATA);
    check(after_error, &["app-status inbound certain 503", race]);
    // the number that late data is told with may be that of the last exchange
    let with_heads = request().at(22).answers(503).at(6000).with_flow(|flow| flow.status = 0);
    let out = check(with_heads.tells(event::LATE_DATA), &["app-status inbound certain 503", race]);
    assert_eq!(verdicts(&out)[1].http.path.as_deref(), Some("/orders/7"));
    let ours = || our_request().at(20).responds(200, 0).at(5020).get("/orders/8");
    let out_race = "keepalive-race outbound certain 502";
    check(ours().flags(flag::FIN_RECEIVED).at(5021).tells(event::RESET_RECEIVED), &[out_race]);
    check(ours().at(5021).tells(event::FIN_RECEIVED).at(5022).tells(event::RESET_RECEIVED), &[out_race]);
    // it reads that, and closes before the RST comes
    let closes = || ours().flags(flag::FIN_RECEIVED).at(5021).tells(event::FIN_SENT);
    check(closes(), &[out_race]);
    check(closes().at(5022).tells(event::RESET_RECEIVED), &[out_race]);
    // closed without ever having been used
    check(our_request().flags(flag::FIN_RECEIVED).at(21).tells(event::RESET_RECEIVED), &[out_race]);
    let old = our_request().flags(flag::MID_STREAM | flag::FIN_RECEIVED).at(11).tells(event::RESET_RECEIVED);
    check(old, &[out_race]);
    // the FIN was on its way when the request was sent
    let closes = || ours().at(5021).tells(event::FIN_RECEIVED).tells(event::FIN_SENT).at(5041);
    check(closes().tells(event::RESET_RECEIVED), &[out_race]);
    let both = ours().at(5021).tells(event::FIN_RECEIVED).at(5022).tells(event::RESET_RECEIVED);
    let both = both.inbound(1).at(5020).get("/").at(5021).tells(event::LATE_DATA);
    check(both, &[race]);
}

#[test]
fn keepalive_race_near_misses() {
    // the goodbye of TLS is no request
    check(later_request(5000).flags(flag::TLS).at(5021).tells(event::LATE_DATA), &[]);
    // the first request of a connection
    let first = our_request().at(21).tells(event::FIN_RECEIVED).at(22).tells(event::RESET_RECEIVED);
    check(first, &["premature-close outbound certain 502"]);
    // this end gives up first, and the peer closes then
    let gave_up = || our_request().at(20).responds(200, 0).at(5020).get("/").at(5030).tells(event::FIN_SENT);
    check(gave_up(), &[]);
    check(gave_up().at(5031).tells(event::RESET_RECEIVED), &[]);
    // a FIN without a RST: the request was read
    let read = || our_request().at(20).responds(200, 0).at(5020).get("/").at(5030).tells(event::FIN_RECEIVED);
    let early = "premature-close outbound certain 502";
    check(read(), &[early]);
    check(read().tells(event::FIN_SENT), &[early]);
    // the RST answers what was sent after the FIN, or a request on a new connection
    let went_on = read().at(5031).goes_on().at(5032);
    check(went_on.tells(event::FIN_SENT).at(5041).tells(event::RESET_RECEIVED), &[early]);
    let first = our_request().at(21).tells(event::FIN_RECEIVED).tells(event::FIN_SENT).at(41);
    check(first.tells(event::RESET_RECEIVED), &[early]);
    // a RST without a FIN
    let reset = our_request().at(20).responds(200, 0).at(5020).get("/").at(5030).tells(event::RESET_RECEIVED);
    check(reset, &["app-reset outbound likely 502 or idle-flow-expired process-crashed"]);
}

#[test]
fn idle_flow_expired() {
    let ours = |idle_ms: u64| our_request().at(20).responds(200, 0).at(20 + idle_ms).get("/orders/8");
    let expired = "idle-flow-expired outbound likely 502 or keepalive-race peer-vanished";
    check(ours(61_000).at(61_050).tells(event::RESET_RECEIVED), &[expired]);
    check(ours(61_000).at(63_000).tells(event::UNANSWERED).at(70_000).tells(event::FIN_SENT), &[expired]);
    check(ours(61_000).at(90_000).tells(event::TIMED_OUT), &[expired]);
    // not idle for that long
    check(
        ours(59_000).at(59_050).tells(event::RESET_RECEIVED),
        &["app-reset outbound likely 502 or idle-flow-expired process-crashed"],
    );
    // the peer had closed in order
    check(
        ours(61_000).flags(flag::FIN_RECEIVED).at(61_050).tells(event::RESET_RECEIVED),
        &["keepalive-race outbound certain 502"],
    );
    // it may come back
    check(ours(61_000).at(63_000).tells(event::UNANSWERED), &["undecided 1"]);
    // a response that took a minute met a RST
    let inbound = request().at(70_000).responds(200, 0).at(70_010).tells(event::RESET_RECEIVED);
    check(inbound, &["idle-flow-expired inbound likely 502 or keepalive-race peer-vanished"]);
}

#[test]
fn peer_vanished() {
    let inbound = "peer-vanished inbound certain 504";
    check(request().at(22).responds(200, 10).at(9000).tells(event::TIMED_OUT), &[inbound]);
    check(
        request().at(22).responds(200, 10).at(900).tells(event::UNANSWERED).at(5000).tells(event::FIN_SENT),
        &[inbound],
    );
    check(
        our_request().at(900).tells(event::UNANSWERED).at(5000).tells(event::FIN_SENT),
        &["peer-vanished outbound certain 504"],
    );
    check(our_request().at(9000).tells(event::TIMED_OUT), &["peer-vanished outbound certain 504"]);
    // keep-alive probes of an idle connection asked for nothing
    check(request().at(22).responds(200, 0).at(9_000_000).tells(event::TIMED_OUT), &[]);
    // nothing more was heard for longer than any socket waits
    check(our_request().at(900).tells(event::UNANSWERED).at(1_400_000).tick().at(1_600_000).tick(), &[]);
    // whether the rest got through will not be known
    check(request().at(22).responds(200, 0).at(900).tells(event::UNANSWERED), &[]);
    // only the FIN was lost
    let fin = request().at(22).responds(200, 0).flags(flag::FIN_SENT).with_flow(|flow| flow.retransmits = 9);
    check(fin.at(90_000).tells(event::TIMED_OUT), &[]);
}

#[test]
fn packets_dropped() {
    let drop = "firewall-drop inbound certain 504";
    let lost = |script: Script, from_client| script.payload_dropped(from_client);
    // the response does not get out
    let stuck = || lost(request().at(22).in_ns(SERVER), false).at(1500);
    check(stuck().tells(event::UNANSWERED), &[drop]);
    check(stuck().at(60_010).tells(event::WAITING), &[drop]);
    check(stuck().at(5000).tells(event::RESET_RECEIVED), &[drop]);
    // the rest of the request does not come in
    let half = request().without(flag::REQUEST_COMPLETE).at(20);
    check(lost(half, true).at(20_000).tells(event::RESET_RECEIVED), &[drop]);
    // our own
    let ours = lost(our_request().at(20), true).at(1500).tells(event::UNANSWERED);
    check(ours, &["firewall-drop outbound certain 504"]);
    let ours = our_request().at(20).payload_lost(false).at(1500).tells(event::UNANSWERED);
    check(ours, &["kernel-drop outbound certain 504"]);
    // it had no room for the connection
    let full = || request().conntrack(99, 0).at(20).payload_dropped(false).at(500);
    check(full().conntrack(100, 5).at(1500).tells(event::UNANSWERED), &["conntrack-full inbound certain 504"]);
    // it had hardly any room, and the next reading, which would tell, never came
    let nearly = request().conntrack(98, 0).at(20).payload_dropped(false).at(900).tells(event::UNANSWERED);
    check(nearly, &["conntrack-full inbound likely 504 or firewall-drop"]);
    check(full().conntrack(98, 0).at(1500).tells(event::UNANSWERED), &[drop]);
    check(stuck().at(1600).conntrack(3, 0).tells(event::UNANSWERED), &[drop]);
}

#[test]
fn packets_dropped_near_misses() {
    // it got through in the end, and the app was slow
    let late = request().at(5).payload_dropped(true).at(10).get("/").at(11_000);
    check(late.tells(event::RESET_RECEIVED), &["app-timeout inbound certain 504 processing"]);
    // of another connection
    let other = script().inbound(2).payload_dropped(false).inbound(1).at(10).get("/").at(11_000);
    check(other.tells(event::RESET_RECEIVED), &["app-timeout inbound certain 504 processing"]);
    // a bare FIN
    let bare = request().at(20).payload_dropped(false).but(|packet| packet.payload_len = 0).at(11_000);
    check(bare.tells(event::RESET_RECEIVED), &["app-timeout inbound certain 504 processing"]);
    // the response was whole
    let whole = request().at(20).payload_dropped(false).at(300).responds(200, 0).at(400);
    check(whole.tells(event::FIN_SENT), &[]);
}

#[test]
fn malformed_response() {
    check(request().at(22).tells(event::MALFORMED), &["malformed-response inbound certain 502"]);
    check(request().flags(flag::UPGRADED).at(22).tells(event::MALFORMED), &[]);
    // at the connecting end it is none, nor is what follows it anything else
    check(our_request().at(22).tells(event::MALFORMED).at(23).tells(event::FIN_RECEIVED), &[]);
    check(our_request().at(22).tells(event::MALFORMED).at(23).tells(event::RESET_RECEIVED), &[]);
    let both = our_request().at(22).tells(event::MALFORMED).inbound(1).at(10).get("/").at(21).tells(event::MALFORMED);
    check(both, &["malformed-response inbound certain 502"]);
    let mut with_bytes = request();
    with_bytes.heads.as_mut().unwrap().malformed = Some("debug: 7".to_owned());
    let out = check(with_bytes.tells(event::MALFORMED), &["malformed-response inbound certain 502"]);
    assert!(verdicts(&out)[0].summary.contains("\"debug: 7\""), "{}", verdicts(&out)[0].summary);
}

#[test]
fn protocol_mismatch() {
    let mismatch = "protocol-mismatch inbound certain 502";
    let began = |flags| script().inbound(1).without(flag::HTTP).flags(flags).at(10).get("/").at(22);
    check(began(flag::TLS).answers(400), &[mismatch]);
    check(began(flag::HTTP2).answers(505), &[mismatch]);
    check(began(flag::PROXY_HEADER | flag::HTTP).answers(400), &[mismatch]);
    check(request().flags(flag::ALERT_SENT).tells(event::MALFORMED), &[mismatch]);
    check(began(flag::TLS).tells(event::FIN_SENT), &[mismatch]);
    check(began(flag::HTTP2).tells(event::RESET_SENT), &[mismatch]);
    // it had worked before; it was answered; another error
    check(began(flag::TLS | flag::SUCCEEDED_BEFORE).answers(400), &[]);
    check(
        began(flag::TLS).with_flow(|flow| flow.sent = 9).tells(event::RESET_SENT),
        &["app-reset inbound certain 502"],
    );
    check(began(flag::PROXY_HEADER | flag::HTTP).answers(500), &["app-status inbound certain 500"]);
    // the process died
    let died = began(flag::TLS | flag::TASK_EXITING).tells(event::FIN_SENT);
    check(died, &["process-crashed inbound certain 502 processing"]);
}

#[test]
fn the_middle_of_a_stream_is_marked() {
    let mid = request().flags(flag::MID_STREAM).with_flow(|flow| flow.established_ns = 0).at(22).answers(500);
    let out = check(mid, &["app-status inbound certain 500"]);
    assert!(verdicts(&out)[0].evidence[0].detail.contains("mid-stream"), "{:?}", verdicts(&out)[0].evidence);
}

#[test]
fn a_loss_takes_certainty() {
    check(request().at(15).lost(1).at(22).answers(500), &["app-status inbound likely 500"]);
    check(script().lost(1).at(5).inbound(1).at(10).get("/").at(22).answers(500), &["app-status inbound certain 500"]);
}
