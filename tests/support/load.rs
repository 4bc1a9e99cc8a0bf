//! Refused connections of this process, at a pace.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::deadline;

/// How often some are due.
const TICK: Duration = Duration::from_millis(100);

/// Connections that are refused until it is ended.
#[derive(Debug, Default)]
pub struct Load {
    made: AtomicU64,
    over: AtomicBool,
}

/// Ends a [`Load`] when it goes, also in a panic.
#[derive(Debug)]
pub struct Ending<'a>(&'a Load);

impl Load {
    /// Makes `per_second` (a multiple of ten) of them, up to `total`; the nth goes to `target(n)`.
    /// What is late is made up for.
    ///
    /// # Panics
    ///
    /// When one is not refused.
    pub fn run(&self, per_second: u64, total: u64, target: impl Fn(u64) -> SocketAddr) {
        let mut due = deadline::now();
        while self.made() < total && !self.over.load(Ordering::Relaxed) {
            for _ in 0..per_second / 10 {
                let target = target(self.made());
                let refused = TcpStream::connect(target);
                assert!(refused.is_err(), "{target} is nobody's");
                self.made.fetch_add(1, Ordering::Relaxed);
            }
            due += TICK;
            deadline::pause_until(due);
        }
    }

    /// How many were refused up to now.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// It ends when the guard is dropped.
    pub const fn ending(&self) -> Ending<'_> {
        Ending(self)
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}
