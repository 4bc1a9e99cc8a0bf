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
