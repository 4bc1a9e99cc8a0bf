//! Real app servers, as they stand behind proxies: Node, gunicorn, PHP-FPM.

mod gunicorn;
mod node;
mod php;

use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

pub use self::gunicorn::{Gunicorn, gunicorn};
pub use self::node::{Tls, node, node_tls};
pub use self::php::{Php, php, php_fpm};
use crate::address::Address;
use crate::deadline;
use crate::netns::Namespace;
use crate::process::{Process, children};
use crate::tolerate;

/// How long an app may take to start, and to end when it was told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running app server; ended when dropped, without courtesy.
#[derive(Debug)]
pub struct App {
    command: Command,
    process: Process,
    address: Address,
    /// What it says when it serves.
    ready: &'static str,
}

impl App {
    #[track_caller]
    fn start(
        namespace: &Namespace,
        address: Address,
        mut command: Command,
        ready: &'static str,
    ) -> Self {
        let process = namespace.enter(|| Process::start(&mut command));
        let mut app = Self {
            command,
            process,
            address,
            ready,
        };
        app.wait_ready();
        app
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address.clone()
    }

    /// Its first process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The processes that serve requests, where the first one only looks after them.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        children(self.pid())
    }

    /// How many requests it has begun to serve, since it was started last.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.said("request ")
    }

    /// How many connections it has accepted for so many requests, since it was started last. It
    /// speaks of a connection before it speaks of what comes on it.
    #[must_use]
    #[track_caller]
    pub fn connections(&self, requests: usize) -> usize {
        deadline::wait_until("the app to have said all", PATIENCE, || {
            self.requests() >= requests
        });
        self.said("connection")
    }

    fn said(&self, what: &str) -> usize {
        let lines = self.process.stdout.lines();
        lines.iter().filter(|line| line.starts_with(what)).count()
    }

    /// Everything it wrote.
    #[must_use]
    pub fn text(&self) -> String {
        self.process.stdout.text() + &self.process.stderr.text()
    }

    /// Sends its first process a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends every process of it at once, by SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        let workers = self.workers();
        self.process.signal(Signal::SIGKILL);
        for worker in workers {
            kill(worker);
        }
        self.wait_end();
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub fn stop(&mut self) {
        self.process.signal(Signal::SIGTERM);
        self.wait_end();
    }

    /// Waits until it has ended, and says how.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE)
    }

    /// Starts it again where it was.
    #[track_caller]
    pub fn start_again(&mut self, namespace: &Namespace) {
        let command = &mut self.command;
        self.process = namespace.enter(|| Process::start(command));
        self.wait_ready();
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let ready = deadline::holds_within(PATIENCE, || {
            let ended = self.process.ended().is_some();
            ended || self.text().contains(self.ready)
        });
        assert!(
            ready && self.process.ended().is_none(),
            "{:?} does not serve:\n{}",
            self.command,
            self.text()
        );
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Its workers go with the namespace.
        self.process.signal(Signal::SIGKILL);
    }
}

/// Ends one process by SIGKILL; it may have ended by itself.
pub fn kill(pid: u32) {
    tolerate(signal::kill(
        Pid::from_raw(pid.cast_signed()),
        Signal::SIGKILL,
    ));
}
