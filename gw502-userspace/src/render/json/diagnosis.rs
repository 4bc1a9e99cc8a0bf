//! `gw502.diagnosis/1`: an upstream's diagnosis, one object a line; the last line is the summary.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::{UpstreamName, line, summary};
use crate::aggregate::UpstreamSummary;
use crate::diagnose::{Diagnosis, Report};
use crate::render::{Origin, Summary};
use crate::rule::NextStep;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ProxyLine<'a> {
    /// Name of the proxy's main thread; `other` sums up those beyond the first few.
    comm: &'a str,
    /// Failures of all its processes.
    failures: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DiagnosisLine<'a> {
    /// Always `gw502.diagnosis/1`.
    schema: &'static str,
    /// Of `gw502 agent`: when the state was found to have changed, RFC 3339 in UTC, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time: Option<String>,
    /// Name of the host that saw it.
    host: &'a str,
    /// Of `gw502 agent`: unique, sorts by time (ULID alphabet).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// Absent for the sum of all upstreams that found no room of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamName<'a>>,
    /// Inode number of the network namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    netns: Option<u32>,
    /// Who failed, the most affected first.
    proxies: Vec<ProxyLine<'a>>,
    /// `failing`, `degraded`, `recovering` or `healthy`.
    state: &'static str,
    /// First failure: RFC 3339 in UTC, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Last failure, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Connects started.
    attempts: u64,
    /// Handshakes finished.
    established: u64,
    /// Failures by class.
    failures: BTreeMap<&'static str, u64>,
    /// Failures by cause, as the events had it.
    causes: BTreeMap<&'static str, u64>,
    /// The cause that explains most.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// `certain` (its own evidence is there), `likely` (a pattern says so) or `possible`.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<&'static str>,
    /// What is wrong, in one sentence; absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    /// What it follows from.
    evidence: &'a [String],
    /// Commands and lines of configuration.
    next_steps: &'a [NextStep],
    /// Failures that the kernel counted and of which no record came.
    lost: u64,
    /// Of `gw502 agent`: which run of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<&'a str>,
    /// Of `gw502 agent`: counts the diagnoses that a run shipped, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u64>,
}

/// One diagnosis as a line of JSON, newline included.
pub fn diagnosis(diagnosis: &Diagnosis, origin: &Origin) -> Bytes {
    line(&diagnosis_line(diagnosis, origin))
}

pub(super) fn diagnosis_line<'a>(
    diagnosis: &'a Diagnosis,
    origin: &'a Origin,
) -> DiagnosisLine<'a> {
    let time = |at_ns| format!("{:.9}", origin.anchor.wall(at_ns));
    let proxies = diagnosis.proxies.iter().map(|proxy| ProxyLine {
        comm: &proxy.comm,
        failures: proxy.failures,
    });
    let classes = diagnosis.failures.iter();
    let causes = diagnosis.causes.iter();
    DiagnosisLine {
        schema: "gw502.diagnosis/1",
        time: None,
        host: &origin.host,
        id: None,
        upstream: diagnosis
            .id
            .as_ref()
            .map(|id| UpstreamName::new(&id.upstream, diagnosis.name.as_deref())),
        netns: diagnosis.id.as_ref().map(|id| id.netns),
        proxies: proxies.collect(),
        state: diagnosis.state.code(),
        since: diagnosis.since_ns.map(time),
        until: diagnosis.until_ns.map(time),
        attempts: diagnosis.attempts,
        established: diagnosis.established,
        failures: classes
            .map(|(class, count)| (class.code(), *count))
            .collect(),
        causes: causes
            .map(|(cause, count)| (cause.code(), *count))
            .collect(),
        cause: diagnosis.cause.map(crate::event::Cause::code),
        confidence: diagnosis.confidence.map(crate::diagnose::Confidence::code),
        summary: Some(&diagnosis.summary),
        evidence: &diagnosis.evidence,
        next_steps: &diagnosis.next_steps,
        lost: diagnosis.lost,
        run: None,
        sequence: None,
    }
}

fn healthy(row: &UpstreamSummary, origin: &Origin) -> Bytes {
    line(&DiagnosisLine {
        schema: "gw502.diagnosis/1",
        time: None,
        host: &origin.host,
        id: None,
        upstream: row
            .id
            .as_ref()
            .map(|id| UpstreamName::new(&id.upstream, None)),
        netns: row.id.as_ref().map(|id| id.netns),
        proxies: Vec::new(),
        state: "healthy",
        since: None,
        until: None,
        attempts: row.attempts,
        established: row.established,
        failures: BTreeMap::new(),
        causes: BTreeMap::new(),
        cause: None,
        confidence: None,
        summary: None,
        evidence: &[],
        next_steps: &[],
        lost: 0,
        run: None,
        sequence: None,
    })
}

/// Each upstream, the worst first; then the summary.
pub fn report(report: &Report, options: &str, origin: &Origin) -> Bytes {
    let failing = report.diagnoses.iter().map(|one| diagnosis(one, origin));
    let healthy = report.healthy.iter().map(|row| healthy(row, origin));
    let last = summary(&Summary::of(report, options, false), origin);
    failing.chain(healthy).chain([last]).flatten().collect()
}
