//! `gw502 diagnose`: what it says of an upstream that is down, of one that is well, of one that
//! comes back, of a recording, and of a thousand that fail at once.
#![expect(clippy::print_stdout, reason = "what a storm took is worth to be seen")]

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use gw502_tests::agent::{self, Agent, Session};
use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::proxy::Kind;
use gw502_tests::scratch::Scratch;
use gw502_tests::socket::Protocol;
use gw502_tests::upstream::{Behaviour, Upstream};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{self, Scene};
use crate::trial;

/// More than any of these may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Requests of a trial.
const REQUESTS: usize = 6;
/// The user and group `nobody`.
const NOBODY: u32 = 65534;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("diagnose::a_closed_port_is_failing", closed_port),
        trial("diagnose::healthy_traffic_has_none", healthy),
        trial("diagnose::until_healthy_ends_when_it_is", until_healthy),
        trial(
            "diagnose::until_healthy_that_is_not_ends_with_5",
            never_healthy,
        ),
        trial("diagnose::a_recording_says_the_same_twice", replayed),
        trial("diagnose::a_thousand_fail_at_once", thousand),
    ]
}

fn start(scene: &Scene, first: &[&str]) -> Agent {
    scene::watch_workers(&scene.proxy, &mut agent::gw502(first))
}

fn scene(behaviour: Behaviour) -> Scene {
    Scene::set(Kind::Nginx, Path::Veth, behaviour, |settings| settings)
}

fn send(scene: &Scene) {
    let target = scene.proxy.target();
    client::send(scene.lab.proxy(), target, Request::Get, REQUESTS, 1);
}

/// The diagnoses on its standard output.
fn diagnoses(session: &Session) -> Vec<Value> {
    let values = session
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let is_one = |value: &Value| text(value, "schema") == "gw502.diagnosis/1";
    values.filter(is_one).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, field: &str) -> Option<u64> {
    value.get(field).and_then(Value::as_u64)
}

fn sum(value: &Value, field: &str) -> u64 {
    let counts = value.get(field).and_then(Value::as_object);
    counts
        .into_iter()
        .flatten()
        .filter_map(|(_, count)| count.as_u64())
        .sum()
}

fn closed_port() {
    let scene = scene(Behaviour::Refuse);
    let agent = start(
        &scene,
        &["diagnose", "--output", "json", "--fail-on-failures"],
    );
    send(&scene);
    let session = agent.stop(Signal::SIGINT);
    assert_eq!(session.code, 5, "failures were seen: {}", session.stderr);
    let diagnoses = diagnoses(&session);
    let [diagnosis] = &diagnoses[..] else {
        unreachable!("not one diagnosis: {}", session.stdout)
    };
    assert_eq!(text(diagnosis, "state"), "failing", "{diagnosis}");
    assert_eq!(sum(diagnosis, "failures"), REQUESTS as u64, "{diagnosis}");
    assert_eq!(
        number(diagnosis, "attempts"),
        Some(REQUESTS as u64),
        "{diagnosis}"
    );
    assert_eq!(number(diagnosis, "lost"), Some(0), "{diagnosis}");
    let refused = diagnosis
        .pointer("/failures/refused")
        .and_then(Value::as_u64);
    assert_eq!(refused, Some(REQUESTS as u64), "{diagnosis}");
    for field in ["since", "cause", "confidence", "summary"] {
        assert_ne!(text(diagnosis, field), "", "{field}: {diagnosis}");
    }
    assert_eq!(diagnosis.get("until"), None, "{diagnosis}");
    let steps = diagnosis.get("next_steps").and_then(Value::as_array);
    assert!(steps.is_some_and(|steps| !steps.is_empty()), "{diagnosis}");
}

fn healthy() {
    let scene = scene(Behaviour::Good);
    let agent = start(&scene, &["diagnose", "--fail-on-failures"]);
    send(&scene);
    let session = agent.stop(Signal::SIGINT);
    assert_eq!(session.code, 0, "{}", session.stderr);
    let first = session.stdout.lines().next().unwrap_or_default();
    assert!(first.starts_with("healthy: "), "{}", session.stdout);
    let last = session.stdout.lines().last();
    assert_eq!(last, Some("nothing lost"), "{}", session.stdout);
}

