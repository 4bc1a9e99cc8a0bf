//! What is known of a sink at any moment, shared by its thread, intake and the metrics page.
//!
//! A lock that is held for a few instructions and never over I/O.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::happening::{Happening, Reason, Unsaid};
use super::lock;

/// A sink that has records and gets rid of none for longer than this is stuck.
pub const STUCK: Duration = Duration::from_mins(1);

/// How much waits in a queue or a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Records.
    pub records: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Bytes that they may take.
    pub limit: u64,
}

/// Everything about a sink at one moment. Counters count from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Records that the receiver took.
    pub delivered: u64,
    /// Records that the receiver did not want.
    pub refused: u64,
    /// Failed deliveries that were, or will be, tried again.
    pub retries: u64,
    /// Records given up; each reason is there.
    pub shed: BTreeMap<Reason, u64>,
    /// Records that were damaged in the spool.
    pub damaged: u64,
    /// How often the spool could not be written or read.
    pub spool_failures: u64,
    /// Waiting in memory.
    pub queue: Level,
    /// Waiting on disk; `None` without a spool.
    pub spool: Option<Level>,
    /// How long ago the receiver took records; `None` is never.
    pub since_success: Option<Duration>,
    /// Whether records wait that it got rid of none for longer than [`STUCK`].
    pub stuck: bool,
}

/// What is known of a sink.
#[derive(Debug)]
pub struct Status {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    delivered: u64,
    refused: u64,
    retries: u64,
    shed: BTreeMap<Reason, u64>,
    damaged: u64,
    spool_failures: u64,
    queue: Level,
    spool: Option<Level>,
    spool_failing: bool,
    /// Since when records wait and none has left.
    waiting: Option<Instant>,
    success: Option<Instant>,
    unsaid: Unsaid,
}

impl Status {
    /// Of a sink that has not started; limits in bytes.
    pub fn new(name: &str, queue_limit: u64, spool_limit: Option<u64>) -> Self {
        let level = |limit| Level {
            limit,
            ..Level::default()
        };
        Self {
            name: name.to_owned(),
            state: Mutex::new(State {
                delivered: 0,
                refused: 0,
                retries: 0,
                shed: Reason::ALL.into_iter().map(|reason| (reason, 0)).collect(),
                damaged: 0,
                spool_failures: 0,
                queue: level(queue_limit),
                spool: spool_limit.map(level),
                spool_failing: false,
                waiting: None,
                success: None,
                unsaid: Unsaid::default(),
            }),
        }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts it, and remembers to say it. Never blocks on I/O.
    pub fn happen(&self, happening: Happening) {
        lock(&self.state).happen(happening);
    }

    /// Logs what is due. Logging may block: for the sink's own thread.
    pub(super) fn say(&self, all: bool) {
        let lines = lock(&self.state).unsaid.due(Instant::now(), all);
        for (level, line) in lines {
            log::log!(level, "sink `{}`: {line}", self.name);
        }
    }

    /// Everything, at this moment.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let state = lock(&self.state);
        let since = |then: Instant| now.saturating_duration_since(then);
        Snapshot {
            delivered: state.delivered,
            refused: state.refused,
            retries: state.retries,
            shed: state.shed.clone(),
            damaged: state.damaged,
            spool_failures: state.spool_failures,
            queue: state.queue,
            spool: state.spool,
            since_success: state.success.map(since),
            stuck: state.waiting.is_some_and(|then| since(then) > STUCK),
        }
    }

    /// What the queue holds now.
    pub(super) fn queue_is(&self, level: Level) {
        let mut state = lock(&self.state);
        let waited = state.waits();
        state.queue = level;
        state.waiting_since(waited);
    }

    /// What the spool holds now.
    pub(super) fn spool_is(&self, level: Level) {
        let mut state = lock(&self.state);
        let waited = state.waits();
        state.spool = Some(level);
        state.waiting_since(waited);
    }

