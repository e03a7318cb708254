//! Upstreams at unix sockets.

use super::exchanges::seen;
use crate::lab::{Family, WATCHED};
use crate::program::{Make, Program};
use crate::scenario::{Cause, Grade, Remote, Scenario, Step, Want, scenario, talk};
use crate::talk::Move::{Get, Status};

const PATH: &str = "/run/wherefore-lab-nobody.sock";
const NGINX: &str = "
    server {
        listen 8080;
        listen [::]:8080;
        location / { return 200 ok; }
        location /missing { proxy_pass http://unix:/run/wherefore-lab-nobody.sock; }
    }
";

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let missing = Want::outbound("upstream-socket-missing", Grade::certain(502)).unix(PATH).process("nginx");
    let answered = Want::inbound("app-status", Grade::certain(502)).answered("GET", "/missing", 502).process("nginx");
    let answered = answered.origin(&["proxy"]).cause(Cause::of("upstream-socket-missing", Remote::Unix(PATH)));
    let client = Want::outbound("app-status", Grade::certain(502)).answered("GET", "/missing", 502);
    vec![
        scenario(
            "upstream-socket-missing",
            family,
            vec![
                Step::Program(Program { make: Make::Nginx, port: WATCHED, text: NGINX }),
                Step::Record,
                talk(&[Get("/ok"), Status(200), Get("/missing"), Status(502)]),
            ],
            seen(vec![missing.evidence("connect-failed", "ENOENT"), answered], vec![client]),
        )
        .flags(&["--unix-upstreams"])
        .in_ci(family == Family::V4),
    ]
}
