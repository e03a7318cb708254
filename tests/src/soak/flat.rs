//! Whether a row of measurements grows, whatever single ones of them do.

/// Most pairs of which the slope is taken.
const POINTS_MAX: usize = 300;

/// How much something may grow: by this share of what it was, or by this much, whichever is more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) share: f64,
    pub(super) absolute: f64,
}

impl Limit {
    /// For something that was this much.
    pub(super) fn of(self, first: f64) -> f64 {
        self.absolute.max(self.share * first)
    }
}

/// How a row of measurements went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// Median of its first quarter.
    pub(super) first: f64,
    /// Median of its last quarter.
    pub(super) last: f64,
    /// What the median of the slopes between any two points (Theil and Sen) makes over the whole row.
    pub(super) by_slope: f64,
}

impl Growth {
    /// What both tests agree on: one alone may be misled, by a burst at an end or by a step.
    pub(super) fn grown(self) -> f64 {
        let by_medians = self.last - self.first;
        if by_medians.abs() < self.by_slope.abs() { by_medians } else { self.by_slope }
    }
}

/// Of measurements at equal distances; `None` of fewer than eight.
pub(super) fn growth(values: &[f64]) -> Option<Growth> {
    let quarter = values.len() / 4;
    if quarter < 2 {
        return None;
    }
    let first = median(values.get(..quarter)?.to_vec())?;
    let last = median(values.get(values.len() - quarter..)?.to_vec())?;
    let step = values.len().div_ceil(POINTS_MAX);
    let points: Vec<(f64, f64)> = (0_u32..).map(f64::from).zip(values.iter().copied()).step_by(step).collect();
    let slopes = points.iter().enumerate().flat_map(|(number, (x, y))| {
        points.iter().skip(number + 1).map(move |(later_x, later_y)| (later_y - y) / (later_x - x))
    });
    let span = points.last()?.0 - points.first()?.0;
    Some(Growth { first, last, by_slope: median(slopes.collect())? * span })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { share: 0.1, absolute: 2.0 };

    fn is_flat(value: impl Fn(u32) -> f64) -> bool {
        let values: Vec<f64> = (0..200).map(value).collect();
        let growth = growth(&values).unwrap();
        growth.grown() <= LIMIT.of(growth.first)
    }

    #[test]
    fn a_leak_is_found_and_noise_is_none() {
        let noise = |x: u32| f64::from(x * 7919 % 13) / 2.0;
        assert!(is_flat(|_| 40.0));
        assert!(is_flat(noise));
        assert!(is_flat(|x| 40.0 + noise(x)));
        // bursts, whenever they come
        assert!(is_flat(|x| if x % 40 > 35 { 90.0 } else { 40.0 }));
        assert!(is_flat(|x| if x > 180 { 90.0 } else { 40.0 }));
        // less is no harm
        assert!(is_flat(|x| 40.0 - f64::from(x) / 10.0));
        assert!(!is_flat(|x| 40.0 + f64::from(x) / 20.0));
        assert!(!is_flat(|x| 40.0 + f64::from(x) / 20.0 + noise(x)));
        // in steps
        assert!(!is_flat(|x| 40.0 + f64::from(x / 40) * 3.0));
    }

    #[test]
    fn few_measurements_say_nothing() {
        assert_eq!(growth(&[1.0; 7]), None);
        assert_eq!(growth(&[1.0; 8]), Some(Growth { first: 1.0, last: 1.0, by_slope: 0.0 }));
    }
}
