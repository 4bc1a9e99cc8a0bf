//! gw502 itself, seen from outside: its events, its summary, its exit code.

mod event;
mod page;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

pub use self::event::{Event, Summary};
pub use self::page::{Page, sum};
use crate::deadline;
use crate::process::Process;

/// How long gw502 may take to attach its hooks.
const START: Duration = Duration::from_secs(15);
/// How long it may take to flush and end.
const STOP: Duration = Duration::from_secs(10);
/// No event for so long, and there are no more to come: one is promised within 100 ms.
const QUIET: Duration = Duration::from_millis(250);

/// The gw502 under test: `$GW502_BIN`, else the release build of this workspace.
#[must_use]
pub fn binary() -> PathBuf {
    std::env::var_os("GW502_BIN").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../target/release/gw502"
            ))
        },
        PathBuf::from,
    )
}

/// The backend to see with, where the suite is run once for each: `$GW502_HOOKS`.
#[must_use]
pub fn backend() -> Option<OsString> {
    std::env::var_os("GW502_HOOKS")
}

/// A command that runs gw502 with these arguments.
#[must_use]
pub fn gw502(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    command
}

/// A running `gw502 trace`; ended when dropped.
#[derive(Debug)]
pub struct Agent {
    process: Process,
}

/// Everything a gw502 that has ended said.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its exit code; 128 and the signal when a signal ended it.
    pub code: i32,
    /// The failures it reported, in order.
    pub events: Vec<Event>,
    /// The last line of its standard output, when that is a summary.
    pub summary: Option<Summary>,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

impl Agent {
    /// Starts `gw502 trace --output json --include-aborted` with more arguments, and waits until
    /// it says `ready:`.
    #[must_use]
    #[track_caller]
    pub fn trace(more: &[&str]) -> Self {
        let starting = Self::spawn(more);
        starting.wait_ready();
        starting
    }

    /// The same without the wait, for a test that has something to start meanwhile.
    #[must_use]
    #[track_caller]
    pub fn spawn(more: &[&str]) -> Self {
        let mut command = gw502(&["trace", "--output", "json", "--include-aborted"]);
        if let Some(backend) = backend() {
            command.arg("--hooks").arg(backend);
        }
        Self::start(command.args(more))
    }

