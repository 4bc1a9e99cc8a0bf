//! The only file that reads a clock.
//!
//! Events carry `CLOCK_BOOTTIME`; a [`TimeAnchor`], taken once, turns that into wall-clock time.
//! Everything from decode to render gets its time from events and the anchor, so the same events
//! give the same output again.

use std::time::SystemTime;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeAnchor {
    /// Nanoseconds since 1970 minus nanoseconds of `CLOCK_BOOTTIME`.
    pub offset_ns: i64,
}

impl TimeAnchor {
    /// Reads both clocks.
    pub fn now() -> nix::Result<Self> {
        let boot = nanoseconds(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        let wall = nanoseconds(clock_gettime(ClockId::CLOCK_REALTIME)?);
        Ok(Self {
            offset_ns: wall - boot,
        })
    }

    /// Becomes `now`, read later, if the wall clock was set meanwhile. Returns by how many seconds.
    pub fn follow(&mut self, now: Self) -> Option<f64> {
        /// A reading may be interrupted between its two clocks; a slewed clock slews both.
        const NOISE_NS: u64 = 10_000_000;
        let by_ns = now.offset_ns.saturating_sub(self.offset_ns);
        if by_ns.unsigned_abs() < NOISE_NS {
            return None;
        }
        *self = now;
        let by = std::time::Duration::from_nanos(by_ns.unsigned_abs()).as_secs_f64();
        Some(if by_ns < 0 { -by } else { by })
    }

    /// Wall-clock time of a moment on `CLOCK_BOOTTIME`. Out of jiff's range (year 9999) it stays
    /// at the end of that range.
    pub fn wall(self, boot_ns: u64) -> Timestamp {
        let ns = i128::from(boot_ns) + i128::from(self.offset_ns);
        Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::MAX)
    }
}

/// Now, `CLOCK_BOOTTIME` nanoseconds.
pub fn boot_ns() -> nix::Result<u64> {
    let now = nanoseconds(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    Ok(u64::try_from(now).unwrap_or(0))
}

/// Now on the wall clock, to compare with times of files.
#[expect(clippy::disallowed_methods, reason = "this is where clocks are read")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

const fn nanoseconds(time: nix::sys::time::TimeSpec) -> i64 {
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_follows_a_clock_that_was_set_and_no_noise() {
        let at = |offset_ns| TimeAnchor { offset_ns };
        let mut anchor = at(1_000_000_000);
        assert_eq!(anchor.follow(at(1_005_000_000)), None);
        assert_eq!(anchor, at(1_000_000_000));
        assert_eq!(anchor.follow(at(-500_000_000)), Some(-1.5));
        assert_eq!(anchor.follow(at(1_500_000_000)), Some(2.0));
        assert_eq!(anchor, at(1_500_000_000));
    }

    #[test]
    fn an_anchor_moves_boot_time_to_wall_time() {
        let anchor = TimeAnchor {
            offset_ns: 1_700_000_000_000_000_000,
        };
        assert_eq!(
            anchor.wall(1_500_000_000).to_string(),
            "2023-11-14T22:13:21.5Z"
        );
    }
}
