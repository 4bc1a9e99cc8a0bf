//! An upstream's diagnosis: its numbers, its state, and what explains most of its failures.

use std::collections::BTreeMap;

use super::patterns::{self, Case, Finding};
use super::track::Track;
use super::words::count;
use super::{Place, State};
use crate::aggregate::{UpstreamId, UpstreamSummary};
use crate::event::{Cause, Class, Failure};
use crate::rule::{self, Facts, NextStep};

/// How sure the cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// What was seen would look like this. TCP shows no more.
    Possible,
    /// A pattern of many failures says so.
    Likely,
    /// The evidence for this very cause is there.
    Certain,
}

impl Confidence {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// A proxy and how often it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyShare {
    /// Name of the thread-group leader.
    pub comm: String,
    /// Failures of all processes of that name.
    pub failures: u64,
}

/// What is wrong with an upstream. Failures and attempts are counted over the run; all else is of
/// its present trouble, or of its last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The upstream; `None` for all that found no room of their own.
    pub id: Option<UpstreamId>,
    /// Its name in the proxy's configuration.
    pub name: Option<String>,
    /// Who failed in that trouble, the most affected first.
    pub proxies: Vec<ProxyShare>,
    /// How it is now.
    pub state: State,
    /// First failure of this trouble, `CLOCK_BOOTTIME` nanoseconds.
    pub since_ns: Option<u64>,
    /// Last failure, once it is over.
    pub until_ns: Option<u64>,
    /// Connects started.
    pub attempts: u64,
    /// Handshakes finished.
    pub established: u64,
    /// Failures by class.
    pub failures: BTreeMap<Class, u64>,
    /// Failures by cause, as the events had it.
    pub causes: BTreeMap<Cause, u64>,
    /// The cause that explains most.
    pub cause: Option<Cause>,
    /// How sure that is.
    pub confidence: Option<Confidence>,
    /// In one sentence.
    pub summary: String,
    /// What it follows from.
    pub evidence: Vec<String>,
    /// What to do.
    pub next_steps: Vec<NextStep>,
    /// Failures counted by the kernel whose records were lost: class and cause are not known.
    pub lost: u64,
    /// Failures of connections that had brought an answer before: no attempt failed there.
    pub reused: u64,
    /// What the proxy answers meanwhile, where that is known.
    pub answers: Option<(String, u16)>,
}

impl Diagnosis {
    /// Failures, those whose record was lost included.
    pub fn failed(&self) -> u64 {
        let counts = self.causes.values().copied().chain([self.lost]);
        counts.fold(0, u64::saturating_add)
    }
}

/// Steps shown at most.
const STEPS: usize = 6;
/// Causes named beside those with an example.
const OTHERS: usize = 4;

pub(super) fn diagnose(
    track: Option<&Track>,
    row: &UpstreamSummary,
    now_ns: u64,
    place: Place<'_>,
) -> Diagnosis {
    let state = track.map_or_else(|| by_totals(row), |track| track.health.state());
    let since_ns = track.map_or(row.since_ns, |track| Some(track.health.since_ns()));
    let last_ns = track.map(|track| track.health.last_failure_ns());
    let mut diagnosis = Diagnosis {
        id: row.id.clone(),
        name: track.and_then(Track::name).map(tame),
        proxies: track.map(proxies).unwrap_or_default(),
        state,
        since_ns,
        until_ns: last_ns.filter(|_| !state.is_active()),
        attempts: row.attempts,
        established: row.established,
        failures: row.classes.clone(),
        causes: row.causes.clone(),
        cause: row.top_cause(),
        confidence: None,
        summary: String::new(),
        evidence: Vec::new(),
        next_steps: Vec::new(),
        lost: row.lost,
        reused: track.map_or(0, |track| track.reused),
        answers: None,
    };
    let case = track.and_then(|track| Case::new(track, row, now_ns, place));
    match (&case, row.top_cause()) {
        (Some(case), _) => explain(&mut diagnosis, case),
        (None, Some(top)) => {
            diagnosis.confidence = Some(Confidence::Possible);
            let failed = count(row.failed(), "failure");
            diagnosis.summary = format!(
                "{failed}, most of them {top}, of upstreams that found no room of their own; name \
                 them with --upstream to see more."
            );
        }
        (None, None) => {
            let failed = count(row.lost, "failure");
            diagnosis.summary = format!(
                "{failed} by the kernel's count, of which no record came: class and cause are not \
                 known."
            );
        }
    }
    let lost = case.as_ref().map_or(row.lost, |case| case.lost);
    if lost > 0 && row.top_cause().is_some() {
        diagnosis.evidence.push(format!(
            "{lost} more by the kernel's count, of which no record came: class and cause are not \
             known"
        ));
    }
    let left = case.and_then(|case| not_of_now(row, &case));
    diagnosis.evidence.extend(left);
    diagnosis
}

