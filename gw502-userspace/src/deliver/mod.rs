//! Brings records to their sinks: nothing is lost unseen, and no sink delays another.
//!
//! - [`queue`]: from intake to a sink, in memory; it never blocks who pushes.
//! - [`spool`]: then on disk, for sinks beyond this host.
//! - [`courier`]: the thread of a sink: batches, retries, the end.
//! - [`happening`] and [`status`]: what of that is counted and logged.
//!
//! Order is kept. A record is delivered at least once, or counted as refused or shed.

mod backoff;
pub mod courier;
pub mod happening;
pub mod queue;
pub mod spool;
pub mod status;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sink::ship::Record;

pub use courier::{Courier, Settings};
pub use happening::{Happening, Reason};
pub use queue::Queue;
pub use spool::{Spool, SpoolError};
pub use status::{Level, Snapshot, Status};

/// How much is delivered at once: what is reached first. A single record is never too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records.
    pub records: usize,
    /// Bytes of JSON.
    pub bytes: u64,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            records: 500,
            bytes: 1 << 20,
        }
    }
}

/// Takes records up to the limits.
#[derive(Debug)]
struct Filling {
    limits: BatchLimits,
    records: Vec<Record>,
    bytes: u64,
}

impl Filling {
    const fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            records: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes a record, unless it is one too many.
    fn take(&mut self, record: &Record) -> bool {
        let bytes = self.bytes.saturating_add(length(&record.json));
        let full = self.records.len() >= self.limits.records || bytes > self.limits.bytes;
        if full && !self.records.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.records.push(record.clone());
        true
    }
}

/// Length in bytes.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Number of records.
fn count(records: usize) -> u64 {
    u64::try_from(records).unwrap_or(u64::MAX)
}

/// The lock, also after a panic of another thread: what it guards are numbers and queues, whole
/// after each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod scratch;
