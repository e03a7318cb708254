//! What a connection remembers of its exchanges: in order, and most have one.

use smallvec::SmallVec;

use super::Part;

/// Values by the part of the connection that they are about, ascending.
#[derive(Debug)]
pub(super) struct Parts<T> {
    values: SmallVec<[(Part, T); 1]>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { values: SmallVec::new() }
    }
}

impl<T> Parts<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// All, ascending.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Part, &T)> {
        self.values.iter().map(|(part, value)| (part, value))
    }

    /// All, ascending.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().map(|(_, value)| value)
    }

    /// Those before a part, ascending.
    pub(super) fn before_mut(&mut self, part: Part) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().take_while(move |(known, _)| *known < part).map(|(_, value)| value)
    }

    pub(super) fn get(&self, part: Part) -> Option<&T> {
        let at = self.place(part).ok()?;
        self.values.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, part: Part) -> Option<&mut T> {
        let at = self.place(part).ok()?;
        self.values.get_mut(at).map(|(_, value)| value)
    }

    /// The value of a part; `new` makes one if there is none, and `None` comes never.
    pub(super) fn get_or_insert_with(&mut self, part: Part, new: impl FnOnce() -> T) -> Option<&mut T> {
        let at = self.place(part).unwrap_or_else(|at| {
            self.values.insert(at, (part, new()));
            at
        });
        self.values.get_mut(at).map(|(_, value)| value)
    }

    /// Puts a value in; gives back the one before.
    pub(super) fn insert(&mut self, part: Part, value: T) -> Option<T> {
        if let Some(known) = self.get_mut(part) {
            return Some(std::mem::replace(known, value));
        }
        self.get_or_insert_with(part, || value);
        None
    }

    pub(super) fn remove(&mut self, part: Part) {
        if let Ok(at) = self.place(part) {
            self.values.remove(at);
        }
    }

    fn place(&self, part: Part) -> Result<usize, usize> {
        self.values.binary_search_by_key(&part, |(known, _)| *known)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn part(number: u32) -> Part {
        if number < 12 { Part::Exchange(number) } else { Part::LateData }
    }

    proptest! {
        /// Whatever is done to it, it is what a sorted map would be.
        #[test]
        fn a_sorted_map(steps in proptest::collection::vec((0..4_u8, 0..13_u32, 0..100_u32), 1..60)) {
            let (mut parts, mut expected) = (Parts::default(), BTreeMap::new());
            for (what, number, value) in steps {
                let part = part(number);
                match what {
                    0 => prop_assert_eq!(parts.insert(part, value), expected.insert(part, value)),
                    1 => {
                        parts.remove(part);
                        expected.remove(&part);
                    }
                    2 => {
                        let known = parts.get_or_insert_with(part, || value).copied();
                        prop_assert_eq!(known, Some(*expected.entry(part).or_insert(value)));
                    }
                    _ => {
                        parts.before_mut(part).for_each(|value| *value += 1);
                        expected.range_mut(..part).for_each(|(_, value)| *value += 1);
                    }
                }
                prop_assert_eq!(parts.get(part), expected.get(&part));
                prop_assert_eq!(parts.len(), expected.len());
                prop_assert!(parts.iter().eq(expected.iter()));
            }
        }
    }
}
