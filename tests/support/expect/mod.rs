//! One row of the table: what was made to happen against what gw502 reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::address::Address;
use crate::agent::{Event, Session};
use crate::proxy::Log;

/// What a row must show, once the proxy has said how many attempts it made.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `class/cause` of every event.
    pub verdict: &'a str,
    /// Upstream of every event.
    pub upstream: &'a Address,
    /// The network namespace the proxy lives in.
    pub netns: u64,
    /// The processes one of which every event must name.
    pub workers: &'a [u32],
    /// The name of those processes.
    pub comm: &'a str,
    /// The status every client got, which every event must have foretold; `None` when the clients
    /// do not speak HTTP.
    pub status: Option<u16>,
    /// The errno that `connect()` itself returned, so that there was no port yet; `None` when it
    /// failed later.
    pub errno: Option<&'a str>,
    /// Every event ended an attempt that lasted at least so long.
    pub waited: Duration,
}

/// What schema `gw502.failure/1` promises to have in every event.
const ALWAYS: [&str; 13] = [
    "/time",
    "/host",
    "/id",
    "/class",
    "/cause",
    "/phase",
    "/upstream",
    "/netns",
    "/proxy/pid",
    "/proxy/comm",
    "/elapsed_us",
    "/evidence/0/what",
    "/hook",
];

/// The differences between what happened and what was reported; empty when they agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Notes that `field` is not what it should be.
    pub fn check<T: PartialEq + fmt::Debug + ?Sized>(
        &mut self,
        field: &str,
        expected: &T,
        seen: &T,
    ) {
        if expected != seen {
            self.0
                .push(format!("{field}: expected {expected:?}, seen {seen:?}"));
        }
    }

    /// Notes a difference in words.
    pub fn note(&mut self, difference: String) {
        self.0.push(difference);
    }

    /// Whether everything agrees.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|difference| writeln!(formatter, "  - {difference}"))
    }
}

/// The events of one namespace.
#[must_use]
pub fn events_in(session: &Session, netns: u64) -> Vec<&Event> {
    session
        .events
        .iter()
        .filter(|event| event.netns() == Some(netns))
        .collect()
}

/// Compares the events of the proxy's namespace, one to one, with what the proxy logged.
#[must_use]
pub fn compare(expected: &Expected<'_>, log: &Log, session: &Session) -> Differences {
    let mut differences = Differences::default();
    let events = events_in(session, expected.netns);
    differences.check("number of events", &log.attempts, &events.len());
    let ids: BTreeSet<_> = events
        .iter()
        .filter_map(|event| event.text("/id"))
        .collect();
    differences.check("number of different ids", &events.len(), &ids.len());
    for (index, event) in events.iter().enumerate() {
        compare_event(expected, event, index, &mut differences);
    }
    differences.check("exit code", &0, &session.code);
    let summary = session.summary.as_ref();
    let counted = summary.and_then(|summary| summary.attempts(expected.netns, expected.upstream));
    differences.check(
        "attempts in the summary",
        &Some(log.attempts as u64),
        &counted,
    );
    differences
}

fn compare_event(
    expected: &Expected<'_>,
    event: &Event,
    index: usize,
    differences: &mut Differences,
) {
    let field = |name: &str| format!("event {index}, {name}");
    differences.check(
        &field("class/cause"),
        expected.verdict,
        event.verdict().as_str(),
    );
    differences.check(
        &field("upstream"),
        &Some(expected.upstream),
        &event.upstream().as_ref(),
    );
    differences.check(
        &field("proxy.comm"),
        &Some(expected.comm),
        &event.text("/proxy/comm"),
    );
    let pid = event.number("/proxy/pid");
    if !expected
        .workers
        .iter()
        .any(|worker| pid == Some(u64::from(*worker)))
    {
        let workers = expected.workers;
        differences.note(format!(
            "{}: expected one of {workers:?}, seen {pid:?}",
            field("proxy.pid")
        ));
    }
    if let Some(status) = expected.status {
        differences.check(
            &field("expect"),
            &Some(u64::from(status)),
            &event.number("/expect"),
        );
    }
    if let Some(errno) = expected.errno {
        let seen = (event.text("/errno"), event.text("/phase"), event.local());
        differences.check(
            &field("errno, phase and local"),
            &(Some(errno), Some("connect"), None),
            &seen,
        );
    }
    let elapsed = event.number("/elapsed_us").map(Duration::from_micros);
    if elapsed.is_none_or(|elapsed| elapsed < expected.waited) {
        let waited = expected.waited;
        differences.note(format!(
            "{}: expected {waited:?} or more, seen {elapsed:?}",
            field("elapsed_us")
        ));
    }
    for missing in ALWAYS
        .iter()
        .filter(|pointer| event.value().pointer(pointer).is_none())
    {
        differences.note(field(&format!("fields: {missing} is missing")));
    }
}

/// How often each `class/cause` came, as the table shows it.
#[must_use]
pub fn verdicts(events: &[&Event]) -> String {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.verdict()).or_insert(0_usize) += 1;
    }
    match counts.len() {
        0 => "-".to_owned(),
        1 => counts.into_keys().collect(),
        _ => counts
            .into_iter()
            .map(|(verdict, count)| format!("{count}x {verdict}"))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

#[cfg(test)]
mod tests;
