//! A proxy, its upstream and what became of them: shared by the trials beside the table of faults.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use gw502_tests::address::Address;
use gw502_tests::agent::{self, Agent, Event, Session};
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::proxy::{Kind, Logged, Proxy, Settings, Talk};
use gw502_tests::report::{self, Row};
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::Failed;

/// How long every proxy here waits for its upstream.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How long the last event may take: 100 ms are promised.
pub(crate) const LATE: Duration = Duration::from_secs(2);

/// The proxies that speak HTTP.
pub(crate) const HTTP: [Kind; 2] = [Kind::Nginx, Kind::Haproxy];

/// A fault of the table that takes more than one request to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// `class/cause` of every event.
    pub(crate) verdict: &'static str,
    /// What every complaint in the proxy's log says, one for each failure; `None` when it says
    /// nothing.
    pub(crate) words: Option<&'static str>,
}

/// A fault by the name it has in the table.
pub(crate) const fn fault(name: &'static str, verdict: &'static str) -> Fault {
    Fault {
        name,
        verdict,
        words: None,
    }
}

impl Fault {
    /// What either proxy says about it.
    pub(crate) const fn says(
        mut self,
        kind: Kind,
        nginx: &'static str,
        haproxy: Option<&'static str>,
    ) -> Self {
        self.words = if kind.is_nginx() {
            Some(nginx)
        } else {
            haproxy
        };
        self
    }
}

/// Starts gw502 for the workers of a proxy alone, by the backend that the suite is run with, and
/// waits until it watches.
pub(crate) fn watch_workers(proxy: &Proxy, command: &mut Command) -> Agent {
    for pid in proxy.workers() {
        command.arg("--pid").arg(pid.to_string());
    }
    if let Some(backend) = agent::backend() {
        command.arg("--hooks").arg(backend);
    }
    let agent = Agent::start(command);
    agent.wait_ready();
    agent
}

/// Where a trial happens. The upstream goes first: the proxy sees its connections end.
pub(crate) struct Scene {
    pub(crate) upstream: Upstream,
    pub(crate) proxy: Proxy,
    pub(crate) lab: Lab,
}

impl Scene {
    /// Builds it; `tune` changes the proxy's usual settings.
    #[track_caller]
    pub(crate) fn set(
        kind: Kind,
        path: Path,
        behaviour: Behaviour,
        tune: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let lab = Lab::new(path);
        let address = lab.upstream_address(Family::V4);
        let upstream = Upstream::start(lab.upstream(), address, behaviour);
        let proxy = Proxy::start(&lab, &tune(settings(kind, upstream.address())));
        Self {
            upstream,
            proxy,
            lab,
        }
    }

    /// The network namespace events name.
    #[track_caller]
    pub(crate) fn netns(&self) -> u64 {
        self.lab.proxy().inode()
    }

    /// Whether an event is of this scene.
    pub(crate) fn is_ours(&self) -> impl Fn(&Event) -> bool {
        let netns = self.netns();
        move |event| event.netns() == Some(netns)
    }

