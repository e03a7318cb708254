//! Folding: of many verdicts that say the same within one second, the first is printed at once and
//! the rest become one counting line when the second is over.

use std::net::SocketAddr;

use crate::verdict::{Process, Role, Slug, Verdict};

/// What two verdicts share that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    slug: Slug,
    role: Role,
    netns: u32,
    port: u16,
    program: Option<Program>,
    status: Option<u16>,
    /// Each cause and where it was, the nearest first.
    causes: Vec<(Slug, Option<SocketAddr>)>,
}

/// Processes of one program: whoever forks for each connection gets one line all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    comm: Option<String>,
    unit: Option<String>,
    container: Option<String>,
}

impl Program {
    fn of(process: &Process) -> Self {
        let Process { comm, unit, container, .. } = process.clone();
        Self { comm, unit, container }
    }
}

/// A verdict's cause, that one's cause, and so on.
pub(super) fn causes(verdict: &Verdict) -> impl Iterator<Item = &Verdict> {
    std::iter::successors(verdict.cause.as_deref(), |cause| cause.cause.as_deref())
}

/// The end that was connected to.
pub(super) fn server_end(verdict: &Verdict) -> Option<SocketAddr> {
    if verdict.role == Role::Outbound { verdict.remote } else { verdict.local }
}

impl Signature {
    pub(super) fn of(verdict: &Verdict) -> Self {
        Self {
            slug: verdict.slug,
            role: verdict.role,
            netns: verdict.netns,
            port: verdict.port,
            program: verdict.process.as_ref().map(Program::of),
            status: verdict.http.status,
            causes: causes(verdict).map(|cause| (cause.slug, server_end(cause))).collect(),
        }
    }
}

/// A counting line to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Repeats {
    signature: Signature,
    /// The last verdict that was not printed.
    pub(super) last: Option<Verdict>,
    /// How many attempts or exchanges were not printed.
    pub(super) count: u64,
}

/// The verdicts of the second that the stream has come to.
#[derive(Debug, Default)]
pub(super) struct Fold {
    second: i64,
    open: Vec<Repeats>,
}

impl Fold {
    /// Moves on to a second of event time; counting lines of seconds that are over come out, in the
    /// order in which their first verdicts were printed. The engine decides in an order of its own,
    /// so a verdict of an earlier second counts for the one that is under way.
    pub(super) fn advance(&mut self, second: i64) -> Vec<Repeats> {
        if second <= self.second {
            return Vec::new();
        }
        self.second = second;
        self.finish()
    }

    /// All that is held back.
    pub(super) fn finish(&mut self) -> Vec<Repeats> {
        let mut open = std::mem::take(&mut self.open);
        open.retain(|repeats| repeats.count > 0);
        open
    }

    /// Takes a verdict; true if it is the first of its kind in this second and to be printed.
    pub(super) fn is_first(&mut self, verdict: &Verdict) -> bool {
        let signature = Signature::of(verdict);
        let Some(repeats) = self.open.iter_mut().find(|repeats| repeats.signature == signature) else {
            self.open.push(Repeats { signature, last: None, count: 0 });
            return true;
        };
        repeats.count = repeats.count.saturating_add(verdict.count);
        repeats.last = Some(verdict.clone());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples;

    #[test]
    fn repeats_within_a_second_are_counted() {
        let mut fold = Fold::default();
        assert_eq!(fold.advance(10), []);
        assert!(fold.is_first(&samples::process_down()));
        assert!(!fold.is_first(&samples::process_down()));
        assert!(!fold.is_first(&Verdict { count: 5, ..samples::process_down() }));
        assert_eq!(fold.advance(10), []);
        let counts: Vec<u64> = fold.advance(11).iter().map(|repeats| repeats.count).collect();
        assert_eq!(counts, [6]);
        assert!(fold.is_first(&samples::process_down()));
        assert_eq!(fold.finish(), []);
    }

    #[test]
    fn what_differs_is_not_folded() {
        let same = samples::process_down();
        let check = |other: Verdict, folds: bool| {
            let mut fold = Fold::default();
            assert!(fold.is_first(&same));
            assert_eq!(!fold.is_first(&other), folds, "{other:?}");
        };
        check(Verdict { remote: None, isn: None, time: samples::at_ms(900), ..same.clone() }, true);
        let forked = Process { pid: Some(7), ..same.process.clone().unwrap() };
        check(Verdict { process: Some(forked), ..same.clone() }, true);
        let other = Process { unit: None, ..same.process.clone().unwrap() };
        check(Verdict { process: Some(other), ..same.clone() }, false);
        check(Verdict { slug: Slug::WrongBindAddress, ..same.clone() }, false);
        check(Verdict { role: Role::Outbound, ..same.clone() }, false);
        check(Verdict { netns: 1, ..same.clone() }, false);
        check(Verdict { port: 1, ..same.clone() }, false);
        check(Verdict { process: None, ..same.clone() }, false);
        check(Verdict { cause: Some(Box::new(samples::security_group_drop())), ..same.clone() }, false);
    }

    #[test]
    fn an_earlier_second_counts_for_the_present_one() {
        let mut fold = Fold::default();
        fold.advance(11);
        assert!(fold.is_first(&samples::process_down()));
        assert_eq!(fold.advance(9), []);
        assert!(!fold.is_first(&samples::process_down()));
    }
}
