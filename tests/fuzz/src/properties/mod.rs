//! The same claims of inputs that proptest makes up, and what only a test can compare.

mod diagnoses;
mod endings;
mod recordings;
mod records;

use proptest::test_runner::Config;

/// So many cases where each renders and validates a lot: seconds of a debug build. The fuzz
/// targets, which make the same claims, are the place for millions.
fn few() -> Config {
    Config::with_cases(40)
}
