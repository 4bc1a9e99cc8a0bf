//! Upstreams that end and come back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gw502_tests::app::node;
use gw502_tests::client::Answer;
use gw502_tests::deadline;
use gw502_tests::dialogue::Dialogue;
use gw502_tests::lab::Lab;
use gw502_tests::proxy::Kind;

use super::processes::refused;
use super::stage::{LATE, Outcome, Stage};
use super::{SOME, Scenario, scenario};

const RESTARTING: &str = "refused/upstream-restarting";

/// How often the app of a crash loop ends.
const CRASHES: usize = 4;

/// Between two requests to an app that may not be there.
const PACE: Duration = Duration::from_millis(10);

pub(super) const ALL: &[Scenario] = &[
    scenario("restart_with_a_gap", RESTARTING, gap),
    scenario("restart_with_a_gap_haproxy", RESTARTING, gap).through(Kind::Haproxy),
    scenario("graceful_restart_under_load", RESTARTING, under_load),
    scenario("crash_loop_under_a_supervisor", RESTARTING, crash_loop),
];

/// The listener is away for a while, with requests going on.
fn gap(stage: &Stage) -> Outcome {
    let mut app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.proxy(app.address());
    stage.send(&proxy, "/", SOME);
    app.stop();
    stage.send(&proxy, "/", SOME);
    app.start_again(stage.lab.upstream());
    for round in 0..2 {
        if round > 0 {
            stage.wait_counted();
        }
        let answers = stage.send(&proxy, "/", SOME);
        let good = answers.status();
        assert_eq!(good, Some(200), "it is back:\n{}", proxy.text());
    }
    stage.outcome(&proxy, app.address(), 4 * SOME, &[refused(&proxy)])
}

/// As a deployment does it: told to end, it finishes what it has and goes; requests go on all the
/// time.
fn under_load(stage: &Stage) -> Outcome {
    let mut app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.proxy(app.address());
    let (lab, target) = (&stage.lab, proxy.target());
    let done = AtomicBool::new(false);
    let requests = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut requests = 0;
            while !done.load(Ordering::Relaxed) {
                requests += 1;
                ask(lab, target, "/");
                deadline::pause_until(deadline::now() + PACE);
            }
            requests
        });
        deadline::wait_until("good requests", LATE, || app.requests() >= SOME);
        app.stop();
        // Not for long: a complaint is written at once.
        let complaints = proxy.wait_complaints(SOME);
        app.start_again(stage.lab.upstream());
        for _ in 0..2 {
            stage.wait_counted();
        }
        done.store(true, Ordering::Relaxed);
        assert!(!complaints.is_empty(), "no request met the gap");
        client.join().expect("a client never panics")
    });
    let words = [refused(&proxy)];
    stage.outcome(&proxy, app.address(), requests, &words)
}

/// It serves one request and dies of the next, and is started again.
fn crash_loop(stage: &Stage) -> Outcome {
    let mut app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.proxy(app.address());
    let (lab, target) = (&stage.lab, proxy.target());
    let requests = thread::scope(|scope| {
        let client = scope.spawn(move || {
            let mut requests = 0;
            for _ in 0..CRASHES {
                requests += ask_until_served(lab, target) + 1;
                ask(lab, target, "/crash");
            }
            requests + ask_until_served(lab, target)
        });
        for _ in 0..CRASHES {
            app.wait_end();
            app.start_again(stage.lab.upstream());
        }
        client.join().expect("a client never panics")
    });
    let words = [
        refused(&proxy),
        "upstream prematurely closed connection while reading response header",
        // What came while it dumped its core waited in its queue.
        "104: Connection reset by peer) while reading response header",
    ];
    stage.outcome(&proxy, app.address(), requests, &words)
}

fn ask(lab: &Lab, target: SocketAddr, path: &str) -> Answer {
    lab.proxy().enter(|| {
        let mut dialogue = Dialogue::open(target);
        dialogue.ask("GET", path);
        dialogue.answer()
    })
}

/// How many requests that took.
fn ask_until_served(lab: &Lab, target: SocketAddr) -> usize {
    let mut requests = 1;
    while ask(lab, target, "/") != Answer::Status(200) {
        requests += 1;
        deadline::pause_until(deadline::now() + PACE);
    }
    requests
}
