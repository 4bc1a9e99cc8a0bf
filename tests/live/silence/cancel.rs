//! Clients that take requests back by HTTP/2: their connections stay, so TCP shows nothing of it.
#![expect(
    clippy::print_stdout,
    reason = "which moments they were is worth to be seen"
)]

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use gw502_tests::deadline;
use gw502_tests::dice::{self, Dice};
use gw502_tests::expect::{self, Differences};
use gw502_tests::http2::Http2;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::upstream::Behaviour;
use libtest_mimic::{Failed, Trial};

use super::{Counted, end, verdict};
use crate::scene::{HTTP, LATE, Scene, all_are, watch};
use crate::steady;

const CLIENTS: usize = 200;
/// How long all of them together may take to ask.
const ASK: Duration = Duration::from_secs(10);

/// They wait so long, in milliseconds, before they change their minds: in a hurry, or not.
const WAITS: [(&str, std::ops::Range<u64>); 2] = [("soon", 5..200), ("late", 5..2900)];

pub(super) fn trials() -> Vec<Trial> {
    let rows = WAITS
        .into_iter()
        .flat_map(|row| HTTP.map(|kind| (row.clone(), kind)));
    rows.map(|((name, waits), kind)| {
        steady::trial(
            format!("silence::http2_cancels::{name}::{kind}"),
            move || cancel(kind, waits.clone()),
        )
    })
    .collect()
}

fn cancel(kind: Kind, waits: std::ops::Range<u64>) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::HangOnDemand, |settings| {
            Settings {
                read_timeout: Duration::from_secs(20),
                http2: true,
                ..settings
            }
        })
    });
    let mut differences = Differences::default();
    let seed = dice::seed();
    let mut dice = Dice::new(seed);
    let waits = waits.start * 1000..waits.end * 1000;
    let moments = (0..CLIENTS).map(|_| Duration::from_micros(dice.roll(waits.clone())));
    let target = scene.proxy.target();
    let asked = Barrier::new(CLIENTS + 1);
    // All of them at once, from when the upstream has all their requests; and their connections
    // until the end.
    let clients: Vec<_> = scene.lab.proxy().enter(|| {
        thread::scope(|scope| {
            let asked = &asked;
            let running: Vec<_> = moments
                .map(|moment| {
                    scope.spawn(move || {
                        let mut client = Http2::open(target);
                        client.ask("/hang");
                        asked.wait();
                        deadline::pause_until(deadline::now() + moment);
                        client.cancel();
                        client
                    })
                })
                .collect();
            let has_all = || scene.upstream.counts().requests == CLIENTS as u64;
            let read = deadline::holds_within(ASK, has_all);
            differences.check("the upstream has all requests", &true, &read);
            asked.wait();
            let joined = running.into_iter();
            joined
                .map(|client| client.join().expect("a client never panics"))
                .collect()
        })
    });
    agent.wait_events(CLIENTS, LATE, scene.is_ours());
    let counted = Counted::of(&scene);
    let session = end(agent);
    drop(clients);

    let events = scene.events(&session);
    println!(
        "\n\nseed {seed}: {CLIENTS} requests cancelled, {}\n",
        expect::verdicts(&events)
    );
    differences.check("events", &CLIENTS, &events.len());
    all_are(&events, "aborted/cancelled", &mut differences);
    counted.compare_failures(&session, &mut differences);
    verdict(&differences, &session)
}
