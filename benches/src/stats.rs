//! Median, minimum and maximum of a few repetitions, and when to distrust them.

/// Spread above which a figure is marked `noisy`: (max - min) / median.
///
/// A quarter, because a quiet machine of the class used stays well below it for every workload on
/// one core, while a change of the distance between the two cores (see `line_transfer`) or a
/// neighbour's compile goes far above.
pub(crate) const NOISY_SPREAD: f64 = 0.25;

/// What several repetitions of one figure say together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The middle value; of an even number of values the mean of the middle two.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Summary {
    /// The summary of `values`; none of an empty list.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Some(Self { median, min, max })
    }

    /// Whether the repetitions disagree by more than [`NOISY_SPREAD`].
    ///
    /// Around a median of zero (an empty queue) any difference counts.
    pub(crate) fn is_noisy(&self) -> bool {
        self.max - self.min > NOISY_SPREAD * self.median.abs()
    }
}

/// Rounds to four significant digits, as far as there is a fraction to round: whole numbers (queue
/// lengths, counts) stay exact.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == value.trunc() || !value.is_finite() {
        return value;
    }
    let magnitude = value.abs().log10().floor();
    let scale = 10_f64.powf((3.0 - magnitude).max(0.0));
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_or_the_mean_of_the_middle_two() {
        let odd = Summary::of(vec![9.0, 1.0, 5.0]).expect("three values");
        assert_eq!(odd, Summary { median: 5.0, min: 1.0, max: 9.0 });
        let even = Summary::of(vec![4.0, 1.0, 2.0, 9.0]).expect("four values");
        assert_eq!(even.median, 3.0);
        assert_eq!(Summary::of(Vec::new()), None);
    }

    #[test]
    fn noisy_is_a_spread_of_more_than_a_quarter() {
        assert!(!Summary { median: 100.0, min: 90.0, max: 115.0 }.is_noisy());
        assert!(Summary { median: 100.0, min: 90.0, max: 116.0 }.is_noisy());
        assert!(!Summary { median: 0.0, min: 0.0, max: 0.0 }.is_noisy());
        assert!(Summary { median: 0.0, min: 0.0, max: 1.0 }.is_noisy());
    }

    #[test]
    fn rounding_keeps_four_digits_and_whole_numbers() {
        assert_eq!(rounded(18.912_34), 18.91);
        assert_eq!(rounded(0.015_317), 0.015_32);
        assert_eq!(rounded(123_456.7), 123_457.0);
        assert_eq!(rounded(199_998.0), 199_998.0);
        assert_eq!(rounded(0.0), 0.0);
    }
}
