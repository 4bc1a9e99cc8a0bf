//! Recordings: a replay says what `trace` said, the same each time, to anybody; and a damaged one
//! shows what can be read and says where it ends.
//!
//! Two running gw502 each stamp an event when their own program runs, a moment apart, and read the
//! clocks on their own. So `time`, `id` (made of it), `elapsed_us` and `since`, and the columns
//! TIME, AFTER and SINCE of the text, are compared within [`APART`] or left out; and events that
//! happened at once on two processors may come in either order. All else has to be equal.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use gw502_tests::agent::{self, Agent, Event, Session};
use gw502_tests::client::{self, Request};
use gw502_tests::lab::{self, Family, Lab};
use gw502_tests::proxy::{Kind, Proxy};
use gw502_tests::scratch::Scratch;
use gw502_tests::upstream::{Behaviour, Upstream};

use crate::scene::settings;
use crate::trial;

/// More than any of these may take.
const LIMIT: Duration = Duration::from_secs(15);

/// How far apart two agents may see the same event, in microseconds.
const APART: u64 = 100_000;

/// Requests for each upstream.
const REQUESTS: usize = 4;

/// The failing upstreams, and one that does not: refused, reset, timeout, closed, none.
const MIXED: [Behaviour; 5] = [
    Behaviour::Refuse,
    Behaviour::ResetAfterRequest,
    Behaviour::Hang,
    Behaviour::CloseAfterRequest,
    Behaviour::Good,
];

/// Failures of the mixed load.
const FAILURES: usize = REQUESTS * 4;

/// The user and group `nobody`.
const NOBODY: u32 = 65534;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("recording::a_replay_says_what_trace_said", same_as_trace),
        trial("recording::a_choice_keeps_the_totals", choice),
        trial("recording::count_ends_it", count),
        trial("recording::a_damaged_one_shows_what_it_has", damage),
        trial("recording::what_follows_the_end_is_said", trailing),
    ]
}

fn same_as_trace() {
    let load = Load::new(&MIXED);
    let file = load.file("mixed");
    let name = file.display().to_string();
    let arguments = |first: &[&str]| load.arguments(first);
    let record = start(&arguments(&["record", &name]));
    let in_json = start(&arguments(&["trace", "--output", "json"]));
    let in_text = start(&arguments(&["trace"]));
    for agent in [&record, &in_json, &in_text] {
        agent.wait_ready();
    }
    load.send();
    in_json.wait_events(FAILURES, LIMIT, |_| true);
    // In the order of their names above; each is told, then waited for.
    let [record, in_json, in_text] =
        [record, in_json, in_text].map(|agent| agent.stop(Signal::SIGINT));
    for session in [&record, &in_json, &in_text] {
        assert_eq!(session.code, 0, "{}", session.stderr);
    }
    assert_eq!(record.stdout, "", "a recording goes to its file alone");
    assert_eq!(in_json.events.len(), FAILURES, "{}", in_json.stdout);

    let json = replayed_thrice(&file, &["--output", "json"]);
    compare_json(&in_json, &json);
    let text = replayed_thrice(&file, &[]);
    assert_eq!(
        blanked_text(&text.stdout),
        blanked_text(&in_text.stdout),
        "replayed:\n{}\ntraced:\n{}",
        text.stdout,
        in_text.stdout
    );
}

/// Twice as root, and once as somebody without any right in another time zone: byte for byte the
/// same.
fn replayed_thrice(file: &Path, more: &[&str]) -> Session {
    let name = file.display().to_string();
    let arguments = [&["replay", name.as_str()], more].concat();
    let first = agent::run(&arguments, LIMIT);
    let second = agent::run(&arguments, LIMIT);
    let scratch = Scratch::new();
    let binary = scratch.join("gw502");
    fs::copy(agent::binary(), &binary).expect("a copy that everyone may run");
    let mut nobodys = Command::new(&binary);
    nobodys
        .args(&arguments)
        .uid(NOBODY)
        .gid(NOBODY)
        .env("TZ", "Asia/Kathmandu");
    let third = agent::run_command(&mut nobodys, LIMIT);
    for session in [&first, &second, &third] {
        assert_eq!(session.code, 0, "{}", session.stderr);
        assert_eq!(
            session.stdout, first.stdout,
            "a replay differs from another"
        );
    }
    first
}

