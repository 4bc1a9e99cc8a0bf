//! Pure: per-upstream totals over a run, from the kernel's counters and the events that came.

mod idle;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};

use gw502_common::wire::CONNECT_BUCKETS;
use serde::{Deserialize, Serialize};

pub use self::idle::Idle;
pub use self::snapshot::{Changes, Snapshot};
use crate::event::{Cause, Class, Failure, Upstream};

/// Upstreams that have an account of their own: as many as the kernel side has counters for (4,096
/// over TCP, 1,024 unix sockets). The others share one.
pub const UPSTREAMS: usize = 4096 + 1024;

/// Longest path of a unix socket that has an account of its own, in bytes. `sun_path` has 108, and
/// a zero byte is written as one character; only a recording that is not ours has more.
const LONGEST_PATH: usize = 3 * 108;

/// Everything that the kernel side counted in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Each upstream's totals; `None` collects the upstreams that found no room of their own.
    pub upstreams: Vec<(Option<UpstreamId>, Totals)>,
    /// How long the handshakes of the same upstreams took. A recording keeps none.
    #[serde(skip)]
    pub connects: Vec<(Option<UpstreamId>, Connects)>,
    /// Upstreams that were idle and whose counters this reading is the last of: they begin anew.
    #[serde(skip)]
    pub forgotten: Vec<UpstreamId>,
    /// Listeners whose accept queue was full since the programs were loaded; of very many, those that
    /// were lately. A recording keeps none.
    #[serde(skip)]
    pub queues: Vec<(UpstreamId, Overflows)>,
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

impl UpstreamId {
    /// The upstream of an event.
    pub fn of(failure: &Failure) -> Self {
        Self {
            upstream: failure.upstream.clone(),
            netns: failure.netns,
        }
    }

    /// Whether it may have an account of its own, which takes room for its name.
    pub const fn is_sound(&self) -> bool {
        match &self.upstream {
            Upstream::Tcp(_) => true,
            Upstream::Unix { path } => path.len() <= LONGEST_PATH,
        }
    }
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

/// How long an upstream's handshakes took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connects {
    /// How many, by [`CONNECT_BOUNDS_NS`](gw502_common::wire::CONNECT_BOUNDS_NS); the last one has
    /// those above the last bound.
    pub buckets: [u64; CONNECT_BUCKETS],
    /// All of them, nanoseconds.
    pub sum_ns: u64,
}

impl Connects {
    /// Adds others.
    pub fn add(&mut self, more: &Self) {
        for (count, more) in self.buckets.iter_mut().zip(more.buckets) {
            *count = count.saturating_add(more);
        }
        self.sum_ns = self.sum_ns.saturating_add(more.sum_ns);
    }

    /// Those that were not yet there at an earlier reading.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut new = *self;
        for (count, before) in new.buckets.iter_mut().zip(before.buckets) {
            *count = count.saturating_sub(before);
        }
        new.sum_ns = new.sum_ns.saturating_sub(before.sum_ns);
        new
    }

    /// How many.
    pub fn count(&self) -> u64 {
        sum(self.buckets)
    }
}

/// What the full accept queue of a listener did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflows {
    /// SYNs and last segments of handshakes that it dropped.
    pub drops: u64,
    /// Connections that waited for `accept()` at the last of them.
    pub length: u32,
    /// How many may wait.
    pub limit: u32,
}

/// Events of an upstream by their kind: all that a recording keeps of those it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portion {
    /// The upstream; `None` for all that found no room of their own.
    #[serde(flatten)]
    pub id: Option<UpstreamId>,
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

impl Seen {
    fn add(&mut self, kind: (Class, Cause), count: u64) {
        let total = self.kinds.entry(kind).or_default();
        *total = total.saturating_add(count);
    }

    fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.kinds {
            self.add(*kind, *count);
        }
        self.since_ns = earlier(self.since_ns, other.since_ns);
    }

    fn events(&self) -> u64 {
        sum(self.kinds.values().copied())
    }
}

/// Events of a run, added up: at most [`UPSTREAMS`] of them by upstream, the rest in one sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    seen: BTreeMap<UpstreamId, Seen>,
    /// Of the upstreams that found no room.
    other: Seen,
}

impl Tally {
    /// Adds an event.
    pub fn add(&mut self, failure: &Failure) {
        let seen = self.account(Some(UpstreamId::of(failure)));
        seen.add((failure.class, failure.cause), 1);
        if failure.is_failure() {
            seen.since_ns = earlier(seen.since_ns, Some(failure.at_ns));
        }
    }

