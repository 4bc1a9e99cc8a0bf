//! The demo shows what it promises, and leaves nothing behind however it ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use gw502_tests::process::{Process, run};
use gw502_tests::scratch::{PREFIX, Scratch};
use gw502_tests::{agent, bpf, deadline};

use crate::trial;

/// The demo takes about 15 seconds.
const LIMIT: Duration = Duration::from_mins(1);

/// One cause for each of its six faults.
const CAUSES: [&str; 6] = [
    "admin-prohibited",
    "closed-before-response",
    "no-listener",
    "reset-before-response",
    "response-timeout",
    "syn-unanswered",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("demo::it_shows_six_faults_and_leaves_nothing", to_the_end),
        trial("demo::interrupted_it_leaves_nothing", interrupted),
        trial("demo::killed_it_leaves_nothing_to_the_next_run", killed),
    ]
}

fn to_the_end() {
    let demo = Demo::new();
    demo.run();
    demo.assert_clean();
}

fn interrupted() {
    let demo = Demo::new();
    let mut running = demo.start();
    wait_for_a_failure(&running);
    running.signal(Signal::SIGINT);
    let status = running.wait(LIMIT);
    assert_eq!(status.code(), Some(0), "{}", running.stderr.text());
    demo.assert_clean();
}

fn killed() {
    let demo = Demo::new();
    let mut running = demo.start();
    wait_for_a_failure(&running);
    running.signal(Signal::SIGKILL);
    running.wait(LIMIT);
    demo.run();
    demo.assert_clean();
}

#[track_caller]
fn wait_for_a_failure(demo: &Process) {
    let shown = |lines: &[String]| !causes(lines).is_empty();
    assert!(
        demo.stdout.wait(LIMIT, shown),
        "no failure shown:\n{}",
        demo.stderr.text()
    );
}

/// The causes of the failures on these lines: `TIME CLASS CAUSE PROXY …`.
fn causes(lines: &[String]) -> BTreeSet<&str> {
    lines
        .iter()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|line| line.split_whitespace().nth(2))
        .filter(|cause| CAUSES.contains(cause))
        .collect()
}

/// A gw502 of its own, so that its processes can be told from all others, and the machine as it
/// was before.
struct Demo {
    // Removes the program's copy.
    _scratch: Scratch,
    program: PathBuf,
    before: Machine,
}

impl Demo {
    fn new() -> Self {
        let scratch = Scratch::new();
        let program = scratch.join("gw502");
        fs::copy(agent::binary(), &program).expect("a copy of gw502");
        Self {
            _scratch: scratch,
            program,
            before: Machine::now(),
        }
    }

    fn start(&self) -> Process {
        Process::start(Command::new(&self.program).arg("demo"))
    }

    /// Runs the demo to its end.
    #[track_caller]
    fn run(&self) {
        let mut running = self.start();
        let status = running.wait(LIMIT);
        let output = running.stdout.text() + &running.stderr.text();
        assert_eq!(status.code(), Some(0), "{output}");
        let lines = running.stdout.lines();
        let seen: Vec<_> = causes(&lines).into_iter().collect();
        assert_eq!(seen, CAUSES, "{output}");
    }

    /// Nothing is there that was not there before. Programs go a moment after their owner.
    #[track_caller]
    fn assert_clean(&self) {
        let clean =
            || self.before.new_since() == Machine::default() && processes(&self.program).is_empty();
        assert!(
            deadline::holds_within(Duration::from_secs(10), clean),
            "left behind: {:?}, processes {:?}",
            self.before.new_since(),
            processes(&self.program)
        );
    }
}

/// What a demo could leave behind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Machine {
    namespaces: BTreeSet<String>,
    devices: BTreeSet<String>,
    bpf: BTreeSet<String>,
}

impl Machine {
    fn now() -> Self {
        Self {
            // Those of a suite that runs at the same time are not the demo's.
            namespaces: words(&run("ip", &["netns", "list"]))
                .filter(|name| !name.starts_with(PREFIX))
                .collect(),
            devices: entries("/sys/class/net"),
            bpf: bpf::unheld(),
        }
    }

    /// What is there now and is not in `self`.
    fn new_since(&self) -> Self {
        let now = Self::now();
        Self {
            namespaces: &now.namespaces - &self.namespaces,
            devices: &now.devices - &self.devices,
            bpf: &now.bpf - &self.bpf,
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
}

fn entries(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// The processes that run `program`.
fn processes(program: &Path) -> Vec<String> {
    let processes = entries("/proc").into_iter();
    processes
        .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program))
        .collect()
}
