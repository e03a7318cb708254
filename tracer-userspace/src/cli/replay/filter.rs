//! Which verdict lines a replay shows.

use jiff::Timestamp;

use crate::cli::args::ReplayArgs;
use crate::cli::failure::Failure;
use crate::cli::moment::Moment;
use crate::cli::peer::Peer;
use crate::cli::ports::PortList;
use crate::cli::statuses::StatusList;
use crate::output::WallClock;
use crate::verdict::{Slug, Verdict};

/// The filters of one trace: all that are given must let a verdict pass. What a verdict does not
/// know passes no filter that asks for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    ports: Vec<u16>,
    slugs: Vec<Slug>,
    statuses: Option<StatusList>,
    peer: Option<Peer>,
}

impl Filter {
    /// The filters for a trace that ends at `end`.
    ///
    /// # Errors
    /// [`Failure::Usage`] if no moment is between `--since` and `--until`.
    pub(super) fn new(args: &ReplayArgs, end: Timestamp) -> Result<Self, Failure> {
        let resolve = |moment: Option<Moment>| moment.map(|moment| moment.resolve(end));
        let (since, until) = (resolve(args.since), resolve(args.until));
        if let (Some(since), Some(until)) = (since, until)
            && until < since
        {
            return Err(Failure::usage(format!(
                "--since {since} is after --until {until}: no verdict can be in between"
            )));
        }
        Ok(Self {
            since,
            until,
            ports: PortList::union(&args.port),
            slugs: args.verdict.clone(),
            statuses: args.status.clone(),
            peer: args.peer,
        })
    }

    /// Whether any filter was given.
    pub(super) fn is_given(args: &ReplayArgs) -> bool {
        args.since.is_some()
            || args.until.is_some()
            || !args.port.is_empty()
            || !args.verdict.is_empty()
            || args.status.is_some()
            || args.peer.is_some()
    }

    /// Whether a moment is asked for that only the trace's end can place.
    pub(super) fn needs_end(args: &ReplayArgs) -> bool {
        let is_relative = |moment: Option<Moment>| moment.is_some_and(|moment| !matches!(moment, Moment::At(_)));
        is_relative(args.since) || is_relative(args.until)
    }

    /// Whether the verdict's line is shown.
    pub(super) fn shows(&self, verdict: &Verdict, clock: WallClock) -> bool {
        let time = clock.timestamp(verdict.time);
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until)
            && (self.ports.is_empty() || self.ports.contains(&verdict.port))
            && (self.slugs.is_empty() || self.slugs.contains(&verdict.slug))
            && self
                .statuses
                .as_ref()
                .is_none_or(|statuses| verdict.http.status.is_some_and(|status| statuses.contains(status)))
            && self.peer.is_none_or(|peer| verdict.remote.is_some_and(|remote| peer.contains(remote.ip())))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::output::samples;

    fn filter(flags: &str) -> Result<Filter, Failure> {
        let line = format!("wherefore replay a.wft {flags}");
        let Command::Replay(args) = Cli::try_parse_from(line.split_whitespace()).unwrap().command else {
            panic!("not replay");
        };
        assert_eq!(Filter::is_given(&args), !flags.is_empty(), "{flags}");
        Filter::new(&args, "2026-11-21T12:04:00Z".parse().unwrap())
    }

    #[test]
    fn each_filter_hits_and_misses() {
        let clock = WallClock::new(samples::start().clock);
        let check = |flags: &str, verdict: &Verdict, expected: bool| {
            assert_eq!(filter(flags).unwrap().shows(verdict, clock), expected, "{flags}");
        };
        // at 12:03:41.221, 12:03:42.500 and 12:03:44.221
        let (down, status, dropped) = (samples::process_down(), samples::app_status(), samples::security_group_drop());
        check("", &down, true);
        check("--since 12:03:42", &down, false);
        check("--since 12:03:42", &status, true);
        check("--until 2026-11-21T12:03:44Z", &status, true);
        check("--until 2026-11-21T12:03:44Z", &dropped, false);
        check("--since 17s", &dropped, true);
        check("--since 17s", &status, false);
        check("--since 2026-11-21T12:03:41.221Z --until 2026-11-21T12:03:41.221Z", &down, true);
        check("--port 8080", &down, true);
        check("--port 8000-8010,8443", &dropped, true);
        check("--port 8443", &down, false);
        check("--verdict process-down,app-status", &down, true);
        check("--verdict app-status", &down, false);
        check("--status 5xx", &status, true);
        check("--status 404", &status, false);
        check("--status 5xx", &down, false);
        check("--peer 10.9.0.0/16", &down, true);
        check("--peer 2001:db8::2", &dropped, true);
        check("--peer 10.9.2.2", &down, false);
        check("--peer 0.0.0.0/0", &Verdict { remote: None, ..samples::process_down() }, false);
        check("--port 8080 --verdict app-status", &down, false);
    }

    #[test]
    fn nothing_is_between_a_later_and_an_earlier_moment() {
        let failure = filter("--since 12:03 --until 12:02").unwrap_err();
        insta::assert_snapshot!(failure.line().unwrap(), @"");
    }
}
