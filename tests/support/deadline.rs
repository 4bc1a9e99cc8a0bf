//! Waiting for things to become true, never for time to pass.
//!
//! The only file that reads a clock or pauses.
#![expect(
    clippy::disallowed_methods,
    reason = "the bench's clock: every other file asks here"
)]

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// `limit` for this machine: `$GW502_SLOW` times as long, where an emulator runs the suite.
///
/// For how long something may take; never for what is compared with a clock of the proxy's.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    limit * slowness()
}

/// Whether an emulator runs the suite.
#[must_use]
pub fn is_slow() -> bool {
    slowness() > 1
}

fn slowness() -> u32 {
    let times = std::env::var_os("GW502_SLOW");
    times
        .and_then(|times| times.to_str()?.parse().ok())
        .unwrap_or(1)
}

/// A point in time after which waiting is over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self(now() + limit)
    }

    /// What is left until then; zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }
}

/// The monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits for a moment of a schedule: what a test must not do before then, not what it waits for.
pub fn pause_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(now()));
}

/// Waits until `condition` holds; `false` when `limit` passed first.
#[must_use]
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::after(patient(limit));
    loop {
        if condition() {
            return true;
        }
        if deadline.passed() {
            return false;
        }
        thread::sleep(LOOK);
    }
}

/// Waits until `condition` holds, and panics naming `what` when it does not within `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(limit, condition),
        "waited {limit:?} in vain for {what}"
    );
}