    /// Whether the spool takes nothing now: then that is why the queue is full.
    pub(super) fn spool_fails(&self, failing: bool) {
        lock(&self.state).spool_failing = failing;
    }

    /// Why a full queue is full.
    pub(super) fn queue_full(&self) -> Reason {
        if lock(&self.state).spool_failing {
            Reason::SpoolFailed
        } else {
            Reason::QueueFull
        }
    }
}

impl State {
    fn happen(&mut self, happening: Happening) {
        let add = |counter: &mut u64, more: u64| *counter = counter.saturating_add(more);
        match &happening {
            Happening::Delivered { records } => {
                add(&mut self.delivered, *records);
                self.success = Some(Instant::now());
                self.moves();
            }
            Happening::Refused { records, .. } => {
                add(&mut self.refused, *records);
                self.moves();
            }
            Happening::Retry { .. } => add(&mut self.retries, 1),
            Happening::Shed { records, reason } => {
                add(self.shed.entry(*reason).or_default(), *records);
            }
            Happening::SpoolFailed { .. } => add(&mut self.spool_failures, 1),
            Happening::Damaged { records } => add(&mut self.damaged, *records),
            Happening::Recovered { .. } | Happening::Found { .. } | Happening::Kept { .. } => {}
        }
        self.unsaid.note(happening);
    }

    /// Some have left; the others wait from now on.
    fn moves(&mut self) {
        if self.waiting.is_some() {
            self.waiting = Some(Instant::now());
        }
    }

    fn waits(&self) -> bool {
        self.queue.records > 0 || self.spool.is_some_and(|spool| spool.records > 0)
    }

    fn waiting_since(&mut self, waited: bool) {
        match (waited, self.waits()) {
            (false, true) => self.waiting = Some(Instant::now()),
            (_, false) => self.waiting = None,
            (true, true) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(records: u64) -> Level {
        Level {
            records,
            bytes: records,
            limit: 100,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_is_stuck_when_it_has_records_and_none_leaves() {
        let status = Status::new("a", 100, Some(100));
        let stuck = || status.snapshot(Instant::now()).stuck;
        tokio::time::advance(STUCK * 2).await;
        assert!(!stuck(), "nothing waits");
        status.queue_is(level(1));
        tokio::time::advance(STUCK / 2).await;
        status.spool_is(level(1));
        status.queue_is(level(0));
        tokio::time::advance(STUCK / 2).await;
        assert!(!stuck(), "just as long as is allowed");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(stuck(), "on disk it waits like in memory");
        status.happen(Happening::Delivered { records: 1 });
        assert!(!stuck(), "one has left");
        tokio::time::advance(STUCK + Duration::from_secs(1)).await;
        assert!(stuck());
        status.spool_is(level(0));
        assert!(!stuck());
    }

    #[test]
    fn every_happening_is_counted_where_it_belongs() {
        let status = Status::new("a", 1, None);
        status.happen(Happening::Delivered { records: 5 });
        status.happen(Happening::Refused {
            records: 2,
            why: "no".to_owned(),
        });
        for why in ["a", "b"] {
            status.happen(Happening::Retry {
                wait: Duration::ZERO,
                why: why.to_owned(),
            });
        }
        for (records, reason) in (1..).zip(Reason::ALL) {
            status.happen(Happening::Shed { records, reason });
        }
        status.happen(Happening::Damaged { records: 7 });
        status.happen(Happening::SpoolFailed { why: String::new() });
        let seen = status.snapshot(Instant::now());
        assert_eq!((seen.delivered, seen.refused, seen.retries), (5, 2, 2));
        assert_eq!((seen.damaged, seen.spool_failures), (7, 1));
        assert_eq!(
            seen.shed.values().copied().collect::<Vec<_>>(),
            [1, 2, 3, 4]
        );
        assert_eq!(seen.spool, None);
        assert!(seen.since_success.is_some());
    }
}
