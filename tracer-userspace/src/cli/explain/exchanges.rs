//! Why exchanges on established connections fail.

use super::{Group, SlugText};
use crate::verdict::Slug;

pub(super) const APP: Group = Group {
    title: "The app failed a request",
    texts: &[
        SlugText {
            slug: Slug::ProcessCrashed,
            answered: "502",
            story: "The process that owned the connection died while a request was unanswered or a response unfinished. The kernel then closes its sockets with a RST or a FIN, which the client cannot tell from an app that did so itself.",
            evidence: &[
                "The socket's owner was exiting when the connection was closed, or seen to end right then.",
                "How it ended: exit code, signal, or killed for lack of memory.",
            ],
            advice: &[
                "signal 9 (oom-kill): give it more memory or find its leak; `journalctl -k` shows what the kernel decided.",
                "signal 6 or 11: a crash; `coredumpctl info`.",
                "signal 15: it was stopped. Let it finish its requests first: drain the target before stopping the app, and let the app handle SIGTERM gracefully.",
            ],
        },
        SlugText {
            slug: Slug::AppReset,
            answered: "502",
            story: "The app closed the connection in a way that makes the kernel send a RST: it left data unread, or had set SO_LINGER to zero, with a request unanswered. On the connecting side: the peer's RST came while our request was unanswered.",
            evidence: &[
                "A RST was sent because of unread data at close, or because of SO_LINGER.",
                "The process lives on.",
            ],
            advice: &[
                "Look into the app's log at that time for a request that it refused: a body too large, a time-out while reading, an exception in a handler.",
                "Common: a worker time-out that kills the request (gunicorn, uwsgi), or an answer given before the whole body was read.",
            ],
        },
        SlugText {
            slug: Slug::PrematureClose,
            answered: "502",
            story: "The app closed the connection in order, but too early: without any answer, or in the middle of one, as its own Content-Length or missing last chunk shows.",
            evidence: &["A FIN was sent while the request was unanswered or the response shorter than it said."],
            advice: &[
                "Look into the app's log at that time for an exception while it was writing the response.",
                "Compare the declared Content-Length with the body: compression or encoding may have changed its length.",
            ],
        },
        SlugText {
            slug: Slug::IncompleteResponse,
            answered: "504",
            story: "The response's head was sent, then its body stopped short of what it had announced, and the connection stayed open until the other end lost patience. Without a Content-Length the verdict is likely: a stream of events looks the same when its reader leaves.",
            evidence: &[
                "A response head, then fewer body bytes than Content-Length or no last chunk, and silence until the peer gave up.",
            ],
            advice: &[
                "Compare the declared Content-Length with the body: the app may announce more than it sends.",
                "See what a streaming handler was waiting for: a database cursor, an upstream, a lock.",
            ],
        },
        SlugText {
            slug: Slug::AppTimeout,
            answered: "504",
            story: "The request was delivered to the app's host and no response followed in time. The stage says how far it got: not-accepted (still in the listener's queue), not-read (accepted, but the app never read it), or processing.",
            evidence: &[
                "The request's last byte was acknowledged; no response byte was sent.",
                "The peer, or a local proxy, gave up; or the time allowed was over.",
            ],
            advice: &[
                "not-accepted, not-read: the app has no free worker. Look at its concurrency, and at what occupies the workers.",
                "processing: profile that path; slow queries and calls to other services without a time-out are the usual reasons.",
                "Let time-outs grow outwards: the app's own shorter than its proxy's, and that shorter than the balancer's.",
            ],
        },
        SlugText {
            slug: Slug::MalformedResponse,
            answered: "502",
            story: "On a port where HTTP/1 is spoken the app sent something that is no HTTP response head. A balancer cannot pass that on.",
            evidence: &["The first bytes sent for the request are not an HTTP status line."],
            advice: &[
                "See what was sent: often a stray print to the socket, another protocol, or headers with forbidden characters.",
                "Check that nothing writes a body for HEAD, 204 or 304, since it would be taken for the next response.",
            ],
        },
        SlugText {
            slug: Slug::ProtocolMismatch,
            answered: "502",
            story: "The peer began with TLS, an HTTP/2 preface, a PROXY protocol header, or plain HTTP, and the app expected something else: it answered 400, a TLS alert, or closed.",
            evidence: &[
                "The first bytes of the connection, and what the app answered.",
                "No exchange of this peer on this port has ever succeeded.",
            ],
            advice: &[
                "Make the target group's protocol and version fit the port: HTTP or HTTPS, HTTP/1.1, HTTP/2 or gRPC.",
                "PROXY protocol must be switched on at both ends, or at neither.",
            ],
        },
        SlugText {
            slug: Slug::HealthCheckFailed,
            answered: "503, once no healthy target is left",
            story: "A health check of a balancer or orchestrator was answered, but with a status other than 2xx or after more than five seconds. Enough of these and the target gets no more requests.",
            evidence: &["A request whose User-Agent is that of a health checker, its path, status and duration."],
            advice: &[
                "Ask for the health check's path yourself: `curl -i http://127.0.0.1:PORT/PATH`.",
                "301 or 302: the path redirects (to HTTPS, or for lack of a Host header); point the check at the final path.",
                "401 or 403: the path needs authentication; let health checks pass without.",
                "Let the check depend on this instance only, not on a database that all instances share.",
            ],
        },
        SlugText {
            slug: Slug::AppStatus,
            answered: "the same status, passed on",
            story: "The app, or a proxy on this host, answered with a status that is watched (403, 429 and 5xx unless --status says otherwise). Network and kernel did their part. If the process had a failure of its own while it worked on the request, that one is shown as the cause.",
            evidence: &[
                "The response's status line, with the Server header and who answered: the app, the proxy itself, or an upstream through it.",
                "The cause, if there is one: a whole verdict of its own.",
            ],
            advice: &[
                "With a cause: follow the cause.",
                "origin app: the app's own log at that time and path says why.",
                "origin proxy: the proxy's error log; it could not get an answer from its upstream.",
            ],
        },
    ],
};

