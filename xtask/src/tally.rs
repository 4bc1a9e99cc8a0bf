//! Counting tests: what libtest's summary lines say, summed.

use std::fmt;
use std::ops::AddAssign;

/// How many tests did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

    /// One test that passed or failed.
    pub(crate) const fn one(passed: bool) -> Self {
        if passed {
            Self {
                passed: 1,
                failed: 0,
                skipped: 0,
            }
        } else {
            Self::FAILED
        }
    }

    /// Reads `test result: ok. 3 passed; 1 failed; 2 ignored; …`, wherever in the line it begins:
    /// a test that printed without a line end may stand before it.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, result) = line.split_once("test result: ")?;
        let (_, counts) = result.split_once(". ")?;
        let mut tally = Self::default();
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            match what {
                "passed" => tally.passed = number,
                "failed" => tally.failed = number,
                "ignored" => tally.skipped = number,
                _ => {}
            }
        }
        Some(tally)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(out, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_libtest_is_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 7 filtered \
                    out; finished in 0.02s";
        assert_eq!(
            Tally::parse(line),
            Some(Tally {
                passed: 12,
                failed: 3,
                skipped: 1
            })
        );
    }

    #[test]
    fn other_lines_are_not_counted() {
        assert_eq!(Tally::parse("test wire::sizes ... ok"), None);
        assert_eq!(Tally::parse("running 3 tests"), None);
    }

    #[test]
    fn a_summary_after_output_without_line_end_is_read() {
        let line = "ready: test result: ok. 1 passed; 0 failed; 0 ignored";
        assert_eq!(
            Tally::parse(line),
            Some(Tally {
                passed: 1,
                failed: 0,
                skipped: 0
            })
        );
    }

    #[test]
    fn the_sum_is_printed_the_way_ci_reads_it() {
        let mut sum = Tally::one(true);
        sum += Tally::one(false);
        sum += Tally {
            passed: 2,
            failed: 0,
            skipped: 4,
        };
        assert_eq!(sum.to_string(), "3 passed, 1 failed, 4 skipped");
    }
}