fn until_healthy() {
    let scene = scene(Behaviour::Refuse);
    let arguments = [
        "diagnose",
        "--output",
        "json",
        "--follow",
        "--until-healthy",
        "3s",
    ];
    let agent = start(&scene, &arguments);
    send(&scene);
    let failing = |line: &str| line.contains(r#""state":"failing""#);
    agent.wait_lines(LIMIT, failing, 1);
    let last_failure = deadline::now();
    let address = scene.upstream.address().tcp();
    let Scene {
        upstream,
        proxy,
        lab,
    } = scene;
    drop(upstream);
    let back = Upstream::start_at(lab.upstream(), address, Behaviour::Good, Protocol::Tcp);
    let scene = Scene {
        upstream: back,
        proxy,
        lab,
    };
    send(&scene);
    let session = agent.wait(LIMIT);
    assert_eq!(session.code, 0, "{}", session.stderr);
    let took = deadline::now().duration_since(last_failure);
    assert!(took >= Duration::from_secs(2), "it waited {took:?} only");
}

fn never_healthy() {
    let scene = scene(Behaviour::Refuse);
    let agent = start(&scene, &["diagnose", "--until-healthy", "1h"]);
    send(&scene);
    assert_eq!(agent.stop(Signal::SIGINT).code, 5);
}

fn replayed() {
    let scene = scene(Behaviour::Refuse);
    let file = scene.lab.scratch().join("incident.gw502");
    let name = file.display().to_string();
    let agent = start(&scene, &["record", &name]);
    send(&scene);
    assert_eq!(agent.stop(Signal::SIGINT).code, 0);
    let scratch = Scratch::new();
    let binary = scratch.join("gw502");
    fs::copy(agent::binary(), &binary).expect("a copy that everyone may run");
    for more in [&["--output", "json"][..], &[]] {
        let arguments = [&["diagnose", "--replay", &name], more].concat();
        let run = |zone: &str| {
            let mut nobodys = Command::new(&binary);
            nobodys
                .args(&arguments)
                .uid(NOBODY)
                .gid(NOBODY)
                .env("TZ", zone);
            agent::run_command(&mut nobodys, LIMIT)
        };
        let (first, second) = (run("UTC"), run("Asia/Kathmandu"));
        assert_eq!((first.code, second.code), (0, 0), "{}", first.stderr);
        assert_eq!(first.stdout, second.stdout, "a replay differs from another");
        assert!(first.stdout.contains("failing"), "{}", first.stdout);
    }
}

/// Upstreams of the storm.
const UPSTREAMS: u16 = 1000;
/// Refusals of each.
const ROUNDS: u64 = 20;
/// How fast they come.
const PER_SECOND: u64 = 5000;
/// The largest resident set that is allowed, in KiB: the engine may take 40 MiB for a thousand
/// upstreams that fail in every way, beside the program itself.
const PEAK_KIB: u64 = 64 * 1024;

fn thousand() {
    let own = process::id().to_string();
    let arguments = ["diagnose", "--output", "json", "--pid", &own, "--follow"];
    let lab = Lab::new(Path::Loopback);
    let address = lab.upstream_address(Family::V4);
    let agent = Agent::start(&mut agent::gw502(&arguments));
    agent.wait_ready();
    let started = deadline::now();
    let refused = lab.proxy().enter(|| {
        let mut refused = 0;
        for round in 0..ROUNDS {
            for port in 0..UPSTREAMS {
                let target = (address, 10_000 + port);
                refused += u64::from(TcpStream::connect(target).is_err());
                let sent = round * u64::from(UPSTREAMS) + u64::from(port);
                // The pace of the storm, not a wait for anything.
                let due = Duration::from_millis(sent * 1000 / PER_SECOND);
                let early = due.saturating_sub(deadline::now().duration_since(started));
                if !early.is_zero() {
                    thread::park_timeout(early);
                }
            }
        }
        refused
    });
    let took = deadline::now().duration_since(started);
    let (cpu, peak_kib) = agent.usage();
    let session = agent.stop(Signal::SIGINT);
    let all = u64::from(UPSTREAMS) * ROUNDS;
    assert_eq!(refused, all);
    assert_eq!(session.code, 0, "{}", session.stderr);
    let summary = session.summary.as_ref().expect("a summary");
    let lost = summary.lost().and_then(Value::as_object);
    assert!(
        lost.is_some_and(serde_json::Map::is_empty),
        "{lost:?} was lost"
    );
    // The changes of state came first, the diagnosis of each upstream last.
    let mut last = diagnoses(&session);
    let last = last.split_off(last.len().saturating_sub(UPSTREAMS.into()));
    let failed: Vec<_> = last
        .iter()
        .map(|diagnosis| sum(diagnosis, "failures"))
        .collect();
    assert_eq!(failed.len(), usize::from(UPSTREAMS));
    assert_eq!(failed.iter().sum::<u64>(), all);
    assert!(
        failed.is_sorted_by(|a, b| a >= b),
        "not by impact: {failed:?}"
    );
    assert!(
        last.iter()
            .all(|diagnosis| text(diagnosis, "state") == "failing")
    );
    println!(
        "\n\n{UPSTREAMS} upstreams failed {all} times in {took:.2?}: gw502 used {cpu:.2?} of CPU and \
         {peak_kib} KiB at most\n"
    );
    assert!(peak_kib <= PEAK_KIB, "{peak_kib} KiB");
}
