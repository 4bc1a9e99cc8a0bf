//! How gw502 ends: exit codes, messages, signals, limits, a reader that leaves.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use gw502_tests::agent::{self, Agent, Session};
use gw502_tests::capture::Capture;
use gw502_tests::client::{self, Request};
use gw502_tests::deadline;
use gw502_tests::lab::{Family, Lab, Path};
use gw502_tests::proxy::{Kind, Logged, Proxy, Settings, Talk};
use gw502_tests::scratch::Scratch;
use gw502_tests::upstream::{Behaviour, Upstream};

use crate::trial;

/// More than any of these may take.
const LIMIT: Duration = Duration::from_secs(15);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "command_line::without_root_it_names_the_capabilities",
            without_root,
        ),
        trial("command_line::without_btf_it_says_so", without_btf),
        trial(
            "command_line::a_kernel_of_another_shape_is_refused",
            another_shape,
        ),
        trial("command_line::what_lacks_a_field_names_it", missing_field),
        trial("command_line::wrong_usage_is_explained", wrong_usage),
        trial("command_line::sigint_and_sigterm_end_well", signals),
        trial("command_line::count_ends_it", count),
        trial("command_line::duration_ends_it", duration),
        trial("command_line::a_closed_pipe_ends_it_well", closed_pipe),
        trial("command_line::failures_can_fail_it", fail_on_failures),
        trial("command_line::text_has_a_line_for_each_failure", text),
    ]
}

fn without_root() {
    let scratch = Scratch::new();
    let binary = scratch.join("gw502");
    fs::copy(agent::binary(), &binary).expect("a copy that everyone may run");
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
    ]);
    command
        .args(["--inh-caps=-all", "--"])
        .arg(&binary)
        .arg("trace");
    let session = agent::run_command(&mut command, LIMIT);
    assert_refused(&session, 4, &["CAP_BPF", "CAP_PERFMON"]);
}

fn without_btf() {
    let mut command = agent::gw502(&["trace"]);
    command.env("GW502_BTF", "/nonexistent");
    assert_refused(
        &agent::run_command(&mut command, LIMIT),
        3,
        &["/nonexistent"],
    );
}

/// The running kernel's type information with names changed to others of the same length.
struct OtherTypes {
    // Removes the file.
    _scratch: Scratch,
    file: PathBuf,
}

impl OtherTypes {
    fn new(changes: &[(&str, &str)]) -> Self {
        let whole = fs::read("/sys/kernel/btf/vmlinux").expect("the kernel has BTF");
        let mut other = whole.clone();
        for (from, to) in changes {
            assert_eq!(from.len(), to.len(), "nothing else may move");
            let (from, to) = (format!("\0{from}\0"), format!("\0{to}\0"));
            let mut windows = whole.windows(from.len());
            let at = windows.position(|part| part == from.as_bytes());
            let at = at.expect("a name that is there");
            let place = other
                .get_mut(at..at + to.len())
                .expect("it was found there");
            place.copy_from_slice(to.as_bytes());
        }
        let scratch = Scratch::new();
        let file = scratch.join("btf");
        fs::write(&file, other).expect("a file of our own");
        Self {
            _scratch: scratch,
            file,
        }
    }

    /// Runs gw502 with them.
    fn run(&self, arguments: &[&str]) -> Session {
        let mut command = agent::gw502(arguments);
        command.env("GW502_BTF", &self.file);
        agent::run_command(&mut command, LIMIT)
    }
}

fn another_shape() {
    // One is a number of two bytes, the other a struct.
    let other = OtherTypes::new(&[("sk_type", "sk_lock"), ("sk_lock", "sk_type")]);
    let session = other.run(&["trace"]);
    assert_refused(&session, 3, &["`sock.sk_type` is ", "not 2 bytes"]);
}

fn missing_field() {
    let other = OtherTypes::new(&[("max_fds", "min_fds")]);
    let session = other.run(&["doctor", "--syscalls", "on"]);
    assert_refused(&session, 3, &["connect results", "no member `max_fds`"]);
    let session = other.run(&["trace", "--syscalls", "off", "--duration", "1ms"]);
    assert_eq!(session.code, 0, "{}", session.stderr);
    let other = OtherTypes::new(&[("tcp_wstamp_ns", "tcp_wstamp_xx")]);
    let session = other.run(&["trace"]);
    let words = ["connection state", "no member `tcp_wstamp_ns`"];
    assert_refused(&session, 3, &words);
}

fn wrong_usage() {
    let wrong = [
        (["--class", "refusal"], "refusal"),
        (["--cause", "gremlins"], "gremlins"),
        (["--upstream", "10.0.0.0/99"], "99"),
        (["--upstream", "not-an-address"], "not-an-address"),
        (["--upstream", "10.0.0.1:99999"], "99999"),
        (["--duration", "soon"], "soon"),
        (["--count", "few"], "few"),
    ];
    for (arguments, named) in wrong {
        let session = agent::run(&[&["trace"], &arguments[..]].concat(), LIMIT);
        assert_refused(&session, 2, &[named]);
    }
}

