//! Faults on connections that carried something before: the request that fails is not the first.

use std::time::{Duration, Instant};

use gw502_tests::client::{Answer, Answers};
use gw502_tests::deadline;
use gw502_tests::dialogue::Dialogue;
use gw502_tests::expect::Differences;
use gw502_tests::lab::Path;
use gw502_tests::proxy::{Kind, Settings};
use gw502_tests::upstream::{Behaviour, Last};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::Signal;

use crate::scene::{Fault, HTTP, LATE, Scene, fault, watch};
use crate::steady;

/// After so long the upstream closes an idle connection.
const IDLE: Duration = Duration::from_millis(150);

/// An nginx that repeats a GET on another connection logs the loss all the same.
const CLOSED: &str = "upstream prematurely closed connection while reading response header";
const RESET: &str = "104: Connection reset by peer) while reading response header";
/// Of a client's first request; of a later one, when the upstream's connection was used before too,
/// `HAProxy` says nothing and closes the client's connection.
const LOST: &str = "end=SH status=502";
const TIMED_OUT: &str = "110: Connection timed out) while reading response header";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in HTTP {
        let mut add = |name: &str, body: fn(Kind) -> Result<(), Failed>| {
            let name = format!("reuse::{name}::{kind}");
            trials.push(steady::trial(name, move || body(kind)));
        };
        add("fifth_request_meets_a_reset", |kind| {
            let fault = fault("fifth_request_reset", "reset/reset-before-response");
            fifth(kind, Last::Reset, fault.says(kind, RESET, Some(LOST)))
        });
        add("fifth_request_meets_a_close", |kind| {
            let fault = fault("fifth_request_closed", "closed/closed-before-response");
            fifth(kind, Last::Close, fault.says(kind, CLOSED, Some(LOST)))
        });
        add("fifth_request_times_out", |kind| {
            let fault = fault("fifth_request_hang", "timeout/response-timeout");
            fifth(
                kind,
                Last::Hang,
                fault.says(kind, TIMED_OUT, Some("end=sH")),
            )
        });
        add("idle_closes_are_silent", idle_closes);
        add("a_close_crosses_a_get", |kind| {
            let fault = fault("close_crosses_get", "closed/keepalive-race");
            crossing(kind, "GET", fault.says(kind, CLOSED, None))
        });
        add("a_close_crosses_a_post", |kind| {
            let fault = fault("close_crosses_post", "closed/keepalive-race");
            crossing(kind, "POST", fault.says(kind, CLOSED, None))
        });
        add("request_on_a_closed_connection::veth", |kind| {
            let fault = fault("request_after_close", "reset/keepalive-race");
            unnoticed(kind, Path::Veth, fault.says(kind, CLOSED, None))
        });
        // The proxy reads the end and closes before the RST can arrive.
        add("request_on_a_closed_connection::delayed", |kind| {
            let fault = fault("request_after_close", "closed/keepalive-race");
            unnoticed(kind, Path::Delayed, fault.says(kind, CLOSED, None))
        });
    }
    trials
}

fn keep_alive(settings: Settings) -> Settings {
    Settings {
        keep_alive: true,
        ..settings
    }
}

/// One request on a client connection of its own.
fn request(scene: &Scene, method: &str) -> Answer {
    scene.lab.proxy().enter(|| {
        let mut dialogue = Dialogue::open(scene.proxy.target());
        dialogue.ask(method, "/");
        dialogue.answer()
    })
}

/// Four good requests on each connection, then one that fails: an event for that one alone.
fn fifth(kind: Kind, last: Last, fault: Fault) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::AnswerThen(4, last), keep_alive)
    });
    let mut answers = Answers::default();
    if last == Last::Hang {
        // One client, so one worker: the fifth of nginx's is the upstream's fifth too.
        scene.lab.proxy().enter(|| {
            let mut dialogue = Dialogue::open(scene.proxy.target());
            for _ in 0..5 {
                dialogue.ask("GET", "/");
                *answers.0.entry(dialogue.answer()).or_default() += 1;
            }
        });
    } else {
        for method in ["GET", "POST"].repeat(15) {
            *answers.0.entry(request(&scene, method)).or_default() += 1;
        }
    }
    let broken = scene.upstream.broken().len();
    agent.wait_events(broken, LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    if broken == 0 {
        differences.note("no connection got as far as its fifth request".to_owned());
    }
    scene.compare_broken(&session, &mut differences);
    scene.compare_fault(&fault, broken, &session, &mut differences);
    scene.verdict(&differences, &session, &answers.to_string())
}

/// The upstream closes what is idle: nothing failed.
fn idle_closes(kind: Kind) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Veth, Behaviour::CloseIdle(IDLE), keep_alive)
    });
    let mut answers = Answers::default();
    for _ in 0..10 {
        *answers.0.entry(request(&scene, "GET")).or_default() += 1;
    }
    let closed = || {
        !scene.upstream.broken().is_empty()
            && scene.upstream.broken().len() as u64 == scene.upstream.counts().accepted
    };
    deadline::wait_until("all connections to be idle for too long", LATE, closed);
    agent.wait_events(1, Duration::from_millis(300), scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    differences.check("answers", &Some(200), &answers.status());
    scene.compare(&session, &mut differences);
    differences.check("events", &Vec::new(), &scene.events(&session));
    scene.verdict(&differences, &session, &answers.to_string())
}

