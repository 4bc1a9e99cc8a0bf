//! Upstreams whose processes end, or never began.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use gw502_tests::app::{self, App, Gunicorn, gunicorn, node};
use gw502_tests::cgroup::Cgroup;
use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Proxy, Settings};
use gw502_tests::sockets;

use super::stage::{LATE, Outcome, Stage};
use super::{SOME, Scenario, scenario};

const CRASHED: &str = "closed/upstream-crashed";
const ELSEWHERE: &str = "refused/listener-elsewhere";
const EXITED: &str = "refused/upstream-exited";

/// What the proxies say.
const CLOSED: &str = "upstream prematurely closed connection while reading response header";
const CLOSED_HAPROXY: &str = "end=SH status=502";
const RESET: &str = "104: Connection reset by peer) while reading response header";
const REFUSED: &str = "111: Connection refused";
const REFUSED_HAPROXY: &str = "end=SC status=503";

/// Memory of the cgroup in which an app is killed.
const MEMORY: u64 = 64 << 20;

pub(super) const ALL: &[Scenario] = &[
    scenario("killed_in_flight", CRASHED, killed),
    scenario("killed_in_flight_haproxy", CRASHED, killed)
        .through(Kind::Haproxy)
        .over(Path::Veth),
    scenario("aborts", CRASHED, |stage| ends(stage, "/crash", "SIGABRT")),
    scenario("exits_with_1", CRASHED, |stage| {
        ends(stage, "/exit/1", "code 1")
    })
    .through(Kind::Haproxy),
    scenario("oom_killed_in_its_cgroup", CRASHED, oom_killed),
    scenario("worker_killed_in_flight", CRASHED, worker_killed),
    scenario("worker_stuck_and_killed", CRASHED, worker_stuck),
    scenario(
        "answers_nothing_and_closes",
        "closed/closed-before-response",
        |stage| lets_down(stage, "/close", CLOSED_HAPROXY),
    )
    .through(Kind::Haproxy),
    scenario(
        "resets_the_request",
        "reset/reset-before-response",
        |stage| lets_down(stage, "/reset", RESET),
    ),
    scenario("killed_before", EXITED, |stage| {
        gone(stage, App::kill, "SIGKILL")
    }),
    scenario("stopped_before", EXITED, |stage| {
        gone(stage, App::stop, "and ended")
    })
    .through(Kind::Haproxy),
    scenario("never_started", "refused/no-listener", never_started),
    scenario("listens_on_ipv6_only", ELSEWHERE, on_ipv6),
    scenario("listens_on_localhost_only", ELSEWHERE, on_localhost)
        .through(Kind::Haproxy)
        .over(Path::Veth),
    scenario("comes_back_on_the_next_port", ELSEWHERE, on_the_next_port),
];

const fn closed(proxy: &Proxy) -> &'static str {
    if proxy.kind().is_haproxy() {
        CLOSED_HAPROXY
    } else {
        CLOSED
    }
}

pub(super) const fn refused(proxy: &Proxy) -> &'static str {
    if proxy.kind().is_haproxy() {
        REFUSED_HAPROXY
    } else {
        REFUSED
    }
}

#[track_caller]
fn wait_requests(app: &App, count: usize) {
    let has_all = deadline::holds_within(LATE, || app.requests() == count);
    assert!(
        has_all,
        "the app has {} requests:\n{}",
        app.requests(),
        app.text()
    );
}

fn killed(stage: &Stage) -> Outcome {
    let mut app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.proxy(app.address());
    stage.meanwhile(&proxy, "/hang", || {
        wait_requests(&app, SOME);
        app.kill();
    });
    let outcome = stage.outcome(&proxy, app.address(), SOME, &[closed(&proxy)]);
    outcome.with_evidence("SIGKILL")
}

/// One request too many ends the process, and takes the others with it.
fn ends(stage: &Stage, last: &'static str, how: &'static str) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.proxy(app.address());
    stage.meanwhile(&proxy, "/hang", || {
        wait_requests(&app, SOME);
        stage.send(&proxy, last, 1);
    });
    let outcome = stage.outcome(&proxy, app.address(), SOME + 1, &[closed(&proxy)]);
    outcome.with_evidence(how)
}

