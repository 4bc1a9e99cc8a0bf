//! Pure: how often each upstream was tried and failed, in a bounded number of series.
//!
//! The kernel's totals and the events come in; what was added since the last reading goes to the
//! upstream's own series if it has one, else to `other`. So nothing is counted twice, nothing is
//! missing, and no counter ever falls:
//!
//! - An upstream gets a series with its first failure, as long as there is room. What it did before
//!   stays in `other`.
//! - When there is none, it may take the room of one that has done nothing for [`IDLE_NS`]. What
//!   that one had goes on in `past`, which nothing else is added to: so the sum over all series
//!   stays whole, and `other` does not jump. A rate over time leaves `past` out: there arrives at
//!   once what happened long ago.
//! - An upstream that was idle for so long that its counter begins anew keeps its series.
//! - Failures whose records were lost have the class and the cause `unknown`. What was counted at a
//!   reading has been told at the next, or is lost. In between more is told, so that some losses show
//!   only when the storm that led to them is over; `gw502_events_lost` has them at once.

use std::collections::BTreeMap;
use std::time::Duration;

use gw502_common::wire::{CONNECT_BOUNDS_NS, CONNECT_BUCKETS};

use super::model::{Family, Point, Type, Value};
use crate::aggregate::{Connects, Counted, Totals, UPSTREAMS, UpstreamId};
use crate::diagnose::State;
use crate::event::{Cause, Class, Failure};

/// A series that has counted nothing for so long may be taken over: an hour.
pub const IDLE_NS: u64 = 3_600_000_000_000;

/// Characters of an upstream's name that a label has at most.
const NAME: usize = 100;

