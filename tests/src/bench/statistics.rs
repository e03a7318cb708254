//! Medians, and how sure they are.

/// The middle of some numbers; `None` of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len().is_multiple_of(2) {
        let lower = *sorted.get(middle.checked_sub(1)?)?;
        return Some(f64::midpoint(lower, upper));
    }
    Some(upper)
}

/// How often the numbers are drawn anew for a bound.
const DRAWS: usize = 4000;

/// The 2.5% and 97.5% bounds of the median (percentile bootstrap), always the same for the same numbers.
pub fn median_bounds(values: &[f64]) -> Option<(f64, f64)> {
    let mut numbers = Numbers(0x5eed);
    let mut medians = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let drawn: Vec<f64> = values.iter().filter_map(|_| values.get(numbers.below(values.len())).copied()).collect();
        medians.push(median(&drawn)?);
    }
    medians.sort_by(f64::total_cmp);
    Some((*medians.get(DRAWS / 40)?, *medians.get(DRAWS - 1 - DRAWS / 40)?))
}

/// Numbers from a seed (splitmix64).
#[derive(Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from(z ^ (z >> 31)).unwrap_or_default().checked_rem(limit).unwrap_or_default()
    }

    /// Puts a list in a random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last.saturating_add(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_their_bounds() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let near_one: Vec<f64> = (0..31_u32).map(|n| 0.97 + f64::from(n) * 0.002).collect();
        let (low, high) = median_bounds(&near_one).unwrap();
        assert!(0.97 < low && low < 1.0 && 1.0 < high && high < 1.03, "{low} {high}");
        assert_eq!(median_bounds(&near_one), Some((low, high)));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut list: Vec<u32> = (0..20).collect();
        Numbers(1).shuffle(&mut list);
        assert_ne!(list, (0..20).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..20).collect::<Vec<_>>());
    }
}
