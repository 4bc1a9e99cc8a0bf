//! Upstreams that are too slow, too early, or half way gone.

use std::time::Duration;

use gw502_tests::address::Address;
use gw502_tests::app::node;
use gw502_tests::client::Answer;
use gw502_tests::deadline;
use gw502_tests::dialogue::Dialogue;
use gw502_tests::firewall::{self, Verdict};
use gw502_tests::lab::Family;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::sockets;
use gw502_tests::upstream::{Behaviour, Last, Upstream};
use nix::sys::signal::Signal;

use super::stage::{Counts, LATE, Outcome, Stage};
use super::{SOME, Scenario, scenario};

const NO_ANSWER: &str = "timeout/response-timeout";
/// A whole second: of other waits gw502 believes that they are a timer's when they recur.
const SHORT: Duration = Duration::from_secs(1);

/// What the proxies say.
const SLOW: &str = "110: Connection timed out) while reading response header";
const SLOW_HAPROXY: &str = "end=sH status=504";

/// Bytes of an upload that the upstream reads, and of one that fills every buffer on its way.
const PART: usize = 1000;
const LARGE: usize = 32 << 20;

pub(super) const ALL: &[Scenario] = &[
    scenario("read_timeout_below_the_latency", NO_ANSWER, too_slow),
    scenario(
        "read_timeout_below_the_latency_haproxy",
        NO_ANSWER,
        too_slow,
    )
    .through(Kind::Haproxy),
    scenario("app_is_frozen", "timeout/never-accepted", frozen),
    scenario("app_is_frozen_haproxy", "timeout/never-accepted", frozen).through(Kind::Haproxy),
    scenario("path_dies", "timeout/peer-vanished", |stage| {
        let upstream = upstream(stage, Behaviour::Good);
        let at = upstream.address();
        firewall::apply(stage.lab.upstream(), at.tcp().port(), Verdict::DropData);
        requests(stage, at, SLOW_HAPROXY)
    })
    .through(Kind::Haproxy),
    scenario("upload_stalls", "timeout/send-stalled", |stage| {
        let words = "110: Connection timed out) while sending request to upstream";
        upload(stage, Last::Hang, words)
    }),
    scenario("upload_is_reset", "reset/reset-mid-request", |stage| {
        upload(stage, Last::Reset, "104: Connection reset by peer) while")
    }),
    scenario("reset_on_accept", "reset/reset-after-accept", |stage| {
        on_accept(
            stage,
            Behaviour::ResetOnAccept,
            &["104: Connection reset by peer"],
        )
    })
    .through(Kind::NginxStream),
    scenario("closed_on_accept", "closed/closed-after-accept", |stage| {
        on_accept(stage, Behaviour::CloseOnAccept, &[]).unlogged()
    })
    .through(Kind::HaproxyTcp),
    scenario(
        "keepalive_shorter_than_the_proxys",
        "reset/keepalive-race",
        keepalive_race,
    ),
];

#[track_caller]
fn upstream(stage: &Stage, behaviour: Behaviour) -> Upstream {
    let address = stage.lab.upstream_address(Family::V4);
    Upstream::start(stage.lab.upstream(), address, behaviour)
}

const fn slow_words(kind: Kind) -> &'static str {
    if kind.is_haproxy() {
        SLOW_HAPROXY
    } else {
        SLOW
    }
}

fn short(settings: Settings) -> Settings {
    Settings {
        read_timeout: SHORT,
        ..settings
    }
}

#[track_caller]
fn requests(stage: &Stage, upstream: Address, words: &'static str) -> Outcome {
    let proxy = stage.tuned(upstream.clone(), short);
    stage.send(&proxy, "/", SOME);
    stage.outcome(&proxy, upstream, SOME, &[words])
}

fn too_slow(stage: &Stage) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.tuned(app.address(), short);
    stage.send(&proxy, "/slow/2500", SOME);
    let words = slow_words(proxy.kind());
    stage.outcome(&proxy, app.address(), SOME, &[words])
}

/// Stopped, as in a debugger or a frozen container: its kernel goes on taking connections.
fn frozen(stage: &Stage) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &[]);
    let proxy = stage.tuned(app.address(), short);
    app.signal(Signal::SIGSTOP);
    stage.send(&proxy, "/", SOME);
    let words = slow_words(proxy.kind());
    let outcome = stage.outcome(&proxy, app.address(), SOME, &[words]);
    outcome.with_evidence("node")
}

/// Every connection was established, whatever the proxy had seen of that when it met the end.
fn on_accept(stage: &Stage, behaviour: Behaviour, words: &[&'static str]) -> Outcome {
    let upstream = upstream(stage, behaviour);
    let proxy = stage.proxy(upstream.address());
    stage.send(&proxy, "", SOME);
    let attempts = proxy.wait_log(SOME).attempts;
    let accepted = upstream.counts().accepted;
    let counts = Counts {
        attempts,
        established: usize::try_from(accepted).unwrap_or_default(),
        failed: attempts,
    };
    stage.counted(&proxy, upstream.address(), counts, words)
}

fn upload(stage: &Stage, last: Last, words: &'static str) -> Outcome {
    let upstream = upstream(stage, Behaviour::Swallow(PART, last));
    let proxy = stage.proxy(upstream.address());
    stage
        .lab
        .proxy()
        .enter(|| Dialogue::open(proxy.target()).upload(LARGE));
    stage.outcome(&proxy, upstream.address(), 1, &[words])
}

/// Node closes a connection that was idle for its keep-alive time-out and a second; the proxy would
/// keep it for a minute, and uses it at that moment.
///
/// So that the moment is met, the proxy is stopped over it: it then sees the request first.
fn keepalive_race(stage: &Stage) -> Outcome {
    let app = node(&stage.lab, stage.free_address(), &["keepAliveTimeout=500"]);
    let at = app.address().tcp();
    let proxy = stage.tuned(at.into(), |settings| Settings {
        keep_alive: true,
        ..settings
    });
    let namespace = stage.lab.proxy();
    let raced = namespace.enter(|| {
        let mut clients: Vec<_> = (0..SOME).map(|_| Dialogue::open(proxy.target())).collect();
        ask(&mut clients);
        assert_eq!(good_answers(&mut clients), SOME, "{}", proxy.text());
        let kept = sockets::established_to(namespace, at);
        proxy.pause();
        ask(&mut clients);
        deadline::wait_until("Node to close what is idle", LATE, || {
            sockets::established_to(namespace, at) == 0
        });
        proxy.resume();
        // nginx repeats a GET until it is answered.
        assert_eq!(good_answers(&mut clients), SOME, "{}", proxy.text());
        kept
    });
    let counts = Counts {
        failed: raced,
        ..Counts::good(app.connections(2 * SOME))
    };
    let words = ["upstream prematurely closed connection"];
    stage.counted(&proxy, at.into(), counts, &words)
}

fn ask(clients: &mut [Dialogue]) {
    for client in clients {
        client.ask("GET", "/");
    }
}

fn good_answers(clients: &mut [Dialogue]) -> usize {
    let answers = clients.iter_mut().map(Dialogue::answer);
    answers
        .filter(|answer| *answer == Answer::Status(200))
        .count()
}