pub(super) const CONNECTIONS: Group = Group {
    title: "Established connections that broke",
    texts: &[
        SlugText {
            slug: Slug::KeepaliveRace,
            answered: "502",
            story: "A balancer sent a request on a kept-alive connection at the moment when the app closed it for being idle. The app's host answers with a RST. The app's keep-alive time is shorter than the balancer's idle time-out, so this happens again and again at low rates.",
            evidence: &[
                "The app closed the idle connection; then a request came and was answered by a RST.",
                "The idle time before it.",
            ],
            advice: &[
                "Set the app's keep-alive time longer than the balancer's idle time-out (60 s by default at AWS): for example 75 s.",
                "nginx: keepalive_timeout; Node.js: server.keepAliveTimeout and headersTimeout; gunicorn: --keep-alive.",
            ],
        },
        SlugText {
            slug: Slug::IdleFlowExpired,
            answered: "502",
            story: "A connection was idle for a minute or more, and the first data after that was answered by a RST or by nothing. Network load balancers, NAT gateways and connection tracking forget idle connections (typically after 350 s) without telling either end.",
            evidence: &[
                "Data after at least 60 s idle, answered by a RST with no FIN before it, or never acknowledged.",
                "The idle time before it.",
            ],
            advice: &[
                "Switch on TCP keep-alive with a time below that limit: net.ipv4.tcp_keepalive_time=60 and SO_KEEPALIVE in the app.",
                "Or close pooled connections after less idle time than that.",
            ],
        },
        SlugText {
            slug: Slug::ClientAbort,
            answered: "460",
            story: "The client, or the balancer for it, closed or reset the connection while its request was unanswered, before the app had taken suspiciously long. People who leave a page do that, and clients with short time-outs.",
            evidence: &["A FIN or RST of the peer while the request was unanswered, and how long it had waited."],
            advice: &[
                "If it had waited over a second, treat it as slowness: see `wherefore explain app-timeout`.",
                "Many after the same time: a client's time-out. Compare it with the app's slowest paths.",
            ],
        },
        SlugText {
            slug: Slug::PeerVanished,
            answered: "504",
            story: "The connection was established and in use; then the peer stopped acknowledging, until the kernel or the app gave up. Its host died, its address moved, or something in between began to drop the connection.",
            evidence: &["Data was sent again and again and never acknowledged."],
            advice: &[
                "See whether the peer's host was stopped, replaced or moved at that time.",
                "If only large packets vanish, the path's MTU is too small and ICMP is blocked: allow ICMP type 3 code 4.",
            ],
        },
    ],
};
