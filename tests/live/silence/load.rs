//! 100,000 good requests through each proxy, on a connection each and on kept ones.

use std::time::Duration;

use gw502_tests::client::{self, Answer};
use gw502_tests::expect::{self, Differences};
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Logged, Settings};
use gw502_tests::report::{self, Row};
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};

use super::{Counted, end, verdict};
use crate::scene::{HTTP, Scene, watch};
use crate::steady;

const REQUESTS: usize = 100_000;
/// Enough to keep both processors busy.
const CLIENTS: usize = 16;

const LOADS: [(&str, bool); 2] = [
    ("100k_one_on_each_connection", false),
    ("100k_kept_alive", true),
];

pub(super) fn trials() -> Vec<Trial> {
    let rows = LOADS
        .iter()
        .flat_map(|&(name, kept)| HTTP.map(|kind| (name, kept, kind)));
    rows.map(|(name, kept, kind)| {
        steady::trial(format!("silence::{name}::{kind}"), move || {
            good(name, kept, kind)
        })
    })
    .collect()
}

fn good(name: &'static str, keep_alive: bool, kind: Kind) -> Result<(), Failed> {
    let behaviour = if keep_alive {
        Behaviour::GoodKeepAlive
    } else {
        Behaviour::Good
    };
    let (agent, scene) = watch(kind, || {
        let scene = Scene::set(kind, Path::Veth, behaviour, |settings| Settings {
            connect_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            keep_alive,
            logged: Logged::Failures,
            ..settings
        });
        // A port of a connection that is over may be used again at once.
        for namespace in [scene.lab.proxy(), scene.lab.upstream()] {
            namespace.set_sysctl("net/ipv4/ip_local_port_range", "1024 65535");
            namespace.set_sysctl("net/ipv4/tcp_tw_reuse", "1");
        }
        scene
    });
    let answers = client::load(scene.lab.proxy(), scene.proxy.target(), REQUESTS, CLIENTS);
    let complaints = scene.proxy.wait_log(0).complaints;
    let requests = scene.upstream.counts().requests;
    let counted = Counted::of(&scene);
    // Closes what the proxy still holds.
    drop(scene.upstream);
    let session = end(agent);

    let mut differences = Differences::default();
    let answered = answers.count(Answer::Status(200));
    differences.check("requests answered with 200", &REQUESTS, &answered);
    differences.check("requests at the upstream", &(REQUESTS as u64), &requests);
    differences.check("complaints in the proxy's log", &Vec::new(), &complaints);
    if keep_alive {
        let reused = counted.accepted < 1000;
        differences.check("connections were used again", &true, &reused);
    } else {
        let once = counted.accepted == REQUESTS as u64;
        differences.check("a connection for each request", &true, &once);
    }
    counted.compare(&session, &mut differences);
    let events = expect::events_in(&session, counted.netns);
    report::add(Row {
        fault: name,
        proxy: kind,
        path: Path::Veth,
        failed: 0,
        events: events.len(),
        expected: "-",
        seen: expect::verdicts(&events),
        log_lines: complaints.len(),
        agrees: differences.is_empty(),
    });
    verdict(&differences, &session)
}