    /// Starts a command that says `ready:` some time.
    #[must_use]
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let process = Process::start(command);
        Self { process }
    }

    /// Starts `gw502 agent` with this configuration, and waits until its page is there.
    ///
    /// It is not the page that is asked: a refusal would be one more failure where the caller is
    /// watched.
    #[must_use]
    #[track_caller]
    pub fn serve(config: &Path) -> Self {
        let config = config.to_str().expect("a path of ours");
        let agent = Self::start(&mut gw502(&["agent", "--config", config]));
        agent.wait_said("metrics on ");
        agent
    }

    /// What it has used up to now: CPU time, and its largest resident set in KiB; as procfs has
    /// them (proc(5), `stat` and `status`).
    #[must_use]
    #[track_caller]
    pub fn usage(&self) -> (Duration, u64) {
        /// `USER_HZ`: procfs counts CPU time in hundredths of a second.
        const TICK: Duration = Duration::from_millis(10);
        let stat = self.procfs("stat");
        let (_, after_name) = stat.rsplit_once(')').expect("a stat line has a name");
        let times = after_name.split_ascii_whitespace().skip(11).take(2);
        let ticks: u32 = times.filter_map(|field| field.parse::<u32>().ok()).sum();
        (ticks * TICK, self.status("VmHWM"))
    }

    /// Its resident set in KiB, as proc(5) has it.
    #[must_use]
    #[track_caller]
    pub fn resident_kib(&self) -> u64 {
        self.status("VmRSS")
    }

    /// How many descriptors it has open, and how many threads.
    #[must_use]
    #[track_caller]
    pub fn holds(&self) -> (usize, u64) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.process.pid()));
        let open = open.expect("gw502 runs, so procfs has it").count();
        (open, self.status("Threads"))
    }

    /// A number in `/proc/PID/status`.
    #[track_caller]
    fn status(&self, key: &str) -> u64 {
        let status = self.procfs("status");
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|rest| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        number.expect("status has it")
    }

    #[track_caller]
    fn procfs(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.process.pid());
        std::fs::read_to_string(path).expect("gw502 runs, so procfs has it")
    }

    /// Waits for the line `ready:`.
    #[track_caller]
    pub fn wait_ready(&self) {
        let ready = |lines: &[String]| lines.iter().any(|line| line.starts_with("ready:"));
        assert!(
            self.process.stderr.wait(deadline::patient(START), ready),
            "gw502 did not get ready; it said:\n{}",
            self.process.stderr.text()
        );
    }

    /// Waits until `count` events are `wanted`, at most `limit`, and then until no more come.
    pub fn wait_events(&self, count: usize, limit: Duration, wanted: impl Fn(&Event) -> bool) {
        let limit = deadline::patient(limit);
        let enough = |lines: &[String]| {
            lines.len() >= count
                && lines
                    .iter()
                    .filter_map(|line| Event::parse(line))
                    .filter(&wanted)
                    .count()
                    >= count
        };
        self.process.stdout.wait(limit, enough);
        self.process.stdout.settle(QUIET, limit.max(QUIET));
    }

    /// Waits until it has said `words` on standard error.
    #[track_caller]
    pub fn wait_said(&self, words: &str) {
        let said = |lines: &[String]| lines.iter().any(|line| line.contains(words));
        assert!(
            self.process.stderr.wait(deadline::patient(START), said),
            "gw502 did not say `{words}`, but:\n{}",
            self.process.stderr.text()
        );
    }

    /// Sends a signal that does not end it.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until `count` lines of its standard output are `wanted`, at most `limit`.
    pub fn wait_lines(&self, limit: Duration, wanted: impl Fn(&str) -> bool, count: usize) {
        let enough = |lines: &[String]| lines.iter().filter(|line| wanted(line)).count() >= count;
        self.process.stdout.wait(limit, enough);
    }

    /// Waits until gw502 ends by itself.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Session {
        let status = self.process.wait(limit);
        self.session(status)
    }

    /// Sends it `signal` and waits for its end.
    #[must_use]
    #[track_caller]
    pub fn stop(mut self, signal: Signal) -> Session {
        self.process.signal(signal);
        let status = self.process.wait(STOP);
        self.session(status)
    }

    fn session(&self, status: ExitStatus) -> Session {
        Session::new(
            status,
            self.process.stdout.text(),
            self.process.stderr.text(),
        )
    }
}

impl Session {
    fn new(status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            events: stdout.lines().filter_map(Event::parse).collect(),
            summary: stdout.lines().last().and_then(Summary::parse),
            stdout,
            stderr,
        }
    }
}

/// Runs gw502 with these arguments to its end.
#[must_use]
#[track_caller]
pub fn run(arguments: &[&str], limit: Duration) -> Session {
    run_command(&mut gw502(arguments), limit)
}

/// What `gw502 doctor` declares not to see with the backend of this run: the ids of its blind spots.
#[must_use]
#[track_caller]
pub fn blind_spots() -> BTreeSet<String> {
    let mut command = gw502(&["doctor", "--output", "json"]);
    if let Some(backend) = backend() {
        command.arg("--hooks").arg(backend);
    }
    let session = run_command(&mut command, deadline::patient(START));
    assert_eq!(session.code, 0, "{}", session.stderr);
    let doctor = parse(&session.stdout, "gw502.doctor/1").expect("what doctor says is JSON");
    let of = |value: &Value, key: &str| -> Vec<Value> {
        let list = value.get(key).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    of(&doctor, "capabilities")
        .iter()
        .flat_map(|capability| of(capability, "blind_to"))
        .filter_map(|spot| Some(spot.get("id")?.as_str()?.to_owned()))
        .collect()
}

/// Runs any command to its end, as a gw502 session.
#[must_use]
#[track_caller]
pub fn run_command(command: &mut Command, limit: Duration) -> Session {
    let mut process = Process::start(command);
    let ended = deadline::holds_within(limit, || process.ended().is_some());
    assert!(
        ended,
        "{command:?} still runs after {limit:?}; it said:\n{}{}",
        process.stdout.text(),
        process.stderr.text()
    );
    let status = process.wait(STOP);
    Session::new(status, process.stdout.text(), process.stderr.text())
}

/// The object on a line of JSON, if it has this schema.
fn parse(line: &str, schema: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(line).ok()?;
    (value.get("schema")?.as_str()? == schema).then_some(value)
}
