use std::collections::BTreeSet;

use super::*;

fn page() -> Page {
    Page { styles: Styles::default(), width: 80 }
}

#[test]
fn every_slug_has_one_text() {
    let count = |slug: Slug| texts().filter(|text| text.slug == slug).count();
    for slug in Slug::ALL {
        assert_eq!(count(*slug), usize::from(*slug != Slug::RemoteDown), "{slug}");
        assert!(page().topic(slug.as_str()).is_ok(), "{slug}");
    }
}

#[test]
fn texts_say_something_everywhere() {
    for text in texts() {
        assert!(text.story.len() > 80 && text.story.ends_with('.'), "{}", text.slug);
        assert!(!text.evidence.is_empty() && !text.advice.is_empty(), "{}", text.slug);
        for item in text.evidence.iter().chain(text.advice) {
            assert!(item.len() > 12 && item.ends_with('.'), "{}: {item}", text.slug);
        }
    }
}

#[test]
fn the_statuses_that_are_promised_have_texts() {
    let known: Vec<u16> = statuses::ALL.iter().map(|text| text.status).collect();
    assert_eq!(known, [401, 403, 429, 460, 463, 464, 499, 502, 503, 504, 561]);
    for text in &statuses::ALL {
        assert!(!text.advice.is_empty() && text.story.len() > 80, "{}", text.status);
        assert!(page().topic(&text.status.to_string()).is_ok());
    }
}

#[test]
fn gateway_statuses_name_the_verdicts_that_expect_them() {
    let leads_to = |status: u16| -> BTreeSet<Slug> {
        statuses::ALL.iter().filter(|text| text.status == status).flat_map(|text| text.verdicts).copied().collect()
    };
    for text in texts() {
        for status in [460, 502, 503, 504] {
            let expects = text.answered.starts_with(&status.to_string());
            assert!(!expects || leads_to(status).contains(&text.slug), "{} {status}", text.slug);
        }
    }
}

#[test]
fn no_line_is_wider_than_the_page() {
    let pages =
        Slug::ALL.iter().map(ToString::to_string).chain(statuses::ALL.iter().map(|text| text.status.to_string()));
    for topic in pages {
        let text = page().topic(&topic).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    assert!(page().list().lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_verdict() {
    insta::assert_snapshot!(page().topic("Process-Down").unwrap(), @r"
process-down
Nothing listens on the port.

A SYN reached the host, no firewall objected, and no socket listens on its port
at any address. The kernel answers such a SYN with a RST. Seen from the
connecting side only the RST is visible, and a firewall can send the same one:
there the verdict is likely, with firewall-reject as the alternative.
A balancer or proxy in front answers: 502.

What the kernel shows
- no-socket: the SYN was dropped because no socket matched it.
- no-listener: the table of listeners has none for this port; the last one that
  was there is named with its process and how it ended.
- reset-received, on the connecting side: a RST answered the SYN.

What to do
- Start the app. If it was running, the verdict names the process and how it
  ended: `journalctl -u UNIT`, and for an out-of-memory kill `journalctl -k`.
- If the app runs, it listens on another port: `ss -ltnp` lists all listeners.
- During a deployment: let the target be drained from the balancer before the
  app stops.
");
}

#[test]
fn a_status() {
    insta::assert_snapshot!(page().topic("464").unwrap(), @r"
464 Protocol versions do not fit (AWS application load balancer)
The request's protocol cannot be sent to the target group: gRPC to an HTTP/1.1
group, HTTP/1.1 to an HTTP/2 or gRPC group, or an HTTP/2 request other than POST
to a gRPC group. No target ever sees it.

What to do
- Set the target group's protocol version to what clients speak; it is fixed at
  creation, so make a new group.
- Or send such requests to another target group with a listener rule.
");
}

#[test]
fn the_list() {
    insta::assert_snapshot!(page().list(), @r"
A verdict says why one connection attempt or one HTTP exchange failed.

The app is not there, or does not accept
  process-down             Nothing listens on the port.
  wrong-bind-address       The app listens, but not on the address that was
                           asked for.
  accept-queue-full        The app accepts connections too slowly: its accept
                           queue was full.

A firewall or the kernel of this host
  firewall-reject          A host firewall refused the connection and said so.
  firewall-drop            A host firewall threw packets away without an answer.
  conntrack-full           The connection tracking table was full, so new
                           packets were dropped.
  kernel-drop              The kernel dropped the packets for a reason of its
                           own.

The network in between
  security-group-drop      The SYN left this host and nothing ever came back.
  inbound-silence          Clients and health checks stopped reaching a port
                           that still listens.
  return-path-drop         Our answers do not reach the peer, which keeps
                           asking.
  handshake-abandoned      The peer began a handshake and then fell silent.
  hairpin                  Our own SYN was sent back to this host, which drops
                           packets that claim to come from itself.
  host-unreachable         The next hop or the remote host does not answer at
                           all.
  no-route                 There is no route to the remote host.

Connecting to an upstream
  port-exhausted           No local port was free for another connection.
  upstream-socket-missing  The unix socket of the upstream is missing or
                           refuses.

The app failed a request
  process-crashed          The process died with a request in its hands.
  app-reset                The app cut the connection with a RST before it had
                           answered.
  premature-close          The app closed the connection before its response was
                           whole.
  incomplete-response      The response began but never became whole.
  app-timeout              The request was delivered and the app did not answer
                           in time.
  malformed-response       What the app sent is no HTTP response.
  protocol-mismatch        Client and app speak different protocols on this
                           port.
  health-check-failed      A health check was answered badly or too late.
  app-status               A watched status was answered, by the app or by a
                           proxy of this host.

Established connections that broke
  keepalive-race           A request met a kept-alive connection that was just
                           being closed.
  idle-flow-expired        Something in between forgot a connection that had
                           been idle.
  client-abort             The client gave up before the app answered.
  peer-vanished            The peer stopped answering in the middle of a
                           connection.

* not told by this version yet
Statuses that are explained too: 401, 403, 429, 460, 463, 464, 499, 502, 503,
504, 561.
");
}

#[test]
fn what_is_not_known_gets_the_nearest() {
    let said = |topic: &str| page().topic(topic).unwrap_err().line().unwrap();
    insta::assert_snapshot!(said("proces-down"), @"wherefore: no verdict is called proces-down: did you mean process-down?");
    insta::assert_snapshot!(said("firewall"), @"wherefore: no verdict is called firewall: did you mean firewall-reject or firewall-drop?");
    insta::assert_snapshot!(said("zzz zzz"), @"wherefore: no verdict is called 'zzz zzz': `wherefore explain` lists all");
    insta::assert_snapshot!(said("418"), @"wherefore: no text for status 418: there are texts for 401, 403, 429, 460, 463, 464, 499, 502, 503, 504, 561");
    insta::assert_snapshot!(said(""), @"wherefore: no verdict is called '': `wherefore explain` lists all");
}
