//! Numbers that look random, and are the same again for the same seed.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;

/// xorshift64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as `seed` says.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(if seed == 0 { 1 } else { seed })
    }

    /// The next number in `range`, which is not empty.
    pub const fn roll(&mut self, range: Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }
}

/// A seed that no run had before; `$GW502_SEED`, a number, when a run is to be had again.
#[must_use]
#[track_caller]
pub fn seed() -> u64 {
    std::env::var_os("GW502_SEED").map_or_else(
        || RandomState::new().hash_one(()),
        |seed| {
            let seed = seed.to_str().and_then(|seed| seed.parse().ok());
            seed.expect("GW502_SEED is a number")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn the_same_seed_is_the_same_game() {
        let rolls = |seed| {
            let mut dice = Dice::new(seed);
            [(); 8].map(|()| dice.roll(3..60))
        };
        assert_eq!(rolls(502), rolls(502));
        assert_ne!(rolls(502), rolls(503));
        assert!(rolls(0).iter().all(|roll| (3..60).contains(roll)));
    }
}
