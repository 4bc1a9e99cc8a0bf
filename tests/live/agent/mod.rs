//! `gw502 agent`: what it ships and shows, its reload and its end, and what it does in a storm.
//!
//! - `handshakes`: how long they took.
//! - `listeners`: how full their queues are.
//! - `prometheus`: who reads its page.
//! - `reloads`: a hundred of them while failures come.
//! - `storm`: more failures, and more upstreams, than it reports one by one.
//! - `soak`: for as long as one likes.

mod handshakes;
mod listeners;
mod prometheus;
mod reloads;
mod soak;
mod storm;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::Path as FilePath;
use std::time::Duration;

use gw502_tests::agent::{self, Agent, Page};
use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::lab::Path;
use gw502_tests::proxy::Kind;
use gw502_tests::scratch::Scratch;
use gw502_tests::upstream::Behaviour;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::Scene;
use crate::trial;

/// More than any of these may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Requests of a trial.
const REQUESTS: usize = 6;

pub(crate) fn trials() -> Vec<Trial> {
    let trials = vec![
        trial("agent::ships_shows_reloads_and_ends", ships),
        trial("agent::needs_no_configuration", bare),
        trial("agent::a_wrong_configuration_is_told_by_line", wrong),
        trial("agent::handshakes_are_timed", handshakes::timed),
        trial("agent::accept_queues_are_measured", listeners::measured),
        trial("agent::prometheus_scrapes", prometheus::scrapes),
        trial("agent::a_hundred_reloads_lose_nothing", reloads::hundred),
        trial("agent::a_storm_is_sampled_and_counted", storm::sampled),
        trial("agent::a_hundred_thousand_upstreams", storm::upstreams),
    ];
    trials.into_iter().chain(soak::trial()).collect()
}

fn scene() -> Scene {
    let refuse = Behaviour::Refuse;
    Scene::set(Kind::Nginx, Path::Veth, refuse, |settings| settings)
}

fn send(scene: &Scene) {
    let target = scene.proxy.target();
    client::send(scene.lab.proxy(), target, Request::Get, REQUESTS, 1);
}

fn records(file: &FilePath, schema: &str) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let values = whole.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| {
            unreachable!("a line is not JSON ({error}): {line}");
        })
    });
    values
        .filter(|value| value.get("schema").and_then(Value::as_str) == Some(schema))
        .collect()
}

fn numbers(records: &[Value], field: &str) -> Vec<u64> {
    let numbers = records.iter();
    numbers
        .filter_map(|record| record.get(field)?.as_u64())
        .collect()
}

/// `[watch]` of some processes, by the backend that the suite is run with.
fn watch(pids: &[u32]) -> String {
    let hooks = agent::backend().map(|backend| backend.to_string_lossy().into_owned());
    let hooks = hooks.map_or_else(String::new, |hooks| format!("hooks = \"{hooks}\"\n"));
    format!("[watch]\npid = {pids:?}\n{hooks}")
}

fn ships() {
    let scene = scene();
    let scratch = Scratch::new();
    let (lines, page) = (scratch.join("failures.jsonl"), Page::free());
    let watch = watch(scene.proxy.workers());
    let config = |queue: &str| {
        format!(
            "{watch}[metrics]\nlisten = \"{page}\"\n\
             [sink.lines]\ntype = \"file\"\npath = \"{}\"\nqueue = \"{queue}\"\n",
            lines.display()
        )
    };
    let file = scratch.write("agent.toml", &config("8MiB"));
    let agent = Agent::serve(&file);

    send(&scene);
    let sent = u64::try_from(REQUESTS).expect("a small number");
    let failures = "gw502_upstream_failures_total";
    deadline::wait_until("all failures in the metrics", LIMIT, || {
        page.sum(failures, &["class=\"refused\""]) == sent
    });
    deadline::wait_until("the diagnosis in the file", LIMIT, || {
        !records(&lines, "gw502.diagnosis/1").is_empty()
    });
    let shipped = records(&lines, "gw502.failure/1");
    assert_eq!(
        numbers(&shipped, "sequence"),
        (1..=sent).collect::<Vec<_>>()
    );
    assert_eq!(page.sum("gw502_upstream_attempts_total", &[]), sent);
    let (health, body) = page.get("/health").expect("an answer");
    assert_eq!((health, body.as_str()), (200, "{\"status\":\"ok\"}\n"));
    prometheus::checks(page);

    // logrotate: moved away, and then SIGHUP.
    let moved = scratch.join("failures.jsonl.1");
    fs::rename(&lines, &moved).expect("a file of ours");
    agent.signal(Signal::SIGHUP);
    reloaded(page, "ok", 1);
    send(&scene);
    deadline::wait_until("the failures in the new file", LIMIT, || {
        records(&lines, "gw502.failure/1").len() == REQUESTS
    });
    // What is not understood changes nothing; what is changes the sink, without a gap.
    scratch.write("agent.toml", "[nonsense]\n");
    agent.signal(Signal::SIGHUP);
    reloaded(page, "failed", 1);
    scratch.write("agent.toml", &config("4MiB"));
    agent.signal(Signal::SIGHUP);
    reloaded(page, "ok", 2);
    send(&scene);

    let session = agent.stop(Signal::SIGTERM);
    assert_eq!(session.code, 0, "{}", session.stderr);
    let said = format!(
        "{}:1: unknown section [nonsense]; known are ",
        file.display()
    );
    assert!(session.stderr.contains(&said), "{}", session.stderr);
    let mut all = records(&moved, "gw502.failure/1");
    assert_eq!(all.len(), REQUESTS, "nothing came to it once it was moved");
    all.extend(records(&lines, "gw502.failure/1"));
    assert_eq!(
        numbers(&all, "sequence"),
        (1..=3 * sent).collect::<Vec<_>>(),
        "all of them, in their order, none twice"
    );
}