fn compare_json(traced: &Session, replayed: &Session) {
    let traced_events = by_connection(&traced.events);
    let replayed_events = by_connection(&replayed.events);
    assert_eq!(
        traced_events.iter().map(blanked).collect::<Vec<_>>(),
        replayed_events.iter().map(blanked).collect::<Vec<_>>()
    );
    for (one, other) in traced_events.iter().zip(&replayed_events) {
        let elapsed = [one, other].map(|event| number(event, "elapsed_us"));
        let [a, b] = elapsed;
        assert!(a.abs_diff(b) < APART, "elapsed_us {a} and {b}: {one}");
    }
    let summary = |session: &Session| {
        let last = session.stdout.lines().last().expect("a summary");
        let mut summary: Value = serde_json::from_str(last).expect("JSON");
        let rows = summary.get_mut("upstreams").and_then(Value::as_array_mut);
        for since in rows
            .into_iter()
            .flatten()
            .filter_map(|row| row.get_mut("since"))
        {
            *since = Value::Null;
        }
        // Those with as many failures come by address and port, which all agents share.
        summary
    };
    assert_eq!(summary(traced), summary(replayed));
}

/// The events in an order that both agents share: by the proxy's end of the connection.
fn by_connection(events: &[Event]) -> Vec<Value> {
    let mut events: Vec<_> = events.iter().map(|event| event.value().clone()).collect();
    events.sort_by_key(|event| event.pointer("/local/port").and_then(Value::as_u64));
    events
}

/// Without what two observers cannot share; that it is there is still compared. (The kernel tells why
/// it reset a connection after it has done so: one observer may have looked before.)
fn blanked(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(evidence) = event.get_mut("evidence").and_then(Value::as_array_mut) {
        evidence.retain(|fact| fact.get("what") != Some(&"upstream_reset".into()));
    }
    for field in ["time", "id", "elapsed_us"] {
        if let Some(value) = event.get_mut(field) {
            *value = Value::Null;
        }
    }
    event
}

fn number(event: &Value, field: &str) -> u64 {
    let number = event.get(field).and_then(Value::as_u64);
    number.expect("a number in each event and each row of a summary")
}

/// The lines, in an order that both agents share, without the columns of time.
fn blanked_text(text: &str) -> Vec<String> {
    let is_time = |word: &str| word.len() == 12 && word.as_bytes().get(8) == Some(&b'.');
    let is_unit = |word: &str| ["µs", "ms", "s"].contains(&word);
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let line = line.split(", the upstream's reason: ").next();
            let line = line.unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            if words.first().is_some_and(|word| is_time(word)) {
                // A number before its unit is the first that a line has: AFTER.
                let unit = words.iter().position(|word| is_unit(word));
                let unit = unit.expect("each event has AFTER");
                let kept = words.iter().enumerate();
                let kept = kept.filter(|(at, _)| ![0, unit - 1, unit].contains(at));
                kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
            } else if words.last().is_some_and(|word| is_time(word)) {
                words
                    .split_last()
                    .map_or_else(String::new, |(_, rest)| rest.join(" "))
            } else {
                line.to_owned()
            }
        })
        .collect();
    lines.sort_unstable();
    lines
}

