//! Health checks of `HAProxy`: connections that it opens and ends all the time. nginx has none.

use std::time::Duration;

use gw502_tests::agent::{Agent, Summary};
use gw502_tests::client::{self, Answer, Request};
use gw502_tests::deadline;
use gw502_tests::expect::Differences;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::sockets;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};

use super::{Counted, end, verdict};
use crate::scene::{Scene, all_are};
use crate::steady;

/// So many checks at least are waited for.
const CHECKS: u64 = 25;
const REQUESTS: usize = 200;
const LATE: Duration = Duration::from_secs(20);

/// Connects and closes.
const TCP: &str = "timeout check 5s\n default-server check inter 100ms";
/// Asks and reads the answer.
const HTTP: &str = "timeout check 5s\n default-server check inter 100ms\n \
                    option httpchk GET /check\n option http-server-close";

pub(super) fn trials() -> Vec<Trial> {
    let kinds = [
        ("tcp::answering", TCP, Behaviour::Good),
        ("tcp::only_reading", TCP, Behaviour::Listen),
        ("http::closing", HTTP, Behaviour::Good),
        ("http::keeping", HTTP, Behaviour::GoodKeepAlive),
    ];
    let healthy = kinds.map(|(name, options, behaviour)| {
        steady::trial(format!("silence::health_checks::{name}"), move || {
            healthy(options, behaviour)
        })
    });
    let refused = steady::trial("silence::health_checks::of_a_closed_port", refused);
    healthy.into_iter().chain([refused]).collect()
}

/// gw502 before the proxy, which begins its checks at once.
fn watch(options: &'static str, behaviour: Behaviour) -> (Agent, Scene) {
    let agent = Agent::trace(&["--proxy", "haproxy"]);
    let scene = Scene::set(Kind::Haproxy, Path::Veth, behaviour, |settings| Settings {
        upstream_options: options,
        ..settings
    });
    (agent, scene)
}

/// Checks alone, and among good requests.
fn healthy(options: &'static str, behaviour: Behaviour) -> Result<(), Failed> {
    let (agent, scene) = watch(options, behaviour);
    let mut differences = Differences::default();
    wait_checks(&scene);
    let requests = if behaviour == Behaviour::Listen {
        0
    } else {
        let target = scene.proxy.target();
        let answers = client::send(scene.lab.proxy(), target, Request::Get, REQUESTS, 4);
        let good = answers.count(Answer::Status(200));
        differences.check("requests answered with 200", &REQUESTS, &good);
        wait_checks(&scene);
        REQUESTS as u64
    };
    scene
        .proxy
        .freeze_idle(&scene.lab, scene.upstream.address().tcp());
    // The upstream never sees a check that is reset before its handshake is complete.
    let opened = sockets::active_opens(scene.lab.proxy()) - requests;
    let counted = Counted::connected(scene.netns(), scene.upstream.address().tcp(), opened);
    let session = end(agent);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}

/// Waits until the proxy has done enough more of them.
#[track_caller]
fn wait_checks(scene: &Scene) {
    let opened = || sockets::active_opens(scene.lab.proxy());
    let enough = opened() + CHECKS;
    deadline::wait_until("enough health checks", LATE, || opened() >= enough);
}

/// A check that is refused is a failed connect as any other, each reported once. (It is how a port
/// that is closed shows while the proxy sends it no requests.)
fn refused() -> Result<(), Failed> {
    let (agent, scene) = watch(TCP, Behaviour::Refuse);
    wait_checks(&scene);
    scene
        .proxy
        .freeze_idle(&scene.lab, scene.upstream.address().tcp());
    let opened = sockets::active_opens(scene.lab.proxy());
    let expected = usize::try_from(opened).unwrap_or_default();
    agent.wait_events(expected, crate::scene::LATE, scene.is_ours());
    let session = end(agent);

    let mut differences = Differences::default();
    let events = scene.events(&session);
    differences.check("events", &expected, &events.len());
    all_are(&events, "refused/no-listener", &mut differences);
    let summary = session.summary.as_ref();
    let upstream = scene.upstream.address();
    let count = |read: fn(&_, _, &_) -> _| {
        summary.and_then(|summary| read(summary, scene.netns(), &upstream))
    };
    differences.check("attempts", &Some(opened), &count(Summary::attempts));
    differences.check("failed", &Some(opened), &count(Summary::failed));
    verdict(&differences, &session)
}