    /// Its events, in order.
    pub(crate) fn events<'a>(&self, session: &'a Session) -> Vec<&'a Event> {
        expect::events_in(session, self.netns())
    }

    /// Checks that the events are of our proxy and its upstream, that no two have the same id, and
    /// that the summary counts every connection the upstream accepted.
    pub(crate) fn compare(&self, session: &Session, differences: &mut Differences) {
        self.compare_attempts(self.upstream.counts().accepted, session, differences);
    }

    /// The same, for so many attempts.
    fn compare_attempts(&self, attempts: u64, session: &Session, differences: &mut Differences) {
        let events = self.events(session);
        let ids: BTreeSet<_> = events.iter().map(|event| event.text("/id")).collect();
        differences.check("number of different ids", &events.len(), &ids.len());
        for event in events {
            let whose = (event.upstream(), event.text("/proxy/comm"));
            let comm = self.proxy.kind().program();
            let ours = (Some(self.upstream.address()), Some(comm));
            differences.check("upstream and proxy.comm", &ours, &whose);
            let pid = event.number("/proxy/pid");
            let is_worker = |worker: &u32| pid == Some(u64::from(*worker));
            if !self.proxy.workers().iter().any(is_worker) {
                differences.note(format!("proxy.pid: {pid:?} is no worker"));
            }
        }
        let counted = session
            .summary
            .as_ref()
            .and_then(|summary| summary.attempts(self.netns(), &self.upstream.address()));
        differences.check("attempts in the summary", &Some(attempts), &counted);
        differences.check("exit code", &0, &session.code);
    }

    /// Compares the events and the proxy's log with what failed, and adds a row to the table. What
    /// the upstream did not accept has failed too.
    pub(crate) fn compare_fault(
        &self,
        fault: &Fault,
        failed: usize,
        session: &Session,
        differences: &mut Differences,
    ) {
        let accepted = self.upstream.counts().accepted;
        let attempts = if accepted == 0 {
            failed as u64
        } else {
            accepted
        };
        self.compare_attempts(attempts, session, differences);
        let events = self.events(session);
        differences.check("number of events", &failed, &events.len());
        all_are(&events, fault.verdict, differences);
        let owed = if fault.words.is_some() { failed } else { 0 };
        let complaints = self.proxy.wait_complaints(owed);
        differences.check("complaints in the proxy's log", &owed, &complaints.len());
        let words = fault.words.unwrap_or_default();
        for line in complaints.iter().filter(|line| !line.contains(words)) {
            differences.note(format!(
                "the proxy's log: expected {words:?}, seen {line:?}"
            ));
        }
        report::add(Row {
            fault: fault.name,
            proxy: self.proxy.kind(),
            path: self.lab.path(),
            failed,
            events: events.len(),
            expected: fault.verdict,
            seen: expect::verdicts(&events),
            log_lines: complaints.len(),
            agrees: differences.is_empty(),
        });
    }

    /// Checks that there is one event for each connection the upstream broke off, by its address.
    pub(crate) fn compare_broken(&self, session: &Session, differences: &mut Differences) {
        let mut broken = self.upstream.broken();
        let mut reported: Vec<_> = self
            .events(session)
            .into_iter()
            .filter_map(Event::local)
            .collect();
        broken.sort_unstable();
        reported.sort_unstable();
        differences.check("connections that ended badly", &broken, &reported);
    }

    /// The result of a trial: everything a person needs to judge it when something differs.
    pub(crate) fn verdict(
        &self,
        differences: &Differences,
        session: &Session,
        clients: &str,
    ) -> Result<(), Failed> {
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{} differs:\n{differences}\n\
             the clients: {clients}\nthe upstream counted {:?}; broken off: {:?}\n\
             \nthe proxy's log:\n{}\ngw502 on standard output:\n{}\ngw502 on standard error:\n{}",
            self.proxy.kind(),
            self.upstream.counts(),
            self.upstream.broken(),
            self.proxy.text(),
            session.stdout,
            session.stderr
        )
        .into())
    }
}

/// What the trials have in common.
pub(crate) const fn settings(kind: Kind, upstream: Address) -> Settings {
    Settings {
        kind,
        upstream,
        connect_timeout: PATIENCE,
        read_timeout: PATIENCE,
        retries: 0,
        keep_alive: false,
        abort_on_close: false,
        upstream_options: "",
        script: None,
        http2: false,
        talk: Talk::Plain,
        logged: Logged::Requests,
    }
}

/// Checks the cause of every event.
pub(crate) fn all_are(events: &[&Event], verdict: &str, differences: &mut Differences) {
    for (index, event) in events.iter().enumerate() {
        let field = format!("event {index}, class/cause");
        differences.check(&field, verdict, event.verdict().as_str());
    }
}

/// Starts gw502 for the programs of this kind of proxy, and the scene meanwhile.
#[track_caller]
pub(crate) fn watch(kind: Kind, scene: impl FnOnce() -> Scene) -> (Agent, Scene) {
    let agent = Agent::spawn(&["--proxy", kind.program()]);
    let scene = scene();
    agent.wait_ready();
    (agent, scene)
}