/// Of a mixed load only the time-outs are recorded: the replay shows those alone, and its totals
/// are the whole load's, with nothing lost.
fn choice() {
    let load = Load::new(&MIXED);
    let file = load.file("timeouts");
    let name = file.display().to_string();
    let record = start(&load.arguments(&["record", &name, "--class", "timeout"]));
    // How far the load has come.
    let trace = start(&load.arguments(&["trace", "--output", "json"]));
    record.wait_ready();
    trace.wait_ready();
    load.send();
    trace.wait_events(FAILURES, LIMIT, |_| true);
    let sessions = [record, trace].map(|agent| agent.stop(Signal::SIGINT));
    assert!(sessions.iter().all(|session| session.code == 0));

    let replay = agent::run(&["replay", &name, "--output", "json"], LIMIT);
    assert_eq!(replay.code, 0, "{}", replay.stderr);
    let verdicts: Vec<_> = replay.events.iter().map(Event::verdict).collect();
    assert_eq!(verdicts, vec!["timeout/response-timeout"; REQUESTS]);
    let last = replay.stdout.lines().last().expect("a summary");
    let summary: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(
        summary.get("unrecorded"),
        Some(&json!({"events": FAILURES - REQUESTS, "options": "--class timeout"})),
        "{summary}"
    );
    let rows = summary
        .get("upstreams")
        .and_then(Value::as_array)
        .expect("upstreams");
    let sum = |field| rows.iter().map(|row| number(row, field)).sum::<u64>();
    let (failures, attempts) = (FAILURES as u64, (FAILURES + REQUESTS) as u64);
    assert_eq!(
        (sum("failed"), sum("attempts"), sum("lost")),
        (failures, attempts, 0),
        "{summary}"
    );
    assert_eq!(summary.get("lost"), Some(&json!({})), "{summary}");

    let text = agent::run(&["replay", &name], LIMIT).stdout;
    let note = format!(
        "nothing lost · {} events counted, not recorded (record --class timeout) · `gw502 \
         diagnose` says why, and what to do",
        FAILURES - REQUESTS
    );
    assert_eq!(text.lines().last(), Some(note.as_str()), "{text}");
}

/// The run ends by itself, and holds as many as were asked for.
fn count() {
    let load = Load::new(&[Behaviour::Refuse]);
    let name = load.file("three").display().to_string();
    let record = start(&load.arguments(&["record", &name, "--count", "3"]));
    record.wait_ready();
    load.send();
    let session = record.wait(LIMIT);
    assert_eq!(session.code, 0, "{}", session.stderr);
    let replay = agent::run(&["replay", &name, "--output", "json"], LIMIT);
    assert_eq!((replay.code, replay.events.len()), (0, 3));
}

fn damage() {
    /// What becomes of a byte.
    type Change = fn(u8) -> u8;
    let (load, file) = recorded();
    let whole = fs::read(&file).expect("our recording");
    let text = replay(&file);
    let shown: Vec<_> = text.stdout.split_inclusive('\n').collect();
    let starts = line_starts(&whole);
    let damaged = load.file("damaged");
    let place = |line: usize| starts.get(line).copied().expect("a line of it");
    // Counters stand among the failures; a replay does not show them.
    let failures = |lines: usize| {
        let before = whole.get(..place(lines)).unwrap_or_default();
        let lines = before.split(|byte| *byte == b'\n');
        lines
            .filter(|line| line.starts_with(b"{\"failure\""))
            .count()
    };

    // Cut: whole lines that are left, and where the file ends.
    let lines = starts.len() - 1;
    for (left, length) in [
        (0, place(0) + 40),
        (1, place(1)),
        (1, place(1) + 1),
        (3, place(3)),
        (3, place(3) + 100),
        (lines - 1, place(lines) - 2),
    ] {
        fs::write(&damaged, whole.get(..length).expect("within it")).expect("our file");
        let session = replay(&damaged);
        let words = format!("cut off after line {left}, at byte {}", place(left));
        assert_broken(&session, &shown, failures(left), &words);
    }

    // Changed: the line, and what becomes of its twentieth byte.
    let changes: [(usize, Change); 4] = [
        (2, |_| 0),
        (3, |_| 0xff),
        (4, |digit| digit ^ 1),
        (lines - 1, |_| b'x'),
    ];
    for (line, change) in changes {
        let mut bytes = whole.clone();
        let byte = bytes.get_mut(place(line) + 20).expect("within it");
        *byte = change(*byte);
        fs::write(&damaged, bytes).expect("our file");
        let session = replay(&damaged);
        let words = format!(
            "line {} is damaged: it begins at byte {}",
            line + 1,
            place(line)
        );
        assert_broken(&session, &shown, failures(line), &words);
    }
}

