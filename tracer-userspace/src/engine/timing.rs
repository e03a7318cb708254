//! When an attempt is decided: every constant with its reason, and the one function that reads an
//! attempt's evidence and says when to decide. All of it is event time.

use std::time::Duration;

use super::attempt::{Attempt, is_answer};
use super::evidence::{DropClass, What};
use crate::record::BootTime;

/// After a RST, an ICMP error or a SYN that found no socket: what belongs to the same moment (the
/// drop behind an ICMP error, the other end's view) is in by then.
pub(super) const ANSWER_WAIT: Duration = Duration::from_millis(100);

/// A socket that leaves `SYN_SENT` younger than this was given up too early to tell. The first
/// retransmission timeout is 1 s (RFC 6298); time-outs of 0.9 s are common enough to be told.
pub(super) const GAVE_UP_AGE_MIN: Duration = Duration::from_millis(850);

/// The capture side answers the end of an attempt with a look at its route and neighbour; this is
/// how long that may take.
pub(super) const PATH_WAIT: Duration = Duration::from_millis(300);

/// Silence is silence after this long, with [`SILENCE_RETRANSMITS`]: SYNs went out at 0 and 1 s and
/// once more, whatever `tcp_syn_linear_timeouts` says.
pub(super) const SILENCE_AGE: Duration = Duration::from_secs(4);

/// Retransmissions that silence needs.
pub(super) const SILENCE_RETRANSMITS: u32 = 2;

/// A local drop is held this long, since a retransmission (at 1 s, and at 2 or 3 s) may be let in.
pub(super) const LOCAL_DROP_HOLD: Duration = Duration::from_secs(3);

/// Connection tracking is read every second: so long after a packet of it was dropped it is known whether its
/// table was full.
pub(super) const TRACKING_WAIT: Duration = Duration::from_millis(1_300);

/// A connect() that sent nothing is held this long: Happy Eyeballs (RFC 8305) may succeed with
/// another address of the same name.
pub(super) const UNSENT_HOLD: Duration = Duration::from_secs(1);

/// A connect() that was answered by an error may be followed at once by one to the same name's address of the
/// other family (RFC 6724, RFC 8305): if that comes about within this time, nothing failed.
pub(super) const FALLBACK_WITHIN: Duration = Duration::from_millis(300);

/// ICMP errors are rate limited (1 a second for a peer, bursts of 6): a REJECT rule that answered
/// at all within this time is still a REJECT rule.
pub(super) const RATE_LIMIT_WINDOW: Duration = Duration::from_mins(1);

/// A RST that answers a packet which netfilter has just dropped comes at once.
pub(super) const REJECT_REPLY_WITHIN: Duration = Duration::from_millis(100);

/// A listener that began less than this before a SYN may have missed it: the state changes before
/// the socket is in the table that packets are looked up in.
pub(super) const LISTEN_RACE: Duration = Duration::from_secs(1);

/// With six retries SYNs are sent for 127 s: so long a decided attempt is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_secs(130);

/// An attempt that no socket of this host made, with nothing that decides: it is forgotten after this.
pub(super) const UNEXPLAINED: Duration = Duration::from_secs(3);

/// SYN-ACKs that stay unanswered for this long, counted from the first that was sent again (1 s after
/// the SYN), were sent for nothing. Enough of them were sent by then: at 1 s and 3 s.
pub(super) const SYN_ACK_SILENCE: Duration = Duration::from_secs(2);

/// SYN-ACKs sent again that say so.
pub(super) const SYN_ACK_RETRANSMITS: usize = 2;

/// A SYN that comes again is sent at about the time at which the SYN-ACK is sent again.
pub(super) const SYN_ACK_WAIT: Duration = Duration::from_millis(300);

/// A look-up of a firewall rule speaks for drops that came so much later: the same packets are looked up
/// again every second.
pub(super) const RULE_BEFORE: Duration = Duration::from_secs(2);
/// A look-up of a firewall rule may come so much later than the drop.
pub(super) const RULE_AFTER: Duration = Duration::from_secs(10);

/// After an end's FIN or RST: its process may be seen to die a little later, the other end's view comes
/// in, and a RST may follow a FIN.
pub(super) const EXIT_WAIT: Duration = Duration::from_millis(300);

/// A process may be seen to die so much earlier than its sockets are closed: before it frees them it
/// frees its memory.
pub(super) const EXIT_BEFORE: Duration = Duration::from_secs(5);

/// After a response that a failure of the process's own may have caused: whatever that failure was, it
/// is decided by then ([`PATH_WAIT`] and [`EXIT_WAIT`] after its end), though the process closed its
/// connection a little after it answered.
pub(super) const CAUSE_WAIT: Duration = Duration::from_millis(500);

/// A connect() that came back without a SYN is found out within a second and a little: so long a gateway's
/// error waits for it where nothing else fits.
pub(super) const UNSENT_CAUSE_WAIT: Duration = Duration::from_secs(2);

/// What a proxy gave up sooner than this says nothing of the way to its upstream.
pub(super) const PROXY_PATIENCE_MIN: Duration = Duration::from_millis(50);

/// A proxy may close the connection to its upstream so much later than it answers for it.
pub(super) const CAUSE_SLACK: Duration = Duration::from_millis(150);

/// What may be a cause is kept this long: requests are rarely worked on for longer.
pub(super) const CAUSE_KEPT: Duration = Duration::from_mins(2);

