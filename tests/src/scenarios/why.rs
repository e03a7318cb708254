//! Behind a verdict: how the process ended, and which rule it was.

use rustix::process::Signal;

use crate::firewall::Tool;
use crate::lab::{Family, Place, WATCHED};
use crate::scenario::{
    Bind, Ending, Expect, GIVEN_UP, Grade, REFUSED, Scenario, Step, View, Want, attempt, requests, rule, scenario,
};

pub(super) fn scenarios(family: Family) -> Vec<Scenario> {
    let mut table = endings(family);
    table.extend(rules(family));
    table
}

fn endings(family: Family) -> Vec<Scenario> {
    let ended = |name: &str, ending, exit, how| {
        let down = Want::inbound("process-down", Grade::certain(502));
        let down = down.process("wherefore-lab").exit(exit).evidence("process-exited", how);
        let steps = vec![
            Step::Serve(Bind::Any),
            Step::Record,
            requests(WATCHED, 1),
            Step::EndApp(ending),
            attempt(1500, REFUSED),
        ];
        let expect = Expect {
            server: View::of(down.clone()).connections(1..=1),
            client: super::reset().connections(1..=1),
            both: View::of(down),
            all: None,
        };
        scenario(format!("process-down-{name}"), family, steps, expect)
    };
    vec![
        ended("exit-code", Ending::Code(3), "code 3", "ended with exit code 3"),
        ended("killed", Ending::Signal(Signal::KILL), "signal 9", "was ended by signal 9 (SIGKILL)"),
        ended("terminated", Ending::Signal(Signal::TERM), "signal 15", "was ended by signal 15 (SIGTERM)"),
        // leaves a core dump where these are allowed; who starts the tests in the background may ignore SIGQUIT
        ended("aborted", Ending::Signal(Signal::ABORT), "signal 6", "was ended by signal 6 (SIGABRT)"),
    ]
}

/// What the router or another host drops is no matter here: the rule is looked up where it dropped.
fn rules(family: Family) -> Vec<Scenario> {
    const COUNTED: &str = "add table inet lab; add chain inet lab in { type filter hook input priority 0; }; \
        add rule inet lab in meta mark 0 tcp dport 8080 counter; \
        add rule inet lab in socket wildcard 1 tcp dport 8080 counter drop; \
        add rule inet lab in ct count over 100000 tcp dport 8080 counter drop; \
        add rule inet lab in numgen inc mod 1 0 tcp dport 8080 counter drop";
    const POLICY: &str = "add table inet lab; add chain inet lab in { type filter hook input priority 0; policy drop; }; \
        add rule inet lab in ct state established,related accept; add rule inet lab in iifname lo accept; \
        add rule inet lab in meta l4proto { icmp, ipv6-icmp } accept; add rule inet lab in tcp dport 22 accept";
    const TWO: &str = "add table inet lab; add chain inet lab in { type filter hook input priority 0; }; \
        add rule inet lab in numgen inc mod 2 0 tcp dport 8080 drop; add rule inet lab in tcp dport 8080 drop";
    const SET: &str = "add table inet lab; add set inet lab ports { type inet_service; elements = { 80, 8080 }; }; \
        add chain inet lab guard; add rule inet lab guard tcp dport @ports drop; \
        add chain inet lab in { type filter hook input priority 0; }; \
        add rule inet lab in tcp dport vmap { 22 : accept, 8080 : jump guard }";
    let mut table = Vec::new();
    for tool in Tool::ALL {
        let text = match tool {
            Tool::Nft => "nft table inet lab, chain filter_hook_input_priority_0: tcp dport 8080 drop",
            Tool::IptablesNft => "filter, chain INPUT: tcp dport 8080 counter",
            Tool::IptablesLegacy => "filter, chain INPUT: -A INPUT -p tcp -m tcp --dport 8080 -j DROP",
        };
        let what = crate::firewall::Action::Drop(crate::firewall::Chain::Input);
        let named = |want: Want| want.evidence("firewall-rule", text);
        table.push(dropped(&format!("rule-{}", tool.label()), family, rule(Place::Server, tool, what), named));
    }
    let nft = |script| Step::Nft(Place::Server, script);
    table.push(dropped("rule-policy", family, nft(POLICY), |want| {
        want.evidence("firewall-rule", "nft table inet lab, chain in: policy drop")
    }));
    table.push(dropped("rule-in-a-set", family, nft(SET), |want| {
        want.evidence("firewall-rule", "nft table inet lab, chain guard: tcp dport @ports drop")
    }));
    let counted =
        dropped("rule-counted", family, nft(COUNTED), |want| want.evidence("firewall-rule", "(its counter rose)"));
    // where many namespaces are watched, it takes a while until the rules of each have been listed once
    table.push(counted.alone());
    table.push(dropped("rule-one-of-two", family, nft(TWO), |want| want.no_evidence("firewall-rule")));
    table
}

fn dropped(name: &str, family: Family, rules: Step, of: impl Fn(Want) -> Want) -> Scenario {
    let want = of(Want::inbound("firewall-drop", Grade::certain(504)));
    let steps = vec![Step::Serve(Bind::Any), rules, Step::Record, attempt(2500, GIVEN_UP)];
    let expect =
        Expect { server: View::of(want.clone()), client: View::of(super::silence()), both: View::of(want), all: None };
    scenario(format!("firewall-drop-{name}"), family, steps, expect)
}
