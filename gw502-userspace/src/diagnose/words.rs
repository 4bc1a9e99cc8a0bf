//! Words that diagnoses share.

use std::fmt;

use crate::classify::whole_seconds;

/// A time that passed, nanoseconds, for a sentence: `0.3 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 100_000_000;
        let seconds = tenths / 10;
        match seconds {
            0..10 => write!(f, "{seconds}.{} s", tenths % 10),
            10..60 => write!(f, "{seconds} s"),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds % 3600 / 60),
        }
    }
}

/// The value of a timer, as a configuration has it: `60s`, `1500ms`.
///
/// Timers fire late by the proxy's clock and the time until it runs, never early by more than a
/// stale clock: the value is at or just below what was measured.
pub(super) fn configured(measured_us: u64) -> String {
    const GRAIN_US: u64 = 4_000;
    whole_seconds(measured_us).map_or_else(
        || format!("{}ms", (measured_us + GRAIN_US) / 10_000 * 10),
        |seconds| format!("{seconds}s"),
    )
}

/// Something counted: `1 failure`, `2 failures`.
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Names may hold any byte and any length; no terminal must obey them, no memory must grow by them.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 80;
    text.chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_the_unit_that_suits_it() {
        let of = |ms: u64| Span(ms * 1_000_000).to_string();
        assert_eq!(of(340), "0.3 s");
        assert_eq!(of(22_900), "22 s");
        assert_eq!(of(185_000), "3 min 5 s");
        assert_eq!(of(7_800_000), "2 h 10 min");
    }

    #[test]
    fn a_timer_is_what_was_configured_not_what_was_measured() {
        assert_eq!(configured(60_012_000), "60s");
        assert_eq!(configured(1_999_500), "2s");
        assert_eq!(configured(1_503_000), "1500ms");
        assert_eq!(configured(250_400), "250ms");
    }
}