fn signals() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let session = Agent::trace(&[]).stop(signal);
        assert_eq!(session.code, 0, "after {signal}: {}", session.stderr);
        assert!(
            session.summary.is_some(),
            "no summary after {signal}: {}",
            session.stdout
        );
    }
}

fn count() {
    let failing = Failing::new();
    let agent = Agent::trace(&[
        "--proxy",
        "nginx",
        "--upstream",
        &failing.upstream(),
        "--count",
        "3",
    ]);
    failing.fail(5);
    let session = agent.wait(LIMIT);
    assert_eq!(
        (session.code, session.events.len()),
        (0, 3),
        "{}",
        session.stdout
    );
}

fn duration() {
    let session = agent::run(&["trace", "--output", "json", "--duration", "1s"], LIMIT);
    assert_eq!(session.code, 0, "{}", session.stderr);
    assert!(session.summary.is_some(), "no summary: {}", session.stdout);
}

/// A line for each failure, and a table with the upstream's counts.
fn text() {
    let failing = Failing::new();
    let upstream = failing.upstream();
    let arguments = ["trace", "--proxy", "nginx", "--upstream", &upstream];
    let agent = Agent::start(&mut agent::gw502(&arguments));
    agent.wait_ready();
    failing.fail(3);
    agent.wait_lines(LIMIT, |line| line.contains(&upstream), 3);
    let session = agent.stop(Signal::SIGINT);
    let words: Vec<Vec<_>> = session
        .stdout
        .lines()
        .filter(|line| line.contains(&upstream))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let failures = words
        .iter()
        .filter(|words| words.get(1..3) == Some(&["refused", "no-listener"]));
    assert_eq!(
        failures.count(),
        3,
        "lines of failures:\n{}",
        session.stdout
    );
    let totals = words.last().and_then(|words| words.get(..3));
    assert_eq!(
        totals,
        Some(&[upstream.as_str(), "3", "3"][..]),
        "{}",
        session.stdout
    );
    assert_eq!(session.code, 0, "{}", session.stderr);
}

/// `gw502 trace --output json | head -1` while failures go on.
fn closed_pipe() {
    let failing = Failing::new();
    let mut gw502 = agent::gw502(&["trace", "--output", "json", "--proxy", "nginx"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gw502 starts");
    let stderr = Capture::start(gw502.stderr.take().expect("stderr is piped"));
    let ready = |lines: &[String]| lines.iter().any(|line| line.starts_with("ready:"));
    assert!(stderr.wait(LIMIT, ready), "not ready: {}", stderr.text());

    failing.fail(3);
    let mut stdout = BufReader::new(gw502.stdout.take().expect("stdout is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a first line");
    drop(stdout);
    let mut status = None;
    deadline::wait_until("gw502 to notice that nobody reads", LIMIT, || {
        failing.fail(1);
        status = gw502.try_wait().expect("our own child");
        status.is_some()
    });
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(0),
        "{}",
        stderr.text()
    );
}

fn fail_on_failures() {
    let failing = Failing::new();
    let upstream = failing.upstream();
    let agent = Agent::trace(&[
        "--proxy",
        "nginx",
        "--upstream",
        &upstream,
        "--fail-on-failures",
    ]);
    failing.fail(1);
    agent.wait_events(1, LIMIT, |_| true);
    let session = agent.stop(Signal::SIGINT);
    assert_eq!(
        (session.code, session.events.len()),
        (5, 1),
        "{}",
        session.stdout
    );
}

/// It ended with this code and three kinds of lines: what, why, what to do.
#[track_caller]
fn assert_refused(session: &Session, code: i32, words: &[&str]) {
    let stderr = &session.stderr;
    assert_eq!(session.code, code, "the exit code, after:\n{stderr}");
    let starts = |start: &str| {
        stderr
            .lines()
            .any(|line| line.trim_start().starts_with(start))
    };
    for start in ["gw502: ", "why:", "do:"] {
        assert!(starts(start), "no line starts with `{start}`:\n{stderr}");
    }
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not named:\n{stderr}");
    }
    assert_eq!(session.stdout, "", "an error belongs on standard error");
}

/// nginx in front of an upstream that refuses.
struct Failing {
    lab: Lab,
    upstream: Upstream,
    proxy: Proxy,
}

impl Failing {
    fn new() -> Self {
        let lab = Lab::new(Path::Loopback);
        let address = lab.upstream_address(Family::V4);
        let upstream = Upstream::start(lab.upstream(), address, Behaviour::Refuse);
        let settings = Settings {
            kind: Kind::Nginx,
            upstream: upstream.address(),
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(2),
            retries: 0,
            keep_alive: false,
            abort_on_close: false,
            upstream_options: "",
            script: None,
            http2: false,
            talk: Talk::Plain,
            logged: Logged::Requests,
        };
        let proxy = Proxy::start(&lab, &settings);
        Self {
            lab,
            upstream,
            proxy,
        }
    }

    fn upstream(&self) -> String {
        self.upstream.address().to_string()
    }

    /// Makes `count` attempts fail.
    fn fail(&self, count: usize) {
        client::send(
            self.lab.proxy(),
            self.proxy.target(),
            Request::Get,
            count,
            count,
        );
    }
}
