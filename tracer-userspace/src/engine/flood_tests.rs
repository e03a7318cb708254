//! Floods of which only a part was told.

use super::script::{Script, check, script, summary, verdicts};
use crate::record::{HostBody, SuppressedCount, SuppressedCounts};

const DOWN: &str = "process-down inbound certain 502";

impl Script {
    /// So many SYNs to the port were refused that nothing more is told of.
    fn suppressed(self, refused: u64) -> Self {
        let count = SuppressedCount { port: self.server.port(), records: refused * 2, refused };
        self.with(0, HostBody::Suppressed(SuppressedCounts { ports: vec![count] }))
    }
}

#[test]
fn what_was_left_out_is_counted_with_what_was_told() {
    // told before the first verdict is said
    let out =
        check(script().no_socket().suppressed(40).at(500).tick(), &[DOWN, "process-down inbound certain 502 x40"]);
    assert_eq!((summary(&out).suppressed, verdicts(&out)[1].remote), (80, None));
    // and after, in the same second and in a later one
    let later = script().no_socket().suppressed(40).at(300).suppressed(5).at(1300).suppressed(7).at(2600).tick();
    check(later, &[DOWN, "process-down inbound certain 502 x45", "process-down inbound certain 502 x7"]);
}

#[test]
fn a_line_for_several_says_so_once() {
    let one = script().no_socket().suppressed(1).at(300).suppressed(4).at(1500).tick();
    let out = check(one, &[DOWN, "process-down inbound certain 502 x5"]);
    let summary = &verdicts(&out)[1].summary;
    assert!(summary.starts_with("And more like this one in the same second: Nothing listens"), "{summary}");
}

#[test]
fn what_was_left_out_of_something_else_is_no_verdict() {
    let out = check(script().suppressed(40).at(5000).no_socket().at(5500).tick(), &[DOWN]);
    assert_eq!(summary(&out).suppressed, 80);
    check(script().netfilter().suppressed(40).at(5000).tick(), &["firewall-drop inbound certain 504"]);
}
