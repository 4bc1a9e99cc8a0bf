//! What happens to records on their way: one type that is both counted and logged.
//!
//! [`Status::happen`](super::Status::happen) counts at once and does no I/O, so that intake can
//! call it. What there is to say of it is remembered, and said by the thread of the sink: at most
//! one line for each kind in [`QUIET`], with how often it happened since the line before. So
//! nothing is counted that is not said, and the other way round.

use std::collections::BTreeMap;
use std::time::Duration;

use log::Level;
use tokio::time::Instant;

/// After a line there is none of its kind for so long.
pub const QUIET: Duration = Duration::from_secs(10);

/// Why a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The sink does not take them as fast as they come, and memory for them is used up.
    QueueFull,
    /// The receiver was away for so long that the spool is used up.
    SpoolFull,
    /// The spool cannot be written, and memory is used up.
    SpoolFailed,
    /// gw502 stopped before they were delivered, and there is no spool.
    Stopped,
}

impl Reason {
    /// All of them: each is a time series from the start.
    pub const ALL: [Self; 4] = [
        Self::QueueFull,
        Self::SpoolFull,
        Self::SpoolFailed,
        Self::Stopped,
    ];

    /// As the label of a metric.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::Stopped => "stopped",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::QueueFull => "the sink is slower than they come, and its queue is full",
            Self::SpoolFull => "the spool is full",
            Self::SpoolFailed => "the spool cannot be written, and the queue is full",
            Self::Stopped => "gw502 stopped before they were delivered",
        }
    }
}

/// Something that happened at a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The receiver has taken records. No line.
    Delivered {
        /// How many.
        records: u64,
    },
    /// The receiver does not want records: they are gone.
    Refused {
        /// How many.
        records: u64,
        /// Its words.
        why: String,
    },
    /// A delivery failed, and will be tried again.
    Retry {
        /// When.
        wait: Duration,
        /// What went wrong.
        why: String,
    },
    /// The first delivery after failed ones.
    Recovered {
        /// How many had failed.
        failed: u64,
    },
    /// Records were given up, the oldest first.
    Shed {
        /// How many.
        records: u64,
        /// Why.
        reason: Reason,
    },
    /// The spool cannot be written or read; it is tried again.
    SpoolFailed {
        /// What went wrong.
        why: String,
    },
    /// Records in the spool could not be read: they are gone.
    Damaged {
        /// How many.
        records: u64,
    },
    /// Records of an earlier run were in the spool.
    Found {
        /// How many.
        records: u64,
    },
    /// At the end of the run records stay in the spool.
    Kept {
        /// How many.
        records: u64,
    },
}

/// What has a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Found,
    Shed(Reason),
    Damaged,
    SpoolFailed,
    Refused,
    Retry,
    Recovered,
    Kept,
}

impl Happening {
    /// Its subject, and how many records it is about; `None` when there is nothing to say.
    const fn subject(&self) -> Option<(Subject, u64)> {
        match self {
            Self::Delivered { .. } => None,
            Self::Refused { records, .. } => Some((Subject::Refused, *records)),
            Self::Retry { .. } => Some((Subject::Retry, 0)),
            Self::Recovered { .. } => Some((Subject::Recovered, 0)),
            Self::Shed { records, reason } => Some((Subject::Shed(*reason), *records)),
            Self::SpoolFailed { .. } => Some((Subject::SpoolFailed, 0)),
            Self::Damaged { records } => Some((Subject::Damaged, *records)),
            Self::Found { records } => Some((Subject::Found, *records)),
            Self::Kept { records } => Some((Subject::Kept, *records)),
        }
    }

