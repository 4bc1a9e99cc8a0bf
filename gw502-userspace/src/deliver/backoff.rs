//! How long to wait before the next attempt.

use std::time::Duration;

use fastrand::Rng;

/// The first wait is at most this.
const FIRST: Duration = Duration::from_secs(1);

/// No wait is longer.
const LONGEST: Duration = Duration::from_mins(1);

/// No wait is shorter: a receiver that refuses connections is not asked in a loop.
const SHORTEST: Duration = Duration::from_millis(100);

/// No receiver is left alone for longer, whatever it asks.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// Exponential with full jitter: many agents that lost the same receiver come back spread out.
#[derive(Debug)]
pub(super) struct Backoff {
    rng: Rng,
    ceiling: Duration,
    failed: u64,
}

impl Backoff {
    pub(super) const fn new(rng: Rng) -> Self {
        Self {
            rng,
            ceiling: FIRST,
            failed: 0,
        }
    }

    /// An attempt failed: how long to wait, `asked` by the receiver at least.
    pub(super) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.ceiling.mul_f64(self.rng.f64()).max(SHORTEST);
        self.ceiling = self.ceiling.saturating_mul(2).min(LONGEST);
        self.failed = self.failed.saturating_add(1);
        wait.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }

    /// An attempt went well; how many had failed before it.
    pub(super) fn went_well(&mut self) -> u64 {
        self.ceiling = FIRST;
        std::mem::take(&mut self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_spread_and_bounded() {
        let mut ceilings = vec![1, 2, 4, 8, 16, 32, 60, 60, 60];
        ceilings.extend([60; 100]);
        let mut backoff = Backoff::new(Rng::with_seed(1));
        let mut waits = Vec::new();
        for ceiling in ceilings {
            let wait = backoff.failed(None);
            assert!(wait >= SHORTEST && wait <= Duration::from_secs(ceiling));
            waits.push(wait);
        }
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(45)));
        assert!(
            waits
                .iter()
                .skip(9)
                .any(|wait| *wait < Duration::from_secs(15))
        );
        assert_eq!(backoff.went_well(), 109);
        assert!(backoff.failed(None) <= FIRST);
    }

    #[test]
    fn a_receiver_may_ask_for_longer_within_reason() {
        let mut backoff = Backoff::new(Rng::with_seed(1));
        let asked = Duration::from_secs(7);
        assert_eq!(backoff.failed(Some(asked)), asked);
        assert_eq!(backoff.failed(Some(Duration::MAX)), LONGEST_ASKED);
    }

    #[test]
    fn the_same_seed_waits_the_same() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Rng::with_seed(seed));
            [(); 5].map(|()| backoff.failed(None))
        };
        assert_eq!(waits(3), waits(3));
        assert_ne!(waits(3), waits(4));
    }
}
