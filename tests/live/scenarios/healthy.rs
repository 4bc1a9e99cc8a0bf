//! Nothing is wrong, whatever it looks like: no diagnosis.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gw502_tests::app::{App, Gunicorn, gunicorn, node};
use gw502_tests::client::{self, Answer, Answers, Request};
use gw502_tests::deadline;
use gw502_tests::matrix::NONE;
use gw502_tests::proxy::{Kind, Proxy, Settings};
use gw502_tests::sockets;
use gw502_tests::upstream::{Behaviour, Upstream};
use nix::sys::signal::Signal;

use super::stage::{Counts, LATE, Outcome, Stage};
use super::{SOME, Scenario, scenario};

/// Requests before and after something is done to a server.
const BATCH: usize = 100;
const PARALLEL: usize = 4;

/// Ports that a scanner tries.
const SCANNED: std::ops::Range<u16> = 1..200;

pub(super) const ALL: &[Scenario] = &[
    scenario("healthy_traffic", NONE, traffic),
    scenario("healthy_traffic_haproxy", NONE, traffic).through(Kind::Haproxy),
    scenario("healthy_proxy_reloads", NONE, proxy_reloads),
    scenario("healthy_app_restarts_idle", NONE, app_restarts_idle),
    scenario("healthy_app_reloads_under_load", NONE, app_reloads),
    scenario("healthy_while_others_scan", NONE, scanned),
    scenario("healthy_clients_leave", NONE, clients_leave),
];

fn kept(settings: Settings) -> Settings {
    Settings {
        keep_alive: true,
        ..settings
    }
}

/// Good requests on kept connections.
fn traffic(stage: &Stage) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.tuned(app.address(), kept);
    good(stage, &proxy);
    stage.counted(
        &proxy,
        app.address(),
        Counts::good(app.connections(BATCH)),
        &[],
    )
}

#[track_caller]
fn good(stage: &Stage, proxy: &Proxy) {
    let answers = client::load(stage.lab.proxy(), proxy.target(), BATCH, PARALLEL);
    assert_eq!(answers.status(), Some(200), "{}", proxy.text());
}

fn proxy_reloads(stage: &Stage) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &[]);
    let mut proxy = stage.proxy(app.address());
    let target = proxy.target();
    let requests = under_load(stage, target, &app, || proxy.reload(&stage.lab));
    stage.outcome(&proxy, app.address(), requests, &[])
}

/// New workers take over from the old, which finish first: the listener stays.
fn app_reloads(stage: &Stage) -> Outcome {
    let settings = Gunicorn {
        workers: 2,
        backlog: 64,
        timeout: 60,
    };
    let app = gunicorn(&stage.lab, stage.free_address(), settings);
    let proxy = stage.proxy(app.address());
    let requests = under_load(stage, proxy.target(), &app, || {
        let old = app.workers();
        app.signal(Signal::SIGHUP);
        deadline::wait_until("new workers alone", 2 * LATE, || {
            let new = app.workers();
            new.len() == settings.workers && new.iter().all(|pid| !old.contains(pid))
        });
    });
    stage.outcome(&proxy, app.address(), requests, &[])
}

/// Does something while good requests go on, and says how many there were.
#[track_caller]
fn under_load(stage: &Stage, target: std::net::SocketAddr, app: &App, act: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    let namespace = stage.lab.proxy();
    let answers = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut answers = Answers::default();
            while !done.load(Ordering::Relaxed) {
                answers.add(&client::send(
                    namespace,
                    target,
                    Request::Get,
                    BATCH / 5,
                    PARALLEL,
                ));
            }
            answers
        });
        let more = || {
            let before = app.requests();
            deadline::holds_within(LATE, || app.requests() >= before + BATCH / 5)
        };
        let before = more();
        act();
        let after = more();
        done.store(true, Ordering::Relaxed);
        assert!(before && after, "the load goes on");
        clients.join().expect("a client never panics")
    });
    assert_eq!(answers.status(), Some(200), "{answers}");
    answers.count(Answer::Status(200))
}

/// The app is started anew while connections to it are idle.
fn app_restarts_idle(stage: &Stage) -> Outcome {
    let mut app = node(&stage.lab, stage.free_address(), &[]);
    let at = app.address().tcp();
    let proxy = stage.tuned(at.into(), kept);
    let mut connections = 0;
    for round in 0..3 {
        if round > 0 {
            app.stop();
            deadline::wait_until("the proxy to notice", LATE, || {
                sockets::connections_to(stage.lab.proxy(), at) == 0
            });
            app.start_again(stage.lab.upstream());
        }
        good(stage, &proxy);
        connections += app.connections(BATCH);
    }
    stage.counted(&proxy, at.into(), Counts::good(connections), &[])
}

/// Processes that are no proxies meet closed ports.
fn scanned(stage: &Stage) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &[]);
    let at = app.address().tcp();
    let proxy = stage.tuned(at.into(), kept);
    let refused = stage.lab.proxy().enter(|| {
        let tries = SCANNED.map(|port| TcpStream::connect((at.ip(), port)));
        tries.filter(Result::is_err).count()
    });
    assert_eq!(refused, SCANNED.len(), "nothing listens there");
    good(stage, &proxy);
    stage.counted(&proxy, at.into(), Counts::good(app.connections(BATCH)), &[])
}

/// Clients that do not wait for a slow answer: the proxy ends healthy attempts.
fn clients_leave(stage: &Stage) -> Outcome {
    let address = stage.lab.upstream_address(gw502_tests::lab::Family::V4);
    let upstream = Upstream::start(stage.lab.upstream(), address, Behaviour::Hang);
    let proxy = stage.tuned(upstream.address(), |settings| Settings {
        read_timeout: Duration::from_secs(20),
        ..settings
    });
    let target = proxy.target();
    client::send(stage.lab.proxy(), target, Request::Leave, SOME, SOME);
    let log = proxy.wait_log(SOME);
    stage.counted(&proxy, upstream.address(), Counts::good(log.attempts), &[])
}
