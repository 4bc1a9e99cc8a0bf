//! The queue in memory between intake and a sink.
//!
//! Who pushes never waits and never fails: when the queue is full, the oldest records are shed and
//! counted. Records that are out for delivery stay in it until they are acknowledged; when they are
//! shed meanwhile, that is counted only if the delivery comes to nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::happening::Happening;
use super::status::{Level, Status};
use super::{BatchLimits, Filling, count, length, lock};
use crate::sink::ship::Record;

/// What a record takes beside its JSON, about: the entry, and the buffer's own bookkeeping.
const OVERHEAD: u64 = 96;

/// The queue; clones are the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
    status: Arc<Status>,
}

#[derive(Debug)]
struct State {
    records: VecDeque<Record>,
    bytes: u64,
    limit: u64,
    /// How many at the front are out for delivery.
    out: u64,
    /// How many more of those out were shed.
    orphans: u64,
    /// What the consumer waits for.
    wanted: Option<BatchLimits>,
    closed: bool,
}

impl Queue {
    /// Holds at most `limit` bytes.
    pub fn new(limit: u64, status: Arc<Status>) -> Self {
        let state = Mutex::new(State {
            records: VecDeque::new(),
            bytes: 0,
            limit,
            out: 0,
            orphans: 0,
            wanted: None,
            closed: false,
        });
        Self {
            shared: Arc::new(Shared {
                state,
                arrived: Notify::new(),
                status,
            }),
        }
    }

    /// Puts a record at the end, and sheds the oldest when that is too much. A closed queue sheds
    /// it.
    pub fn push(&self, record: Record) {
        let Shared {
            state,
            arrived,
            status,
        } = &*self.shared;
        let mut state = lock(state);
        if state.closed {
            drop(state);
            status.happen(Happening::Shed {
                records: 1,
                reason: super::Reason::Stopped,
            });
            return;
        }
        state.bytes = state.bytes.saturating_add(size(&record));
        state.records.push_back(record);
        let shed = state.shed();
        if shed > 0 {
            let reason = status.queue_full();
            status.happen(Happening::Shed {
                records: shed,
                reason,
            });
        }
        status.queue_is(state.level());
        if state.has_wanted() {
            state.wanted = None;
            arrived.notify_one();
        }
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        lock(&self.shared.state).closed = true;
        self.shared.arrived.notify_one();
    }

    /// Another limit, in bytes.
    pub(super) fn set_limit(&self, limit: u64) {
        let mut state = lock(&self.shared.state);
        state.limit = limit;
        let records = state.shed();
        if records > 0 {
            self.shared.status.happen(Happening::Shed {
                records,
                reason: super::Reason::QueueFull,
            });
        }
        self.shared.status.queue_is(state.level());
    }

    /// Whether nothing comes any more.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.shared.state).closed
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.shared.state).records.is_empty()
    }

    /// Waits until as much as `limits` is there, or the queue was closed. For one consumer only.
    pub(super) async fn holds(&self, limits: BatchLimits) {
        loop {
            {
                let mut state = lock(&self.shared.state);
                state.wanted = Some(limits);
                if state.closed || state.has_wanted() {
                    state.wanted = None;
                    return;
                }
            }
            self.shared.arrived.notified().await;
        }
    }

    /// The oldest records. They are out until [`Self::acknowledge`] or [`Self::release`].
    pub(super) fn peek(&self, limits: BatchLimits) -> Vec<Record> {
        let mut state = lock(&self.shared.state);
        let mut filling = Filling::new(limits);
        for record in &state.records {
            if !filling.take(record) {
                break;
            }
        }
        state.out = count(filling.records.len());
        state.orphans = 0;
        filling.records
    }

    /// Those that are out have arrived.
    pub(super) fn acknowledge(&self) {
        self.acknowledge_some(usize::MAX);
    }

    /// So many of the first that are out have arrived; the others stay out.
    pub(super) fn acknowledge_some(&self, records: usize) {
        let mut state = lock(&self.shared.state);
        let arrived = count(records);
        // Orphans are the oldest of them.
        let orphans = state.orphans.min(arrived);
        state.orphans = state.orphans.saturating_sub(orphans);
        let mut left = arrived.saturating_sub(orphans).min(state.out);
        while left > 0 {
            state.drop_oldest();
            left = left.saturating_sub(1);
        }
        self.shared.status.queue_is(state.level());
    }

    /// Those that are out have not arrived, and are no longer held elsewhere.
    pub(super) fn release(&self) {
        let mut state = lock(&self.shared.state);
        state.out = 0;
        let records = std::mem::take(&mut state.orphans);
        drop(state);
        if records > 0 {
            let reason = self.shared.status.queue_full();
            self.shared
                .status
                .happen(Happening::Shed { records, reason });
        }
    }

    /// Takes everything out; how many that were.
    pub(super) fn clear(&self) -> u64 {
        self.release();
        let mut state = lock(&self.shared.state);
        let left = count(state.records.len());
        state.records.clear();
        state.bytes = 0;
        self.shared.status.queue_is(state.level());
        left
    }
}

impl State {
    /// Sheds the oldest until the others fit; how many are lost by that.
    fn shed(&mut self) -> u64 {
        let mut lost: u64 = 0;
        while self.bytes > self.limit {
            if self.out > 0 {
                self.orphans = self.orphans.saturating_add(1);
            } else {
                lost = lost.saturating_add(1);
            }
            if !self.drop_oldest() {
                break;
            }
        }
        lost
    }

    fn drop_oldest(&mut self) -> bool {
        self.out = self.out.saturating_sub(1);
        let Some(oldest) = self.records.pop_front() else {
            return false;
        };
        self.bytes = self.bytes.saturating_sub(size(&oldest));
        true
    }

    fn has_wanted(&self) -> bool {
        self.wanted.is_some_and(|wanted| {
            self.records.len() >= wanted.records
                || (!self.records.is_empty() && self.bytes >= wanted.bytes)
        })
    }

    fn level(&self) -> Level {
        Level {
            records: count(self.records.len()),
            bytes: self.bytes,
            limit: self.limit,
        }
    }
}

fn size(record: &Record) -> u64 {
    length(&record.json).saturating_add(OVERHEAD)
}

#[cfg(test)]
mod tests;
