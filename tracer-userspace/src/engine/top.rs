//! What failing exchanges have in common: who answered, why, paths, user agents and clients, by status.
//!
//! Each list keeps [`KEPT`] values by the space-saving algorithm (Metwally, Agrawal, El Abbadi, 2005):
//! as long as a list has met no more different values its counts are exact; later a value that is new
//! takes the place of the rarest, and counts are what is certain: never too high, and too low by at most
//! what a value of 1/[`KEPT`] of all exchanges has.

use std::collections::BTreeMap;

use crate::record::Exchange;

/// Values that a list keeps.
const KEPT: usize = 64;
/// Statuses that have lists; the first that come.
const STATUSES: usize = 32;
/// Longest value, bytes: of a longer one its beginning stands for all that begin so.
const VALUE_BYTES: usize = 256;

/// The most frequent values of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frequent {
    /// By text.
    values: Vec<(String, Tally)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// What is counted for the value, what it took over from a rarer one included.
    count: u64,
    /// What it took over.
    taken_over: u64,
}

impl Tally {
    const fn certain(self) -> u64 {
        self.count.saturating_sub(self.taken_over)
    }
}

impl Frequent {
    fn add(&mut self, value: &str, tally: Tally) {
        let value = value.get(..value.floor_char_boundary(VALUE_BYTES)).unwrap_or(value);
        let place = match self.place(value) {
            Ok(place) => {
                if let Some((_, known)) = self.values.get_mut(place) {
                    known.count = known.count.saturating_add(tally.count);
                    known.taken_over = known.taken_over.saturating_add(tally.taken_over);
                }
                return;
            }
            Err(place) => place,
        };
        let rarest = if self.values.len() < KEPT { None } else { self.rarest() };
        let Some((at, taken_over)) = rarest else {
            self.values.insert(place, (value.to_owned(), tally));
            return;
        };
        // its memory is taken over as well
        let (mut text, _) = self.values.remove(at);
        text.clear();
        text.push_str(value);
        let tally = Tally {
            count: tally.count.saturating_add(taken_over),
            taken_over: tally.taken_over.saturating_add(taken_over),
        };
        self.values.insert(if at < place { place.saturating_sub(1) } else { place }, (text, tally));
    }

    fn place(&self, value: &str) -> Result<usize, usize> {
        self.values.binary_search_by(|(known, _)| known.as_str().cmp(value))
    }

    /// The first of those that are rarest, and its count.
    fn rarest(&self) -> Option<(usize, u64)> {
        let counts = self.values.iter().map(|(_, tally)| tally.count).enumerate();
        counts.min_by_key(|(_, count)| *count)
    }

    /// The most frequent ones, and how many exchanges each had at least; equally many in the order of
    /// their text.
    #[must_use]
    pub fn most(&self, at_most: usize) -> Vec<(&str, u64)> {
        let certain = self.values.iter().map(|(value, tally)| (value.as_str(), tally.certain()));
        let mut values: Vec<_> = certain.filter(|(_value, count)| *count > 0).collect();
        values.sort_by_key(|(_value, count)| std::cmp::Reverse(*count));
        values.truncate(at_most);
        values
    }

    fn join(&mut self, other: &Self) {
        for (value, tally) in &other.values {
            self.add(value, *tally);
        }
    }
}

/// The lists of one status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopOfStatus {
    /// Paths, without queries.
    pub paths: Frequent,
    /// Values of `User-Agent`.
    pub user_agents: Frequent,
    /// Clients: values of the header that `--client-header` names, or what a PROXY protocol header names.
    pub clients: Frequent,
    /// Who answered: `app`, `proxy`, `upstream`.
    pub origins: Frequent,
    /// What it came of in the end: slug and server end of the innermost cause.
    pub causes: Frequent,
}

/// What is known of an exchange that failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failed<'a> {
    /// Its heads.
    pub heads: Option<&'a Exchange>,
    /// Who answered.
    pub origin: Option<&'a str>,
    /// What it came of in the end.
    pub cause: Option<&'a str>,
}

/// Whom the exchange was for: a port of the client's says nothing about whether it is the same one.
fn client(heads: &Exchange) -> Option<&str> {
    let proxied_for = heads.proxied_for.as_deref().and_then(|client| Some(client.rsplit_once(':')?.0));
    heads.client.as_deref().or(proxied_for)
}

/// The lists of all statuses that failing exchanges had, or that a balancer in front will have answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    statuses: BTreeMap<u16, TopOfStatus>,
}

impl Top {
    /// An exchange failed; without a status it is in no list.
    pub fn add(&mut self, status: Option<u16>, failed: &Failed<'_>) {
        let Some(status) = status else { return };
        let Some(lists) = self.lists(status) else { return };
        let one = Tally { count: 1, taken_over: 0 };
        let of_heads = |value: fn(&Exchange) -> Option<&str>| failed.heads.and_then(value);
        let values = [
            (&mut lists.paths, of_heads(|heads| heads.path.as_deref())),
            (&mut lists.user_agents, of_heads(|heads| heads.user_agent.as_deref())),
            (&mut lists.clients, of_heads(client)),
            (&mut lists.origins, failed.origin),
            (&mut lists.causes, failed.cause),
        ];
        for (list, value) in values {
            if let Some(value) = value {
                list.add(value, one);
            }
        }
    }

    fn lists(&mut self, status: u16) -> Option<&mut TopOfStatus> {
        let has_room = self.statuses.len() < STATUSES || self.statuses.contains_key(&status);
        has_room.then(|| self.statuses.entry(status).or_default())
    }