fn reloaded(page: Page, result: &str, times: u64) {
    let label = format!("result=\"{result}\"");
    deadline::wait_until("the reload", LIMIT, || {
        page.sum("gw502_reloads_total", &[&label]) == times
    });
}

fn bare() {
    let scene = scene();
    // The usual port, in a namespace where nobody has it.
    let mut command = agent::gw502(&["agent"]);
    let scratch = Scratch::new();
    let manager = UnixDatagram::bind(scratch.join("notify")).expect("a socket of ours");
    manager.set_read_timeout(Some(LIMIT)).expect("a time-out");
    command.env("NOTIFY_SOCKET", scratch.join("notify"));
    let agent = scene.lab.proxy().enter(|| Agent::start(&mut command));
    agent.wait_said("metrics on ");
    let page = Page(SocketAddr::from((Ipv4Addr::LOCALHOST, 9502)));
    told(&manager, "READY=1");
    told(&manager, "WATCHDOG=1");
    send(&scene);
    let refused = |line: &str| line.contains("\"class\":\"refused\"");
    agent.wait_lines(LIMIT, refused, REQUESTS);
    deadline::wait_until("the failures in the metrics", LIMIT, || {
        let metrics = scene.lab.proxy().enter(|| page.metrics());
        metrics.contains("gw502_upstream_failures_total{cause=")
    });
    agent.signal(Signal::SIGHUP);
    let reloading = told(&manager, "RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    told(&manager, "READY=1");
    let session = agent.stop(Signal::SIGINT);
    assert_eq!(session.code, 0, "{}", session.stderr);
    told(&manager, "STOPPING=1");
    let netns = scene.lab.proxy().inode();
    let ours = session.events.iter();
    let ours = ours.filter(|event| event.netns() == Some(netns)).count();
    assert_eq!(ours, REQUESTS, "{}", session.stdout);
}

/// The next message to the service manager that begins so.
fn told(manager: &UnixDatagram, first: &str) -> String {
    let mut bytes = [0; 1024];
    loop {
        let length = manager.recv(&mut bytes);
        let length = length.unwrap_or_else(|error| unreachable!("{first} was not told: {error}"));
        let message = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        if message.starts_with(first) {
            return message.into_owned();
        }
    }
}

fn wrong() {
    let scratch = Scratch::new();
    let file = scratch.write("agent.toml", "[limits]\nseris = 5\n");
    let file = file.to_str().expect("a path of ours");
    let said = format!("{file}:2: unknown key `seris` in [limits]; did you mean `series`?\n");
    for more in [&["--check-config"][..], &[]] {
        let arguments = [&["agent", "--config", file][..], more].concat();
        let session = agent::run(&arguments, LIMIT);
        assert_eq!((session.code, session.stderr.as_str()), (2, said.as_str()));
        assert_eq!(session.stdout, "");
    }
    scratch.write("agent.toml", "[limits]\nseries = 5\n");
    let session = agent::run(&["agent", "--config", file, "--check-config"], LIMIT);
    assert_eq!((session.code, session.stderr.as_str()), (0, ""));
    assert!(session.stdout.contains("series   at most 5 upstreams"));
}
