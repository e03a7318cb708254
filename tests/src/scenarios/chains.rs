//! Real proxies and app servers: what they answer, and why.

use super::exchanges::seen;
use crate::lab::{Family, Host, Place, WATCHED};
use crate::load::Load;
use crate::program::{Make, Program};
use crate::scenario::{Cause, Exchanges, Expect, Grade, Remote, Scenario, Step, Top, View, Want, scenario, talk};
use crate::talk::Move::{self, Ended, Get, Over, Pause, Status};

/// Nothing listens there.
const DOWN: u16 = 9001;
/// On the way there, packets are lost.
const DROPPED: u16 = 9002;
/// The test app is there.
const APP: u16 = 9003;
/// Another proxy is there.
const SECOND: u16 = 9005;

/// A proxy's own answer: which of the two it is called depends on what else the process was seen doing.
const OWN: &[&str] = &["app", "proxy"];

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = vec![nginx(family), haproxy(family), retried(family), crowd(family)];
    table.extend([two_hops(family), hidden_hops(family)]);
    table.extend(app_servers(family));
    table
}

fn answered(path: &'static str, status: u64, process: &'static str) -> Want {
    Want::inbound("app-status", Grade::certain(status)).answered("GET", path, status).process(process)
}

/// What the client sees of such answers.
fn to_client(wants: &[Want]) -> Vec<Want> {
    let outbound = |want: &Want| Want {
        role: "outbound",
        process: None,
        origin: None,
        cause: Cause::Null,
        stage: None,
        exit: None,
        ..want.clone()
    };
    wants.iter().map(outbound).collect()
}

fn because(slug: &'static str, port: u16) -> Cause {
    Cause::of(slug, Remote::Loopback(port))
}

