//! Patterns: what many failures tell together that one cannot. One file each.
//!
//! A pattern needs its evidence like a cause does: where it is missing, the pattern says nothing.

pub(super) mod all_alike;
mod burst;
mod keepalive_mismatch;
mod repeated_timeout;
mod restart;
mod restart_loop;
mod saturation;
mod settings;

use std::collections::BTreeMap;

use super::Place;
use super::track::Track;
use super::verdict::Confidence;
use crate::aggregate::UpstreamSummary;
use crate::event::Cause;
use crate::rule::NextStep;

/// An upstream's trouble to be explained.
pub(super) struct Case<'a> {
    pub(super) track: &'a Track,
    /// Its failures, of those meant, by cause.
    pub(super) causes: &'a BTreeMap<Cause, u64>,
    /// …and those whose record was lost.
    pub(super) lost: u64,
    /// The cause of most failures.
    pub(super) top: Cause,
    pub(super) now_ns: u64,
    pub(super) place: Place<'a>,
}

impl<'a> Case<'a> {
    /// `None` where no cause is known.
    pub(super) fn new(
        track: &'a Track,
        row: &'a UpstreamSummary,
        now_ns: u64,
        place: Place<'a>,
    ) -> Option<Self> {
        // The row is of the whole run. What was over before has no part in this trouble, nor what
        // was only counted, nobody knows when.
        let (causes, lost) = match track.past {
            None => (&row.causes, row.lost),
            Some(past) => (&track.causes, row.lost.saturating_sub(past.lost)),
        };
        Some(Self {
            track,
            causes,
            lost,
            top: most(causes, |_| true)?,
            now_ns,
            place,
        })
    }

    /// Failures, those whose record was lost included.
    pub(super) fn failed(&self) -> u64 {
        self.sum(|_| true).saturating_add(self.lost)
    }

    /// Time of day.
    fn time(&self, at_ns: u64) -> String {
        (self.place.time)(at_ns)
    }

    /// Failures of a cause.
    pub(super) fn count(&self, cause: Cause) -> u64 {
        self.causes.get(&cause).copied().unwrap_or(0)
    }

    /// Failures of some causes: their counts may come from a file.
    fn sum(&self, is: impl Fn(Cause) -> bool) -> u64 {
        let counts = self.causes.iter().filter(|(cause, _)| is(**cause));
        counts.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The most frequent of some causes.
    fn most(&self, is: impl Fn(Cause) -> bool) -> Option<Cause> {
        most(self.causes, is)
    }
}

/// Of equals the first in the order of causes.
fn most(causes: &BTreeMap<Cause, u64>, is: impl Fn(Cause) -> bool) -> Option<Cause> {
    let some = causes.iter().rev().filter(|(cause, _)| is(**cause));
    let most = some.max_by_key(|(_, count)| **count);
    most.map(|(cause, _)| *cause)
}

/// What a pattern found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Failures that it explains.
    pub(super) explains: u64,
    /// The most frequent cause of those, or the one it makes of them.
    pub(super) cause: Option<Cause>,
    pub(super) confidence: Confidence,
    /// One sentence; `None` when it only adds evidence.
    pub(super) summary: Option<String>,
    pub(super) evidence: Vec<String>,
    /// Steps that the page of the cause does not have.
    pub(super) steps: Vec<NextStep>,
}

type Pattern = fn(&Case<'_>) -> Option<Finding>;

/// In the order in which they have the first word.
const PATTERNS: [Pattern; 6] = [
    restart_loop::find,
    restart::find,
    saturation::find,
    keepalive_mismatch::find,
    repeated_timeout::find,
    burst::find,
];

/// Everything found, in that order.
pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    PATTERNS.iter().filter_map(|find| find(case)).collect()
}

/// The largest group of `values` that lie within `width` of its smallest: its smallest, and how
/// many there are.
fn cluster(
    values: impl IntoIterator<Item = u64>,
    width: impl Fn(u64) -> u64,
) -> Option<(u64, usize)> {
    let mut sorted: Vec<u64> = values.into_iter().collect();
    sorted.sort_unstable();
    let groups = sorted.iter().enumerate().map(|(at, first)| {
        let beyond = first.saturating_add(width(*first));
        let end = sorted.partition_point(|value| *value <= beyond);
        (*first, end.saturating_sub(at))
    });
    // Of equals the smallest.
    groups.rev().max_by_key(|(_, members)| *members)
}

fn step(command: impl Into<String>, why: impl Into<String>) -> NextStep {
    NextStep {
        command: command.into(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_the_largest_group() {
        let within = |width| move |_| width;
        assert_eq!(cluster([9, 1, 10, 30, 11], within(2)), Some((9, 3)));
        assert_eq!(cluster([5, 1], within(2)), Some((1, 1)));
        assert_eq!(cluster([], within(2)), None);
    }
}