/// Idle for so long a connection may have been forgotten in between: the shortest limits are a little
/// above this.
pub(super) const LONG_IDLE: Duration = Duration::from_mins(1);

/// Who leaves after less than this was hardly driven away by slowness.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// A FIN so soon behind a request may be half a close: such a client shuts its side down at once, and waits.
pub(super) const HALF_CLOSE_WITHIN: Duration = Duration::from_millis(50);

/// A health check has to be answered within this (the default of AWS balancers).
pub(super) const HEALTH_CHECK_WITHIN: Duration = Duration::from_secs(5);

/// A FIN or RST this soon after bytes that are no HTTP answers them.
pub(super) const ANSWERED_BY_CLOSE: Duration = Duration::from_secs(1);

/// What waits for its connection's end waits no longer than this: with the usual 15 retries a socket
/// gives up after 16 minutes, and one whose peer came back may never say so.
pub(super) const HELD: Duration = Duration::from_mins(20);

/// `--slow` of a stream that does not say.
pub(super) const SLOW_DEFAULT: Duration = Duration::from_secs(10);

/// Folding and counters go by the second.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The least that one moment is after another.
pub(super) const NANOSECOND: Duration = Duration::from_nanos(1);

/// A second in nanoseconds.
pub(super) const SECOND_NS: u64 = 1_000_000_000;

/// Verdicts of one kind that are single lines in a second; the others are folded into one.
pub(super) const SINGLES_A_SECOND: u32 = 100;

/// When an attempt is decided, by what is known of it now.
pub(super) fn due(attempt: &Attempt) -> BootTime {
    if let Some(time) = attempt.first(is_seen_answer) {
        return time.after(ANSWER_WAIT).max(fallback(attempt));
    }
    if let Some(time) = attempt.first_answer() {
        // only the socket's error is known: the way may tell what made it
        return time.after(PATH_WAIT);
    }
    let first_drop = first_held(attempt);
    let closed = attempt.closed();
    match (closed, first_drop) {
        (Some(closed), None) if attempt.was_long_enough() => return closed.after(PATH_WAIT),
        (Some(closed), _) if attempt.was_long_enough() => {
            // the rule behind it is being looked for, and whether connection tracking was full
            let dropped = attempt.netfilter_drops().next().map(|(fact, _)| fact.time.after(LOCAL_DROP_HOLD));
            return closed.after(ANSWER_WAIT).max(dropped.unwrap_or_default());
        }
        (Some(closed), _) => return closed.after(ANSWER_WAIT),
        (None, Some(first)) => return first.after(LOCAL_DROP_HOLD),
        (None, None) => {}
    }
    if let Some(time) = attempt.first(|what| matches!(what, What::ConnectUnsent { .. })) {
        // a server's own: what else it may connect to does not matter here
        return time.after(if attempt.port.is_none() { PATH_WAIT } else { UNSENT_HOLD });
    }
    if let Some(time) = syn_acks_unanswered(attempt) {
        return time.after(SYN_ACK_WAIT);
    }
    match (&attempt.own, attempt.enough_retransmitted()) {
        (Some(_), Some(time)) => silent_since(attempt, time).max(time.after(PATH_WAIT)),
        (Some(_), None) => attempt.last.after(REMEMBERED),
        (None, _) => attempt.last.after(UNEXPLAINED),
    }
}

/// Until when the caller may connect to another address instead, if it is known who that is.
fn fallback(attempt: &Attempt) -> BootTime {
    let known = attempt.port.is_some() && attempt.own.as_ref().is_some_and(|own| own.task.is_some());
    let closed = attempt.closed().filter(|_| known);
    closed.map_or(BootTime::default(), |closed| closed.after(FALLBACK_WITHIN))
}

/// What this host did to a packet of the attempt first, of the things that a packet sent again may be
/// spared.
fn first_held(attempt: &Attempt) -> Option<BootTime> {
    attempt.first(|what| match what {
        What::Drop(dropped) => matches!(dropped.class, DropClass::Netfilter | DropClass::Other),
        What::ListenerFull(_) => true,
        _ => false,
    })
}

/// When SYN-ACKs had been sent again for long enough.
pub(super) fn syn_acks_unanswered(attempt: &Attempt) -> Option<BootTime> {
    let first = attempt.syn_acks_again().next().map(|(fact, _)| fact.time)?;
    let (enough, _) = attempt.syn_acks_again().nth(SYN_ACK_RETRANSMITS.saturating_sub(1))?;
    Some(first.after(SYN_ACK_SILENCE).max(enough.time))
}

/// Whether the answer itself was seen, not only the error it left behind.
fn is_seen_answer(what: &What) -> bool {
    is_answer(what) && !matches!(what, What::SocketError(_) | What::Closed(_))
}

/// Whether what is known decides even though recording ends: everything but silence that has not
/// lasted long enough.
pub(super) fn decides_at_end(attempt: &Attempt, end: BootTime) -> bool {
    attempt.first_answer().is_some()
        || attempt.closed().is_some()
        || first_held(attempt).is_some()
        || syn_acks_unanswered(attempt).is_some_and(|time| time <= end)
        || attempt.first(|what| matches!(what, What::ConnectUnsent { .. })).is_some()
        || attempt.enough_retransmitted().is_some_and(|time| silent_since(attempt, time) <= end)
}

/// When silence became long enough.
pub(super) fn silent_since(attempt: &Attempt, enough_retransmitted: BootTime) -> BootTime {
    attempt.started.after(SILENCE_AGE).max(enough_retransmitted)
}
