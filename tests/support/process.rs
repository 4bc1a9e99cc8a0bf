//! Child processes that cannot outlive their test.

use std::fs;
use std::io::ErrorKind;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::capture::Capture;
use crate::deadline;
use crate::tolerate;

/// How long a process gets to end after a polite signal.
const GRACE: Duration = Duration::from_secs(3);

/// A running child with both its outputs captured; ended when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// What it writes to standard output.
    pub stdout: Capture,
    /// What it writes to standard error.
    pub stderr: Capture,
}

impl Process {
    /// Starts `command`. It inherits the network namespace of the calling thread.
    #[must_use]
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {}", advice(&error)));
        let stdout = Capture::start(child.stdout.take().expect("stdout is piped"));
        let stderr = Capture::start(child.stderr.take().expect("stderr is piped"));
        Self {
            name,
            child,
            stdout,
            stderr,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        // It may have ended by itself; whoever waits for it sees how.
        tolerate(signal::kill(pid, signal));
    }

    /// How it ended; `None` while it runs.
    #[track_caller]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("our own child can be waited for")
    }

    /// Waits for its end and for the last of its output.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        deadline::wait_until(&format!("the end of {}", self.name), limit, || {
            self.ended().is_some()
        });
        self.stdout.wait_end(GRACE);
        self.stderr.wait_end(GRACE);
        self.ended().expect("it has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::SIGTERM);
        if !deadline::holds_within(GRACE, || !matches!(self.child.try_wait(), Ok(None))) {
            tolerate(self.child.kill());
            tolerate(self.child.wait());
        }
    }
}

/// Runs a tool to its end and returns what it printed; panics with its complaint when it fails.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot start {program}: {}", advice(&error)));
    assert!(
        output.status.success(),
        "{program} {}: {}: {}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim(),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The children of a process.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let listed = fs::read_to_string(path).unwrap_or_default();
    listed
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The error, and what to do about a program that is not there.
fn advice(error: &std::io::Error) -> String {
    if error.kind() == ErrorKind::NotFound {
        return format!("{error}; `cargo xtask test` installs what the suite needs");
    }
    error.to_string()
}