const NGINX: &str = "
    upstream spare { server LOOPBACK:9001 max_fails=0; server LOOPBACK:9003 max_fails=0; }
    server {
        listen 8080;
        listen [::]:8080;
        proxy_connect_timeout 1500ms;
        proxy_read_timeout 1s;
        location / { proxy_pass http://LOOPBACK:9003; }
        location /down/ { proxy_pass http://LOOPBACK:9001; }
        location /dropped/ { proxy_pass http://CLIENT:9002; }
        location /own { return 403; }
        location /spare/ { proxy_pass http://spare; }
        location = /status/501 { proxy_pass http://spare; }
    }
";

/// A proxy on the watched port, with the test app behind it.
fn proxy(make: Make, text: &'static str) -> Vec<Step> {
    vec![
        Step::Upstream(APP),
        Step::Program(Program { make, port: WATCHED, text }),
        Step::Nft(Place::Router, passing_on!("tcp dport 9002 drop")),
        Step::Record,
    ]
}

fn nginx(family: Family) -> Scenario {
    const TALKS: [&[Move]; 4] = [
        &[Get("/ok"), Status(200), Get("/down/a"), Status(502), Get("/own"), Status(403)],
        &[Get("/status/500"), Status(500), Get("/status/404"), Status(404), Get("/reset"), Status(502)],
        &[Get("/close"), Status(502), Get("/hang"), Status(504), Get("/dropped/a"), Status(504)],
        &[Get("/short"), Ended],
    ];
    const TOP: &[Top] = &[
        ("502", "origins", "proxy", 3),
        ("502", "causes", "process-down", 1),
        ("502", "causes", "app-reset", 1),
        ("502", "paths", "/down/a", 1),
        ("504", "causes", "security-group-drop", 1),
        ("500", "origins", "upstream", 1),
    ];
    let server = vec![
        answered("/down/a", 502, "nginx").origin(&["proxy"]).cause(because("process-down", DOWN)),
        answered("/dropped/a", 504, "nginx")
            .origin(&["proxy"])
            .cause(Cause::of("security-group-drop", Remote::At(Host::Client, DROPPED))),
        answered("/hang", 504, "nginx").origin(&["proxy"]).cause(because("app-timeout", APP)),
        answered("/reset", 502, "nginx").origin(&["proxy"]).cause(because("app-reset", APP)),
        answered("/close", 502, "nginx").origin(&["proxy"]).cause(because("premature-close", APP)),
        answered("/own", 403, "nginx").origin(OWN),
        answered("/status/500", 500, "nginx").origin(&["upstream"]).cause(because("app-status", APP)),
        Want::inbound("premature-close", Grade::certain(502))
            .answered("GET", "/short", 200)
            .process("nginx")
            .cause(because("premature-close", APP)),
    ];
    let client = to_client(&server);
    let mut steps = proxy(Make::Nginx, NGINX);
    steps.extend(TALKS.map(talk));
    scenario("chain-nginx", family, steps, seen(server, client)).server(|view| view.top(TOP))
}

fn haproxy(family: Family) -> Scenario {
    const TALKS: [&[Move]; 5] = [
        &[Get("/ok"), Status(200), Get("/status/500"), Status(500)],
        &[Get("/down/a"), Status(503)],
        &[Get("/own"), Status(403)],
        &[Get("/close"), Status(502)],
        &[Get("/hang"), Status(504)],
    ];
    const CONFIGURATION: &str = "
frontend front
    bind LISTEN:8080
    http-request deny deny_status 403 if { path /own }
    use_backend down if { path_beg /down/ }
    default_backend app
backend down
    server a LOOPBACK:9001
backend app
    server b LOOPBACK:9003
";
    let server = vec![
        answered("/down/a", 503, "haproxy").origin(&["proxy"]).cause(because("process-down", DOWN)),
        answered("/hang", 504, "haproxy").origin(&["proxy"]).cause(because("app-timeout", APP)),
        answered("/close", 502, "haproxy").origin(&["proxy"]).cause(because("premature-close", APP)),
        answered("/own", 403, "haproxy").origin(OWN),
        answered("/status/500", 500, "haproxy").origin(&["upstream"]).cause(because("app-status", APP)),
    ];
    let client = to_client(&server);
    let mut steps = proxy(Make::Haproxy, CONFIGURATION);
    steps.extend(TALKS.map(talk));
    scenario("chain-haproxy", family, steps, seen(server, client))
}

/// What failed at one upstream and was answered by another has no part in the answer.
fn retried(family: Family) -> Scenario {
    let wanted = answered("/status/501", 501, "nginx").times(2..=2).origin(&["upstream"]);
    let client = to_client(std::slice::from_ref(&wanted));
    let mut steps = proxy(Make::Nginx, NGINX);
    steps.push(talk(&[
        Get("/spare/a"),
        Status(200),
        Get("/spare/b"),
        Status(200),
        Get("/status/501"),
        Status(501),
        Get("/status/501"),
        Status(501),
    ]));
    scenario("chain-retried-elsewhere", family, steps, seen(vec![wanted.cause(because("app-status", APP))], client))
}

const SECOND_HOP: &str = "
    server {
        listen 9005;
        listen [::]:9005;
        proxy_read_timeout 500ms;
        location / { proxy_pass http://LOOPBACK:9001; }
        location /hang { proxy_pass http://LOOPBACK:9003; }
    }
";
const FIRST_HOP: &str = "
frontend front
    bind LISTEN:8080
    default_backend second
backend second
    server a LOOPBACK:9005
";

/// `HAProxy` in front of nginx.
fn two_proxies() -> [Step; 3] {
    [
        Step::Upstream(APP),
        Step::Program(Program { make: Make::Nginx, port: SECOND, text: SECOND_HOP }),
        Step::Program(Program { make: Make::Haproxy, port: WATCHED, text: FIRST_HOP }),
    ]
}

/// What the first of them relays, with the second's own reason.
fn relayed(path: &'static str, status: u64, reason: Cause) -> Want {
    answered(path, status, "haproxy").origin(&["upstream"]).cause(Cause::Verdict {
        slug: "app-status",
        remote: Remote::Loopback(SECOND),
        cause: Box::new(reason),
    })
}

/// Both proxies are watched.
fn two_hops(family: Family) -> Scenario {
    let down = because("process-down", DOWN);
    let second = || answered("/a", 502, "nginx").port(SECOND).to(Host::Loopback).origin(&["proxy"]).cause(down.clone());
    let first = relayed("/a", 502, down.clone());
    let client = to_client(std::slice::from_ref(&first));
    let mut steps = two_proxies().to_vec();
    steps.extend([Step::Record, talk(&[Get("/a"), Status(502)])]);
    scenario("chain-two-hops", family, steps, seen(vec![first, second()], client)).flags(&["--port", "8080,9005"])
}

/// Only the first is: of the second there is no line, but it is followed.
fn hidden_hops(family: Family) -> Scenario {
    let server =
        vec![relayed("/a", 502, because("process-down", DOWN)), relayed("/hang", 504, because("app-timeout", APP))];
    let client = to_client(&server);
    let mut steps = two_proxies().to_vec();
    steps.extend([Step::Record, talk(&[Get("/a"), Status(502), Get("/hang"), Status(504)])]);
    scenario("chain-hidden-hops", family, steps, seen(server, client))
}

/// Two hundred requests at once, one upstream of two down: no answer gets another's cause.
fn crowd(family: Family) -> Scenario {
    const TWO: &str = "
    upstream two { server LOOPBACK:9001 max_fails=0; server LOOPBACK:9003 weight=4 max_fails=0; }
    server {
        listen 8080;
        listen [::]:8080;
        proxy_next_upstream off;
        location / { proxy_pass http://two; }
    }
";
    const PATHS: &[&str] =
        &["/ok", "/slow/200", "/status/500", "/slow/400", "/status/404", "/slow/300", "/status/503", "/ok/b"];
    let perhaps = |cause| Cause::Perhaps(Box::new(cause));
    let refused = PATHS.iter().map(|path| answered(path, 502, "nginx").cause(perhaps(because("process-down", DOWN))));
    let relayed = [("/status/500", 500), ("/status/503", 503)].map(|(path, status)| {
        answered(path, status, "nginx").origin(&["upstream"]).cause(perhaps(because("app-status", APP)))
    });
    let wants: Vec<Want> = refused.chain(relayed).map(|want| want.times(1..=200)).collect();
    let view = |wants| View::all(wants).failures_as_counted().exchanges(Exchanges::AsCounted);
    let mut both = view(wants.clone());
    both.times = 2;
    scenario(
        "chain-crowd",
        family,
        vec![
            Step::Upstream(APP),
            Step::Program(Program { make: Make::Nginx, port: WATCHED, text: TWO }),
            Step::Record,
            Step::Load(Load { port: WATCHED, clients: 200, connections: Some(1), requests: 1, depth: 1, paths: PATHS }),
        ],
        Expect { client: view(to_client(&wants)), server: view(wants), both, all: None },
    )
}

fn app_servers(family: Family) -> Vec<Scenario> {
    const WSGI: &str = "\
import os, time
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/raise':
        raise ValueError('as asked')
    if path == '/die':
        os._exit(7)
    if path == '/hang':
        time.sleep(60)
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";
    const NODE: &str = "\
const server = require('http').createServer((request, response) => {
    if (request.url === '/throw') { throw new Error('as asked'); }
    response.end('ok');
});
server.keepAliveTimeout = 300;
server.listen(8080, 'LISTEN'.replace(/[\\[\\]]/g, ''));
";
    let dies = Want::inbound("process-crashed", Grade::certain(502)).unanswered("GET", "/die").exit("code 7");
    let raises = answered("/raise", 500, "gunicorn").origin(&["app"]);
    let closed = |path| Want::outbound("premature-close", Grade::certain(502)).unanswered("GET", path);
    let throws = Want::inbound("process-crashed", Grade::certain(502)).unanswered("GET", "/throw").exit("code 1");
    let late = || Want::inbound("keepalive-race", Grade::certain(502)).process("node");
    let late_client = Want::outbound("keepalive-race", Grade::certain(502)).unanswered("GET", "/late");
    let node = || Step::Program(Program { make: Make::Node, port: WATCHED, text: NODE });
    vec![
        scenario(
            "app-gunicorn",
            family,
            vec![
                Step::Program(Program { make: Make::Gunicorn, port: WATCHED, text: WSGI }),
                Step::Record,
                talk(&[Get("/ok"), Status(200)]),
                talk(&[Get("/raise"), Status(500)]),
                talk(&[Get("/die"), Over]),
                talk(&[Get("/ok"), Status(200)]),
            ],
            seen(vec![raises.clone(), dies], [to_client(&[raises]), vec![closed("/die")]].concat()),
        ),
        scenario(
            "app-node-keep-alive",
            family,
            vec![
                node(),
                Step::Record,
                talk(&[Get("/ok"), Status(200), Pause(100), Get("/ok"), Status(200), Ended]),
                // Node waits for a second longer than it was told
                talk(&[Get("/ok"), Status(200), Pause(1900), Get("/late"), Over]),
            ],
            Expect {
                server: View::of(late().unread()),
                client: View::of(late_client),
                both: View::of(late().unanswered("GET", "/late")),
                all: None,
            },
        ),
        scenario(
            "app-node-throws",
            family,
            vec![node(), Step::Record, talk(&[Get("/ok"), Status(200), Get("/throw"), Over]), Step::ProgramEnded],
            seen(vec![throws], vec![closed("/throw")]),
        ),
    ]
}
