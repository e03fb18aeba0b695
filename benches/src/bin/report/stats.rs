//! Medians, quartiles, and the ratio of two of them.

/// The middle half of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quartiles {
    /// A quarter of the values is below.
    pub(crate) q1: f64,
    /// Half of the values is below.
    pub(crate) median: f64,
    /// A quarter of the values is above.
    pub(crate) q3: f64,
}

impl Quartiles {
    /// The quartiles of the values, interpolated between the two nearest; `None` if there are no
    /// values, or one that is not finite.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some(Self { q1: quarter(&values, 1), median: quarter(&values, 2), q3: quarter(&values, 3) })
    }

    /// The quartiles of the values, each divided by the same number.
    pub(crate) fn divided_by(self, divisor: f64) -> Self {
        Self { q1: self.q1 / divisor, median: self.median / divisor, q3: self.q3 / divisor }
    }
}

/// What `quarters` quarters of the values are below.
fn quarter(sorted: &[f64], quarters: usize) -> f64 {
    let steps = (sorted.len() - 1) * quarters;
    let (below, between) = (sorted[steps / 4], (steps % 4) as f64 / 4.0);
    let above = sorted[steps.div_ceil(4)];
    below + (above - below) * between
}

/// How one time relates to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio {
    /// The ratio of the medians.
    pub(crate) median: f64,
    /// The first quartile over the other's third.
    pub(crate) low: f64,
    /// The third quartile over the other's first.
    pub(crate) high: f64,
}

impl Ratio {
    /// One that has no spread.
    pub(crate) fn exactly(value: f64) -> Self {
        Self { median: value, low: value, high: value }
    }

    /// `numerator` over `denominator`.
    pub(crate) fn of(numerator: Quartiles, denominator: Quartiles) -> Self {
        Self {
            median: numerator.median / denominator.median,
            low: numerator.q1 / denominator.q3,
            high: numerator.q3 / denominator.q1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let quartiles = Quartiles::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(quartiles, Some(Quartiles { q1: 1.75, median: 2.5, q3: 3.25 }));
        let quartiles = Quartiles::of(vec![50.0, 10.0, 30.0, 20.0, 40.0]);
        assert_eq!(quartiles, Some(Quartiles { q1: 20.0, median: 30.0, q3: 40.0 }));
        assert_eq!(Quartiles::of(vec![7.0]), Some(Quartiles { q1: 7.0, median: 7.0, q3: 7.0 }));
    }

    #[test]
    fn no_quartiles_of_nothing() {
        assert_eq!(Quartiles::of(vec![]), None);
        assert_eq!(Quartiles::of(vec![1.0, f64::NAN]), None);
    }

    #[test]
    fn a_ratio_spans_the_quartiles_of_both() {
        let ours = Quartiles { q1: 8.0, median: 10.0, q3: 12.0 };
        let theirs = Quartiles { q1: 16.0, median: 20.0, q3: 32.0 };
        assert_eq!(Ratio::of(ours, theirs), Ratio { median: 0.5, low: 0.25, high: 0.75 });
    }
}