    /// Events that came of an upstream.
    pub fn told(&self, id: &UpstreamId) -> u64 {
        self.seen.get(id).map_or(0, Seen::events)
    }

    /// Drops what is known of an upstream, for its counters are dropped as well.
    pub fn forget(&mut self, id: &UpstreamId) {
        self.seen.remove(id);
    }

    /// Adds events that were only counted.
    pub fn add_portion(&mut self, portion: &Portion) {
        let seen = self.account(portion.id.clone());
        for (class, cause, count) in &portion.kinds {
            seen.add((*class, *cause), *count);
        }
        seen.since_ns = earlier(seen.since_ns, portion.since_ns);
    }

    fn account(&mut self, id: Option<UpstreamId>) -> &mut Seen {
        let full = self.seen.len() >= UPSTREAMS;
        match id {
            Some(id) if id.is_sound() && (!full || self.seen.contains_key(&id)) => {
                self.seen.entry(id).or_default()
            }
            _ => &mut self.other,
        }
    }

    /// Everything added, in portions to be added elsewhere.
    pub fn portions(&self) -> impl Iterator<Item = Portion> {
        let own = self.seen.iter().map(|(id, seen)| (Some(id.clone()), seen));
        let other = Some((None, &self.other)).filter(|(_, seen)| !seen.kinds.is_empty());
        own.chain(other).map(|(id, seen)| Portion {
            id,
            kinds: seen
                .kinds
                .iter()
                .map(|((class, cause), count)| (*class, *cause, *count))
                .collect(),
            since_ns: seen.since_ns,
        })
    }

    /// Joins the events with the kernel's counters. Upstreams of which nothing was counted or told
    /// are left out; the worst come first.
    pub fn summarise(&self, counted: &[(Option<UpstreamId>, Totals)]) -> Vec<UpstreamSummary> {
        self.summarise_only(counted, |_, _| true)
    }

    /// The same of the failures of some classes and causes; the others are not lost, and not said.
    pub fn summarise_only(
        &self,
        counted: &[(Option<UpstreamId>, Totals)],
        wanted: impl Fn(Class, Cause) -> bool,
    ) -> Vec<UpstreamSummary> {
        let shared = self.shared(counted);
        // What an upstream with a counter of its own did not tell here may stand in the shared
        // account; what is missing in all is lost.
        let ended = sum(counted.iter().map(|(_, totals)| totals.ended));
        let told = sum(self.seen.values().map(Seen::events)).saturating_add(self.other.events());
        let missing = ended.saturating_sub(told);
        let nothing = Seen::default();
        let mut rows: Vec<_> = counted
            .iter()
            .map(|(id, totals)| match id {
                Some(id) => (Some(id), totals, self.seen.get(id).unwrap_or(&nothing)),
                None => (None, totals, &shared),
            })
            .filter(|(_, totals, seen)| {
                totals.attempts > 0 || totals.ended > 0 || !seen.kinds.is_empty()
            })
            .map(|(id, totals, seen)| {
                let lost = totals.ended.saturating_sub(seen.events());
                let lost = if self.other.kinds.is_empty() {
                    lost
                } else {
                    lost.min(missing)
                };
                UpstreamSummary::new(id.cloned(), *totals, seen, lost, &wanted)
            })
            .collect();
        rows.sort_by(|a, b| b.failed().cmp(&a.failed()).then_with(|| a.id.cmp(&b.id)));
        rows
    }

    /// The events of every upstream without its own counter.
    fn shared(&self, counted: &[(Option<UpstreamId>, Totals)]) -> Seen {
        let known: BTreeSet<_> = counted.iter().filter_map(|(id, _)| id.as_ref()).collect();
        let uncounted = self.seen.iter().filter(|(id, _)| !known.contains(id));
        uncounted.fold(self.other.clone(), |mut sum, (_, seen)| {
            sum.merge(seen);
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
    fn new(
        id: Option<UpstreamId>,
        totals: Totals,
        seen: &Seen,
        lost: u64,
        wanted: &impl Fn(Class, Cause) -> bool,
    ) -> Self {
        let mut row = Self {
            id,
            attempts: totals.attempts,
            established: totals.established,
            classes: BTreeMap::new(),
            causes: BTreeMap::new(),
            aborted: 0,
            lost,
            since_ns: seen.since_ns,
        };
        for ((class, cause), count) in &seen.kinds {
            if *class == Class::Aborted {
                row.aborted = row.aborted.saturating_add(*count);
            } else if wanted(*class, *cause) {
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
