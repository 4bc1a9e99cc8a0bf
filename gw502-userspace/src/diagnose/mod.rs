//! Pure: what is wrong with which upstream, since when, and why: from the failures and counters of
//! a run.
//!
//! No clock and no I/O: time passes by what comes in. The same failures and counters in the same
//! order give the same diagnosis, live or from a recording.
//!
//! - `track`: what is remembered of an upstream that failed; `health` is its state.
//! - `patterns`: what many failures tell together that one cannot; one file each.
//! - `verdict`: all of that as a [`Diagnosis`].
//! - [`bounds`]: how much memory that takes at most.

pub mod bounds;
mod health;
mod patterns;
mod report;
mod track;
mod verdict;
mod words;

use std::collections::BTreeMap;

pub use self::health::State;
pub use self::report::{Report, Shared};
use self::track::Track;
pub use self::verdict::{Confidence, Diagnosis, ProxyShare};
pub use self::words::Span;
use crate::aggregate::{Counted, Portion, Snapshot, Tally, Totals, UPSTREAMS, UpstreamId};
use crate::event::{Cause, Class, Failure};

/// Which failures are meant: the diagnosis is of these alone.
pub type Wanted<'a> = &'a dyn Fn(Class, Cause) -> bool;

/// What the words of a diagnosis need to know of the host.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a function has none")]
pub struct Place<'a> {
    /// Time of day of a moment of `CLOCK_BOOTTIME`, as `journalctl --since` takes it.
    pub time: &'a dyn Fn(u64) -> String,
    /// Inode number of the network namespace in which commands will be typed.
    pub host_netns: Option<u32>,
}

/// A counter of the kernel side.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// At the last reading.
    totals: Totals,
    /// [`Totals::ended`] at the reading before. That has been told by now, or its record is lost;
    /// of what ended since, some may be under way.
    ended_before: u64,
}

/// Takes in a run, and says what it comes to.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    tally: Tally,
    tracks: BTreeMap<UpstreamId, Track>,
    /// What was counted of each upstream, and of all that have no counter of their own.
    counted: BTreeMap<Option<UpstreamId>, Reading>,
    losses: BTreeMap<String, u64>,
    skips: BTreeMap<String, u64>,
    /// Events that were only counted.
    unrecorded: u64,
    /// First and last moment that anything told of.
    span_ns: Option<(u64, u64)>,
    last_failure_ns: Option<u64>,
    failures: u64,
}

