//! Medians, quartiles, percentiles, and how sure they are. Pure.

use serde::Serialize;

/// A median with its quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of the samples are below.
    pub(crate) median: f64,
    /// A quarter of the samples is below.
    pub(crate) lower_quartile: f64,
    /// A quarter of the samples is above.
    pub(crate) upper_quartile: f64,
    /// How many samples.
    pub(crate) samples: usize,
}

impl Spread {
    /// `None` of no samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        Some(Self {
            median: quantile(samples, 0.5)?,
            lower_quartile: quantile(samples, 0.25)?,
            upper_quartile: quantile(samples, 0.75)?,
            samples: samples.len(),
        })
    }
}

/// The middle value.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    quantile(samples, 0.5)
}

/// The value below which `share` (0 to 1) of the samples lie, between two of them by their distance.
pub(crate) fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = real(last) * share.clamp(0.0, 1.0);
    let below = (0..=last).rev().find(|index| real(*index) <= position)?;
    let low = *sorted.get(below)?;
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    Some((high - low).mul_add(position - real(below), low))
}

/// Two ends between which 95 of 100 repetitions of the measurement would have put `statistic`, as far
/// as the rounds at hand tell (bootstrap: the rounds are drawn again and again, with repetition).
///
/// `statistic` gets the numbers of the rounds drawn. The draws are the same in every run.
pub(crate) fn interval(
    rounds: usize,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<(f64, f64)> {
    const DRAWS: usize = 2000;
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut values = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let drawn: Vec<usize> = (0..rounds).filter_map(|_| dice.below(rounds)).collect();
        values.extend(statistic(&drawn));
    }
    Some((quantile(&values, 0.025)?, quantile(&values, 0.975)?))
}

/// Pseudo-random numbers (xorshift), the same ones each time.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> Option<usize> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let end = u64::try_from(end).ok()?;
        usize::try_from((self.0 >> 11).checked_rem(end)?).ok()
    }
}

/// A count as a real number.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of one run are far below 2^53"
)]
pub(crate) const fn real(count: usize) -> f64 {
    count as f64
}

/// As [`real`].
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds of one run are far below 2^53"
)]
pub(crate) const fn real64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_samples() {
        let samples = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(&samples, 0.0), Some(1.0));
        assert_eq!(quantile(&samples, 0.5), Some(2.5));
        assert_eq!(quantile(&samples, 1.0), Some(4.0));
        assert_eq!(quantile(&samples, 0.25), Some(1.75));
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn one_wild_sample_moves_no_median() {
        let spread = Spread::of(&[1.0, 1.1, 0.9, 50.0, 1.0]).unwrap();
        assert!((spread.median - 1.0).abs() < 1e-9);
        assert_eq!(spread.samples, 5);
        assert!(spread.upper_quartile < 2.0);
    }

    #[test]
    fn the_interval_narrows_with_the_spread_and_holds_the_median() {
        let narrow: Vec<f64> = (0..20).map(|n| 1.0 + f64::from(n % 3) * 0.01).collect();
        let wide: Vec<f64> = (0..20).map(|n| 1.0 + f64::from(n % 3)).collect();
        let of = |samples: &[f64]| {
            interval(samples.len(), |drawn| {
                let picked: Vec<f64> = drawn.iter().map(|n| samples[*n]).collect();
                median(&picked)
            })
            .unwrap()
        };
        let (low, high) = of(&narrow);
        assert!(low <= 1.01 && 1.01 <= high, "{low} {high}");
        assert!(high - low < 0.05, "{low} {high}");
        let (low, high) = of(&wide);
        assert!(high - low > 0.5, "{low} {high}");
        assert_eq!(of(&wide), of(&wide));
    }

    #[test]
    fn dice_reach_every_side() {
        let mut dice = Dice(1);
        let mut seen = [0_u32; 6];
        for _ in 0..600 {
            seen[dice.below(6).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
        assert_eq!(dice.below(0), None);
    }
}