fn oom_killed(stage: &Stage) -> Outcome {
    let cgroup = Cgroup::limited(MEMORY);
    let app = node(&stage.lab, stage.free_address(), &[]);
    cgroup.take(app.pid());
    let proxy = stage.proxy(app.address());
    stage.meanwhile(&proxy, "/hang", || {
        wait_requests(&app, SOME);
        stage.send(&proxy, "/fill", 1);
    });
    let outcome = stage.outcome(&proxy, app.address(), SOME + 1, &[CLOSED]);
    drop(app);
    outcome.with_evidence("SIGKILL (OOM)")
}

/// The process that listens goes on, and the one that serves is gone.
fn worker_killed(stage: &Stage) -> Outcome {
    let settings = Gunicorn {
        workers: SOME,
        backlog: 64,
        timeout: 60,
    };
    let app = gunicorn(&stage.lab, stage.free_address(), settings);
    let proxy = stage.proxy(app.address());
    stage.meanwhile(&proxy, "/hang", || {
        wait_requests(&app, SOME);
        app.workers().into_iter().for_each(app::kill);
    });
    let outcome = stage.outcome(&proxy, app.address(), SOME, &[CLOSED]);
    outcome.with_evidence("SIGKILL")
}

/// gunicorn's own time-out: the worker does not hear the polite signal.
fn worker_stuck(stage: &Stage) -> Outcome {
    let settings = Gunicorn {
        workers: 2,
        backlog: 64,
        timeout: 1,
    };
    let app = gunicorn(&stage.lab, stage.free_address(), settings);
    let proxy = stage.tuned(app.address(), |settings| Settings {
        read_timeout: 4 * LATE,
        ..settings
    });
    stage.send(&proxy, "/stuck", 2);
    let outcome = stage.outcome(&proxy, app.address(), 2, &[CLOSED]);
    outcome.with_evidence("SIGKILL")
}

fn lets_down(stage: &Stage, path: &'static str, words: &'static str) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.proxy(app.address());
    stage.send(&proxy, path, SOME);
    stage.outcome(&proxy, app.address(), SOME, &[words])
}

/// It served, ended, and has not come back.
fn gone(stage: &Stage, end: fn(&mut App), how: &'static str) -> Outcome {
    let mut app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.proxy(app.address());
    stage.send(&proxy, "/", 2);
    end(&mut app);
    stage.send(&proxy, "/", SOME);
    let outcome = stage.outcome(&proxy, app.address(), 2 + SOME, &[refused(&proxy)]);
    outcome.with_evidence(how)
}

fn never_started(stage: &Stage) -> Outcome {
    let nobodys = stage.free_address();
    let proxy = stage.proxy(nobodys.into());
    stage.send(&proxy, "/", SOME);
    stage.outcome(&proxy, nobodys.into(), SOME, &[REFUSED])
}

/// `listen('localhost')` of an app, and `127.0.0.1` of the proxy.
fn on_ipv6(stage: &Stage) -> Outcome {
    elsewhere(stage, Ipv6Addr::LOCALHOST.into())
}

/// An app in a container that is reached by the container's address.
fn on_localhost(stage: &Stage) -> Outcome {
    elsewhere(stage, Ipv4Addr::LOCALHOST.into())
}

fn elsewhere(stage: &Stage, listens: std::net::IpAddr) -> Outcome {
    let expected = stage.free_address();
    let _app = node(&stage.lab, SocketAddr::new(listens, expected.port()), &[]);
    let proxy = stage.proxy(expected.into());
    stage.send(&proxy, "/", SOME);
    let outcome = stage.outcome(&proxy, expected.into(), SOME, &[refused(&proxy)]);
    outcome.with_evidence("node")
}

/// A deployment changed the app's port, and nobody told the proxy.
fn on_the_next_port(stage: &Stage) -> Outcome {
    let before = stage.free_address();
    let mut app = node(&stage.lab, before, &[]);
    let proxy = stage.proxy(before.into());
    stage.send(&proxy, "/", 2);
    app.stop();
    let next = SocketAddr::new(before.ip(), sockets::free_port(stage.lab.upstream()));
    let _moved = node(&stage.lab, next, &[]);
    stage.send(&proxy, "/", SOME);
    let good = client::send(stage.lab.upstream(), next, Request::Get, 1, 1);
    assert_eq!(good.status(), Some(200), "the app serves on {next}");
    stage.outcome(&proxy, before.into(), 2 + SOME, &[REFUSED])
}
