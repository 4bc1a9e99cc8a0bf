//! Pure: per-upstream totals over a run, from the kernel's counters and the events that came.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Cause, Class, Failure, Upstream};

/// Everything that the kernel side counted in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Each upstream's totals; `None` collects the upstreams that found no room of their own.
    pub upstreams: Vec<(Option<UpstreamId>, Totals)>,
    /// What could not be kept, by reason, reasons with none left out.
    pub losses: BTreeMap<String, u64>,
    /// Attempts that nobody asked for, by reason, reasons with none left out.
    pub skips: BTreeMap<String, u64>,
}

impl Counted {
    /// Adds to an upstream's totals.
    pub fn add(&mut self, id: UpstreamId, more: Totals) {
        let known = self.upstreams.iter_mut();
        let known = known.map(|(id, totals)| (id.as_ref(), totals));
        let mut same = known.filter(|(other, _)| *other == Some(&id));
        if let Some((_, totals)) = same.next() {
            totals.attempts += more.attempts;
            totals.established += more.established;
            totals.ended += more.ended;
        } else {
            drop(same);
            self.upstreams.push((Some(id), more));
        }
    }
}

/// An upstream as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UpstreamId {
    /// Its address, or its path.
    pub upstream: Upstream,
    /// Inode number of the network namespace.
    pub netns: u32,
}

/// What the kernel counted of an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Connects started.
    pub attempts: u64,
    /// Handshakes finished.
    pub established: u64,
    /// Records written or lost: failures, and what the proxy cancelled.
    pub ended: u64,
}

/// Events of an upstream by their kind: all that a recording keeps of those it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portion {
    /// The upstream.
    #[serde(flatten)]
    pub id: UpstreamId,
    /// How many of each class and cause.
    pub kinds: Vec<(Class, Cause, u64)>,
    /// `CLOCK_BOOTTIME` of the first failure among them.
    pub since_ns: Option<u64>,
}

impl Portion {
    /// Number of events.
    pub fn events(&self) -> u64 {
        sum(self.kinds.iter().map(|(_, _, count)| *count))
    }
}

/// A sum that stays at the end of its range: the counts may come from a file.
fn sum(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// What the events told of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    kinds: BTreeMap<(Class, Cause), u64>,
    /// `CLOCK_BOOTTIME` of the first failure.
    since_ns: Option<u64>,
}

/// Events of a run, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    seen: BTreeMap<UpstreamId, Seen>,
}

impl Tally {
    /// Adds an event.
    pub fn add(&mut self, failure: &Failure) {
        let id = UpstreamId {
            upstream: failure.upstream.clone(),
            netns: failure.netns,
        };
        let seen = self.seen.entry(id).or_default();
        *seen
            .kinds
            .entry((failure.class, failure.cause))
            .or_default() += 1;
        if failure.is_failure() {
            seen.since_ns = earlier(seen.since_ns, Some(failure.at_ns));
        }
    }

    /// Adds events that were only counted.
    pub fn add_portion(&mut self, portion: &Portion) {
        let seen = self.seen.entry(portion.id.clone()).or_default();
        for (class, cause, count) in &portion.kinds {
            let total = seen.kinds.entry((*class, *cause)).or_default();
            *total = total.saturating_add(*count);
        }
        seen.since_ns = earlier(seen.since_ns, portion.since_ns);
    }

    /// Everything added, in portions to be added elsewhere.
    pub fn portions(&self) -> impl Iterator<Item = Portion> {
        self.seen.iter().map(|(id, seen)| Portion {
            id: id.clone(),
            kinds: seen
                .kinds
                .iter()
                .map(|((class, cause), count)| (*class, *cause, *count))
                .collect(),
            since_ns: seen.since_ns,
        })
    }

    /// Joins the events with the kernel's counters. Upstreams without an attempt are left out;
    /// the worst come first.
    pub fn summarise(&self, counted: &[(Option<UpstreamId>, Totals)]) -> Vec<UpstreamSummary> {
        let mut rows: Vec<_> = counted
            .iter()
            .filter(|(_, totals)| totals.attempts > 0 || totals.ended > 0)
            .map(|(id, totals)| {
                UpstreamSummary::new(id.clone(), *totals, &self.seen_of(id.as_ref(), counted))
            })
            .collect();
        rows.sort_by(|a, b| b.failed().cmp(&a.failed()).then_with(|| a.id.cmp(&b.id)));
        rows
    }
}

impl Tally {
    /// The events of one counted upstream; of `None`, those of every upstream without its own
    /// counter.
    fn seen_of(&self, id: Option<&UpstreamId>, counted: &[(Option<UpstreamId>, Totals)]) -> Seen {
        if let Some(id) = id {
            return self.seen.get(id).cloned().unwrap_or_default();
        }
        let uncounted = self
            .seen
            .iter()
            .filter(|(id, _)| !counted.iter().any(|(other, _)| other.as_ref() == Some(*id)));
        uncounted.fold(Seen::default(), |mut sum, (_, seen)| {
            for (kind, count) in &seen.kinds {
                let total = sum.kinds.entry(*kind).or_default();
                *total = total.saturating_add(*count);
            }
            sum.since_ns = earlier(sum.since_ns, seen.since_ns);
            sum
        })
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().min()
}

/// A line of the table at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSummary {
    /// The upstream; `None` for all that found no room of their own.
    pub id: Option<UpstreamId>,
    /// Connects started.
    pub attempts: u64,
    /// Handshakes finished.
    pub established: u64,
    /// Failures by class.
    pub classes: BTreeMap<Class, u64>,
    /// Failures by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// What the proxy cancelled itself.
    pub aborted: u64,
    /// Counted by the kernel, but the record was lost: class and cause are not known.
    pub lost: u64,
    /// `CLOCK_BOOTTIME` of the first failure.
    pub since_ns: Option<u64>,
}

impl UpstreamSummary {
    fn new(id: Option<UpstreamId>, totals: Totals, seen: &Seen) -> Self {
        let mut row = Self {
            id,
            attempts: totals.attempts,
            established: totals.established,
            classes: BTreeMap::new(),
            causes: BTreeMap::new(),
            aborted: 0,
            lost: totals
                .ended
                .saturating_sub(sum(seen.kinds.values().copied())),
            since_ns: seen.since_ns,
        };
        for ((class, cause), count) in &seen.kinds {
            if *class == Class::Aborted {
                row.aborted = row.aborted.saturating_add(*count);
            } else {
                let by_class = row.classes.entry(*class).or_default();
                *by_class = by_class.saturating_add(*count);
                let by_cause = row.causes.entry(*cause).or_default();
                *by_cause = by_cause.saturating_add(*count);
            }
        }
        row
    }

    /// Failures, those whose record was lost included.
    pub fn failed(&self) -> u64 {
        sum(self.causes.values().copied().chain([self.lost]))
    }

    /// The cause of most failures; of equals the first in the order of causes.
    pub fn top_cause(&self) -> Option<Cause> {
        let most = self.causes.values().max()?;
        self.causes
            .iter()
            .find(|(_, count)| *count == most)
            .map(|(cause, _)| *cause)
    }
}

#[cfg(test)]
mod tests;
