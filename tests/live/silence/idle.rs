//! Idle connections end, by either side and in every way: nothing failed.

use std::time::Duration;

use gw502_tests::client::{self, Answer, Request};
use gw502_tests::deadline;
use gw502_tests::expect::Differences;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::sockets;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};

use super::{Counted, end, verdict};
use crate::scene::{HTTP, Scene, watch};
use crate::steady;

/// After so long a connection is idle: long enough for the slowest request of a round.
const IDLE: Duration = Duration::from_millis(400);
/// How long the last of them may take to end.
const LATE: Duration = Duration::from_secs(15);

const ROUNDS: usize = 3;
const REQUESTS: usize = 40;

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in HTTP {
        let mut add = |name: &str, behaviour, options| {
            let name = format!("silence::{name}::{kind}");
            trials.push(steady::trial(name, move || idle(kind, behaviour, options)));
        };
        // `HAProxy` by itself closes those above what it took at once, and half of them every 5 s.
        let (keeps, closes) = match kind {
            Kind::Nginx => ("", "keepalive_timeout 400ms;"),
            _ => (
                "default-server pool-purge-delay 10m pool-low-conn 1000",
                "default-server pool-purge-delay 200ms",
            ),
        };
        add(
            "upstream_closes_idle_ones",
            Behaviour::CloseIdle(IDLE),
            keeps,
        );
        add(
            "upstream_resets_idle_ones",
            Behaviour::ResetIdle(IDLE),
            keeps,
        );
        add("proxy_closes_idle_ones", Behaviour::GoodKeepAlive, closes);
    }
    trials
}

/// Requests in rounds, with no connection left in between.
fn idle(kind: Kind, behaviour: Behaviour, options: &'static str) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, behaviour, |settings| Settings {
            keep_alive: true,
            upstream_options: options,
            ..settings
        })
    });
    let mut differences = Differences::default();
    for _ in 0..ROUNDS {
        let target = scene.proxy.target();
        let answers = client::send(scene.lab.proxy(), target, Request::Get, REQUESTS, 8);
        let good = answers.count(Answer::Status(200));
        differences.check("requests answered with 200", &REQUESTS, &good);
        let open = || sockets::connections_to(scene.lab.proxy(), scene.upstream.address().tcp());
        let kept = open() > 0;
        differences.check("connections were kept", &true, &kept);
        deadline::wait_until("all connections to end", LATE, || open() == 0);
    }
    let counted = Counted::of(&scene);
    let ended_by_upstream = scene.upstream.broken().len() as u64;
    let expected = if behaviour == Behaviour::GoodKeepAlive {
        0
    } else {
        counted.accepted
    };
    differences.check("ended by the upstream", &expected, &ended_by_upstream);
    let session = end(agent);
    counted.compare(&session, &mut differences);
    verdict(&differences, &session)
}