impl Engine {
    /// Takes in an event. One that is not `meant` is known, so that it is not lost, and no more.
    pub fn event(&mut self, failure: &Failure, meant: bool) {
        self.tally.add(failure);
        self.passes(failure.at_ns);
        if !meant || !failure.is_failure() {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.last_failure_ns = self.last_failure_ns.max(Some(failure.at_ns));
        let id = UpstreamId::of(failure);
        if !id.is_sound() {
            return;
        }
        if self.tracks.get(&id).is_none_or(Track::is_over) {
            self.begin(&id, failure.at_ns);
        }
        if let Some(track) = self.tracks.get_mut(&id) {
            track.failure(failure);
        }
    }

    /// A trouble begins, of an upstream that was well until now.
    fn begin(&mut self, id: &UpstreamId, at_ns: u64) {
        let reading = self.counted.get(&Some(id.clone())).copied();
        let reading = reading.unwrap_or_default();
        if let Some(track) = self.tracks.get_mut(id) {
            // The event that it begins with has been told.
            let told = self.tally.told(id).saturating_sub(1);
            let lost = reading.ended_before.saturating_sub(told);
            track.begin_anew(reading.totals, at_ns, lost);
        } else if self.tracks.len() < UPSTREAMS {
            let track = Track::new(reading.totals, at_ns);
            self.tracks.insert(id.clone(), track);
        }
    }

    /// Takes in events that a recording only counted.
    pub fn portion(&mut self, portion: &Portion) {
        self.tally.add_portion(portion);
        self.unrecorded = self.unrecorded.saturating_add(portion.events());
    }

    /// Takes in what had been counted at a moment, as far as it changed.
    pub fn snapshot(&mut self, snapshot: &Snapshot) {
        self.counters(&snapshot.upstreams, snapshot.losses.as_ref());
        self.tick(snapshot.at_ns);
    }

    /// Takes in everything that had been counted at a moment.
    pub fn counted(&mut self, counted: &Counted, at_ns: u64) {
        self.counters(&counted.upstreams, Some(&counted.losses));
        self.skips.clone_from(&counted.skips);
        self.tick(at_ns);
        for id in &counted.forgotten {
            self.tally.forget(id);
            self.tracks.remove(id);
            self.counted.remove(&Some(id.clone()));
        }
    }

    /// Takes in the last word of a recording, which has no moment of its own.
    pub fn end(&mut self, counted: &Counted) {
        self.counters(&counted.upstreams, Some(&counted.losses));
        self.skips.clone_from(&counted.skips);
        self.close();
    }

    /// Nothing more comes: what came since the last whole interval counts as well, and nothing is
    /// under way any more.
    pub fn close(&mut self) {
        for reading in self.counted.values_mut() {
            reading.ended_before = reading.totals.ended;
        }
        let (_, now_ns) = self.span_ns.unwrap_or_default();
        for (id, track) in &mut self.tracks {
            let reading = self.counted.get(&Some(id.clone())).copied();
            track.close(now_ns, reading.unwrap_or_default().totals);
        }
    }

    /// When the last failure was, `CLOCK_BOOTTIME` nanoseconds.
    pub const fn last_failure_ns(&self) -> Option<u64> {
        self.last_failure_ns
    }

    /// Number of failures that came.
    pub const fn failures(&self) -> u64 {
        self.failures
    }

    /// The state of each upstream that has failed.
    pub fn states(&self) -> impl Iterator<Item = (UpstreamId, State)> {
        let tracks = self.tracks.iter();
        tracks.map(|(id, track)| (id.clone(), track.health.state()))
    }

    /// Everything, the worst first.
    pub fn report(&self, place: Place<'_>, wanted: Wanted<'_>) -> Report {
        Report::of(self, place, wanted)
    }

    /// The diagnoses of the upstreams whose state has changed since this was asked last.
    pub fn changes(&mut self, place: Place<'_>, wanted: Wanted<'_>) -> Vec<Diagnosis> {
        let changed: Vec<_> = self
            .tracks
            .iter_mut()
            .filter_map(|(id, track)| track.news().then(|| id.clone()))
            .collect();
        if changed.is_empty() {
            return Vec::new();
        }
        let report = self.report(place, wanted);
        let is_changed = |diagnosis: &Diagnosis| {
            let id = diagnosis.id.as_ref();
            id.is_some_and(|id| changed.contains(id))
        };
        report.diagnoses.into_iter().filter(is_changed).collect()
    }

    fn counters(
        &mut self,
        upstreams: &[(Option<UpstreamId>, Totals)],
        losses: Option<&BTreeMap<String, u64>>,
    ) {
        for reading in self.counted.values_mut() {
            reading.ended_before = reading.totals.ended;
        }
        for (id, totals) in upstreams {
            let sound = id.as_ref().is_none_or(UpstreamId::is_sound);
            // One more than have a counter of their own: the sum of the others.
            let room = self.counted.len() <= UPSTREAMS;
            if let Some(known) = self.counted.get_mut(id) {
                known.totals = *totals;
            } else if sound && room {
                let reading = Reading {
                    totals: *totals,
                    ended_before: 0,
                };
                self.counted.insert(id.clone(), reading);
            }
        }
        if let Some(losses) = losses {
            self.losses.clone_from(losses);
        }
    }

    fn tick(&mut self, at_ns: u64) {
        self.passes(at_ns);
        let (_, now_ns) = self.span_ns.unwrap_or_default();
        for (id, track) in &mut self.tracks {
            let reading = self.counted.get(&Some(id.clone())).copied();
            track.tick(now_ns, reading.unwrap_or_default().totals);
        }
    }

    fn passes(&mut self, at_ns: u64) {
        let (first, last) = self.span_ns.unwrap_or((at_ns, at_ns));
        self.span_ns = Some((first.min(at_ns), last.max(at_ns)));
    }
}

#[cfg(test)]
pub(crate) mod tests;
