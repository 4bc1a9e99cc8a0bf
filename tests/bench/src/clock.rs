//! The only file that reads a clock.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// A moment of `CLOCK_MONOTONIC` in nanoseconds: the same clock in all processes of a machine.
pub(crate) fn now() -> Result<i64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).context("cannot read the clock")?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// Nanoseconds from `since` to now.
pub(crate) fn nanoseconds_since(since: i64) -> Result<u64> {
    Ok(u64::try_from(now()? - since).unwrap_or(0))
}

/// Time from `since` to now.
pub(crate) fn since(since: i64) -> Result<Duration> {
    nanoseconds_since(since).map(Duration::from_nanos)
}

/// Date and time, for people.
pub(crate) fn date() -> String {
    format!("{:.0}", Timestamp::now())
}

/// Asks `ready` until it answers, at most for `limit`.
///
/// # Errors
///
/// What `ready` says, or that `what` has not come in time.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = now()?;
    loop {
        if let Some(answer) = ready()? {
            return Ok(answer);
        }
        if since(start)? > limit {
            anyhow::bail!("waited {} s for {what}, in vain", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
