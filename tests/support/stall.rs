//! For how long the machine itself stood still: nobody who was ready to run did.
//!
//! A thread on each processor asks to be woken again and again, and notes by how much it was late.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::deadline;

/// How often they ask.
const BEAT: Duration = Duration::from_millis(5);

/// The longest since [`begin`], microseconds.
static LONGEST_US: AtomicU64 = AtomicU64::new(0);

/// Watches from now on.
pub fn begin() {
    static WATCHERS: Once = Once::new();
    WATCHERS.call_once(|| {
        let own = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        for cpu in (0..CpuSet::count()).filter(|cpu| own.is_set(*cpu).unwrap_or(false)) {
            thread::spawn(move || watch(cpu));
        }
    });
    LONGEST_US.store(0, Ordering::Relaxed);
}

/// The longest stand-still since [`begin`], within a few milliseconds.
#[must_use]
pub fn longest() -> Duration {
    Duration::from_micros(LONGEST_US.load(Ordering::Relaxed))
}

fn watch(cpu: usize) {
    let mut here = CpuSet::new();
    // Where it may not choose it watches the processors that it is given.
    here.set(cpu).unwrap_or(());
    sched_setaffinity(Pid::from_raw(0), &here).unwrap_or(());
    loop {
        let due = deadline::now() + BEAT;
        deadline::pause_until(due);
        let late = deadline::now().saturating_duration_since(due);
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        LONGEST_US.fetch_max(late_us, Ordering::Relaxed);
    }
}
