//! How many failures are shipped one by one when there are very many: the bound on what a storm
//! costs in user space. What is left out is counted all the same, and said in the next record.
//!
//! A second has room for so many. The last quarter of it is for failures of an upstream and cause
//! that had none in this second: a storm of one upstream does not hide what happens to another.

use std::collections::BTreeSet;

use crate::aggregate::UpstreamId;
use crate::event::{Cause, Class, Failure};

type Kind = (UpstreamId, Class, Cause);

/// What was shipped in this second, and what was not.
#[derive(Debug)]
pub(super) struct Storm {
    limit: u64,
    shipped: u64,
    seen: BTreeSet<Kind>,
    /// Since the one that was shipped last.
    left_out: u64,
    /// The first of these.
    held: Option<Failure>,
}

impl Storm {
    pub(super) const fn new(limit: u64) -> Self {
        Self {
            limit,
            shipped: 0,
            seen: BTreeSet::new(),
            left_out: 0,
            held: None,
        }
    }

    pub(super) const fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Whether it is to be shipped, and then how many were left out before it.
    pub(super) fn admit(&mut self, failure: &Failure) -> Option<u64> {
        let kind = (UpstreamId::of(failure), failure.class, failure.cause);
        let common = self.limit - self.limit / 4;
        let admitted =
            self.shipped < common || self.shipped < self.limit && !self.seen.contains(&kind);
        if !admitted {
            self.left_out = self.left_out.saturating_add(1);
            if self.held.is_none() {
                self.held = Some(failure.clone());
            }
            return None;
        }
        self.shipped = self.shipped.saturating_add(1);
        self.seen.insert(kind);
        self.held = None;
        Some(std::mem::take(&mut self.left_out))
    }

    /// A second is over: if anything was left out since the last that was shipped, one of them is
    /// now, so that it is said; and how many besides.
    pub(super) fn next(&mut self) -> Option<(Failure, u64)> {
        self.shipped = 0;
        self.seen.clear();
        let failure = self.held.take()?;
        self.shipped = 1;
        let others = std::mem::take(&mut self.left_out).saturating_sub(1);
        Some((failure, others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::tests::made::refused;

    #[test]
    fn what_is_shipped_and_what_is_said_to_be_left_out_is_all() {
        let mut storm = Storm::new(8);
        let (mut shipped, mut said) = (0, 0);
        for second in 1..=5_u64 {
            let mut in_second = 0;
            for n in 0..second * 7 {
                let others = storm.admit(&refused(80, second * 1_000_000_000 + n));
                in_second += u64::from(others.is_some());
                said += others.unwrap_or(0);
            }
            assert!(in_second <= 8, "{in_second}");
            shipped += in_second;
            if let Some((_, others)) = storm.next() {
                shipped += 1;
                said += others;
            }
        }
        assert_eq!(shipped + said, 7 * (1 + 2 + 3 + 4 + 5));
        assert!(storm.next().is_none(), "nothing is left to say");
    }

    #[test]
    fn below_the_limit_everything_is_shipped_and_nothing_said() {
        let mut storm = Storm::new(8);
        for n in 0..6 {
            assert_eq!(storm.admit(&refused(80, n)), Some(0));
        }
        assert!(storm.next().is_none());
    }

    #[test]
    fn a_storm_of_one_does_not_hide_another() {
        let mut storm = Storm::new(8);
        for n in 0..1000 {
            storm.admit(&refused(80, n));
        }
        assert_eq!(storm.admit(&refused(81, 1000)), Some(994));
        assert_eq!(storm.admit(&refused(81, 1001)), None);
        assert_eq!(storm.admit(&refused(82, 1002)), Some(1));
        assert_eq!(storm.admit(&refused(83, 1003)), None, "the second is full");
        assert_eq!(
            storm.next().map(|(failure, n)| (failure.at_ns, n)),
            Some((1003, 0))
        );
    }

    #[test]
    fn a_limit_of_one_ships_one() {
        let mut storm = Storm::new(1);
        assert_eq!(storm.admit(&refused(80, 1)), Some(0));
        assert_eq!(storm.admit(&refused(81, 2)), None);
        storm.next();
        assert_eq!(
            storm.admit(&refused(82, 3)),
            None,
            "the one of this second was said"
        );
    }
}