/// Bytes that the counters, and a page of them, take at most when `series` upstreams have series of
/// their own.
pub fn bytes(series: usize) -> u64 {
    /// An upstream with the longest path of a unix socket.
    const ID: usize = size_of::<UpstreamId>() + 3 * 108;
    const ACCOUNT: usize = 2 * (ID + size_of::<Account>()) + ID;
    // A cause may come in two classes.
    let kinds = 2 * Cause::ALL.len();
    let own = 2 * (ID + size_of::<Series>() + 4 * NAME + kinds * size_of::<(Kind, u64)>());
    // The page that is read, and the one that is made: five labels a point.
    let point = size_of::<Point>() + 5 * (size_of::<(&str, String)>() + 32) + ID;
    let buckets = CONNECT_BUCKETS * size_of::<(f64, u64)>();
    let page = 2 * ((4 + kinds) * point + buckets);
    let series = series.saturating_add(2).saturating_mul(own + page);
    let bytes = series.saturating_add((UPSTREAMS + 1) * ACCOUNT);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Class and cause; `None` when the record was lost.
type Kind = Option<(Class, Cause)>;

/// What was counted of an upstream.
#[derive(Clone, Debug, Default)]
struct Series {
    name: Option<String>,
    attempts: u64,
    established: u64,
    connects: Connects,
    failures: BTreeMap<Kind, u64>,
    /// When it last counted anything, `CLOCK_BOOTTIME` nanoseconds.
    last_ns: u64,
}

impl Series {
    fn add(&mut self, kind: Kind, count: u64, at_ns: u64) {
        let total = self.failures.entry(kind).or_default();
        *total = total.saturating_add(count);
        self.last_ns = self.last_ns.max(at_ns);
    }

    fn tried(&mut self, attempts: u64, established: u64, at_ns: u64) {
        self.attempts = self.attempts.saturating_add(attempts);
        self.established = self.established.saturating_add(established);
        if attempts > 0 || established > 0 {
            self.last_ns = self.last_ns.max(at_ns);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.tried(other.attempts, other.established, other.last_ns);
        self.connects.add(&other.connects);
        for (kind, count) in &other.failures {
            self.add(*kind, *count, other.last_ns);
        }
    }
}

/// A counter of the kernel side, and what events told of it.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// At the last reading.
    totals: Totals,
    /// The same.
    connects: Connects,
    /// Events.
    told: u64,
    /// [`Totals::ended`] at the reading before.
    ended_before: u64,
    /// Events counted as lost.
    lost: u64,
}

/// All upstreams.
#[derive(Clone, Debug)]
pub struct Upstreams {
    limit: usize,
    /// Of each counter of the kernel side; `None` is the one of upstreams without their own.
    accounts: BTreeMap<Option<UpstreamId>, Account>,
    /// Events of upstreams that had no counter at the last reading.
    fresh: BTreeMap<UpstreamId, u64>,
    series: BTreeMap<UpstreamId, Series>,
    other: Series,
    past: Series,
    /// Series that were taken over.
    taken_over: u64,
    /// Before this moment none is idle.
    busy_until_ns: u64,
}

impl Upstreams {
    /// With at most `limit` series.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            accounts: BTreeMap::new(),
            fresh: BTreeMap::new(),
            series: BTreeMap::new(),
            other: Series::default(),
            past: Series::default(),
            taken_over: 0,
            busy_until_ns: 0,
        }
    }

    /// Another limit. A lower one takes no series away: they are not given anew.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many series there are, and how many there may be.
    pub fn used(&self) -> (usize, usize) {
        (self.series.len(), self.limit)
    }

    /// Takes in an event.
    pub fn event(&mut self, failure: &Failure) {
        let id = UpstreamId::of(failure);
        let sound = id.is_sound();
        self.told(sound.then_some(&id));
        if !failure.is_failure() {
            return;
        }
        let kind = Some((failure.class, failure.cause));
        if sound && !self.series.contains_key(&id) && self.has_room(failure.at_ns) {
            let name = failure.upstream_name.as_deref();
            let name = name.map(|name| name.chars().take(NAME).collect());
            let series = Series {
                name,
                ..Series::default()
            };
            self.series.insert(id.clone(), series);
        }
        let series = self.series.get_mut(&id).unwrap_or(&mut self.other);
        series.add(kind, 1, failure.at_ns);
    }

    fn told(&mut self, id: Option<&UpstreamId>) {
        if let Some(id) = id {
            if let Some(account) = self.accounts.get_mut(&Some(id.clone())) {
                account.told = account.told.saturating_add(1);
                return;
            }
            if self.fresh.len() < UPSTREAMS || self.fresh.contains_key(id) {
                let events = self.fresh.entry(id.clone()).or_default();
                *events = events.saturating_add(1);
                return;
            }
        }
        let shared = self.accounts.entry(None).or_default();
        shared.told = shared.told.saturating_add(1);
    }

    /// Whether one more may have a series at `now_ns`; that of an idle one is ended for it.
    fn has_room(&mut self, now_ns: u64) -> bool {
        if self.series.len() < self.limit {
            return true;
        }
        // The times only grow, so that the oldest cannot be idle before this.
        if now_ns < self.busy_until_ns || self.series.len() > self.limit {
            return false;
        }
        let oldest = self.series.iter().min_by_key(|(_, series)| series.last_ns);
        let Some((id, last_ns)) = oldest.map(|(id, series)| (id.clone(), series.last_ns)) else {
            return false;
        };
        self.busy_until_ns = last_ns.saturating_add(IDLE_NS);
        if now_ns < self.busy_until_ns {
            return false;
        }
        if let Some(ended) = self.series.remove(&id) {
            self.past.merge(&ended);
            self.taken_over = self.taken_over.saturating_add(1);
        }
        true
    }

    /// Takes in everything that had been counted at `now_ns`; the events that it counts have come, but
    /// for those under way.
    pub fn counted(&mut self, counted: &Counted, now_ns: u64) {
        for (id, totals) in &counted.upstreams {
            let account = self.accounts.entry(id.clone()).or_default();
            let attempts = totals.attempts.saturating_sub(account.totals.attempts);
            let established = totals
                .established
                .saturating_sub(account.totals.established);
            account.ended_before = account.totals.ended;
            account.totals = *totals;
            let fresh = id.as_ref().and_then(|id| self.fresh.remove(id));
            account.told = account.told.saturating_add(fresh.unwrap_or(0));
            let own = id.as_ref().and_then(|id| self.series.get_mut(id));
            let series = own.unwrap_or(&mut self.other);
            series.tried(attempts, established, now_ns);
        }
        for (id, connects) in &counted.connects {
            let account = self.accounts.entry(id.clone()).or_default();
            let own = id.as_ref().and_then(|id| self.series.get_mut(id));
            let series = own.unwrap_or(&mut self.other);
            series.connects.add(&connects.since(&account.connects));
            account.connects = *connects;
        }
        for id in &counted.forgotten {
            self.accounts.remove(&Some(id.clone()));
        }
        // These have no counter of their own.
        let rest = self.fresh.values().copied().fold(0, u64::saturating_add);
        self.fresh.clear();
        if rest > 0 {
            let shared = self.accounts.entry(None).or_default();
            shared.told = shared.told.saturating_add(rest);
        }
        self.lost(now_ns);
    }

    /// Counts what is missing in the events.
    fn lost(&mut self, now_ns: u64) {
        let sum = |part: fn(&Account) -> u64| {
            let parts = self.accounts.values().map(part);
            parts.fold(0, u64::saturating_add)
        };
        let known = sum(|account| account.told).saturating_add(sum(|account| account.lost));
        // In all: an event may be told of the shared counter and be counted in another.
        let mut left = sum(|account| account.ended_before).saturating_sub(known);
        for (id, account) in &mut self.accounts {
            let missing = account.ended_before.saturating_sub(account.told);
            let lost = missing.saturating_sub(account.lost).min(left);
            if lost == 0 {
                continue;
            }
            left -= lost;
            account.lost = account.lost.saturating_add(lost);
            let own = id.as_ref().and_then(|id| self.series.get_mut(id));
            let series = own.unwrap_or(&mut self.other);
            series.add(None, lost, now_ns);
        }
    }

    /// All of it; `states` are those of [`crate::diagnose::Engine::states`].
    pub fn families(&self, states: impl IntoIterator<Item = (UpstreamId, State)>) -> Vec<Family> {
        let mut families = Families::default();
        let mut worst = State::Healthy;
        for (id, state) in states {
            match self.series.get(&id) {
                Some(series) => families.state(&labels(&id, series), state),
                None => worst = worst.max(state),
            }
        }
        for (id, series) in &self.series {
            families.series(&labels(id, series), series);
        }
        let other = BTreeMap::from([("upstream", "other".to_owned())]);
        families.state(&other, worst);
        families.series(&other, &self.other);
        if self.taken_over > 0 {
            let past = BTreeMap::from([("upstream", "past".to_owned())]);
            families.series(&past, &self.past);
        }
        families.done()
    }
}