/// The counts are of the whole run, the words of this trouble alone: what that leaves.
fn not_of_now(row: &UpstreamSummary, case: &Case<'_>) -> Option<String> {
    let left = row.failed().saturating_sub(case.failed());
    let since = (case.place.time)(case.track.health.since_ns());
    let failures = count(left, "failure");
    (left > 0).then(|| format!("also counted, but not of this trouble since {since}: {failures}"))
}

/// Without a track there are only sums.
fn by_totals(row: &UpstreamSummary) -> State {
    let failed = row.failed();
    if failed == 0 {
        State::Healthy
    } else if failed >= row.attempts.div_ceil(2) && failed > 2 {
        State::Failing
    } else {
        State::Degraded
    }
}

fn proxies(track: &Track) -> Vec<ProxyShare> {
    let mut proxies: Vec<_> = track
        .proxies
        .iter()
        .map(|(comm, failures)| ProxyShare {
            comm: comm.clone(),
            failures: *failures,
        })
        .collect();
    // Stable: of equals the first to fail stays first.
    proxies.sort_by_key(|proxy| std::cmp::Reverse(proxy.failures));
    if track.other_proxies > 0 {
        proxies.push(ProxyShare {
            comm: "other".to_owned(),
            failures: track.other_proxies,
        });
    }
    proxies
}

fn explain(diagnosis: &mut Diagnosis, case: &Case<'_>) {
    let findings = patterns::find(case);
    // A pattern has the word when it explains at least half of all that failed.
    let half = case.failed().div_ceil(2);
    let lead = findings
        .iter()
        .find(|finding| finding.summary.is_some() && finding.explains >= half);
    let cause = lead.and_then(|finding| finding.cause).unwrap_or(case.top);
    let sample = case.track.sample_of(cause);
    let sample = sample.or_else(|| case.track.sample_of(case.top));
    diagnosis.cause = Some(cause);
    diagnosis.confidence =
        Some(lead.map_or_else(|| confidence(case, half), |finding| finding.confidence));
    diagnosis.summary = lead
        .and_then(|finding| finding.summary.clone())
        .or_else(|| sample.map(|sample| (rule::of(case.top).sentence)(sample)))
        .unwrap_or_else(|| {
            let failed = count(case.failed(), "failure");
            format!("{failed}, most of them {}.", case.top)
        });
    diagnosis.summary = tame(&diagnosis.summary);
    diagnosis.evidence = evidence(case, &findings);
    diagnosis.next_steps = steps(diagnosis, case, sample, &findings);
    diagnosis.answers = sample
        .and_then(|sample| Some((tame(&sample.proxy.comm), sample.expected_status()?)))
        .filter(|_| diagnosis.state.is_active());
}

/// Without a pattern: what the cause itself rests on.
fn confidence(case: &Case<'_>, half: u64) -> Confidence {
    let share = case.count(case.top);
    match is_plain(case.top) {
        true => Confidence::Possible,
        false if share < half => Confidence::Likely,
        false => Confidence::Certain,
    }
}

