//! HTTP statuses that people ask about, above all those of balancers.

use super::StatusText;
use crate::verdict::Slug;

const IN_THE_APP: &str = "See who answers: `wherefore record --port PORT --status 4xx,5xx`. If the app answered, its verdict is \
                          app-status; if no request arrives for it, the answer was given in front of this host.";

pub(super) const ALL: [StatusText; 11] = [
    StatusText {
        status: 401,
        name: "Unauthorized",
        story: "The request carries no valid credentials. The app answers so itself; an application load balancer does when a listener rule authenticates users and is set to deny those who are not signed in, or when the identity provider turned the sign-in down.",
        verdicts: &[Slug::AppStatus],
        advice: &[
            IN_THE_APP,
            "At the balancer: check the authenticate action of the listener rule, its client secret, and the session cookie's lifetime.",
        ],
    },
    StatusText {
        status: 403,
        name: "Forbidden",
        story: "The request is understood and refused. The app answers so itself (permissions, CSRF, an allow-list), or a proxy on this host does (deny rules, file permissions), or a web application firewall at the balancer blocks it before it reaches any target.",
        verdicts: &[Slug::AppStatus],
        advice: &[
            "See who answers: `wherefore record --port PORT`. If the app or proxy answered, its verdict is app-status; if no request arrives for it, the answer was given in front of this host.",
            "In front: look at the web ACL's sampled requests, and at the balancer's fixed-response rules.",
            "Only some clients: compare whether their requests carry Authorization, Cookie, Origin and Referer.",
        ],
    },
    StatusText {
        status: 429,
        name: "Too Many Requests",
        story: "A rate limit was hit. Application load balancers do not count requests themselves, so it comes from the app, from a proxy (nginx limit_req with limit_req_status 429), from a web application firewall with such a response, or from an upstream, passed on.",
        verdicts: &[Slug::AppStatus],
        advice: &[
            "See who answers: `wherefore record --port PORT`; the verdict app-status says whether the app, the proxy or an upstream did.",
            "Behind a balancer all clients may share its address: limit by X-Forwarded-For or by user, not by the peer's address.",
        ],
    },
    StatusText {
        status: 460,
        name: "Client closed the connection (AWS application load balancer)",
        story: "The client went away before the balancer had an answer for it and before the balancer's idle time-out. The balancer notes 460 in its log; the client sees nothing.",
        verdicts: &[Slug::ClientAbort, Slug::AppTimeout],
        advice: &[
            "Compare the client's time-out with how long the app takes: counters show the latencies, app-timeout the worst ones.",
            "Make the client's time-out longer than the balancer's idle time-out, or the app faster.",
        ],
    },
    StatusText {
        status: 463,
        name: "Too many addresses in X-Forwarded-For (AWS application load balancer)",
        story: "The request's X-Forwarded-For header names more than 30 addresses, so the balancer refuses it. No target ever sees it. Usually the request goes round in circles through proxies, each of which adds its address; sometimes a client made the header up.",
        verdicts: &[],
        advice: &[
            "Look for a loop: a proxy behind the balancer that sends to the balancer's own name.",
            "Let the outermost trusted proxy set X-Forwarded-For anew instead of appending to it.",
        ],
    },
    StatusText {
        status: 464,
        name: "Protocol versions do not fit (AWS application load balancer)",
        story: "The request's protocol cannot be sent to the target group: gRPC to an HTTP/1.1 group, HTTP/1.1 to an HTTP/2 or gRPC group, or an HTTP/2 request other than POST to a gRPC group. No target ever sees it.",
        verdicts: &[],
        advice: &[
            "Set the target group's protocol version to what clients speak; it is fixed at creation, so make a new group.",
            "Or send such requests to another target group with a listener rule.",
        ],
    },
    StatusText {
        status: 499,
        name: "Client closed the request (nginx)",
        story: "nginx notes 499 in its log when the client closed the connection while nginx was still waiting for its upstream. It is never sent. With a balancer in front, the client is the balancer: its idle time-out may have run out, in which case users saw 504.",
        verdicts: &[Slug::ClientAbort, Slug::AppTimeout],
        advice: &[
            "Many at the same duration: that is a time-out in front. Users see 504 (balancer) or their own client's error.",
            "Watch both ports, nginx's and the upstream's: app-timeout at the upstream tells which requests are slow.",
        ],
    },
    StatusText {
        status: 502,
        name: "Bad Gateway",
        story: "The balancer or proxy could not get a proper answer: the connection was refused or reset, was closed before the response was whole, or what came is no HTTP. At an AWS application load balancer also when a TLS handshake with the target fails, and for requests that outlive the deregistration delay.",
        verdicts: &[
            Slug::ProcessDown,
            Slug::WrongBindAddress,
            Slug::FirewallReject,
            Slug::HostUnreachable,
            Slug::NoRoute,
            Slug::PortExhausted,
            Slug::UpstreamSocketMissing,
            Slug::ProcessCrashed,
            Slug::AppReset,
            Slug::PrematureClose,
            Slug::KeepaliveRace,
            Slug::IdleFlowExpired,
            Slug::MalformedResponse,
            Slug::ProtocolMismatch,
            Slug::AcceptQueueFull,
            Slug::AppStatus,
        ],
        advice: &[
            "Run `wherefore record --port PORT` on the target while it happens: the verdict is the answer.",
            "No verdict on the target: the proxy in front could not reach it at all; record there, on the same port.",
            "A few, scattered, at low load: keepalive-race is the usual one.",
        ],
    },
    StatusText {
        status: 503,
        name: "Service Unavailable",
        story: "There is nobody to ask: the target group has no registered target in use. Proxies such as HAProxy answer so when all servers are marked down by health checks; an AWS application load balancer whose targets are all unhealthy tries them all the same. Apps answer 503 themselves when overloaded or in maintenance.",
        verdicts: &[Slug::HealthCheckFailed, Slug::AppStatus],
        advice: &[
            "See whether targets are registered, and in a zone that the balancer uses.",
            "Run `wherefore record --port PORT`: health-check-failed and process-down with health_check set say why targets are taken out; app-status says that the app answered so itself.",
        ],
    },
    StatusText {
        status: 504,
        name: "Gateway Timeout",
        story: "The balancer or proxy waited in vain: the connection was not made in time (10 s at an AWS application load balancer), or the response did not come before the idle time-out (60 s by default).",
        verdicts: &[
            Slug::FirewallDrop,
            Slug::SecurityGroupDrop,
            Slug::InboundSilence,
            Slug::ReturnPathDrop,
            Slug::AcceptQueueFull,
            Slug::ConntrackFull,
            Slug::KernelDrop,
            Slug::Hairpin,
            Slug::IncompleteResponse,
            Slug::AppTimeout,
            Slug::PeerVanished,
            Slug::FirewallReject,
            Slug::AppStatus,
        ],
        advice: &[
            "Run `wherefore record --port PORT` on the target while it happens.",
            "No SYN arrives: the clients or the balancer are stopped before this host. Check its security group, network ACLs and routes.",
            "SYNs arrive and are dropped: the verdict names the firewall or the queue. Connections are made and requests wait: app-timeout names the stage.",
        ],
    },
    StatusText {
        status: 561,
        name: "Sign-in failed (AWS application load balancer)",
        story: "A listener rule authenticates users, and the identity provider answered the balancer with an error. The request never reaches a target.",
        verdicts: &[],
        advice: &[
            "The balancer's access log has the reason in its error_reason field.",
            "Check the rule's client id, client secret, issuer and endpoints, and that the balancer can reach them: its own outbound security group, and DNS.",
        ],
    },
];