type Labels = BTreeMap<&'static str, String>;

fn labels(id: &UpstreamId, series: &Series) -> Labels {
    let mut labels = BTreeMap::from([
        ("upstream", id.upstream.to_string()),
        ("netns", id.netns.to_string()),
    ]);
    labels.extend(series.name.clone().map(|name| ("name", name)));
    labels
}

/// As a histogram of seconds.
fn seconds(connects: &Connects) -> Value {
    let seconds = |ns: u64| Duration::from_nanos(ns).as_secs_f64();
    let bounds = CONNECT_BOUNDS_NS.map(seconds);
    let counts = connects.buckets.iter().copied();
    Value::Buckets {
        buckets: bounds.into_iter().zip(counts).collect(),
        above: connects.buckets.last().copied().unwrap_or(0),
        sum: seconds(connects.sum_ns),
    }
}

/// The families in the making.
#[derive(Default)]
struct Families {
    attempts: Vec<Point>,
    established: Vec<Point>,
    connects: Vec<Point>,
    failures: Vec<Point>,
    state: Vec<Point>,
}

impl Families {
    fn series(&mut self, labels: &Labels, series: &Series) {
        let point = |count| Point {
            labels: labels.clone(),
            value: Value::Count(count),
        };
        self.attempts.push(point(series.attempts));
        self.established.push(point(series.established));
        self.connects.push(Point {
            labels: labels.clone(),
            value: seconds(&series.connects),
        });
        for (kind, count) in &series.failures {
            let (class, cause) = match kind {
                Some((class, cause)) => (class.code(), cause.code()),
                None => ("unknown", "unknown"),
            };
            let mut point = point(*count);
            point.labels.insert("class", class.to_owned());
            point.labels.insert("cause", cause.to_owned());
            self.failures.push(point);
        }
    }

    fn state(&mut self, labels: &Labels, state: State) {
        let level = match state {
            State::Healthy => 0.0,
            State::Recovering => 1.0,
            State::Degraded => 2.0,
            State::Failing => 3.0,
        };
        self.state.push(Point {
            labels: labels.clone(),
            value: Value::Level(level),
        });
    }

    fn done(self) -> Vec<Family> {
        let family = |name, help, kind, points| Family {
            name,
            help,
            kind,
            unit: (kind == Type::Histogram).then_some("seconds"),
            points,
        };
        vec![
            family(
                "gw502_upstream_attempts",
                "Connects started; other sums up the upstreams without a series of their own",
                Type::Counter,
                self.attempts,
            ),
            family(
                "gw502_upstream_established",
                "Handshakes finished",
                Type::Counter,
                self.established,
            ),
            family(
                "gw502_upstream_connect_seconds",
                "How long the handshakes took that were finished",
                Type::Histogram,
                self.connects,
            ),
            family(
                "gw502_upstream_failures",
                "Failed connects and connections; unknown are those whose record was lost",
                Type::Counter,
                self.failures,
            ),
            family(
                "gw502_upstream_state",
                "0 healthy, 1 recovering, 2 degraded, 3 failing; other has the worst of its upstreams",
                Type::Gauge,
                self.state,
            ),
        ]
    }
}

#[cfg(test)]
mod tests;
