//! Where a scenario happens: a lab, gw502 that records, a proxy; and how it is judged.

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use gw502_tests::address::Address;
use gw502_tests::agent::{self, Agent, Session};
use gw502_tests::client::{self, Answers, Request};
use gw502_tests::deadline;
use gw502_tests::expect::Differences;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::matrix::{self, Row};
use gw502_tests::proxy::{Kind, Log, Proxy, Settings};
use gw502_tests::sockets;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::verdict::{self, Diagnosed};
use super::{SOME, Scenario};
use crate::scene::settings;

/// How long the last event may take, and an app to do what it is to do.
pub(super) const LATE: Duration = Duration::from_secs(5);

/// How lines of a recording begin.
const FAILURE: &str = "{\"failure\"";
const COUNTERS: &str = "{\"counters\"";

/// A lab and what watches it.
pub(super) struct Stage {
    recorder: RefCell<Option<Agent>>,
    recording: PathBuf,
    kind: Kind,
    pub(super) lab: Lab,
}

/// What became of the connections to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) attempts: usize,
    pub(super) established: usize,
    /// Attempts and connections that failed.
    pub(super) failed: usize,
}

/// What happened, by the proxy's own account.
pub(super) struct Outcome {
    upstream: Address,
    counts: Counts,
    /// What the proxy's complaints may say: each has one of these words, and one has the first.
    words: Vec<&'static str>,
    complaints: Vec<String>,
    /// Whether the proxy logs such a failure at all.
    is_logged: bool,
    /// Words of the evidence, where the cause is not all.
    evidence: &'static str,
    /// What gw502 said while it recorded.
    session: Session,
    log: String,
}

impl Stage {
    /// Makes the lab, while gw502 starts.
    #[track_caller]
    pub(super) fn set(kind: Kind, path: Path) -> Self {
        let lab = Lab::new(path);
        let recording = lab.scratch().join("recording");
        let mut command = agent::gw502(&["record", "--proxy", kind.program()]);
        if let Some(backend) = agent::backend() {
            command.arg("--hooks").arg(backend);
        }
        let recorder = Agent::start(command.arg(&recording));
        Self {
            recorder: RefCell::new(Some(recorder)),
            recording,
            kind,
            lab,
        }
    }

    /// Where an app can listen that the proxy reaches.
    #[track_caller]
    pub(super) fn free_address(&self) -> SocketAddr {
        let address = self.lab.upstream_address(Family::V4);
        SocketAddr::new(address, sockets::free_port(self.lab.upstream()))
    }

    /// Starts the proxy in front of an upstream. When this returns, gw502 watches it.
    #[track_caller]
    pub(super) fn proxy(&self, upstream: Address) -> Proxy {
        self.tuned(upstream, |settings| settings)
    }

    /// The same with other settings.
    #[track_caller]
    pub(super) fn tuned(
        &self,
        upstream: Address,
        tune: impl FnOnce(Settings) -> Settings,
    ) -> Proxy {
        let proxy = Proxy::start(&self.lab, &tune(settings(self.kind, upstream)));
        if let Some(recorder) = &*self.recorder.borrow() {
            recorder.wait_ready();
        }
        proxy
    }

    /// Sends requests for `path`, all at once, and waits for the answers.
    #[track_caller]
    pub(super) fn send(&self, proxy: &Proxy, path: &'static str, count: usize) -> Answers {
        let request = match proxy.kind() {
            Kind::NginxStream | Kind::HaproxyTcp => Request::Silence,
            _ => Request::Ask(path),
        };
        client::send(self.lab.proxy(), proxy.target(), request, count, count)
    }

    /// Sends [`SOME`] requests for `path`, and does something meanwhile.
    #[track_caller]
    pub(super) fn meanwhile(
        &self,
        proxy: &Proxy,
        path: &'static str,
        act: impl FnOnce(),
    ) -> Answers {
        let (lab, target) = (&self.lab, proxy.target());
        thread::scope(|scope| {
            let clients = scope
                .spawn(move || client::send(lab.proxy(), target, Request::Ask(path), SOME, SOME));
            act();
            clients.join().expect("a client never panics")
        })
    }