/// How a request on a connection that the upstream is about to close came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Answered, on the connection it was sent on.
    Answered,
    /// The connection was lost, and the request with it or repeated on another one.
    Raced,
}

/// Where the next request starts, counted from the arrival of the last answer. The upstream closes
/// 150 ms after it has sent that, 20 ms before: its FIN is on the way from 130 to 150 ms, and what
/// is sent after 110 ms arrives at a closed connection.
const OFFSETS: [(u64, Outcome); 6] = [
    (90, Outcome::Answered),
    (116, Outcome::Raced),
    (122, Outcome::Raced),
    (128, Outcome::Raced),
    (136, Outcome::Raced),
    (180, Outcome::Answered),
];

/// The FIN of an idle connection and the next request pass each other on the way.
fn crossing(kind: Kind, method: &str, fault: Fault) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, Path::Delayed, Behaviour::CloseIdle(IDLE), keep_alive)
    });
    let mut differences = Differences::default();
    let mut seen = Vec::new();
    let mut logged = Logged::default();
    for (offset, expected) in OFFSETS {
        let outcome = scene.lab.proxy().enter(|| {
            let mut dialogue = Dialogue::open(scene.proxy.target());
            let last = prime(&scene, &mut dialogue);
            deadline::pause_until(last + Duration::from_millis(offset));
            dialogue.ask(method, "/");
            logged.outcome(&scene, dialogue.answer())
        });
        differences.check(&format!("{method} after {offset} ms"), &expected, &outcome);
        seen.push((offset, outcome));
    }
    let raced: Vec<_> = seen
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Raced)
        .collect();
    agent.wait_events(raced.len(), LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let events = scene.events(&session);
    let broken = scene.upstream.broken();
    for (event, (offset, _)) in events.iter().zip(&raced) {
        if !event.local().is_some_and(|local| broken.contains(&local)) {
            differences.note(format!("{event} is of a connection that was not closed"));
        }
        let idle = event
            .evidence("idle_before")
            .and_then(|idle| idle.get("idle_us")?.as_u64());
        if idle.is_none_or(|idle| idle.abs_diff(offset * 1000) >= 30_000) {
            differences.note(format!("idle for {offset} ms, and not {idle:?} us"));
        }
    }
    scene.compare_fault(&fault, raced.len(), &session, &mut differences);
    scene.verdict(&differences, &session, &format!("{seen:?}"))
}

/// The upstream's FIN was there before the request, and the proxy did not look: it is stopped
/// meanwhile.
///
/// Then nginx sees the request first. Which of its threads is first to see what is chance in
/// `HAProxy`: it may lose any request, or none.
fn unnoticed(kind: Kind, path: Path, fault: Fault) -> Result<(), Failed> {
    let (agent, scene) = watch(kind, || {
        Scene::set(kind, path, Behaviour::CloseIdle(IDLE), keep_alive)
    });
    let mut seen = Vec::new();
    let mut logged = Logged::default();
    for method in ["GET", "POST"].repeat(3) {
        scene.lab.proxy().enter(|| {
            let mut dialogue = Dialogue::open(scene.proxy.target());
            dialogue.ask("GET", "/");
            let first = dialogue.answer();
            if first != Answer::Status(200) {
                logged.requests += 1;
                logged.attempts = scene.proxy.wait_attempts(logged.requests);
                seen.push(("first", Outcome::Raced));
                return;
            }
            scene.proxy.pause();
            dialogue.ask(method, "/");
            let all_closed =
                || scene.upstream.broken().len() as u64 == scene.upstream.counts().accepted;
            deadline::wait_until("the upstream to close what is idle", LATE, all_closed);
            // The end is on its way for up to 20 ms.
            deadline::pause_until(deadline::now() + Duration::from_millis(80));
            scene.proxy.resume();
            seen.push((method, logged.outcome(&scene, dialogue.answer())));
        });
    }
    let raced: Vec<_> = seen
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Raced)
        .collect();
    agent.wait_events(raced.len(), LATE, scene.is_ours());
    let session = agent.stop(Signal::SIGINT);

    let mut differences = Differences::default();
    if kind.is_nginx() {
        differences.check("requests on a closed connection", &seen.len(), &raced.len());
    }
    scene.compare_fault(&fault, raced.len(), &session, &mut differences);
    scene.verdict(&differences, &session, &format!("{seen:?}"))
}

/// What the proxy has logged so far.
#[derive(Default)]
struct Logged {
    requests: usize,
    attempts: usize,
}

impl Logged {
    /// How the second request of a client came out. nginx repeats a GET: one attempt more.
    /// `HAProxy` closes the client's connection and logs nothing.
    fn outcome(&mut self, scene: &Scene, answer: Answer) -> Outcome {
        let requests = if answer == Answer::Closed { 1 } else { 2 };
        self.requests += requests;
        let attempts = scene.proxy.wait_attempts(self.requests);
        let made = attempts - std::mem::replace(&mut self.attempts, attempts);
        if answer == Answer::Status(200) && made == requests {
            Outcome::Answered
        } else {
            Outcome::Raced
        }
    }
}

/// A request that cannot fail, for a connection to the upstream that has just been used.
#[track_caller]
fn prime(scene: &Scene, dialogue: &mut Dialogue) -> Instant {
    dialogue.ask("GET", "/");
    let answer = dialogue.answer();
    let now = deadline::now();
    assert_eq!(
        answer,
        Answer::Status(200),
        "the first request:\n{}",
        scene.proxy.text()
    );
    now
}