/// Whether the cause only says what TCP shows, and not why.
const fn is_plain(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Refused
            | Cause::SynUnanswered
            | Cause::ResponseTimeout
            | Cause::ResetBeforeResponse
            | Cause::ClosedBeforeResponse
            | Cause::ConnectFailed
    )
}

/// An example of each cause that has one, the most frequent first; what the patterns found.
fn evidence(case: &Case<'_>, findings: &[Finding]) -> Vec<String> {
    let mut causes: Vec<_> = case.causes.iter().collect();
    // Stable: of equals in the order of causes.
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut evidence = Vec::new();
    let mut others = Vec::new();
    for (cause, count) in causes {
        match case.track.sample_of(*cause) {
            Some(sample) => evidence.push(example(*cause, *count, sample, case)),
            None => others.push(format!("{count} {cause}")),
        }
    }
    if others.len() > OTHERS {
        let more = others.len().saturating_sub(OTHERS);
        others.truncate(OTHERS);
        others.push(format!("{more} other causes"));
    }
    if !others.is_empty() {
        evidence.push(format!("also {}", others.join(", ")));
    }
    evidence.extend(findings.iter().flat_map(|finding| finding.evidence.clone()));
    evidence.iter().map(|line| tame(line)).collect()
}

fn example(cause: Cause, count: u64, sample: &Failure, case: &Case<'_>) -> String {
    let facts: Vec<_> = sample.evidence.iter().map(ToString::to_string).collect();
    let at = (case.place.time)(sample.at_ns);
    let which = if count == 1 { "" } else { "such as " };
    format!("{count} {cause}, {which}at {at}: {}", facts.join(", "))
}

fn steps(
    diagnosis: &Diagnosis,
    case: &Case<'_>,
    sample: Option<&Failure>,
    findings: &[Finding],
) -> Vec<NextStep> {
    let mut steps: Vec<NextStep> = findings
        .iter()
        .filter(|finding| finding.summary.as_ref() == Some(&diagnosis.summary))
        .flat_map(|finding| finding.steps.clone())
        .collect();
    let facts = Facts {
        host_netns: case.place.host_netns,
        since: diagnosis.since_ns.map(case.place.time),
    };
    if let (Some(sample), Some(cause)) = (sample, diagnosis.cause) {
        let failure = Failure {
            cause,
            ..sample.clone()
        };
        steps.extend(rule::steps(&failure, &facts));
    }
    let mut last = Vec::new();
    let answered = matches!(
        diagnosis.cause,
        Some(Cause::ResponseTimeout | Cause::ResetBeforeResponse | Cause::ClosedBeforeResponse)
    );
    if answered && diagnosis.confidence == Some(Confidence::Possible) {
        let comm = case.track.top_proxy().unwrap_or("the proxy");
        let at = (case.place.time)(case.track.health.last_failure_ns());
        last.push(NextStep {
            command: "gw502 explain not-visible".to_owned(),
            why: format!("TCP shows no more: look in the upstream's log, and {comm}'s, at {at}"),
        });
    }
    if let Some(id) = diagnosis
        .id
        .as_ref()
        .filter(|_| diagnosis.state.is_active())
    {
        let upstream = id.upstream.to_string();
        if !upstream.contains(|c: char| {
            c.is_control() || c.is_whitespace() || "'\"\\$`;&|<>()*?".contains(c)
        }) {
            last.push(NextStep {
                command: format!("gw502 diagnose --until-healthy 5m --upstream {upstream}"),
                why: "ends once nothing has failed for five minutes".to_owned(),
            });
        }
    }
    let mut unique: Vec<NextStep> = Vec::new();
    for step in steps {
        if !unique.iter().any(|other| other.command == step.command) {
            unique.push(step);
        }
    }
    unique.truncate(STEPS.saturating_sub(last.len()));
    unique.extend(last);
    unique
}

/// No terminal must obey what a process is called.
fn tame(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(plain).collect()
}