    /// What happened to `requests` requests, and what was seen of it. All connections to the
    /// upstream were made for one request each. The proxy complained in these words.
    #[track_caller]
    pub(super) fn outcome(
        &self,
        proxy: &Proxy,
        upstream: Address,
        requests: usize,
        words: &[&'static str],
    ) -> Outcome {
        let log = proxy.wait_log(requests);
        assert_eq!(log.requests, requests, "requests:\n{}", proxy.text());
        let counts = Counts::of(&log, proxy.kind());
        self.counted(proxy, upstream, counts, words)
    }

    /// The same, where the connections were counted by other means.
    #[track_caller]
    pub(super) fn counted(
        &self,
        proxy: &Proxy,
        upstream: Address,
        counts: Counts,
        words: &[&'static str],
    ) -> Outcome {
        let complaints = proxy.wait_complaints(counts.failed);
        let netns = format!("\"netns\":{},", self.lab.proxy().inode());
        let ours = |line: &str| line.starts_with(FAILURE) && line.contains(&netns);
        let recorded = || self.recorded(ours);
        // Too few are told by the comparison.
        let _all = deadline::holds_within(LATE, || recorded() >= counts.failed);
        let recorder = self.recorder.borrow_mut().take();
        let recorder = recorder.expect("a scenario has one outcome");
        Outcome {
            upstream,
            counts,
            words: words.to_vec(),
            complaints,
            is_logged: true,
            evidence: "",
            session: recorder.stop(Signal::SIGINT),
            log: proxy.text(),
        }
    }

    /// Waits until gw502 has read its counters, after connections that changed them: what happened
    /// before and what happens now are told apart by the second.
    #[track_caller]
    pub(super) fn wait_counted(&self) {
        let counted = || self.recorded(|line| line.starts_with(COUNTERS));
        let before = counted();
        deadline::wait_until("the counters to be read", LATE, || counted() > before);
    }

    /// How many such lines the recording has.
    fn recorded(&self, is_such: impl Fn(&str) -> bool) -> usize {
        let recording = fs::read_to_string(&self.recording).unwrap_or_default();
        recording.lines().filter(|line| is_such(line)).count()
    }

    /// Compares the diagnosis with what happened, and adds a row to the matrix.
    #[track_caller]
    pub(super) fn judge(&self, scenario: &Scenario, outcome: &Outcome) -> Result<(), Failed> {
        let mut differences = Differences::default();
        outcome.prove(scenario, &mut differences);
        let netns = self.lab.proxy().inode();
        let (diagnoses, text) =
            verdict::diagnose(self.lab.scratch(), &self.recording, netns, &mut differences);
        let is_ours = |one: &&Diagnosed| one.upstream.as_ref() == Some(&outcome.upstream);
        let ours = diagnoses.iter().find(is_ours);
        outcome.compare(ours, &mut differences);
        for other in diagnoses.iter().filter(|one| !is_ours(one)) {
            let verdict = other.verdict.as_str();
            differences.check("diagnosis of others", matrix::NONE, verdict);
        }
        let row = Row {
            scenario: scenario.name,
            expected: scenario.expected,
            diagnosed: ours.map_or_else(|| matrix::NONE.to_owned(), |ours| ours.verdict.clone()),
            plain: scenario.plain,
        };
        if !row.agrees() {
            differences.check("diagnosis", scenario.expected, row.diagnosed.as_str());
        }
        matrix::add(row);
        if differences.is_empty() {
            return Ok(());
        }
        let recording = fs::read_to_string(&self.recording).unwrap_or_default();
        Err(format!(
            "{} differs:\n{differences}\nthe proxy's log:\n{}\nthe diagnosis:\n{text}\n\
             the recording:\n{recording}\ngw502 on standard error:\n{}",
            scenario.name, outcome.log, outcome.session.stderr
        )
        .into())
    }
}

impl Counts {
    /// As the proxy's log has them: each connection was made for one request.
    fn of(log: &Log, kind: Kind) -> Self {
        let is_connect = |line: &&String| {
            if kind.is_haproxy() {
                // The second letter of the termination state: it was connecting.
                let end = line.split("end=").nth(1).unwrap_or_default();
                end.chars().nth(1) == Some('C')
            } else {
                line.contains("while connecting to upstream")
            }
        };
        let unconnected = log.complaints.iter().filter(is_connect).count();
        Self {
            attempts: log.attempts,
            established: log.attempts - unconnected,
            failed: log.complaints.len(),
        }
    }

    /// Connections that were all good.
    pub(super) const fn good(connections: usize) -> Self {
        Self {
            attempts: connections,
            established: connections,
            failed: 0,
        }
    }
}

impl Outcome {
    /// Also expects these words in the evidence.
    pub(super) const fn with_evidence(mut self, words: &'static str) -> Self {
        self.evidence = words;
        self
    }

    /// The proxy says nothing about it: what failed was counted by other means.
    pub(super) const fn unlogged(mut self) -> Self {
        self.is_logged = false;
        self
    }

    /// Checks that what was to happen did happen, by the proxy's words.
    fn prove(&self, scenario: &Scenario, differences: &mut Differences) {
        let failed = self.counts.failed;
        let owed = if self.is_logged { failed } else { 0 };
        differences.check(
            "complaints in the proxy's log",
            &owed,
            &self.complaints.len(),
        );
        let fails = scenario.expected != matrix::NONE;
        differences.check("something failed", &fails, &(failed > 0));
        for line in &self.complaints {
            if !self.words.iter().any(|word| line.contains(word)) {
                let words = &self.words;
                differences.note(format!(
                    "the proxy's log: expected {words:?}, seen {line:?}"
                ));
            }
        }
        let main = self.words.first().copied().unwrap_or_default();
        if owed > 0 && !self.complaints.iter().any(|line| line.contains(main)) {
            differences.note(format!("the proxy never said {main:?}"));
        }
        differences.check("exit code", &0, &self.session.code);
    }

    /// Compares the diagnosis's counts with the proxy's.
    fn compare(&self, diagnosed: Option<&Diagnosed>, differences: &mut Differences) {
        let counts = self.counts;
        let seen = diagnosed.map(|one| (one.attempts, one.established, one.failed, one.lost));
        let expected = (
            counts.attempts as u64,
            counts.established as u64,
            counts.failed as u64,
            0,
        );
        differences.check(
            "attempts, established, failed and lost",
            &Some(expected),
            &seen,
        );
        let evidence = diagnosed.map_or("", |one| one.evidence.as_str());
        if !evidence.contains(self.evidence) {
            differences.note(format!(
                "no {:?} in the evidence: {evidence}",
                self.evidence
            ));
        }
    }
}