    /// Takes in the lists of an earlier part of the same recording.
    pub(super) fn join(&mut self, earlier: &Self) {
        for (status, theirs) in &earlier.statuses {
            let Some(lists) = self.lists(*status) else { continue };
            lists.paths.join(&theirs.paths);
            lists.user_agents.join(&theirs.user_agents);
            lists.clients.join(&theirs.clients);
            lists.origins.join(&theirs.origins);
            lists.causes.join(&theirs.causes);
        }
    }

    /// The lists by status, ascending.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, &TopOfStatus)> {
        self.statuses.iter().map(|(status, lists)| (*status, lists))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Output;
    use crate::engine::script::{run, script, summary};
    use crate::record::flow_event;

    fn heads(path: &str) -> Exchange {
        Exchange { path: Some(path.to_owned()), ..Exchange::default() }
    }

    fn of(heads: &Exchange) -> Failed<'_> {
        Failed { heads: Some(heads), ..Failed::default() }
    }

    fn paths(top: &Top, status: u16) -> Vec<(String, u64)> {
        let lists = top.statuses().find(|(code, _lists)| *code == status);
        let most = lists.map(|(_code, lists)| lists.paths.most(usize::MAX)).unwrap_or_default();
        most.into_iter().map(|(value, count)| (value.to_owned(), count)).collect()
    }

    #[test]
    fn exact_while_there_are_few() {
        let mut top = Top::default();
        for path in ["/b", "/a", "/b", "/c", "/a", "/b"] {
            top.add(Some(502), &of(&heads(path)));
        }
        top.add(Some(403), &of(&Exchange { client: Some("192.0.2.7".to_owned()), ..Exchange::default() }));
        let proxied_for = Some("[2001:db8::7]:4321".to_owned());
        top.add(Some(504), &of(&Exchange { proxied_for, ..Exchange::default() }));
        top.add(None, &of(&heads("/unanswered")));
        let named =
            |values: &[(&str, u64)]| values.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
        let expected: Vec<_> = named(&[("/b", 3), ("/a", 2), ("/c", 1)]);
        assert_eq!(paths(&top, 502), expected);
        assert_eq!(paths(&top, 403), []);
        let (_, forbidden) = top.statuses().next().unwrap();
        assert_eq!(forbidden.clients.most(1), [("192.0.2.7", 1)]);
        let (_, late) = top.statuses().last().unwrap();
        assert_eq!(late.clients.most(1), [("[2001:db8::7]", 1)]);
    }

    /// Also those that a folded line stands for, and those without a status by the one that is expected.
    #[test]
    fn each_failing_exchange_of_a_stream_is_counted() {
        let mut stream = script();
        for n in 1..=150 {
            stream = stream.inbound(n).get("/orders").answers(502);
        }
        stream = stream.inbound(200).get("/slow").responds(200, 900).tells(flow_event::FIN_SENT);
        stream = stream.inbound(201).get("/died").tells(flow_event::FIN_SENT).at(3000).tick();
        let out = run(&stream.records);
        let lines = out.iter().filter(|output| matches!(output, Output::Verdict(_))).count();
        assert!(lines < 110, "folded: {lines}");
        let top = &summary(&out).top;
        assert_eq!(paths(top, 502), [("/orders".to_owned(), 150), ("/died".to_owned(), 1)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut top = Top::default();
        for number in 0..20_000_u32 {
            let status = u16::try_from(400 + number % 200).unwrap();
            let long = format!("/{number}/{}", "ä".repeat(2000));
            top.add(
                Some(status),
                &of(&Exchange { user_agent: Some(long.clone()), client: Some(long.clone()), ..heads(&long) }),
            );
        }
        assert_eq!(top.statuses().count(), STATUSES);
        for (_, lists) in top.statuses() {
            for list in [&lists.paths, &lists.user_agents, &lists.clients] {
                assert_eq!(list.values.len(), KEPT);
                assert!(list.values.iter().all(|(value, _)| value.len() <= VALUE_BYTES));
            }
        }
    }

    #[test]
    fn parts_add_up() {
        let (mut earlier, mut later) = (Top::default(), Top::default());
        earlier.add(Some(502), &of(&heads("/a")));
        earlier.add(Some(504), &of(&heads("/b")));
        later.add(Some(502), &of(&heads("/a")));
        later.join(&earlier);
        assert_eq!(paths(&later, 502), [("/a".to_owned(), 2)]);
        assert_eq!(paths(&later, 504), [("/b".to_owned(), 1)]);
    }

    proptest! {
        #[test]
        fn counts_are_never_too_high_and_what_is_frequent_is_there(
            rare in proptest::collection::vec(0..400_u32, 0..1500),
            often in 0..400_usize,
        ) {
            let mut values: Vec<String> = rare.iter().map(|number| format!("/{number}")).collect();
            let step = values.len() / often.max(1) + 1;
            for place in 0..often {
                values.insert((place * step).min(values.len()), "/often".to_owned());
            }
            let mut top = Top::default();
            let mut exact = BTreeMap::<&str, u64>::new();
            for value in &values {
                top.add(Some(502), &of(&heads(value)));
                *exact.entry(value).or_default() += 1;
            }
            let told = paths(&top, 502);
            for (value, count) in &told {
                prop_assert!(*count <= exact[value.as_str()], "{value}: {count}");
            }
            let least = (often as u64).saturating_sub((values.len() / KEPT) as u64);
            let found = told.iter().find(|(value, _)| value == "/often").map_or(0, |(_, count)| *count);
            prop_assert!(found >= least, "{found} of {often}");
            if exact.len() <= KEPT {
                prop_assert!(told.iter().all(|(value, count)| exact[value.as_str()] == *count));
            }
        }
    }
}
