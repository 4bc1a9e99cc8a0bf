//! Everything a run comes to, the worst first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::patterns::all_alike::{self, Tried};
use super::verdict::{self, Diagnosis};
use super::{Engine, Place, State, Wanted};
use crate::aggregate::{Totals, UpstreamSummary};
use crate::event::Cause;

/// What the upstreams of a namespace share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Inode number of the network namespace.
    pub netns: u32,
    /// The cause they share.
    pub cause: Cause,
    /// How many fail.
    pub upstreams: usize,
    /// In one sentence.
    pub summary: String,
}

/// A run, diagnosed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Upstreams that failed: those that still do first, then by the number of failures.
    pub diagnoses: Vec<Diagnosis>,
    /// What all upstreams of a namespace share.
    pub shared: Vec<Shared>,
    /// The rows of `trace`'s table of those that failed.
    pub failing: Vec<UpstreamSummary>,
    /// …and of those that did not.
    pub healthy: Vec<UpstreamSummary>,
    /// What could not be kept, by reason.
    pub losses: BTreeMap<String, u64>,
    /// Attempts that nobody asked for, by reason.
    pub skips: BTreeMap<String, u64>,
    /// Events that a recording only counted.
    pub unrecorded: u64,
    /// First and last moment that anything told of, `CLOCK_BOOTTIME` nanoseconds.
    pub span_ns: Option<(u64, u64)>,
}

impl Report {
    pub(super) fn of(engine: &Engine, place: Place<'_>, wanted: Wanted<'_>) -> Self {
        let (_, now_ns) = engine.span_ns.unwrap_or_default();
        let (failed, healthy): (Vec<_>, Vec<_>) = rows(engine, wanted)
            .into_iter()
            .partition(|row| row.failed() > 0);
        let mut diagnoses: Vec<_> = failed
            .iter()
            .map(|row| {
                let track = row.id.as_ref().and_then(|id| engine.tracks.get(id));
                verdict::diagnose(track, row, now_ns, place)
            })
            .collect();
        let shared = compare(&mut diagnoses, &healthy);
        diagnoses.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id)));
        Self {
            diagnoses,
            shared,
            failing: failed,
            healthy,
            losses: engine.losses.clone(),
            skips: engine.skips.clone(),
            unrecorded: engine.unrecorded,
            span_ns: engine.span_ns,
        }
    }

    /// Failures of all upstreams.
    pub fn failed(&self) -> u64 {
        let counts = self.diagnoses.iter().map(Diagnosis::failed);
        counts.fold(0, u64::saturating_add)
    }
}

/// Impact: what fails now before what has failed, then by failures.
fn rank(diagnosis: &Diagnosis) -> (bool, Reverse<u64>, Reverse<State>) {
    let over = !diagnosis.state.is_active();
    (over, Reverse(diagnosis.failed()), Reverse(diagnosis.state))
}

/// The rows of the table that `trace` ends with, of the same sums.
fn rows(engine: &Engine, wanted: Wanted<'_>) -> Vec<UpstreamSummary> {
    let counted = engine.counted.iter().map(|(id, reading)| {
        let told = Totals {
            ended: reading.ended_before,
            ..reading.totals
        };
        (id.clone(), told)
    });
    let mut counted: Vec<_> = counted.collect();
    if !engine.counted.contains_key(&None) {
        // A recording that was cut off, or an old one, may not have every counter.
        let bare = engine.tracks.keys().map(|id| Some(id.clone()));
        let bare = bare.filter(|id| !engine.counted.contains_key(id));
        let seen = Totals {
            ended: 1,
            ..Totals::default()
        };
        counted.extend(bare.map(|id| (id, seen)).collect::<Vec<_>>());
    }
    engine.tally.summarise_only(&counted, wanted)
}

/// Adds what the comparison of upstreams tells.
fn compare(diagnoses: &mut [Diagnosis], healthy: &[UpstreamSummary]) -> Vec<Shared> {
    let ids: Vec<_> = diagnoses
        .iter()
        .map(|diagnosis| diagnosis.id.clone())
        .collect();
    let failed = diagnoses.iter().zip(&ids).filter_map(|(diagnosis, id)| {
        Some(Tried {
            id: id.as_ref()?,
            state: diagnosis.state,
            cause: diagnosis.cause,
            since_ns: diagnosis.since_ns?,
            until_ns: diagnosis.until_ns,
        })
    });
    let fine = healthy.iter().filter_map(|row| {
        Some(Tried {
            id: row.id.as_ref()?,
            state: State::Healthy,
            cause: None,
            since_ns: 0,
            until_ns: None,
        })
    });
    let tried: Vec<_> = failed.chain(fine).collect();
    let shared = all_alike::find(&tried);
    let alone: Vec<Option<String>> = diagnoses
        .iter()
        .map(|diagnosis| {
            let id = diagnosis
                .id
                .as_ref()
                .filter(|_| diagnosis.state.is_active())?;
            all_alike::alone(id, &tried)
        })
        .collect();
    for (diagnosis, alone) in diagnoses.iter_mut().zip(alone) {
        let netns = diagnosis.id.as_ref().map(|id| id.netns);
        let with_others = shared.iter().find(|shared| Some(shared.netns) == netns);
        let with_others = with_others.map(|shared| shared.summary.clone());
        diagnosis.evidence.extend(with_others.or(alone));
    }
    shared
}
