//! Hits of inbound-silence, and the near misses that must not match.

use super::{CHECKERS_MAX, Silences};
use crate::engine::script::{PORT, SERVER, Script, check, script, verdicts};
use crate::record::{BootTime, ExchangeCount, ExchangeCounts, HealthChecker, HealthCheckers, HostBody, PortCount};

const SILENCE: &str = "inbound-silence inbound likely 504 or security-group-drop";
/// The script's own beginning on the boot clock.
const BEGINNING_MS: u64 = 1_000;

fn ns(ms: u64) -> u64 {
    (BEGINNING_MS + ms) * 1_000_000
}

impl Script {
    /// What is told at `ms`: who checked last when, every 10 s; packets received so far.
    fn told(self, ms: u64, checkers: &[(&str, u64, u64)], received: u64) -> Self {
        let checker = |(address, checks, last_ms): &(&str, u64, u64)| HealthChecker {
            address: address.parse().unwrap(),
            port: PORT,
            checks: *checks,
            last_ns: ns(*last_ms),
            period_ns: 10_000_000_000,
            http: true,
            steady: 0,
        };
        let checkers = checkers.iter().map(checker).collect();
        self.at(ms).with(SERVER, HostBody::HealthCheckers(HealthCheckers { checkers, received: Some(received) }))
    }

    fn syn_at(self, ms: u64) -> Self {
        self.at(ms).counts(PortCount { syns: 1, last_syn_ns: ns(ms), ..PortCount::default() })
    }
}

/// Two checkers came every ten seconds, the last time at 30 s and at 32 s.
fn checked() -> Script {
    let both = [("10.9.1.7", 4, 30_000), ("10.9.1.8", 4, 32_000)];
    script().process(812, "nginx", "nginx.service").listener(4, "0.0.0.0").syn_at(32_000).told(35_000, &both, 100)
}

#[test]
fn all_checkers_stopped() {
    let out = check(checked().told(55_000, &[], 180).told(65_000, &[], 250).told(75_000, &[], 300), &[SILENCE]);
    let verdict = verdicts(&out)[0];
    insta::assert_snapshot!(verdict.summary, @"No health check and no other SYN has reached port 8080 for 33.0 s, though nginx (pid 812) listens and the host receives other packets.");
    insta::assert_snapshot!(verdict.next, @"See first whether the target was deregistered, or is draining; if not, look at the security group and the network ACL of this host, and with `ss -ltn 'sport = :8080'` at the listener.");
    let said: Vec<_> = verdict.evidence.iter().map(|item| item.detail.as_str()).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
health checker 10.9.1.7 came every 10.0 s, and last 35.0 s ago
health checker 10.9.1.8 came every 10.0 s, and last 33.0 s ago
a socket listens on 0.0.0.0:8080; the host has received 150 packets since the last check
");
    assert_eq!((verdict.local.unwrap().to_string().as_str(), verdict.remote), ("0.0.0.0:8080", None));
}

#[test]
fn a_silence_is_told_once_until_it_ends() {
    let again = |script: Script| script.told(120_000, &[], 900);
    check(again(checked().told(65_000, &[], 250).told(80_000, &[], 400)), &[SILENCE]);
    // a client came, and then nobody
    check(again(checked().told(65_000, &[], 250).syn_at(80_000).told(81_000, &[], 400)), &[SILENCE, SILENCE]);
    // a checker came back, and stopped again
    let back = checked().told(65_000, &[], 250).syn_at(80_000).told(81_000, &[("10.9.1.7", 5, 80_000)], 400);
    check(again(back), &[SILENCE, SILENCE]);
}

#[test]
fn near_misses() {
    // not long enough
    check(checked().told(61_000, &[], 900), &[]);
    // one still checks
    let one = checked().syn_at(60_000).told(65_000, &[("10.9.1.8", 7, 60_000)], 900).told(70_000, &[], 1000);
    check(one, &[]);
    // a client comes, though no checker does
    check(checked().syn_at(50_000).told(65_000, &[], 900), &[]);
    // requests come on connections that are kept alive
    let counts = ExchangeCounts {
        ports: vec![ExchangeCount { port: PORT, statuses: vec![(200, 3)], ..ExchangeCount::default() }],
    };
    check(checked().at(50_000).with(0, HostBody::Exchanges(counts)).told(65_000, &[], 900), &[]);
    // the host receives nothing at all
    check(checked().told(65_000, &[], 102), &[]);
    // the listener went
    check(checked().at(40_000).stops_listening(4, "0.0.0.0").told(65_000, &[], 900), &[]);
    // nobody has come often enough to be known
    let twice = script().listener(4, "0.0.0.0").syn_at(32_000).told(35_000, &[("10.9.1.7", 2, 32_000)], 100);
    check(twice.told(65_000, &[], 900), &[]);
}

#[test]
fn who_says_nothing_is_a_checker_only_if_regular() {
    let silent = |steady| {
        let seen = HealthChecker {
            address: "10.9.1.7".parse().unwrap(),
            port: PORT,
            checks: 9,
            last_ns: ns(32_000),
            period_ns: 10_000_000_000,
            http: false,
            steady,
        };
        let told = HealthCheckers { checkers: vec![seen], received: Some(100) };
        let told =
            script().listener(4, "0.0.0.0").syn_at(32_000).at(35_000).with(SERVER, HostBody::HealthCheckers(told));
        told.told(65_000, &[], 250)
    };
    check(silent(1), &[]);
    check(silent(2), &[SILENCE]);
}

#[test]
fn checkers_are_kept_within_bounds() {
    let mut silences = Silences::default();
    for n in 0..200_u8 {
        let last_ns = u64::from(n);
        let seen = HealthChecker {
            address: [10, 0, 0, n].into(),
            port: 80,
            checks: 9,
            last_ns,
            period_ns: 1,
            http: true,
            steady: 0,
        };
        silences.learn(1, &seen, None, BootTime::default());
    }
    let kept = &silences.ports[&(1, 80)].checkers;
    assert_eq!(kept.len(), CHECKERS_MAX);
    assert!(kept.contains_key(&"10.0.0.199".parse().unwrap()));
}
