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

use super::Place;
use super::track::Track;
use super::verdict::Confidence;
use crate::aggregate::UpstreamSummary;
use crate::event::Cause;
use crate::rule::NextStep;

/// An upstream to be explained.
pub(super) struct Case<'a> {
    pub(super) track: &'a Track,
    pub(super) row: &'a UpstreamSummary,
    /// The cause of most failures.
    pub(super) top: Cause,
    pub(super) now_ns: u64,
    pub(super) place: Place<'a>,
}

impl Case<'_> {
    /// Time of day.
    fn time(&self, at_ns: u64) -> String {
        (self.place.time)(at_ns)
    }

    /// Failures of a cause, of those meant.
    fn count(&self, cause: Cause) -> u64 {
        self.row.causes.get(&cause).copied().unwrap_or(0)
    }
}

/// What a pattern found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Failures that it explains.
    pub(super) explains: u64,
    /// The cause it makes of them, where that is another.
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