    /// The words for it, when so many records are meant in all.
    fn words(&self, total: u64) -> (Level, String) {
        match self {
            Self::Delivered { .. } => (Level::Debug, format!("{total} records delivered")),
            Self::Refused { why, .. } => (Level::Warn, format!("{total} records refused: {why}")),
            Self::Retry { wait, why } => {
                let wait = wait.as_secs_f64();
                let words = format!("not delivered, next attempt in {wait:.1} s: {why}");
                (Level::Warn, words)
            }
            Self::Recovered { failed } => (
                Level::Info,
                format!("delivers again after {failed} failed attempts"),
            ),
            Self::Shed { reason, .. } => {
                let words = format!("{total} records lost: {}", reason.words());
                (Level::Error, words)
            }
            Self::SpoolFailed { why } => (Level::Error, format!("the spool failed: {why}")),
            Self::Damaged { .. } => {
                let words = format!("{total} records lost: damaged in the spool");
                (Level::Error, words)
            }
            Self::Found { .. } => {
                let words = format!("{total} records of an earlier run are in the spool");
                (Level::Info, words)
            }
            Self::Kept { .. } => {
                let words = format!("{total} records stay in the spool for the next run");
                (Level::Info, words)
            }
        }
    }
}

/// What has happened and was not yet said.
#[derive(Debug, Default)]
pub(super) struct Unsaid {
    subjects: BTreeMap<Subject, Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    said: Option<Instant>,
    times: u64,
    records: u64,
    last: Option<Happening>,
}

impl Unsaid {
    pub(super) fn note(&mut self, happening: Happening) {
        let Some((subject, records)) = happening.subject() else {
            return;
        };
        let pending = self.subjects.entry(subject).or_default();
        pending.times = pending.times.saturating_add(1);
        pending.records = pending.records.saturating_add(records);
        pending.last = Some(happening);
    }

    /// The lines that are due; at the end of the run (`all`) every line is.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<(Level, String)> {
        let mut lines = Vec::new();
        for pending in self.subjects.values_mut() {
            let quiet = |said: Instant| now.saturating_duration_since(said) < QUIET;
            if !all && pending.said.is_some_and(quiet) {
                continue;
            }
            let Some(last) = pending.last.take() else {
                continue;
            };
            let (level, mut line) = last.words(pending.records);
            if pending.times > 1 {
                let more = pending.times.saturating_sub(1);
                line = format!("{line} ({more} more times since the last such line)");
            }
            lines.push((level, line));
            pending.said = Some(now);
            pending.times = 0;
            pending.records = 0;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shed(records: u64) -> Happening {
        Happening::Shed {
            records,
            reason: Reason::QueueFull,
        }
    }

    #[test]
    fn the_first_is_said_at_once_and_the_rest_in_one_line() {
        let mut unsaid = Unsaid::default();
        let start = Instant::now();
        unsaid.note(shed(3));
        let first = unsaid.due(start, false);
        assert_eq!(first.len(), 1);
        assert!(first[0].1.starts_with("3 records lost"), "{first:?}");
        for _ in 0..100 {
            unsaid.note(shed(2));
        }
        assert_eq!(unsaid.due(start + QUIET / 2, false), []);
        let second = unsaid.due(start + QUIET, false);
        assert_eq!(second.len(), 1);
        assert!(second[0].1.starts_with("200 records lost"), "{second:?}");
        assert!(second[0].1.contains("99 more times"), "{second:?}");
        assert_eq!(unsaid.due(start + QUIET * 9, false), []);
    }

    #[test]
    fn subjects_do_not_silence_each_other_and_the_end_says_all() {
        let mut unsaid = Unsaid::default();
        let start = Instant::now();
        unsaid.note(shed(1));
        assert_eq!(unsaid.due(start, false).len(), 1);
        unsaid.note(Happening::Damaged { records: 1 });
        unsaid.note(Happening::Shed {
            records: 1,
            reason: Reason::Stopped,
        });
        unsaid.note(shed(1));
        assert_eq!(unsaid.due(start, false).len(), 2);
        assert_eq!(unsaid.due(start, true).len(), 1);
    }

    #[test]
    fn what_goes_well_makes_no_line() {
        let mut unsaid = Unsaid::default();
        unsaid.note(Happening::Delivered { records: 500 });
        assert_eq!(unsaid.due(Instant::now(), true), []);
    }
}