fn trailing() {
    let (_load, file) = recorded();
    let whole = replay(&file);
    let mut bytes = fs::read(&file).expect("our recording");
    let length = bytes.len();
    bytes.extend_from_within(..100);
    fs::write(&file, bytes).expect("our file");
    let session = replay(&file);
    let words = format!("at byte {length}, but the file goes on");
    assert_eq!(session.code, 1, "{}", session.stderr);
    assert!(session.stderr.contains(&words), "{}", session.stderr);
    assert_eq!(session.stdout, whole.stdout, "all of it is shown before");
}

/// Exit code 1, the place is named, and what stood before was shown.
#[track_caller]
fn assert_broken(session: &Session, shown: &[&str], events: usize, words: &str) {
    assert_eq!(session.code, 1, "{words}: {}", session.stderr);
    assert!(
        session.stderr.contains(words),
        "`{words}` is not said:\n{}",
        session.stderr
    );
    // Counters may stand between the failures and the end; a replay does not show them.
    let events = shown
        .get(..events.min(REQUESTS))
        .expect("as many as were recorded");
    assert_eq!(session.stdout, events.concat(), "shown although {words}");
}

fn replay(file: &Path) -> Session {
    let name = file.display().to_string();
    agent::run(&["replay", &name, "--output", "json"], LIMIT)
}

/// A recording of some refusals.
fn recorded() -> (Load, PathBuf) {
    let load = Load::new(&[Behaviour::Refuse]);
    let file = load.file("refusals");
    let name = file.display().to_string();
    let record = start(&load.arguments(&["record", &name, "--count", &REQUESTS.to_string()]));
    record.wait_ready();
    load.send();
    assert_eq!(record.wait(LIMIT).code, 0);
    (load, file)
}

/// Where each line begins, and where the file ends.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    std::iter::once(0)
        .chain(ends.map(|(at, _)| at + 1))
        .collect()
}

fn start(arguments: &[String]) -> Agent {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Agent::start(&mut agent::gw502(&arguments))
}

/// nginx in front of each of some upstreams.
struct Load {
    proxies: Vec<Proxy>,
    _upstreams: Vec<Upstream>,
    lab: Lab,
}

impl Load {
    #[track_caller]
    fn new(behaviours: &[Behaviour]) -> Self {
        let lab = Lab::new(lab::Path::Veth);
        let address = lab.upstream_address(Family::V4);
        let upstreams: Vec<_> = behaviours
            .iter()
            .map(|&behaviour| Upstream::start(lab.upstream(), address, behaviour))
            .collect();
        let proxies = upstreams
            .iter()
            .map(|upstream| Proxy::start(&lab, &settings(Kind::Nginx, upstream.address())))
            .collect();
        Self {
            proxies,
            _upstreams: upstreams,
            lab,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.lab.scratch().join(&format!("{name}.gw502"))
    }

    /// A command line that watches these proxies and no others of the host.
    fn arguments(&self, first: &[&str]) -> Vec<String> {
        let pids = self.proxies.iter().flat_map(Proxy::workers);
        let mut arguments: Vec<_> = first.iter().map(ToString::to_string).collect();
        arguments.extend(pids.flat_map(|pid| ["--pid".to_owned(), pid.to_string()]));
        arguments
    }

    /// Sends the requests through all proxies at once.
    #[track_caller]
    fn send(&self) {
        std::thread::scope(|scope| {
            for proxy in &self.proxies {
                scope.spawn(|| {
                    let namespace = self.lab.proxy();
                    client::send(namespace, proxy.target(), Request::Get, REQUESTS, REQUESTS)
                });
            }
        });
    }
}
