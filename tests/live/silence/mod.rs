//! Healthy traffic, and what TCP cannot tell from it: no event, every attempt
//! counted.

mod cancel;
mod checks;
mod direct;
mod half;
mod idle;
mod leaving;
mod load;
mod mptcp;
mod restart;
mod tls;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gw502_tests::agent::{Agent, Session, Summary};
use gw502_tests::client::{self, Answer, Answers, Request};
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::{Lab, Path};
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scene::{HTTP, Scene, watch};
use crate::steady;

/// So long is waited for an event that should not come: one is promised within 100 ms.
const QUIET: Duration = Duration::from_millis(500);

/// Traffic that must stay unreported.
#[derive(Debug, Clone, Copy)]
struct Control {
    name: &'static str,
    behaviour: Behaviour,
    /// Whether the proxy keeps its connections, which the upstream closes when all is done.
    keep_alive: bool,
    requests: usize,
}

const CONTROLS: [Control; 4] = [
    Control {
        name: "upstream_closes",
        behaviour: Behaviour::Good,
        keep_alive: false,
        requests: 2000,
    },
    Control {
        name: "proxy_closes",
        behaviour: Behaviour::GoodKeepAlive,
        keep_alive: false,
        requests: 2000,
    },
    Control {
        name: "idle_connections_close",
        behaviour: Behaviour::GoodKeepAlive,
        keep_alive: true,
        requests: 200,
    },
    // To TCP the same as an idle close: only HTTP's framing could tell.
    Control {
        name: "answer_breaks_off",
        behaviour: Behaviour::BreakOff,
        keep_alive: false,
        requests: 20,
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    let rows = CONTROLS
        .iter()
        .flat_map(|control| HTTP.map(|kind| (control, kind)));
    let controls = rows.map(|(control, kind)| {
        let name = format!("silence::{}::{kind}", control.name);
        steady::trial(name, move || stays_silent(control, kind))
    });
    let more = [
        load::trials(),
        idle::trials(),
        checks::trials(),
        leaving::trials(),
        cancel::trials(),
        half::trials(),
        restart::trials(),
        direct::trials(),
        mptcp::trials(),
        tls::trials(),
    ];
    controls.chain(more.into_iter().flatten()).collect()
}

/// No event, and a summary that counts each connection once.
fn stays_silent(control: &Control, kind: Kind) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, control.behaviour, |settings| Settings {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
            keep_alive: control.keep_alive,
            ..settings
        })
    });
    let target = scene.proxy.target();
    let netns = scene.lab.proxy();
    let answers = client::send(netns, target, Request::Get, control.requests, 16);
    let logged = scene.proxy.wait_log(control.requests).requests;
    let counted = Counted::of(&scene);
    // Closes what the proxy still holds.
    drop(scene.upstream);
    let session = end(agent);

    let mut differences = Differences::default();
    differences.check("requests in the proxy's log", &control.requests, &logged);
    control.check_traffic(&answers, counted.accepted, &mut differences);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

/// Waits until an event that should not be would have come, and ends gw502.
#[track_caller]
fn end(agent: Agent) -> Session {
    agent.wait_events(1, QUIET, |_| true);
    agent.stop(Signal::SIGINT)
}

/// Says when dropped that it is over: a trial that panics, too, ends the load that waits for this.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What gw502 must have counted, silently.
#[derive(Debug, Clone, Copy)]
struct Counted {
    netns: u64,
    upstream: SocketAddr,
    /// Connects that were started: as many as were accepted, if none was given up on the way.
    attempts: u64,
    /// Connections that the upstream accepted: as many were established.
    accepted: u64,
}

impl Counted {
    /// What has happened in `scene` up to now.
    #[track_caller]
    fn of(scene: &Scene) -> Self {
        Self::by_upstream(&scene.lab, &scene.upstream)
    }

    /// What `upstream` has seen up to now.
    #[track_caller]
    fn by_upstream(lab: &Lab, upstream: &Upstream) -> Self {
        let accepted = upstream.counts().accepted;
        Self::connected(lab.proxy().inode(), upstream.address().tcp(), accepted)
    }

    /// So many connections, each of which was established.
    const fn connected(netns: u64, upstream: SocketAddr, count: u64) -> Self {
        Self {
            netns,
            upstream,
            attempts: count,
            accepted: count,
        }
    }

    /// No event, not even of what the proxy cancelled itself, and every attempt counted once.
    fn compare(&self, session: &Session, differences: &mut Differences) {
        let events = expect::events_in(session, self.netns);
        differences.check("events", &Vec::new(), &events);
        self.compare_counts(session, differences);
    }

    /// No failure among the events, and every attempt counted once.
    fn compare_failures(&self, session: &Session, differences: &mut Differences) {
        let events = expect::events_in(session, self.netns).into_iter();
        let failures: Vec<_> = events
            .filter(|event| event.text("/class") != Some("aborted"))
            .collect();
        differences.check("failures", &Vec::new(), &failures);
        self.compare_counts(session, differences);
    }

    fn compare_counts(&self, session: &Session, differences: &mut Differences) {
        let summary = session.summary.as_ref();
        let count = |read: fn(&_, _, &_) -> _| {
            summary.and_then(|summary| read(summary, self.netns, &self.upstream.into()))
        };
        let mut equal = |what, expected: u64, seen: Option<u64>| {
            differences.check(what, &Some(expected), &seen);
        };
        equal("attempts", self.attempts, count(Summary::attempts));
        equal("established", self.accepted, count(Summary::established));
        equal("failed", 0, count(Summary::failed));
        let lost = summary.and_then(Summary::lost);
        differences.check("lost", &Some(&json!({})), &lost);
        differences.check("exit code", &0, &session.code);
    }
}

impl Control {
    /// Checks that the traffic was what it should be.
    fn check_traffic(&self, answers: &Answers, accepted: u64, differences: &mut Differences) {
        let good = answers.count(Answer::Status(200));
        differences.check("requests answered with 200", &self.requests, &good);
        let requests = self.requests as u64;
        if self.keep_alive {
            let reused = accepted < requests;
            differences.check("connections were used again", &true, &reused);
        } else {
            differences.check("connections the upstream accepted", &requests, &accepted);
        }
    }
}

fn verdict(differences: &Differences, session: &Session) -> Result<(), Failed> {
    if differences.is_empty() {
        return Ok(());
    }
    let Session { stdout, stderr, .. } = session;
    Err(format!(
        "it was not silent:\n{differences}\
         gw502 on standard output:\n{stdout}\ngw502 on standard error:\n{stderr}"
    )
    .into())
}
